package factor

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"

	"github.com/boombuler/barcode/qr"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/totp"
)

// A Setup is what a person puts into an authenticator app. It is shown until a code of
// the app confirms it.
type Setup struct {
	ID     string
	Secret string // base32, to be typed where no camera is
	URI    string // otpauth
}

// BeginTOTP makes a seed for an authenticator app.
func (f *Factors) BeginTOTP(ctx context.Context, o Owner) (Setup, error) {
	seed := make([]byte, totp.SeedSize)
	_, _ = rand.Read(seed) // never fails
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)
	id, err := f.begin(ctx, o, TOTP, "", []byte(secret))
	return setup(o, id, secret), err
}

// Setup shows a seed again that waits for its first code: the code was wrong.
func (f *Factors) Setup(ctx context.Context, o Owner, id string) (Setup, error) {
	return store.Get(ctx, f.cfg.Store, func(tx *store.Tx) (Setup, error) {
		row, err := own(ctx, tx, o, id)
		if err == nil && (row.Kind != TOTP || !row.ActiveAt.IsZero()) {
			err = ErrNotFound
		}
		return setup(o, id, string(row.Secret)), err
	})
}

// setup writes the address that apps read (Key URI Format of Google Authenticator).
func setup(o Owner, id, secret string) Setup {
	label := url.PathEscape(o.RPID + ":" + o.Name)
	q := url.Values{"secret": {secret}, "issuer": {o.RPID}}
	return Setup{ID: id, Secret: secret, URI: "otpauth://totp/" + label + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")}
}

// QR draws a text as the path of an SVG whose box is size by size, with the quiet zone
// that readers need.
func QR(text string) (path string, size int, err error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", 0, fmt.Errorf("factor: QR code: %w", err)
	}
	const quiet = 4
	var b strings.Builder
	n := code.Bounds().Dx()
	for y := range n {
		for x := range n {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	return b.String(), n + 2*quiet, nil
}
