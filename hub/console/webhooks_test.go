package console

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/internal/testenv"
)

// as signs somebody of a role in.
func (g *rig) as(owner *admin, role string) *admin {
	g.t.Helper()
	a := g.admin()
	key := g.joined(a, g.invited(owner, role, role+"@acme.example"))
	return a.get("/console").send("/console/enter", url.Values{"answer": {string(key.Assert(challenge(g.t, a.body)))}}).sees(200)
}

// A receiver of webhooks answers as it is told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	ids    []string // of the deliveries that came
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, q.Header.Get("X-Nametag-ID"))
	w.Header().Set("Set-Cookie", "canary-cookie=1")
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, "thanks for nothing")
}

// got lists the ids that came so far, once there are so many.
func (r *receiver) got(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		r.mu.Lock()
		ids := append([]string{}, r.ids...)
		r.mu.Unlock()
		if len(ids) >= n {
			return ids
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("%d deliveries did not come: %q", n, r.ids)
	return nil
}

// told waits until a delivery stands in a state.
func (g *rig) told(id string, state store.DeliveryState) {
	g.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		d, err := store.Get(g.t.Context(), g.store, func(tx *store.Tx) (store.Delivery, error) { return tx.Delivery(g.t.Context(), g.Env.ID, id) })
		if err != nil {
			g.t.Fatal(err)
		}
		if d.State() == state {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("%s is %s", id, d.State())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// receives adds a webhook with a receiver, and lets the real outbox deliver to it.
func (g *rig) receives(status int, events ...string) *receiver {
	g.t.Helper()
	r := &receiver{status: status}
	r.Server = httptest.NewServer(r)
	g.t.Cleanup(r.Close)
	hooks, err := webhook.New(webhook.Config{Store: g.store, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = hooks.Run(ctx) }()
	g.t.Cleanup(func() { stop(); <-ended })
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.AddWebhook(ctx, store.Webhook{Env: g.Env.ID, URL: r.URL + "/in?token=canary-token", Enabled: true, Events: events, Authorization: "Bearer canary-header"})
		return err
	})
	return r
}

// queue queues a delivery for the first webhook.
func (g *rig) queue(event, body string) {
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.Webhooks(ctx, g.Env.ID)
		if err != nil {
			return err
		}
		return tx.AddDelivery(ctx, store.Delivery{Env: g.Env.ID, Webhook: all[0].ID, Event: event, Body: body})
	})
}

func TestWhatAWebhookWasToldIsShownWithoutSecretsAndSentAgainUnderItsID(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/webhooks"
	a := g.signedIn().get("/console/settings").sees(200, path).get(path).sees(200, "has no webhook yet", "no such delivery", "None was made yet")
	r := g.receives(http.StatusTeapot, "share")
	g.queue("share", `{"event_type":"share","name":"Ada <Lovelace>"}`)
	id := r.got(t, 1)[0]
	g.told(id, store.DeliveryRetrying)
	a.get(path).sees(200, "will be tried again", "<td data-is=\"Last answer\">418</td>", strings.TrimPrefix(r.URL, "http://"), path+"/"+id)
	a.get(path+"/"+id).sees(200, "It is on its way", "Ada &lt;Lovelace&gt;", "X-Nametag-Id: "+id, "thanks for nothing", "Status 418")
	if strings.Contains(a.body, "canary") || strings.Contains(a.body, "webhook-") || strings.Contains(a.body, `value="replay"`) {
		t.Errorf("a secret is shown, or what is under way can be sent again:\n%s", a.body)
	}
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		d, err := tx.Delivery(ctx, g.Env.ID, id)
		if err != nil {
			return err
		}
		return tx.FinishTry(ctx, d, store.Try{Attempt: store.Attempt{Status: 418, Error: "status 418"}})
	})
	r.mu.Lock()
	r.status = http.StatusNoContent
	r.mu.Unlock()
	a.get(path+"/"+id).sees(200, "given up").fill(path+"/"+id, "replay", url.Values{"do": {"replay"}}).sees(200, "It is on its way again")
	if ids := r.got(t, 2); ids[1] != id {
		t.Errorf("sent again as %s, not %s", ids[1], id)
	}
	g.told(id, store.DeliveryDelivered)
	if rows := g.audited(audit.WebhookReplayed); len(rows) != 1 || !strings.Contains(string(rows[0].Detail), id) || strings.Contains(string(rows[0].Detail), "Ada") {
		t.Errorf("%+v", rows)
	}
	a.get(path+"?state=delivered").sees(200, id).get(path+"?state=failed&event=share").sees(200, "no such delivery")
	a.get(path+"?state=nonsense&event=other&page=0").sees(200, id)
	a.get(path+"/"+id).fill(path+"/"+id, "replay", url.Values{"do": {"else"}}).sees(404)
	a.get(path + "/" + store.NewID()).sees(404)
}

