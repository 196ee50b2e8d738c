package site

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/postern-id/postern/hub/page"
)

// Each session that a browser names is looked up in the store: whoever sends hundreds has the
// newest looked up, and as many taken away at once as the browser may have.
func TestABrowserThatSendsHundredsOfSessionsHasFewLookedUp(t *testing.T) {
	host, ok := page.ParseOrigin("https://recover.acme.example")
	if !ok {
		t.Fatal("no origin")
	}
	r := httptest.NewRequest(http.MethodPost, "/request", nil)
	for i := range 300 {
		w := httptest.NewRecorder()
		host.SetCookie(w, fmt.Sprint(requestCookie, i), "session", sessionLife, http.SameSiteStrictMode)
		r.AddCookie(w.Result().Cookies()[0])
	}
	v := &visit{r: r, w: httptest.NewRecorder(), host: host}
	all := v.uses()
	if len(all) != maxSessions || all["299"] != "session" {
		t.Errorf("%d are looked up: %v", len(all), all)
	}
	w := httptest.NewRecorder()
	v.w = w
	v.rememberUse("new", "session")
	if n := len(w.Result().Cookies()); n != maxSessions+1 {
		t.Errorf("%d cookies are set", n)
	}
}
