package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
)

// accountPhoto is the wire type AccountPhoto.
type accountPhoto struct {
	SHA256  string    `json:"sha256"` // of the picture as it was sent
	Created time.Time `json:"created_at"`
}

// decoders bounds the memory that photos take: each may need 200 MB while it is decoded.
const decoders = 1

// aPhoto is the body of a row that takes a picture, whatever its type says.
type aPhoto struct {
	sent   []byte
	sha256 string
	clean  []byte // written anew
}

// redacted implements redactor.
func (p *aPhoto) redacted() any { return nil }

// pictures are the types of a photo; SVG would be a program. What the picture is its bytes
// say: the last ones are what programs call any, curl --data-binary the very last.
var pictures = []string{"image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/jpg", "application/octet-stream", "application/x-www-form-urlencoded"}

// photoBody is an action whose body is a picture, which is written anew before the
// transaction.
func photoBody(run func(context.Context, *call, *store.Tx, *aPhoto) (any, error)) action {
	return action{
		what: run, media: pictures,
		decode: func(b []byte) (any, error) {
			sum := sha256.Sum256(b)
			return &aPhoto{sent: b, sha256: hex.EncodeToString(sum[:])}, nil
		},
		before: cleanPhoto,
		run: func(ctx context.Context, c *call, tx *store.Tx) (any, error) {
			return run(ctx, c, tx, c.body.(*aPhoto))
		},
	}
}

// cleanPhoto writes the picture anew: no metadata, no place, no second file inside.
func cleanPhoto(ctx context.Context, c *call) error {
	p := c.body.(*aPhoto)
	clean, err := c.cleaned(ctx, p.sent)
	p.clean, p.sent = clean, nil
	if err != nil {
		return err
	}
	var account store.Account
	err = c.api.Store.Read(ctx, func(tx *store.Tx) error {
		err := c.resolve(ctx, tx)
		account = c.account
		return err
	})
	if err != nil {
		return err
	}
	return c.checkFace(ctx, account, clean)
}

// errPhoto says which pictures are taken.
var errPhoto = bad("the image must be a JPEG, PNG, WebP, GIF (of which the first picture counts) or TIFF of at most 7 MB and 24 million pixels; SVG and AVIF are not taken: save it as one of these")

// cleaned writes a picture anew, one at a time.
func (c *call) cleaned(ctx context.Context, raw []byte) ([]byte, error) {
	select {
	case c.api.decoding <- struct{}{}:
		defer func() { <-c.api.decoding }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	clean, err := capture.CleanPhoto(raw)
	return clean, as(err, capture.ErrImage, errPhoto)
}

// setPhoto keeps a photo of an account, in place of another.
func setPhoto(ctx context.Context, c *call, tx *store.Tx, p *aPhoto) (any, error) {
	c.photoDetail("set", p.sha256)
	return nil, tx.SetAccountPhoto(ctx, c.account.Env, c.account.ID, p.sha256, p.clean)
}

// removePhoto destroys the photo of an account. Where there is none it says 404.
func removePhoto(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.photoDetail("removed", c.account.Photo.SHA256)
	return nil, tx.RemoveAccountPhoto(ctx, c.account.Env, c.account.ID)
}

// photoDetail is what the record says: never the picture, nor the identifier of the path.
func (c *call) photoDetail(what, sum string) {
	c.concerns = c.account.ID
	c.detail = map[string]any{"account": c.account.ID, "directory": c.account.Directory, "request": map[string]string{"photo": what, "sha256": sum}}
}
