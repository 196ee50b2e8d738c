package site

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/smscode"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/internal/testenv"
)

// A messenger sends codes by the product's own route to a service of the test.
type messenger struct {
	*smscode.Route
	mu   sync.Mutex
	last string
}

func (m *messenger) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = r.FormValue("text")
}

// Takes implements request.Texter.
func (m *messenger) Takes(ctx context.Context, tx *store.Tx, env, number string, _ bool) (string, error) {
	to, err := smscode.Takes(ctx, tx, env, number, false)
	if err != nil {
		err = request.ErrAddress
	}
	return to, err
}

// SendLink implements request.Texter.
func (*messenger) SendLink(context.Context, request.LinkMessage) error { return nil }

// Ready implements request.Texter.
func (*messenger) Ready(context.Context, *store.Tx, string) error { return nil }

// SendCode implements request.Texter.
func (m *messenger) SendCode(ctx context.Context, c request.CodeMessage) error {
	return m.Send(ctx, smscode.Message{Env: c.Env, To: c.To, Account: c.Use, Client: c.Client, Asked: true, Language: c.Language, Origin: c.Origin, Code: c.Code, Until: c.Until})
}

var eightDigits = regexp.MustCompile(`\b\d{8}\b`)

func (m *messenger) code() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return eightDigits.FindString(m.last)
}

func TestAPersonGivesANumberAndTypesItsCode(t *testing.T) {
	g := newRig(t)
	q, _, _ := g.asks()
	m := &messenger{}
	service := httptest.NewServer(m)
	t.Cleanup(service.Close)
	hooks, err := webhook.New(webhook.Config{Store: g.store, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	m.Route, q.SMS = smscode.NewRoute(g.store, hooks.Client(), time.Now), m
	set := smscode.Settings{URL: service.URL, Body: "to={to}&text={text}", Countries: []string{"DE"}}
	if err := set.Check(); err != nil {
		t.Fatal(err)
	}
	var r store.Request
	err = g.store.Tx(t.Context(), func(tx *store.Tx) (err error) {
		if err = tx.SetSMSSettings(t.Context(), g.env.ID, []byte(store.JSON(set))); err != nil {
			return err
		}
		r, err = q.Create(t.Context(), tx, request.Order{Env: g.env.ID, Origin: g.url, Claims: []string{"phone", "preferred_name", "ip_location"}, MaxUses: 1})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b := testenv.Chromium(t)
	b.Open(request.Link(r))
	b.Click("main form button")
	b.WaitText("Your phone number")
	b.Click("main .row form:first-child button")
	b.WaitText("What is your phone number?")
	g.looked(b, "request-detail")
	b.Type("#detail", "12")
	b.Click("main form button")
	b.WaitText("That is no phone number")
	g.looked(b, "request-detail-wrong")
	if got := b.Eval(`document.querySelector('#detail').value`); got != "12" {
		t.Errorf("what was typed is %q", got)
	}
	b.Type("#detail", "")
	b.Eval(`document.querySelector('#detail').value = '+49 151 10000000'`)
	b.Click("main form button")
	b.WaitText("+4915110000000")
	g.looked(b, "request-detail-code")
	b.Type("#code", "00000000")
	b.Click("main form button")
	b.WaitText("That is not the code")
	b.Type("#code", m.code())
	b.Click("main form button")
	b.WaitText("What would you like to be called?")
	b.Type("#detail", "Jo")
	b.Click("main form button")
	b.WaitText("+4915110000000")
	if text := b.Eval(`document.querySelector('main').textContent`); !strings.Contains(text, "Jo") || !strings.Contains(text, "192.0.2.7") {
		t.Errorf("before it is shared: %s", text)
	}
	g.looked(b, "request-detail-share")
	b.Click("main .row form:first-child button")
	b.WaitText("You shared it")
	if d := g.state(q, r.ID); d.Status != request.Shared || d.Properties.Phone != "+4915110000000" || d.Browser == nil || d.Browser.Address != "192.0.2.7" {
		t.Errorf("%+v", d)
	}
}
