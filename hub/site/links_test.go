package site

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/token"
)

func mint(t *testing.T, g *rig, r token.Request) string {
	t.Helper()
	text, _, err := g.links.Mint(t.Context(), token.Issue{Env: g.env.ID, Owner: true, Request: r})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestP06_PresignedTokenIsSwappedForACookieAtFirstTouch(t *testing.T) {
	g := newRig(t)
	text := mint(t, g, token.Request{Email: "ada@acme.example", Flow: "enroll", TTL: policy.Duration(time.Hour)})
	p := g.person().asIs().get("/?id_token=" + text + "&email=eve%40evil.example&lang=de")
	if p.status != http.StatusSeeOther || p.header.Get("Location") != "/?lang=de" || strings.Contains(p.body, text) {
		t.Errorf("status %d, Location %q", p.status, p.header.Get("Location"))
	}
	cookie := p.header.Get("Set-Cookie")
	if !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Error("cookie:", cookie[strings.Index(cookie, ";"):])
	}
	p.get("/").sees(200, `value="ada@acme.example"`, "Account set-up")
	if strings.Contains(p.body, text) {
		t.Error("the token is in the page")
	}
	var got flow.Start
	g.walk.admit = func(s flow.Start) error { got = s; return nil }
	p.send("/start", url.Values{"email": {"ada@acme.example"}})
	if got.Link != text {
		t.Error("the token did not reach the start")
	}
	if got.Client.Address != "192.0.2.7" || got.Client.Origin != g.url || got.Env != g.env.ID {
		t.Errorf("start %+v", got.Client)
	}
}

func TestT32_ALinkIsUsedUpOnlyByAForm(t *testing.T) {
	g := newRig(t)
	text := mint(t, g, token.Request{OneShot: true})
	starts := 0
	g.walk.admit = func(s flow.Start) error {
		if link, err := g.links.Verify(t.Context(), g.env.ID, s.Link); err != nil || !link.OneShot {
			return recovery.ErrNotAdmitted
		}
		if starts++; starts > 1 {
			return recovery.ErrNotAdmitted
		}
		return nil
	}
	for range 3 { // scanners of a mail system
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r, _ := http.NewRequest(method, g.url+"/?id_token="+text, nil)
			g.person().do(r).sees(200)
		}
	}
	if starts != 0 {
		t.Error("reading used the link up")
	}
	p := g.person().get("/?id_token=" + text).sees(200)
	p.send("/start", url.Values{"email": {"ada@acme.example"}}).sees(200, "What do you need?")
	p = g.person().get("/?id_token=" + text)
	p.send("/start", url.Values{"email": {"ada@acme.example"}}).sees(403, "This link does not work any more")
}

func TestLinksOnlyEnvironmentAsksForTheLink(t *testing.T) {
	g := newRig(t)
	g.settings(func(e *store.Environment) { e.Microsite.RequirePresigned = true })
	g.walk.admit = func(s flow.Start) error {
		if _, err := g.links.Verify(t.Context(), g.env.ID, s.Link); err != nil {
			return recovery.ErrNotAdmitted
		}
		return nil
	}
	p := g.person().get("/").sees(403, "Please open the link that you were given")
	if strings.Contains(p.body, "<form") {
		t.Error("a form without a link")
	}
	foreign, _, err := g.links.Mint(t.Context(), token.Issue{Env: "another", Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"x", foreign, strings.Repeat("a", 5000)} {
		p.get("/?id_token="+bad).sees(403, "This link does not work any more")
	}
	p.get("/?id_token="+mint(t, g, token.Request{})).sees(200, "What is your work email address?")
	p.send("/start", url.Values{"email": {"eve@acme.example"}}).sees(200, "What do you need?")
	p.get("/?id_token=" + mint(t, g, token.Request{Email: "ada@acme.example"})).sees(200)
	g.walk.admit = func(flow.Start) error { return recovery.ErrNotAdmitted }
	p.send("/start", url.Values{"email": {"eve@acme.example"}}).sees(422, "Your link is for another address")
}
