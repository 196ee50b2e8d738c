package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
)

// aLogoOf returns a small picture of a width.
func aLogoOf(t *testing.T, width int) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, 8))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// typed sends a body of a media type as the owner.
func (st *stack) typed(t *testing.T, method, path, media, body string) reply {
	t.Helper()
	return st.do(t, st.owner, method, path, body, func(r *http.Request) { r.Header.Set("Content-Type", media) })
}

// form is a form as the published client sends it.
func form(t *testing.T, name, media, body string) (contentType, text string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q; filename="/tmp/logo.png"`, name)}, "Content-Type": {media}})
	if err == nil {
		_, err = part.Write([]byte(body))
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

// served fetches what a logo_url names, as anybody does.
func (st *stack) served(t *testing.T, address any) *httptest.ResponseRecorder {
	t.Helper()
	path, ok := strings.CutPrefix(fmt.Sprint(address), "https://id.vendor.test")
	if !ok {
		t.Fatalf("logo_url %v", address)
	}
	mux := http.NewServeMux()
	mux.Handle(LogosPath, Logos(st.store, slog.New(slog.DiscardHandler)))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	return w
}

func TestLogosComeRawOrInAFormAndAreServedToEverybody(t *testing.T) {
	st := lite(t)
	env, dir := "/api/envs/"+st.mine.Env.ID, "/api/directories/"+st.mine.Directory.ID
	if got := st.want(t, 200, "GET", env, ""); got.member(t, "logo_url") != "" {
		t.Errorf("without a logo: %v", got.member(t, "logo_url"))
	}
	asForm, body := form(t, "logo", "application/octet-stream", aLogoOf(t, 16))
	for i, c := range []struct{ method, path, media, body, shown, is string }{
		{"POST", env + "/logo", "image/png", aLogoOf(t, 8), env, "image/png"},
		{"POST", env + "/logo?kind=mobile", "image/jpeg", aFace(), env, "image/png"},
		{"POST", env + "/logo", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>`, env, "image/svg+xml"},
		{"POST", env + "/logo", asForm, body, env, "image/png"},
		{"PUT", dir + "/logo", asForm, body, dir, "image/png"},
		{"PUT", dir + "/logo", "application/octet-stream", aLogoOf(t, 32), dir, "image/png"},
	} {
		if got := st.typed(t, c.method, c.path, c.media, c.body); got.status != 204 {
			t.Fatalf("%d: %d %s", i, got.status, got.body)
		}
		w := st.served(t, st.want(t, 200, "GET", c.shown, "").member(t, "logo_url"))
		if w.Code != 200 || w.Header().Get("Content-Type") != c.is || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%d: served %d %v", i, w.Code, w.Header())
		}
	}
	before := st.want(t, 200, "GET", env, "").member(t, "logo_url")
	if got := st.typed(t, "POST", env+"/logo?kind=qr", "image/png", aLogoOf(t, 64)); got.status != 204 {
		t.Fatal(got.body)
	}
	if after := st.want(t, 200, "GET", env, "").member(t, "logo_url"); after != before {
		t.Errorf("a logo of another kind replaced %v by %v", before, after)
	}
	st.want(t, 204, "DELETE", env+"/logo", "")
	st.want(t, 404, "DELETE", env+"/logo", "")
	if w := st.served(t, before); w.Code != 404 {
		t.Error("a removed logo is still served")
	}
	st.want(t, 204, "DELETE", dir+"/logo", "")
	if got := st.want(t, 200, "GET", dir, ""); strings.Contains(got.body, "logo_url") {
		t.Errorf("after removal: %s", got.body)
	}
}

func TestP21_LogosThatAreNoPicturesAreRefused(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID + "/logo"
	other, body := form(t, "file", "image/png", aLogoOf(t, 8))
	for what, c := range map[string]struct{ path, media, body, want string }{
		"a script":        {env, "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>`, "script"},
		"a page":          {env, "image/png", `<html><body>x</body></html>`, "logo: want"},
		"nothing":         {env, "image/png", "", "logo: want"},
		"too large":       {env, "image/png", aLogoOf(t, 8) + strings.Repeat("x", 2<<20), "bytes"},
		"too wide":        {env, "image/png", aLogoOf(t, 3000), "2048"},
		"another part":    {env, other, body, "no part of this name"},
		"a broken form":   {env, "multipart/form-data; boundary=x", "--x\r\nContent-Dis", "no part"},
		"without a bound": {env, "multipart/form-data", "--x", "no part"},
		"another kind":    {env + "?kind=poster", "image/png", aLogoOf(t, 8), "mobile"},
		"two kinds":       {env + "?kind=qr&kind=qr", "image/png", aLogoOf(t, 8), "once"},
	} {
		if got := st.typed(t, "POST", c.path, c.media, c.body); got.status/100 != 4 || !strings.Contains(got.body, c.want) {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
}

func TestRecordsOfLogosSayWhichAndHoldNoPicture(t *testing.T) {
	st := lite(t)
	env, dir := "/api/envs/"+st.mine.Env.ID, "/api/directories/"+st.mine.Directory.ID
	st.want(t, 204, "POST", env+"/logo?kind=install", aLogoOf(t, 8))
	st.want(t, 204, "DELETE", env+"/logo?kind=install", "")
	st.want(t, 204, "PUT", dir+"/logo", aLogoOf(t, 8))
	rows, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]string, error) {
		return store.All(context.Background(), tx, store.Text, "SELECT leaf FROM audit_events WHERE env = $1 ORDER BY id", st.mine.Env.ID)
	})
	if err != nil || len(rows) != 3 {
		t.Fatal(rows, err)
	}
	for i, want := range []string{`{"kind":"install"}`, `{"kind":"install"}`, `{"directory":"` + st.mine.Directory.ID + `"}`} {
		if !strings.Contains(rows[i], want) || !json.Valid([]byte(rows[i])) || len(rows[i]) > 800 {
			t.Errorf("record %d: %s; want %s", i, rows[i], want)
		}
	}
}

// One picture is decoded at a time on a node, for everybody.
func TestP21_ALogoThatIsDrawnOverAndOverIsRefused(t *testing.T) {
	st := lite(t)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 16, 16)), nil); err != nil {
		t.Fatal(err)
	}
	once := b.Bytes()
	at, end := bytes.LastIndex(once, []byte{0xff, 0xda}), len(once)-2
	again := append(append(bytes.Clone(once[:at]), bytes.Repeat(once[at:end], 100)...), once[end:]...)
	path := "/api/envs/" + st.mine.Env.ID + "/logo"
	if got := st.typed(t, "POST", path, "image/jpeg", string(once)); got.status != 204 {
		t.Errorf("once: %d %s", got.status, got.body)
	}
	if got := st.typed(t, "POST", path, "image/jpeg", string(again)); got.status != 400 || !strings.Contains(got.body, "over and over") {
		t.Errorf("a hundred times: %d %s", got.status, got.body)
	}
}
