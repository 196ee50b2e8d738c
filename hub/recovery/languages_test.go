package recovery

import (
	"testing"

	"github.com/postern-id/postern/hub/store"
)

func TestLanguagesAreThoseOfTheBrowserAfterThatOfThePages(t *testing.T) {
	for _, c := range []struct{ pages, browser, want string }{
		{"en", "en-US,en;q=0.9", "en-US,en;q=0.9"},
		{"de", "DE", "DE"},
		{"de", "de;q=0.8, fr", "de;q=0.8, fr"},
		{"de", "pl,de;q=0.8", "de,pl,de;q=0.8"}, // read in German: offered, or chosen
		{"de", "", "de"},
		{"", "pl", "pl"},
		{"", "", ""},
	} {
		if got := Languages(&store.Recovery{Language: c.pages}, Private{Client: Client{Languages: c.browser}}); got != c.want {
			t.Errorf("pages in %q, a browser of %q: %q, want %q", c.pages, c.browser, got, c.want)
		}
	}
}
