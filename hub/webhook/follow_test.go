package webhook

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol/auditlog"
)

// A logged bench has an audit log.
type logged struct {
	*bench
	log *audit.Log
}

func newLogged(t *testing.T, c store.Config) logged {
	t.Helper()
	b := newBench(t, c)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return logged{b, audit.NewLog(audit.LogConfig{Store: b.store, Key: key, Origin: auditlog.Origin("id.example.com")})}
}

// happens appends events and gives them their place in the log.
func (b logged) happens(t *testing.T, events ...audit.Event) {
	t.Helper()
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		for _, e := range events {
			if e.Env == "" {
				e.Env = b.env
			}
			if err := audit.Append(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, b.log.Sequence(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// queued are the traces of the events that wait for a webhook, in the order in which they
// were queued.
func (b logged) queued(t *testing.T, hook string) (traces []string) {
	t.Helper()
	for _, d := range slices.Backward(b.history(t)) {
		if d.Webhook == hook {
			traces = append(traces, d.Trace)
		}
	}
	return traces
}

func TestAWebhookIsToldOfEveryAuditEventOnceAndInOrder(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newLogged(t, c)
		stranger := storetest.Seed(t, b.store).Env.ID
		b.happens(t, audit.Event{Kind: audit.EnvUpdated, Trace: "before anybody listened"})
		hook := b.subscribe(t, "https://hooks.test/", Audit)
		b.subscribe(t, "https://hooks.test/other", Recover)
		var want []string
		for i := range 30 {
			trace := fmt.Sprintf("t%02d", i)
			want = append(want, trace)
			b.happens(t, audit.Event{Kind: audit.RecoveryStarted, Trace: trace, Personal: map[string]string{"name": "Ada"}}, audit.Event{Env: stranger, Kind: audit.EnvUpdated, Trace: "theirs"})
		}
		nodes := []*Hooks{b.hooks(t), b.hooks(t)}
		var wg sync.WaitGroup
		for _, h := range nodes {
			wg.Go(func() {
				if err := h.followLog(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := nodes[0].followLog(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.queued(t, hook); !slices.Equal(got, want) {
			t.Errorf("queued %v, want %v", got, want)
		}
		var body map[string]any
		if err := json.Unmarshal([]byte(b.history(t)[0].Body), &body); err != nil {
			t.Fatal(err)
		}
		if body["event_type"] != "audit" || body["kind"] != "recovery_started" || body["trace"] != "t29" || body["env"] != b.env || body["recovery_started"] == nil ||
			body["personal"].(map[string]any)["name"] != "Ada" || len(body["id"].(string)) != 26 {
			t.Errorf("body = %v", body)
		}
	})
}

func TestAWebhookThatWasSwitchedOnAgainIsToldFromThenOn(t *testing.T) {
	b := newLogged(t, storetest.SQLite(t))
	hook := b.subscribe(t, "https://hooks.test/", Audit)
	set := func(enabled bool) {
		t.Helper()
		err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
			w, err := tx.Webhook(t.Context(), b.env, hook)
			if w.Enabled = enabled; err != nil {
				return err
			}
			return tx.UpdateWebhook(t.Context(), w)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(true) // it was: nothing changes
	b.happens(t, audit.Event{Kind: audit.EnvUpdated, Trace: "on"})
	if err := b.hooks(t).followLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	set(false)
	b.happens(t, audit.Event{Kind: audit.EnvUpdated, Trace: "off"})
	set(true)
	b.happens(t, audit.Event{Kind: audit.EnvUpdated, Trace: "on again"})
	if err := b.hooks(t).followLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.queued(t, hook); !slices.Equal(got, []string{"on", "on again"}) {
		t.Errorf("told of %q", got)
	}
}

func TestWhatWasErasedIsNotToldAnyMore(t *testing.T) {
	b := newLogged(t, storetest.SQLite(t))
	b.subscribe(t, "https://hooks.test/", Audit)
	h := b.hooks(t)
	erase := func(person string) {
		t.Helper()
		if err := b.store.Tx(t.Context(), func(tx *store.Tx) error { return audit.Erase(t.Context(), tx, b.env, person) }); err != nil {
			t.Fatal(err)
		}
	}
	say := func(person string) {
		b.happens(t, audit.Event{Kind: audit.RequestAccepted, Trace: person, Person: person, Personal: map[string]string{"name": "Canary"}})
	}
	say("erased before it was queued")
	erase("erased before it was queued")
	say("erased while it waits")
	say("stays")
	if err := h.followLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	erase("erased while it waits")
	for _, d := range b.history(t) {
		var body map[string]any
		_ = json.Unmarshal([]byte(d.Body), &body)
		if got, want := body["personal"] != nil, d.Trace == "stays"; got != want || d.Erased != (d.Trace == "erased while it waits") {
			t.Errorf("%s: %+v", d.Trace, d)
		}
	}
}

func TestTheAddressOfAMemberWhoIsRemovedIsNeitherKeptNorTold(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newLogged(t, c)
		r := b.listen(t, allowed+":0")
		b.subscribe(t, r.url, Audit)
		ann := store.Staff{ID: store.NewID(), Name: "Ann", Mail: "ann+\"x\"@example.com", Role: store.RoleAdmin}
		in := func(do func(*store.Tx) error) {
			t.Helper()
			if err := b.store.Tx(t.Context(), do); err != nil {
				t.Fatal(err)
			}
		}
		in(func(tx *store.Tx) error {
			e, err := tx.Environment(t.Context(), b.env)
			if ann.Org = e.Org; err != nil {
				return err
			}
			return tx.AddStaff(t.Context(), &ann)
		})
		h := b.hooks(t)
		says := func(trace string) {
			t.Helper()
			b.happens(t, audit.Event{Org: ann.Org, Kind: audit.EnvUpdated, Trace: trace, UserAgent: `"org_member":"` + ann.ID + `"`, Actor: audit.Principal{Role: ann.Role, OrgMember: ann.ID}})
			if err := h.followLog(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// read is what an owner finds in the history.
		read := func() (all []actor) {
			t.Helper()
			for _, d := range slices.Backward(b.history(t)) {
				if strings.Contains(d.Body, ann.Mail[:5]) {
					t.Errorf("the store keeps %s", d.Body)
				}
				in(func(tx *store.Tx) error {
					shown, _, err := ReadBy(t.Context(), tx, d, store.RoleOwner)
					all = append(all, actor{})
					return errors.Join(err, json.Unmarshal([]byte(shown.Body), &all[len(all)-1]))
				})
			}
			return all
		}
		says("while she is there")
		pass(t, h)
		if all := read(); len(all) != 1 || all[0].Principal.Email != ann.Mail {
			t.Errorf("while she is there: %+v", all)
		}
		says("she is removed while it waits")
		in(func(tx *store.Tx) error { return tx.RemoveStaff(t.Context(), ann.Org, ann.ID) })
		pass(t, h)
		got := r.requests()
		if len(got) != 2 {
			t.Fatalf("%d deliveries", len(got))
		}
		for i, want := range []string{ann.Mail, ""} {
			var a actor
			if err := json.Unmarshal(got[i].body, &a); err != nil || a.Principal.Email != want || a.Principal.Member != ann.ID {
				t.Errorf("told: %s, %v", got[i].body, err)
			}
		}
		for _, a := range read() {
			if a.Principal.Email != "" || a.Principal.Member != ann.ID {
				t.Errorf("after she was removed: %+v", a)
			}
		}
	})
}

// Who may not have a webhook follow the log may change where one is that does not. What was
// queued for it while it did, or failed then, goes nowhere any more.
func TestT18_AWebhookThatFollowsTheLogNoMoreIsToldNothingOfIt(t *testing.T) {
	b := newLogged(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	hook := b.subscribe(t, r.url, Audit, DirectoryProviderErr)
	h := b.hooks(t)
	b.happens(t, audit.Event{Kind: audit.EnvUpdated, Trace: "canary"})
	if err := h.followLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.fail(t, h, "the directory is away")
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		w, err := tx.Webhook(t.Context(), b.env, hook)
		if w.Events = []string{string(DirectoryProviderErr)}; err != nil {
			return err
		}
		return tx.UpdateWebhook(t.Context(), w)
	})
	if err != nil {
		t.Fatal(err)
	}
	pass(t, h)
	if got := r.requests(); len(got) != 1 || !strings.Contains(string(got[0].body), "the directory is away") {
		t.Errorf("%d requests: %+v", len(got), got)
	}
	for _, d := range b.history(t) {
		if d.Event != string(Audit) {
			continue
		}
		if !d.NextAt.IsZero() || d.State() != store.DeliveryFailed || d.Attempts[0].Error != "the webhook does not follow the audit log any more" {
			t.Errorf("%+v", d)
		}
		err := b.store.Tx(t.Context(), func(tx *store.Tx) error { _, _, err := Replay(t.Context(), tx, d); return err })
		if !errors.Is(err, ErrUnheard) {
			t.Errorf("sent again: %v", err)
		}
	}
}
