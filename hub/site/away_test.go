package site

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/verify/provider"
)

// awayTo is a service with one address.
type awayTo string

func (a awayTo) Leave(_ context.Context, l provider.Leaving) (string, error) {
	return string(a) + "?" + url.Values{"state": {l.Recovery + ".x"}, "with": {l.Provider}}.Encode(), nil
}

func TestT13_ThePageOfTheReturnCompletesNothingByItself(t *testing.T) {
	g := newRig(t)
	g.site.cfg.Providers = awayTo("https://idp.example/authorize")
	const id = "AAAAAAAAAAAAAAAAAAAAAA"
	p := g.person().asIs()
	p.get("/provider/return?code=the-code&iss=https%3A%2F%2Fidp.example&state=" + id + ".abc")
	if p.status != http.StatusOK || !strings.Contains(p.body, `action="/r/`+id+`/answer"`) || !strings.Contains(p.body, "the-code") {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if p.header.Get("Referrer-Policy") != "no-referrer" || p.header.Get("Cache-Control") != "no-store" {
		t.Error(p.header)
	}
	for _, query := range []string{"", "?code=c", "?code=c&state=x.y", "?code=c&state=../../x.y", "?code=c&code=d&state=" + id + ".x", "?state=" + id + ".x&code=" + strings.Repeat("x", maxReturn)} {
		if p.get("/provider/return" + query); p.status != http.StatusNotFound {
			t.Errorf("%q: %d", query, p.status)
		}
	}
	p.get("/r/" + id + "/leave?with=p1")
	if p.status == http.StatusSeeOther && strings.Contains(p.header.Get("Location"), "idp.example") {
		t.Error("somebody without the session is sent away")
	}
}
