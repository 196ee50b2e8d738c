package api

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/postern-id/postern/hub/store"
)

// PicturesPath begins the addresses of public_url's host at which Pictures answers.
const PicturesPath = "/pictures/"

// Pictures serves pictures of people to whoever knows a link that has not ended: the
// webhook picture tells it. Opened by itself, a picture is a download.
func Pictures(s *store.Store, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		body, err := store.Get(r.Context(), s, func(tx *store.Tx) ([]byte, error) { return tx.LinkedPicture(r.Context(), r.PathValue("link")) })
		switch {
		case errors.Is(err, store.ErrNotFound):
			http.Error(w, "not found", http.StatusNotFound)
			return
		case err != nil:
			log.WarnContext(r.Context(), "a picture cannot be read", "error", err)
			h.Set("Retry-After", retryAfter)
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		h.Set("Content-Type", "image/jpeg")
		h.Set("Content-Disposition", `attachment; filename="picture.jpg"`)
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
		_, _ = w.Write(body)
	})
}
