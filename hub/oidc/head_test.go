package oidc_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol/evidence"
)

// head asks as scanners of links and previews do, and expects to be turned away.
func (r *rig) head(client *http.Client, address, allow string) {
	r.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = r.origin + address
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodHead, address, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	path, _, _ := strings.Cut(address, "?")
	if g := r.do(client, req); g.status != http.StatusMethodNotAllowed || g.header.Get("Allow") != allow || g.header.Get("Set-Cookie") != "" {
		r.t.Errorf("HEAD %s: %d %v", path, g.status, g.header)
	}
}

func TestP07_HEADSpendsNoRequestURI(t *testing.T) {
	r := newRig(t)
	client, secret := r.add(party.OktaIDV, nil)
	asks := pushed(client, secret, person("IDV-DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}))
	for path, allow := range map[string]string{"/oauth2/authorize": "GET, POST", "/authorize": "GET", "/oauth/authorize": "GET", "/x/clip/authorize": "GET", "/authorize/iframe": "GET"} {
		address := strings.Replace(r.push(asks), "/oauth2/authorize", path, 1)
		r.head(r.newBrowser(), address, allow)
		r.ticket(r.get(r.newBrowser(), address))
	}
}

func TestP07_HEADSpendsNoAnswer(t *testing.T) {
	r := newRig(t)
	client, secret := r.add(party.OktaIDV, nil)
	r.employee.claims = &evidence.Claims{Given: "Ann", Family: "Lee"}
	asks := pushed(client, secret, person("IDV-DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}))
	to := r.prove(r.ticket(r.get(r.browser, r.push(asks))))
	r.head(r.browser, to, "GET")
	if back := r.get(r.browser, to); back.location == nil || back.location.Query().Get("code") == "" {
		t.Errorf("the answer is gone: %d %v", back.status, back.location)
	}
}

func TestP07_HEADTakesNoAnswerFromThePageThatWaitsForAPhone(t *testing.T) {
	a := newApp(t)
	page, at := a.page("/authorize" + a.asks())
	o, err := a.provider.Open(t.Context(), a.fixture.Env.ID, match1(t, linkForm, page.body), "en", recovery.Client{Origin: "https://" + site})
	if err != nil {
		t.Fatal(err)
	}
	a.types(page, at, a.code(o.Phone))
	a.onPhone(o.Phone)
	a.head(a.browser, at, "GET")
	if back := a.get(a.browser, at); back.location == nil || back.location.Query().Get("code") == "" {
		t.Errorf("the answer is gone: %d %v", back.status, back.location)
	}
}

// What nobody serves is not there by HEAD either, and what has to be sent is told so.
func TestHEADOfWhatIsNotThereIsAnsweredAsGETIs(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]int{"/oauth2/nothing": http.StatusNotFound, "/oauth2/token": http.StatusMethodNotAllowed} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, r.origin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if g := r.do(http.DefaultClient, req); g.status != want {
			t.Errorf("%s: %d", path, g.status)
		}
	}
}
