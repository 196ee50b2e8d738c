package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/webhook"
)

// hooked is the page of what the webhooks of an environment were told.
type hooked struct {
	Hooks  []hook
	Events []webhook.Event
	Filter store.DeliveryFilter
	Told   []told
	Page   int // the first is 1
	More   bool
	Secret secrets
}

// A hook is a webhook, without anything that admits to its receiver.
type hook struct {
	ID, Host string
	Enabled  bool
	Events   []string
}

// told is one delivery.
type told struct {
	store.Delivery
	Hook     hook
	Withheld bool // its body is for owners
}

// secrets say how deliveries are signed.
type secrets struct {
	Any         bool // one was made already
	Yours       bool // the reader may change them
	FormerUntil time.Time
	Stamp       string // of the secret that stands; a form for another one is not taken
	New         string // shown once
}

// States lists what can be filtered by.
func (*hooked) States() []store.DeliveryState { return store.DeliveryStates }

// Addresses of webhooks.
const (
	hooksPath    = settingsPath + "/{env}/webhooks"
	deliveryPath = hooksPath + "/{delivery}"
)

// perPage is how many deliveries one page lists.
const perPage = 25

// maxPage bounds how far back a page reaches; what is older than a week is gone.
const maxPage = 1000

func (v *visit) hooks() {
	ctx, cancel := v.context()
	defer cancel()
	v.showHooks(ctx, new(settingsPage), "")
}

// showHooks shows the page; fresh is a secret that was made just now.
func (v *visit) showHooks(ctx context.Context, p *settingsPage, fresh string) {
	h := v.hooksAsked()
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p.Env, err = v.environment(ctx, tx); err != nil {
			return err
		}
		if h.Hooks, err = hooksOf(ctx, tx, p.Env.ID); err != nil {
			return err
		}
		if h.Secret, err = secretsOf(ctx, tx, p.Env.ID); err != nil {
			return err
		}
		if h.Secret.Yours, err = v.changesSecret(ctx, tx, p.Env.ID); err != nil {
			return err
		}
		return h.list(ctx, tx, p.Env.ID, v.role)
	})
	if err != nil {
		v.fail(err)
		return
	}
	h.Secret.New = fresh
	p.Hooks = h
	v.showSettings("webhooks", "hook.title", p)
}

// hooksAsked reads what the address asks for; what is not known is passed over.
func (v *visit) hooksAsked() *hooked {
	q := v.r.URL.Query()
	h := &hooked{Events: webhook.Events, Page: 1}
	if e, ok := webhook.KnownEvent(q.Get("event")); ok {
		h.Filter.Event = string(e)
	}
	if s := store.DeliveryState(q.Get("state")); slices.Contains(store.DeliveryStates, s) {
		h.Filter.State = s
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 0 && n <= maxPage {
		h.Page = n
	}
	return h
}

func (h *hooked) list(ctx context.Context, tx *store.Tx, env, role string) error {
	all, err := tx.Deliveries(ctx, env, h.Filter, (h.Page-1)*perPage, perPage+1)
	if err != nil {
		return err
	}
	h.More, h.Told = len(all) > perPage, nil
	for _, d := range all[:min(len(all), perPage)] {
		t, err := h.told(ctx, tx, d, role)
		if err != nil {
			return err
		}
		h.Told = append(h.Told, t)
	}
	return nil
}

// told is a delivery as somebody of a role reads it.
func (h *hooked) told(ctx context.Context, tx *store.Tx, d store.Delivery, role string) (t told, err error) {
	t.Delivery, t.Withheld, err = webhook.ReadBy(ctx, tx, d, role)
	if i := slices.IndexFunc(h.Hooks, func(k hook) bool { return k.ID == d.Webhook }); i >= 0 {
		t.Hook = h.Hooks[i]
	}
	return t, err
}

func hooksOf(ctx context.Context, tx *store.Tx, env string) (list []hook, err error) {
	all, err := tx.Webhooks(ctx, env)
	for _, w := range all {
		k := hook{ID: w.ID, Enabled: w.Enabled, Events: w.Events}
		if u, err := url.Parse(w.URL); err == nil { // the rest of it may hold a token
			k.Host = u.Host
		}
		list = append(list, k)
	}
	return list, err
}

func secretsOf(ctx context.Context, tx *store.Tx, env string) (secrets, error) {
	w, err := tx.WebhookSecrets(ctx, env)
	if errors.Is(err, store.ErrNotFound) {
		return secrets{}, nil
	}
	return secrets{Any: true, FormerUntil: w.FormerUntil, Stamp: store.HashToken(w.Present)[:16]}, err
}

// changesSecret reports whether the reader may change the secrets of an environment.
func (v *visit) changesSecret(ctx context.Context, tx *store.Tx, env string) (bool, error) {
	all, err := tx.Webhooks(ctx, env)
	return err == nil && webhook.MayChangeSecret(v.role, all), err
}

// keeps are how long the former secret may sign beside a new one.
var keeps = map[string]time.Duration{"0": 0, "1": 24 * time.Hour, "7": 7 * 24 * time.Hour, "30": 30 * 24 * time.Hour}

// changeSecret makes another secret for signatures, or ends the former one.
func (v *visit) changeSecret() {
	ctx, cancel := v.context()
	defer cancel()
	keep, known := keeps[v.field("keep")]
	renew := v.field("do") == "renew"
	if !renew && v.field("do") != "end" || renew && !known {
		v.fail(errNoPage)
		return
	}
	var made store.WebhookSecrets
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		env, err := v.ofSecret(ctx, tx)
		if err != nil {
			return err
		}
		detail := map[string]any{"request": map[string]any{"end_former_secret": true}}
		if renew {
			made, err = tx.RenewWebhookSecret(ctx, env, keep)
			detail = map[string]any{"request": map[string]any{"new_secret": true}, "keep_former": keep.String()}
		} else {
			err = tx.EndFormerWebhookSecret(ctx, env)
		}
		return errors.Join(err, v.decided(ctx, tx, env, audit.EnvWebhookSecretUpdated, detail))
	})
	p := new(settingsPage)
	switch {
	case errors.Is(err, errStale):
		v.wrong(p, "secrets", "stale")
		v.showHooks(ctx, p, "")
	case err != nil:
		v.fail(err)
	case renew:
		v.showHooks(ctx, p, made.Present)
	default:
		v.done(v.r.URL.Path, "removed")
	}
}

