package ad

import (
	"bytes"
	"context"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// maxPhoto bounds a picture: thumbnailPhoto has at most 100 KiB in the schema, jpegPhoto no
// bound, and cameras make up to seven megabytes.
const maxPhoto = 7 << 20

// Beginnings of pictures: JPEG (ISO/IEC 10918-1 B.1.1.3) and PNG (RFC 2083 3.1). Anything
// else that stands in the attribute is no picture of a person.
var pictureHeads = [][]byte{{0xff, 0xd8, 0xff}, []byte("\x89PNG\r\n\x1a\n")}

// Photo implements directory.Photographed.
func (d *Directory) Photo(ctx context.Context, id string) (photo []byte, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		e, err := d.must(ctx, c, id, d.cfg.PhotoAttributes...)
		if err != nil {
			return err
		}
		photo = nil
		for _, a := range d.cfg.PhotoAttributes {
			for _, v := range e.GetEqualFoldRawAttributeValues(a) {
				if photo == nil && isPicture(v) {
					photo = v
				}
			}
		}
		return nil
	})
	return photo, err
}

func isPicture(b []byte) bool {
	if len(b) > maxPhoto {
		return false
	}
	for _, head := range pictureHeads {
		if bytes.HasPrefix(b, head) {
			return true
		}
	}
	return false
}

// Photo implements directory.Photographed.
func (f *Forest) Photo(ctx context.Context, id string) ([]byte, error) {
	return at(ctx, f, id, func(d *Directory) ([]byte, error) { return d.Photo(ctx, id) })
}

var (
	_ directory.Photographed = (*Directory)(nil)
	_ directory.Photographed = (*Forest)(nil)
)