func TestWhatCannotBeSentAgainSaysWhy(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/webhooks"
	var hook string
	add := func(event string) string {
		d := store.Delivery{ID: store.NewID(), Env: g.Env.ID, Webhook: hook, Event: event, Person: "ada", Body: `{}`}
		g.tx(func(ctx context.Context, tx *store.Tx) error { return tx.AddDelivered(ctx, d, store.Try{}) })
		return d.ID
	}
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		hook, err = tx.AddWebhook(ctx, store.Webhook{Env: g.Env.ID, URL: "https://hooks.test/", Enabled: true})
		return err
	})
	a := g.signedIn()
	replay := func(id string) *admin {
		return a.do(http.MethodPost, path+"/"+id, url.Values{"form": {hidden.FindStringSubmatch(a.get("/console").body)[2]}, "do": {"replay"}})
	}
	question, share := add("recover"), add("share")
	a.get(path+"/"+question).sees(200, "It is not asked again")
	replay(question).sees(422, "is not asked again", `href="#again"`)
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.UpdateWebhook(ctx, store.Webhook{Env: g.Env.ID, ID: hook, URL: "https://hooks.test/"})
	})
	a.get(path+"/"+share).sees(200, "Switch it on first")
	replay(share).sees(422, "is switched off")
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.UpdateWebhook(ctx, store.Webhook{Env: g.Env.ID, ID: hook, URL: "https://hooks.test/", Enabled: true}); err != nil {
			return err
		}
		if _, err := tx.NeedPersonKey(ctx, g.Env.ID, "ada"); err != nil {
			return err
		}
		return tx.ErasePersonKey(ctx, g.Env.ID, "ada")
	})
	a.get(path+"/"+share).sees(200, "was erased with them", "Nothing of it is left to send")
	replay(share).sees(422, "or its person was erased")
	if rows := g.audited(audit.WebhookReplayed); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}

func TestT25_DeliveriesAreTheirOrganisationsAndWhatTheAuditLogSaysIsForOwners(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/webhooks"
	var hook, theirs string
	var other store.Environment
	one, entry := store.NewID(), store.NewID()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.CreateOrganisation(ctx, store.Organisation{Name: "Other"})
		if err != nil {
			return err
		}
		if other, err = tx.CreateEnvironment(ctx, store.Environment{Org: o.ID, Name: "theirs"}); err != nil {
			return err
		}
		if theirs, err = tx.AddWebhook(ctx, store.Webhook{Env: other.ID, URL: "https://theirs.test/"}); err != nil {
			return err
		}
		if hook, err = tx.AddWebhook(ctx, store.Webhook{Env: g.Env.ID, URL: "https://hooks.test/", Enabled: true}); err != nil {
			return err
		}
		for _, d := range []store.Delivery{
			{ID: one, Env: other.ID, Webhook: theirs, Event: "share", Body: `{"name":"canary-foreign"}`},
			{ID: entry, Env: g.Env.ID, Webhook: hook, Event: "audit", Body: `{"remote_addr":"canary-entry"}`},
		} {
			if err := tx.AddDelivered(ctx, d, store.Try{Attempt: store.Attempt{Status: 200, Body: d.Body}}); err != nil {
				return err
			}
		}
		return nil
	})
	owner := g.signedIn()
	owner.get(path+"/"+entry).sees(200, "canary-entry")
	owner.get("/console/settings/" + other.ID + "/webhooks").sees(404)
	owner.get("/console/settings/" + other.ID + "/webhooks/" + one).sees(404)
	owner.get(path + "/" + one).sees(404)
	ann := g.as(owner, staff.Admin)
	ann.get(path+"/"+entry).sees(200, "which owners read", "Status 200", "Send again")
	if strings.Contains(ann.body, "canary-entry") {
		t.Error("an administrator reads the audit log")
	}
	bob := g.as(owner, staff.User)
	token := hidden.FindStringSubmatch(bob.body)[2]
	for _, at := range []string{path, path + "/" + entry} {
		bob.get(at).sees(403, "Your role does not reach this")
		bob.do(http.MethodPost, at, url.Values{"form": {token}, "do": {"replay"}}).sees(403)
	}
}

