package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/postern-id/postern/hub/brand"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
)

// logoKinds are the wire type LogoKind. The first is meant where none is said: pages
// show it, and those for which there is another kind show that.
var logoKinds = []string{"mobile", "qr", "install"}

// logoSize is the longest body with a logo: the picture, and a form around it.
const logoSize = brand.MaxLogo + 8<<10

// LogosPath is the pattern of public_url's host at which Logos answers.
const LogosPath = "GET /logos/{sum}"

// logoMedia are the types of a logo, and of a form that holds one, and what programs call
// any picture.
var logoMedia = []string{"image/png", "image/jpeg", "image/svg+xml", "multipart/form-data", "image/jpg", "application/octet-stream", "application/x-www-form-urlencoded"}

// aLogo is the body of a row that takes a logo.
type aLogo struct {
	sent []byte
	logo store.Logo
}

// redacted implements redactor: a record holds no picture.
func (l *aLogo) redacted() any { return nil }

// logoBody is an action whose body is a logo, by itself or as the part of a form, which
// is written anew before the transaction.
func logoBody(run func(context.Context, *call, *store.Tx, store.Logo) (any, error)) action {
	return action{
		what: run, media: logoMedia,
		decode: func(b []byte) (any, error) { return &aLogo{sent: b}, nil },
		before: cleanLogo,
		run: func(ctx context.Context, c *call, tx *store.Tx) (any, error) {
			return run(ctx, c, tx, c.body.(*aLogo).logo)
		},
	}
}

// cleanLogo writes the picture anew, in the same room as photos are.
func cleanLogo(ctx context.Context, c *call) error {
	l := c.body.(*aLogo)
	raw, err := logoPart(c.r.Header.Get("Content-Type"), l.sent)
	if err != nil {
		return err
	}
	if capture.Overdrawn(raw) { // for minutes, in the room of everybody
		return bad("logo: a JPEG that is drawn over and over is not taken; save it anew")
	}
	select {
	case c.api.decoding <- struct{}{}:
		defer func() { <-c.api.decoding }()
	case <-ctx.Done():
		return ctx.Err()
	}
	media, clean, err := brand.Logo(raw)
	if errors.Is(err, brand.ErrLogo) {
		return bad("logo: " + strings.TrimPrefix(err.Error(), "brand: "))
	}
	l.logo, l.sent = store.NewLogo("", media, clean), nil
	return err
}

// logoPart returns the picture of a body: all of it, or the part "logo" of a form,
// whatever type that part says it has.
func logoPart(contentType string, body []byte) ([]byte, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "multipart/form-data" {
		return body, nil
	}
	form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := form.NextRawPart()
		if err != nil {
			return nil, bad("logo: the form has no part of this name")
		}
		if part.FormName() != "logo" {
			continue
		}
		raw, err := io.ReadAll(part) // the body is bounded
		if err != nil {
			return nil, bad("logo: the form ends early")
		}
		return raw, nil
	}
}

// logoKind returns the kind that is meant.
func (c *call) logoKind() string { return cmp.Or(c.text("kind"), logoKinds[0]) }

// uploadLogo sets a logo of an environment, of one kind.
func uploadLogo(ctx context.Context, c *call, tx *store.Tx, l store.Logo) (any, error) {
	kind := c.logoKind()
	l.Kind, c.detail = kind, map[string]any{"kind": kind}
	return nil, tx.SetLogo(ctx, c.env.ID, l)
}

// deleteLogo removes a logo of an environment, of one kind.
func deleteLogo(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	kind := c.logoKind()
	c.detail = map[string]any{"kind": kind}
	return nil, tx.RemoveLogo(ctx, c.env.ID, kind)
}

// uploadDirectoryLogo sets the logo of a directory.
func uploadDirectoryLogo(ctx context.Context, c *call, tx *store.Tx, l store.Logo) (any, error) {
	c.detail = map[string]any{"directory": c.directory.ID}
	return nil, tx.SetDirectoryLogo(ctx, c.env.ID, c.directory.ID, l)
}

// deleteDirectoryLogo removes the logo of a directory.
func deleteDirectoryLogo(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"directory": c.directory.ID}
	return nil, tx.RemoveDirectoryLogo(ctx, c.env.ID, c.directory.ID)
}

// logoURL returns where everybody finds a logo; "" if there is none.
func (c *call) logoURL(sum string) string {
	if sum == "" {
		return ""
	}
	return c.api.Console() + "/logos/" + sum
}

// Logos serves logos under their sums, to everybody who knows one. A browser may keep
// them for ever; opened by itself, a drawing can do nothing.
func Logos(s *store.Store, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		l, err := store.Get(r.Context(), s, func(tx *store.Tx) (store.Logo, error) { return tx.LogoBySum(r.Context(), r.PathValue("sum")) })
		switch {
		case errors.Is(err, store.ErrNotFound):
			http.Error(w, "not found", http.StatusNotFound)
			return
		case err != nil:
			log.WarnContext(r.Context(), "a logo cannot be read", "error", err)
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		h.Set("Content-Type", l.Media)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin") // the recovery site and others show it
		_, _ = w.Write(l.Body)
	})
}
