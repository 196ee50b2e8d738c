package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/internal/testenv"
)

// Chromium holds every redirect that follows a form to the policy of the page with the form:
// an application whose callback leads on to another host of its own is led to all the same.
func TestAClientLeadsOnWhereverItLikesAfterAForm(t *testing.T) {
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("at home with " + r.URL.Query().Get("error")))
	}))
	t.Cleanup(home.Close)
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, home.URL+"/?error="+r.FormValue("error"), http.StatusSeeOther)
	}))
	t.Cleanup(callback.Close)
	a := newApp(t)
	a.id, _ = a.add(party.OpenID, func(s *party.Settings) { s.Redirects = []string{callback.URL} })
	b := testenv.Chromium(t)

	b.Open(a.origin + "/oauth2/authorize" + a.asks("redirect_uri", callback.URL, "response_mode", "form_post", "prompt", "none"))
	b.WaitText("at home with login_required")

	b.Open(a.origin + "/oauth2/authorize" + a.asks("redirect_uri", callback.URL))
	b.Click("form[action$='/cancel'] button")
	b.WaitText("at home with access_denied")
}