func TestANewSecretOfWebhooksIsShownOnceAndTheFormerOneEndsWhenItIsToldTo(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/webhooks"
	now := func() store.WebhookSecrets {
		t.Helper()
		w, err := g.store.WebhookSecrets(t.Context(), g.Env.ID)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	a := g.signedIn().get(path)
	stale := a.form(path, "renew", url.Values{"do": {"renew"}, "keep": {"1"}})
	a.fill(path, "renew", url.Values{"do": {"renew"}, "keep": {"1"}}).sees(200, "This is the new secret")
	first := now()
	if !strings.Contains(a.body, first.Present) || a.header.Get("Cache-Control") != "no-store" {
		t.Error("the secret is not shown, or kept by the browser")
	}
	a.do(http.MethodPost, path, stale).sees(422, "Somebody else changed these settings meanwhile") // the page loaded again
	if a.get(path).sees(200, "One secret signs"); strings.Contains(a.body, first.Present) || now() != first {
		t.Error("the secret is shown twice, or another was made")
	}
	a.fill(path, "renew", url.Values{"do": {"renew"}, "keep": {"7"}}).sees(200, "Two secrets sign")
	second := now()
	if second.Former != first.Present || time.Until(second.FormerUntil) < 6*24*time.Hour {
		t.Errorf("%v", second.FormerUntil)
	}
	a.get(path).fill(path, `value="end"`, url.Values{"do": {"end"}}).sees(200, "One secret signs")
	if w := now(); w.Former != "" || w.Present != second.Present {
		t.Error("the former secret lives on, or the present one ended")
	}
	a.fill(path, "renew", url.Values{"do": {"renew"}, "keep": {"9999"}}).sees(404)
	rows := g.audited(audit.EnvWebhookSecretUpdated)
	if len(rows) != 3 {
		t.Errorf("%d rows", len(rows))
	}
	for _, r := range rows {
		if strings.Contains(string(r.Detail), "webhook-") {
			t.Errorf("a secret is in the log: %s", r.Detail)
		}
	}
}

func TestTheHistoryOfWebhooksInABrowser(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/webhooks"
	r := g.receives(http.StatusInternalServerError, "share", "audit")
	g.queue("share", `{"event_type":"share","name":"Ada Lovelace","language":"en"}`)
	id := r.got(t, 1)[0]
	g.told(id, store.DeliveryRetrying)
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.Webhooks(ctx, g.Env.ID)
		for i := range perPage {
			status := []int{200, 0, 503}[i%3]
			err = orFinish(err, func() error {
				return tx.AddDelivered(ctx, store.Delivery{ID: store.NewID(), Env: g.Env.ID, Webhook: all[0].ID, Event: "directory_provider_err", Body: "{}"}, store.Try{Attempt: store.Attempt{Status: status}})
			})
		}
		return err
	})
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	b.Open(g.url + path)
	looked(t, b, "webhooks")
	b.Click(`nav[aria-label="Pages of deliveries"] a`)
	b.WaitText("Newer ones")
	b.Eval(`document.querySelector('#event').value = 'share'`)
	b.Click("form.row button")
	b.Wait(`location.search.includes('event=share')`)
	b.Click("tbody a")
	b.WaitText("It is on its way")
	b.Click("details summary")
	b.Click("#attempts ~ div summary")
	looked(t, b, "delivery")
	b.Open(g.url + path + "?lang=de&state=failed")
	b.Click(`[value=renew]`)
	b.WaitText("Das ist das neue Geheimnis")
	looked(t, b, "webhooks-secret")
	b.Open(g.url + path + "?lang=de")
	b.Click(`[value=renew]`)
	b.WaitText("Zwei Geheimnisse unterschreiben")
	looked(t, b, "webhooks-two")
}

