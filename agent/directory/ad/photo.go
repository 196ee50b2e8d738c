package ad

import (
	"context"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// Photo implements directory.Photographed.
func (d *Directory) Photo(ctx context.Context, id string) (photo []byte, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		e, err := d.must(ctx, c, id, append([]string{"objectGUID"}, d.cfg.PhotoAttributes...)...)
		if err != nil {
			return err
		}
		photo = nil
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

// Photo implements directory.Photographed.
func (f *Forest) Photo(ctx context.Context, id string) ([]byte, error) {
	return at(ctx, f, id, func(d *Directory) ([]byte, error) { return d.Photo(ctx, id) })
}

var (
	_ directory.Photographed = (*Directory)(nil)
	_ directory.Photographed = (*Forest)(nil)
)
