package site

import (
	"net/http"
	"strings"
	"testing"
)

// Webhooks are told which languages a person reads: receivers translate into them.
func TestWhatABrowserSaysOfItselfIsKeptWithinBounds(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://recover.acme.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visit{r: r, req: Request{Client: "192.0.2.7"}}
	for said, want := range map[string]string{"pl,de;q=0.8": "pl,de;q=0.8", "": "", strings.Repeat("de,", 100): ""} {
		r.Header.Set("Accept-Language", said)
		r.Header.Set("User-Agent", strings.Repeat("B", 600))
		if c := v.client(); c.Languages != want || c.Address != "192.0.2.7" || len(c.UserAgent) != maxUserAgent {
			t.Errorf("%q: %+v", said, c)
		}
	}
}