// A webhook is made, changed and removed; its header is never shown, stays where nothing is
// typed, and goes to no other address.
func TestAWebhookIsMadeChangedAndRemovedAndItsHeaderGoesNowhereElse(t *testing.T) {
	g := newRig(t)
	list := "/console/settings/" + g.Env.ID + "/webhooks"
	fresh := "/console/settings/" + g.Env.ID + "/hooks/new"
	a := g.signedIn().get(list).sees(200, fresh, "has no webhook yet")
	good := url.Values{"do": {"save"}, "url": {"https://hooks.example/in"}, "authorization_header": {"Bearer canary-header"}, "enabled": {"on"}, "event_share": {"on"}, "event_audit": {"on"}}
	for name, value := range map[string]string{"url": "ftp://x", "authorization_header": "a\x01b", "event_share": "", "": ""} {
		form := maps.Clone(good)
		form[name] = []string{value}
		at := name
		if name == "event_share" {
			form.Del("event_audit")
			at = "events"
		}
		if name == "" {
			continue
		}
		a.get(fresh).fill(fresh, `value="save"`, form).sees(422, `href="#`+at+`"`, `id="`+at)
		if strings.Contains(a.body, "canary") || strings.Contains(a.body, "set.wrong") || strings.Contains(a.body, ">hook.form.") {
			t.Errorf("%s: a secret is shown, or words lack:\n%s", name, a.body)
		}
	}
	a.get(fresh).fill(fresh, `value="save"`, good).sees(200, "Saved", "hooks.example", "share")
	one := func() store.Webhook {
		t.Helper()
		all, err := store.Get(t.Context(), g.store, func(tx *store.Tx) ([]store.Webhook, error) { return tx.Webhooks(t.Context(), g.Env.ID) })
		if err != nil || len(all) != 1 {
			t.Fatalf("%d webhooks, %v", len(all), err)
		}
		return all[0]
	}
	w := one()
	if w.Authorization != "Bearer canary-header" || !w.Enabled || len(w.Events) != 2 {
		t.Errorf("made %+v", w)
	}
	at := "/console/settings/" + g.Env.ID + "/hooks/" + w.ID
	late := a.get(at).form(at, `value="save"`, good)
	a.get(at).sees(200, `value="https://hooks.example/in"`)
	if strings.Contains(a.body, "canary") {
		t.Error("the header is shown")
	}
	kept := url.Values{"do": {"save"}, "url": {w.URL}, "event_request": {"on"}}
	a.fill(at, `value="save"`, kept).sees(200, "Saved", "switched off")
	if w = one(); w.Authorization != "Bearer canary-header" || w.Enabled || len(w.Events) != 1 || w.Events[0] != "request" {
		t.Errorf("changed to %+v", w)
	}
	a.do(http.MethodPost, at, late).sees(422, "Somebody else changed these settings meanwhile")
	kept.Set("url", "https://other.example/in")
	a.get(at).fill(at, `value="save"`, kept).sees(200, "Saved", "other.example")
	if w = one(); w.Authorization != "" {
		t.Error("the header went with another address")
	}
	a.get(at).fill(at, `value="remove"`, url.Values{"do": {"remove"}}).sees(200, "has no webhook yet")
	a.get(at).sees(404)
	if rows := g.records(audit.EnvUpdated); len(rows) != 4 || strings.Contains(strings.Join(rows, ""), "canary") {
		t.Errorf("%d %v", len(rows), rows)
	}
}