// ofSecret is the environment whose secret changes; errStale where it has changed since the
// page was shown.
func (v *visit) ofSecret(ctx context.Context, tx *store.Tx) (env string, err error) {
	e, err := v.environment(ctx, tx)
	if err != nil {
		return "", err
	}
	if may, err := v.changesSecret(ctx, tx, e.ID); err != nil || !may {
		return "", cmp.Or(err, staff.ErrRole)
	}
	if now, err := secretsOf(ctx, tx, e.ID); err != nil || now.Stamp != v.field("as") {
		return "", errors.Join(err, errStale) // and loading the page of a new secret again makes no other one
	}
	return e.ID, nil
}

// delivery shows one delivery.
func (v *visit) delivery() {
	ctx, cancel := v.context()
	defer cancel()
	v.showDelivery(ctx, new(settingsPage))
}

func (v *visit) showDelivery(ctx context.Context, p *settingsPage) {
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		h := &hooked{}
		if p.Env, err = v.environment(ctx, tx); err != nil {
			return err
		}
		if h.Hooks, err = hooksOf(ctx, tx, p.Env.ID); err != nil {
			return err
		}
		d, err := tx.Delivery(ctx, p.Env.ID, v.r.PathValue("delivery"))
		if err != nil {
			return err
		}
		t, err := h.told(ctx, tx, d, v.role)
		p.Told = &t
		return err
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.showSettings("delivery", "hook.one.title", p)
}

// Payload is the body, set out in lines.
func (t *told) Payload() string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(t.Body), "", "  ") != nil {
		return t.Body
	}
	return b.String()
}

// Question reports whether it asked for a permission at one moment, and is not asked again.
func (t *told) Question() bool { return t.Event == string(webhook.Recover) }

// Finished reports whether nothing more is tried by itself.
func (t *told) Finished() bool { return t.NextAt.IsZero() && !t.Erased }

// Last is what the last try came to; nil before the first.
func (t *told) Last() *store.Attempt {
	if len(t.Attempts) == 0 {
		return nil
	}
	return &t.Attempts[len(t.Attempts)-1]
}

// resend has a delivery made again.
func (v *visit) resend() {
	ctx, cancel := v.context()
	defer cancel()
	if v.field("do") != "replay" {
		v.fail(errNoPage)
		return
	}
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		e, err := v.environment(ctx, tx)
		if err != nil {
			return err
		}
		d, err := tx.Delivery(ctx, e.ID, v.r.PathValue("delivery"))
		if err != nil {
			return err
		}
		if d, _, err = webhook.Replay(ctx, tx, d); err != nil {
			return err
		}
		return v.decided(ctx, tx, e.ID, audit.WebhookReplayed, map[string]any{"delivery": d.ID, "webhook": d.Webhook, "event_type": d.Event})
	})
	for is, words := range map[error]string{webhook.ErrQuestion: "hook.question", webhook.ErrOff: "hook.off", webhook.ErrUnheard: "hook.unheard", store.ErrConflict: "hook.busy"} {
		if errors.Is(err, is) {
			p := new(settingsPage)
			v.wrong(p, "again", words)
			v.showDelivery(ctx, p)
			return
		}
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.done(v.r.URL.Path, "queued")
}

// Deliveries returns the address of the history with other parameters: names and values in turn.
func (s *screen) Deliveries(more ...string) string {
	h, q := s.Settings.Hooks, url.Values{}
	for name, value := range map[string]string{"event": h.Filter.Event, "state": string(h.Filter.State), "lang": s.visit.lang} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	at := root + "/settings/" + s.Settings.Env.ID + "/webhooks"
	if len(q) == 0 {
		return at
	}
	return at + "?" + q.Encode()
}

// Earlier is the page with older deliveries.
func (s *screen) Earlier() string { return s.Deliveries("page", strconv.Itoa(s.Settings.Hooks.Page+1)) }

// Later is the page with newer deliveries.
func (s *screen) Later() string { return s.Deliveries("page", strconv.Itoa(s.Settings.Hooks.Page-1)) }

// Lang is the language that the address asks for.
func (s *screen) Lang() string { return s.visit.lang }

// Milliseconds is how long an attempt took.
func (*screen) Milliseconds(a store.Attempt) int { return int(a.End.Sub(a.Start).Milliseconds()) }
