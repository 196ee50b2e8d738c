package ldap

import (
	"context"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// attrPhoto holds a JPEG (RFC 2798 2.6).
const attrPhoto = "jpegPhoto"

var _ directory.Photographed = (*Directory)(nil)

// Photo implements directory.Photographed: the first value of the configured attributes
// that is a picture.
func (d *Directory) Photo(ctx context.Context, id string) (photo []byte, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		photo = nil
		e, err := d.find(ctx, c, id, append([]string{"1.1"}, d.cfg.PhotoAttributes...)...)
		if err != nil {
			return err
		}
		for _, a := range d.cfg.PhotoAttributes {
			for _, v := range e.GetEqualFoldRawAttributeValues(a) {
				if photo == nil && directory.IsPicture(v) {
					photo = v
				}
			}
		}
		return nil
	})
	return photo, err
}
