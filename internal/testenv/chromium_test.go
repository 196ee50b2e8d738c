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

// halves serves a page whose second half leaves the server only once the path /rest is asked
// for, and has a browser open it.
func halves(t *testing.T, first, second string) *Browser {
	t.Helper()
	asked := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/rest", func(http.ResponseWriter, *http.Request) { close(asked) })
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><html lang="en"><head><title>x</title>`, first)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-asked:
			fmt.Fprint(w, second)
		case <-r.Context().Done():
		}
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	b := Chromium(t)
	b.Eval(fmt.Sprintf(`(location.assign(%q), '')`, srv.URL)) // Open waits for the whole page
	Eventually(t, "half a page", func() bool {
		got, err := b.eval(`document.body?.innerText.includes("Half")`)
		return err == nil && got == "true"
	})
	return b
}

func TestAxeJudgesNoPageThatIsStillComing(t *testing.T) {
	b := halves(t, `<script>Object.defineProperty(window, 'axe', {get() { return this.checker }, set(a) { this.checker = a; fetch('/rest') }})</script>
		</head><body><main><h1>Half</h1><label><input type="checkbox">`, ` a word</label></main></body></html>`)
	if found := b.Axe(); len(found) > 0 {
		t.Error(found)
	}
}

func TestWaitingForWordsIsWaitingForThePageAroundThem(t *testing.T) {
	b := halves(t, `</head><body><h1>Half</h1>`, `<p id="late">Whole</p></body></html>`)
	b.Wait(`(window.asked ??= fetch('/rest')) && document.body.innerText.includes('Half')`)
	if b.Eval(`document.querySelector('#late') !== null`) != "true" {
		t.Error("half a page was taken for one")
	}
}
