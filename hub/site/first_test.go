package site

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/store"
)

// counted counts what a page asks for.
type counted struct {
	*rig
	reads, offers atomic.Int64
}

func (c *counted) Read(ctx context.Context, fn func(tx *store.Tx) error) error {
	c.reads.Add(1)
	return c.store.Read(ctx, fn)
}

// A counting asks how often it is asked what an environment offers.
type counting struct {
	Recoveries
	n *atomic.Int64
}

func (c counting) Offered(ctx context.Context, env string) (flow.Offer, error) {
	c.n.Add(1)
	return c.Recoveries.Offered(ctx, env)
}

func newCounted(t *testing.T) *counted {
	c := &counted{rig: newRig(t)}
	c.site.cfg.Store, c.site.cfg.Recoveries = c, counting{c.walk, &c.offers}
	return c
}

// ask asks as a browser without cookies.
func (c *counted) ask(target string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	c.serve.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		c.t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	return w
}

func TestTheFirstPageIsAnsweredFromMemoryWithATokenOfItsOwn(t *testing.T) {
	c := newCounted(t)
	c.ask("/")
	reads, offers := c.reads.Load(), c.offers.Load()
	tokens := map[string]bool{}
	for range 20 {
		w := c.ask("/")
		form := hidden.FindStringSubmatch(w.Body.String())
		if form == nil || form[1] != "form" || tokens[form[2]] {
			t.Fatalf("form token %v in %s", form, w.Body)
		}
		tokens[form[2]] = true
	}
	if c.reads.Load() != reads || c.offers.Load() != offers {
		t.Errorf("20 first pages read the store %d times and asked for offers %d times", c.reads.Load()-reads, c.offers.Load()-offers)
	}
	c.person().get("/").started("ada@acme.example") // the token is good
}

func TestTheFirstPageIsKeptForThoseWhomItSuits(t *testing.T) {
	c := newCounted(t)
	c.ask("/")
	for _, ask := range []struct {
		target, header, value string
		want, not             string
	}{
		{"/", "Accept-Language", "de", `<html lang="de"`, "email=bo"},
		{"/?lang=de", "", "", `action="/start?lang=de"`, "email=bo"},
		{"/?email=bo@acme.example", "", "", `value="bo@acme.example"`, `lang="de" dir`},
		{"/?op=unlock", "", "", `name="op" value="unlock"`, `lang="de" dir`},
		{"/", "", "", `<html lang="en"`, `bo@acme.example`},
	} {
		for range 2 {
			body := c.ask(ask.target, ask.header, ask.value).Body.String()
			if !strings.Contains(body, ask.want) || strings.Contains(body, ask.not) {
				t.Errorf("%s %s: no %s, or %s, in %s", ask.target, ask.value, ask.want, ask.not, body)
			}
		}
	}
	c.walk.offer.Unavailable = true
	c.site.state.forget()
	if body := c.ask("/").Body.String(); !strings.Contains(body, "cannot be reached") {
		t.Error("an outage does not show")
	}
	c.settings(func(e *store.Environment) { e.PublicName = "Other AG" })
	if body := c.ask("/").Body.String(); !strings.Contains(body, "Other AG") || strings.Contains(body, "Acme") {
		t.Error("a new name does not show")
	}
}