// The audit log is for owners: nobody else has it sent anywhere, and nobody reaches the
// webhooks of others.
func TestT18_T25_OnlyOwnersSendTheLogAndNobodyChangesAnotherEnvironmentsWebhooks(t *testing.T) {
	g := newRig(t)
	fresh := "/console/settings/" + g.Env.ID + "/hooks/new"
	owner := g.signedIn()
	ann, bob := g.as(owner, staff.Admin), g.as(owner, staff.User)
	ann.get(fresh).sees(200, "event_share")
	if strings.Contains(ann.body, "event_audit") {
		t.Error("an administrator is offered the audit log")
	}
	form := url.Values{"do": {"save"}, "url": {"https://hooks.example/in"}, "enabled": {"on"}, "event_audit": {"on"}}
	ann.fill(fresh, `value="save"`, form).sees(403)
	bob.get(fresh).sees(403)
	log, err := store.Change(t.Context(), g.store, func(tx *store.Tx) (string, error) {
		return tx.AddWebhook(t.Context(), store.Webhook{Env: g.Env.ID, URL: "https://log.example/", Events: []string{"audit"}, Enabled: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	at := "/console/settings/" + g.Env.ID + "/hooks/" + log
	ann.get(at).fill(at, `value="save"`, url.Values{"do": {"save"}, "url": {"https://log.example/"}, "event_audit": {"on"}}).sees(403)
	ann.get(at).fill(at, `value="remove"`, url.Values{"do": {"remove"}}).sees(403)
	other := storetest.Seed(t, g.store)
	id, err := store.Change(t.Context(), g.store, func(tx *store.Tx) (string, error) {
		return tx.AddWebhook(t.Context(), store.Webhook{Env: other.Env.ID, URL: "https://theirs.example/", Events: []string{"share"}, Enabled: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"/console/settings/" + g.Env.ID + "/hooks/" + id, "/console/settings/" + other.Env.ID + "/hooks/" + id} {
		owner.get(at).sees(404)
		owner.get(fresh)
		theirs := owner.form(fresh, `value="save"`, form)
		owner.do(http.MethodPost, at, theirs).sees(404)
	}
}

// Another secret makes a receiver refuse what it is told, as if the webhook were switched off.
func TestT18_OnlyOwnersChangeTheSecretUnderWhichTheLogIsTold(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/webhooks"
	owner := g.signedIn()
	ann := g.as(owner, staff.Admin)
	renew := url.Values{"do": {"renew"}, "keep": {"7"}}
	ann.get(path).fill(path, "renew", renew).sees(200, "This is the new secret") // while nothing tells the log
	ann.get(path).fill(path, "renew", renew).sees(200, "Two secrets sign")
	ann.get(path)
	typed := ann.form(path, "renew", renew)
	ended := ann.form(path, `value="end"`, url.Values{"do": {"end"}})
	g.receives(http.StatusOK, "share", "audit")
	before, err := g.store.WebhookSecrets(t.Context(), g.Env.ID)
	if err != nil {
		t.Fatal(err)
	}
	ann.do(http.MethodPost, path, typed).sees(403)
	ann.do(http.MethodPost, path, ended).sees(403)
	if ann.get(path).sees(200, "Only an owner changes it"); strings.Contains(ann.body, `value="renew"`) || strings.Contains(ann.body, `value="end"`) {
		t.Error("an administrator is offered what is refused")
	}
	if after, err := g.store.WebhookSecrets(t.Context(), g.Env.ID); err != nil || after != before {
		t.Errorf("the secrets changed: %v", err)
	}
	owner.get(path).fill(path, `value="end"`, url.Values{"do": {"end"}}).sees(200, "One secret signs")
	owner.get(path).fill(path, "renew", renew).sees(200, "This is the new secret")
}

func TestAWebhookInABrowser(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	b.Open(g.url + "/console/settings/" + g.Env.ID + "/hooks/new")
	looked(t, b, "hook-new")
	b.Type("#url", "ftp://x")
	b.Click("[value=save]")
	b.WaitText("Address: type https://host/path")
	looked(t, b, "hook-wrong")
	b.Open(g.url + "/console/settings/" + g.Env.ID + "/hooks/new")
	b.Type("#url", "https://hooks.example/in")
	b.Click("#event_share")
	b.Click("[value=save]")
	b.WaitText("hooks.example")
	looked(t, b, "hook-list")
	b.Click("#hooks ~ ul a")
	b.WaitText("Remove it")
	looked(t, b, "hook-one")
}
