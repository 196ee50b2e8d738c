package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

func TestP21_APictureIsServedToItsLinkAloneAndAsADownload(t *testing.T) {
	st := lite(t)
	mux := http.NewServeMux()
	mux.Handle("GET "+PicturesPath+"{link}", Pictures(st.store, slog.New(slog.DiscardHandler)))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	var link, over string
	st.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		if err = tx.AddPerson(ctx, st.mine.Env.ID, "ada"); err != nil {
			return err
		}
		if link, err = tx.AddPictureLink(ctx, st.mine.Env.ID, "ada", []byte("a face"), tx.Now().Add(time.Minute)); err != nil {
			return err
		}
		over, err = tx.AddPictureLink(ctx, st.mine.Env.ID, "ada", []byte("a face"), tx.Now())
		return err
	})
	get := func(link string) (int, string, http.Header) {
		t.Helper()
		res, err := http.Get(srv.URL + PicturesPath + link)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b), res.Header
	}
	status, body, h := get(link)
	if status != 200 || body != "a face" || h.Get("Content-Type") != "image/jpeg" || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" ||
		h.Get("Content-Disposition") != `attachment; filename="picture.jpg"` || h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" {
		t.Errorf("%d %q %v", status, body, h)
	}
	for _, wrong := range []string{over, "guessed"} {
		if status, body, _ := get(wrong); status != 404 || body == "a face" {
			t.Errorf("%s: %d %s", wrong, status, body)
		}
	}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.ErasePerson(ctx, st.mine.Env.ID, "ada") })
	if status, _, _ := get(link); status != 404 {
		t.Errorf("after erasing: %d", status)
	}
}

func TestALinkOfAPictureSaysWhenToComeBackWhereTheStoreIsAway(t *testing.T) {
	pg := testenv.StartPostgres(t)
	cfg := storetest.SQLite(t)
	cfg.URL = pg.Database(t)
	s := storetest.Open(t, cfg)
	pg.Stop()
	w := httptest.NewRecorder()
	Pictures(s, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, PicturesPath+"link", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
