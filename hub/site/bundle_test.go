package site

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"
)

// What the bundle names is what a browser gets, and a browser gets no other file.
func TestT04_TheBundleIsOfTheBytesThatAreServed(t *testing.T) {
	g := newRig(t)
	served, shown := 0, 0
	for name, sum := range Bundle().Sums() {
		kind, base := path.Base(path.Dir(name)), path.Base(name)
		if kind == "templates" {
			if _, ok := screens[strings.TrimSuffix(base, ".html")]; !ok && base != "layout.html" {
				t.Errorf("%s is no page", name)
			}
			shown++
			continue
		}
		resp, err := http.Get(g.url + g.site.files.Path(base))
		if err != nil {
			t.Fatal(err)
		}
		got := sha256.New()
		_, err = io.Copy(got, resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || hex.EncodeToString(got.Sum(nil)) != sum {
			t.Errorf("%s: %d %v, other bytes than the bundle's", name, resp.StatusCode, err)
		}
		served++
	}
	if want := len(g.site.files.Names()); served != want || shown != len(screens)+1 {
		t.Errorf("the bundle names %d files of %d that are served, %d templates of %d", served, want, shown, len(screens)+1)
	}
}
