package site

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// everyBucket lets everybody through.
type everyBucket struct{}

// Take implements request.Buckets.
func (everyBucket) Take(context.Context, string, int, time.Duration) (bool, error) { return true, nil }

// asks makes the rig's site serve requests, and one request.
func (g *rig) asks(more ...verify.Verifier) (q *request.Requests, r store.Request, w *evidencetest.Wallet) {
	g.t.Helper()
	w = g.asksWallet().wallet
	q = request.New(request.Config{Store: g.store, Buckets: everyBucket{}, Verifiers: append([]verify.Verifier{wallet.New(wallet.Config{Store: g.store, Now: time.Now})}, more...)})
	g.site.cfg.Requests, g.site.cfg.Consents, g.site.cfg.Returns, g.site.cfg.Badges, g.site.cfg.Photos, g.site.cfg.Details = q, q, q, q, q, q
	err := g.store.Tx(g.t.Context(), func(tx *store.Tx) (err error) {
		r, err = q.Create(g.t.Context(), tx, request.Order{Env: g.env.ID, Origin: g.url, Claims: []string{"name", "birth_date", "govtid", "address"}, MaxUses: 1, ShareLife: 24 * time.Hour})
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return q, r, w
}

func (g *rig) state(q *request.Requests, id string) request.Document {
	g.t.Helper()
	d, err := store.Get(g.t.Context(), g.store, func(tx *store.Tx) (request.Document, error) {
		r, err := tx.Request(g.t.Context(), g.env.ID, id)
		if err != nil {
			return request.Document{}, err
		}
		return q.Document(g.t.Context(), tx, r)
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return d
}

// present lets the browser's wallet answer what the page asks.
func present(g *rig, b *testenv.Browser, w *evidencetest.Wallet) {
	g.t.Helper()
	b.Wait(`!document.querySelector('[data-ceremony]')?.hidden`)
	var ask struct {
		Digital []struct {
			Protocol string          `json:"protocol"`
			Data     json.RawMessage `json:"data"`
		} `json:"digital"`
	}
	if err := json.Unmarshal([]byte(b.Eval(`document.querySelector('#request').textContent`)), &ask); err != nil {
		g.t.Fatal(err)
	}
	data, err := w.AnswerBrowser(ask.Digital[0].Protocol, ask.Digital[0].Data, g.url, "mdl", time.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	b.WalletAnswers(ask.Digital[0].Protocol, data)
	b.Click("[data-ceremony]")
}

func TestAPersonSeesWhoAsksForWhatProvesItAndSharesIt(t *testing.T) {
	g := newRig(t)
	q, r, w := g.asks()
	b := testenv.Chromium(t)
	pictures := 0
	look := func() { // pictures for people, where a folder is named; rules for everybody
		if bad := b.Axe(); len(bad) > 0 {
			t.Errorf("accessibility: %q", bad)
		}
		for name, size := range map[string][2]int64{"phone": {360, 740}, "desk": {1280, 900}} {
			b.Viewport(size[0], size[1])
			if wide := b.Eval(`String(document.documentElement.scrollWidth > innerWidth)`); wide != "false" {
				t.Errorf("page %d is wider than a %s", pictures, name)
			}
			if dir := os.Getenv("POSTERN_PICTURES"); dir != "" {
				b.Screenshot(filepath.Join(dir, "request-"+string(rune('1'+pictures))+"-"+name+".png"))
			}
		}
		pictures++
	}
	b.Open(request.Link(r))
	b.WaitText("Acme & Sons sent you this link")
	look()
	if d := g.state(q, r.ID); d.Status != request.Pending {
		t.Errorf("loading the link opened it: %s", d.Status)
	}
	b.Click("main form button")
	b.WaitText("Your date of birth")
	look()
	buttons := b.Eval(`(() => { const [a, b] = [...document.querySelectorAll('main .row button')].map(e => getComputedStyle(e)); return String(a.backgroundColor === b.backgroundColor && a.fontSize === b.fontSize && a.borderColor === b.borderColor) })()`)
	if buttons != "true" {
		t.Error("going on and declining do not look the same")
	}
	b.Click("main .row form:first-child button")
	b.WaitText("Show your digital identity document")
	look()
	present(g, b, w)
	b.WaitText("Share this with")
	if text := b.Text(); !strings.Contains(text, "Jürgen Müller") || !strings.Contains(text, "1980-02-29") || !strings.Contains(text, "D1, 2099-01-01") || strings.Contains(text, "phone") {
		t.Errorf("before sharing the page says %s", text)
	}
	look()
	if d := g.state(q, r.ID); d.Subject != "" || d.Properties != (request.Properties{}) {
		t.Errorf("shared before the person said so: %+v", d)
	}
	b.Click("main .row form:first-child button")
	b.WaitText("You shared it")
	look()
	if d := g.state(q, r.ID); d.Status != request.Shared || d.Properties.Name != "Jürgen Müller" {
		t.Errorf("shared: %+v", d)
	}
	b.Click("main form button")
	b.WaitText("You took it back")
	if d := g.state(q, r.ID); d.Status != request.Revoked || d.Properties != (request.Properties{}) {
		t.Errorf("taken back: %+v", d)
	}
}

func TestARequestIsDeclinedWithoutScriptsAndTheLinkIsOver(t *testing.T) {
	g := newRig(t)
	q, r, _ := g.asks()
	p := g.person()
	p.get(request.LinkPath)
	p.send(request.LinkPath, url.Values{"token": {r.Ticket}})
	if p.status != http.StatusOK || !strings.Contains(p.body, "Your date of birth") || strings.Contains(p.body, r.Ticket) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	use := p.at.Path
	if other := g.person().get(use); other.status != http.StatusNotFound {
		t.Errorf("another browser: %d", other.status)
	}
	p.send(use+"/reject", nil)
	if !strings.Contains(p.body, "Nothing was shared") || g.state(q, r.ID).Status != request.Cancelled {
		t.Errorf("declined: %d %s", p.status, p.body)
	}
	p.get(request.LinkPath)
	if p.send(request.LinkPath, url.Values{"token": {r.Ticket}}); p.status != http.StatusNotFound {
		t.Errorf("opened again: %d", p.status)
	}
	for _, path := range []string{"/agree", "/answer", "/share", "/back"} {
		values := url.Values{"answer": {"{}"}}
		for _, m := range hidden.FindAllStringSubmatch(p.get(request.LinkPath).body, -1) { // a form of ours, for another address
			values.Set(m[1], unescape(m[2]))
		}
		if p.post(use+path, values); g.state(q, r.ID).Status != request.Cancelled || !strings.Contains(p.body, "Nothing was shared") {
			t.Errorf("%s changed a request that was declined: %d", path, p.status)
		}
	}
}
