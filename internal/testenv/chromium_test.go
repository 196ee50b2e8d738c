package testenv

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A checker that finds nothing anywhere would let every page pass.
func TestAxeFindsPlantedFaults(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><html lang="en"><head><title>x</title></head><body><main><h1>x</h1>
			<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><input><p style="color:#999">pale</p></main></body></html>`)
	}))
	defer srv.Close()
	b := Chromium(t)
	b.Open(srv.URL)
	found := strings.Join(b.Axe(), "\n")
	for _, want := range []string{"image-alt", "label", "color-contrast"} {
		if !strings.Contains(found, want) {
			t.Errorf("no %s in %q", want, found)
		}
	}
}
