package console

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/webhook"
)

// hookPath is the page of one webhook, or of a new one.
const hookPath = settingsPath + "/{env}/hooks/{hook}"

// newHook is the name of a new one in addresses.
const newHook = "new"

// eventField begins the names of the boxes of events.
const eventField = "event_"

// hooking is the page of one webhook.
type hooking struct {
	ID, URL string // ID: "" of a new one
	Stamp   string // of what stands; a form that was filled in for something else is not taken
	Fields  []field
}

func (v *visit) hook() {
	ctx, cancel := v.context()
	defer cancel()
	v.showHook(ctx, new(settingsPage), nil)
}

// keptHook returns the webhook of the address; one without an id is new.
func (v *visit) keptHook(ctx context.Context, tx *store.Tx, env string) (store.Webhook, error) {
	id := v.r.PathValue("hook")
	if id == newHook {
		return store.Webhook{Env: env, Enabled: true}, nil
	}
	return tx.Webhook(ctx, env, id)
}

// stampOfHook says for what a form is filled in; "" for a new one.
func (v *visit) stampOfHook(w store.Webhook) string {
	if w.ID == "" {
		return ""
	}
	return v.stamp(store.JSON(w))
}

// showHook shows the page with what stands, or with what was typed.
func (v *visit) showHook(ctx context.Context, p *settingsPage, typed *store.Webhook) {
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p.Env, err = v.environment(ctx, tx); err != nil {
			return err
		}
		w, err := v.keptHook(ctx, tx, p.Env.ID)
		p.Hook = &hooking{ID: w.ID, URL: w.URL, Stamp: v.stampOfHook(w)}
		if typed != nil {
			w, p.Hook.Stamp = *typed, v.field("as")
		}
		p.Hook.Fields = v.worded("hook.form.", p, v.hookFields(w))
		return err
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.showSettings("hook", "hook.form.title", p)
}

func (v *visit) hookFields(w store.Webhook) []field {
	fields := []field{
		{Name: "url", Kind: fieldText, Value: w.URL, Most: 2000},
		{Name: "authorization_header", Kind: fieldSecret, Most: 2000},
		{Name: "enabled", Kind: fieldTick, On: w.Enabled},
	}
	for _, e := range webhook.EventNames() {
		if e == string(webhook.Audit) && !staff.AtLeast(v.role, staff.Owner) && !slices.Contains(w.Events, e) {
			continue // the log is for owners
		}
		fields = append(fields, field{Name: eventField + e, Kind: fieldTick, On: slices.Contains(w.Events, e)})
	}
	return fields
}

// hookTyped reads the form over what is kept. The header stays where none was typed, unless
// it would be sent to another address than before.
func (v *visit) hookTyped(old store.Webhook) store.Webhook {
	w := old
	w.URL, w.Enabled, w.Events, w.Authorization = v.text("url"), v.checked("enabled"), nil, v.text("authorization_header")
	if w.Authorization == "" && w.URL == old.URL {
		w.Authorization = old.Authorization
	}
	for _, e := range webhook.EventNames() {
		if v.checked(eventField + e) {
			w.Events = append(w.Events, e)
		}
	}
	return w
}

// errFull says that an environment has as many of something as it may.
var errFull = errors.New("console: as many as there may be")

// saveHook makes a webhook, changes the one of the address, or removes it.
func (v *visit) saveHook() {
	ctx, cancel := v.context()
	defer cancel()
	do := v.field("do")
	if do != "save" && do != "remove" {
		v.fail(errNoPage)
		return
	}
	var typed store.Webhook
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		typed, err = v.changeHook(ctx, tx, do == "remove")
		return err
	})
	switch {
	case err != nil:
		v.refuseHook(ctx, typed, err)
	case do == "remove":
		v.done(v.hooksOf(), "removed")
	default:
		v.done(v.hooksOf(), "saved")
	}
}

// changeHook does to the webhook of the address what the form says, and returns what was
// typed.
func (v *visit) changeHook(ctx context.Context, tx *store.Tx, remove bool) (typed store.Webhook, err error) {
	e, err := v.environment(ctx, tx)
	if err != nil {
		return typed, err
	}
	old, err := v.keptHook(ctx, tx, e.ID)
	if err != nil {
		return typed, err
	}
	if v.field("as") != v.stampOfHook(old) {
		return typed, errStale
	}
	if remove {
		return typed, v.removeHook(ctx, tx, old)
	}
	typed = v.hookTyped(old)
	return typed, v.keepHook(ctx, tx, old, typed)
}

// refuseHook shows the page again with what was wrong.
func (v *visit) refuseHook(ctx context.Context, typed store.Webhook, err error) {
	p := new(settingsPage)
	switch w := (*webhook.Wrong)(nil); {
	case errors.As(err, &w):
		v.wrong(p, w.Field, "hook."+w.Field)
		v.showHook(ctx, p, &typed)
	case errors.Is(err, errStale):
		v.wrong(p, "page", "stale")
		v.showHook(ctx, p, nil)
	case errors.Is(err, errFull):
		v.wrong(p, "page", "hook.full")
		v.showHook(ctx, p, &typed)
	default:
		v.fail(err)
	}
}

// hooksOf is the address of the list.
func (v *visit) hooksOf() string { return settingsPath + "/" + v.r.PathValue("env") + "/webhooks" }

// keepHook writes what was typed, with its record.
func (v *visit) keepHook(ctx context.Context, tx *store.Tx, old, w store.Webhook) error {
	w, err := webhook.Define(w)
	if err != nil {
		return err
	}
	if len(w.Events) == 0 {
		return &webhook.Wrong{Field: "events", Text: "none"}
	}
	if !webhook.MayDefine(v.role, old, w) {
		return staff.ErrRole
	}
	shown := map[string]any{"url": w.URL, "enabled": w.Enabled, "events": w.Events, "authorization_header": w.Authorization != ""}
	request := "update_webhook"
	if w.ID == "" {
		all, err := tx.Webhooks(ctx, w.Env)
		if err != nil {
			return err
		}
		if len(all) >= webhook.MaxWebhooks {
			return errFull
		}
		request = "add_webhooks"
		if w.ID, err = tx.AddWebhook(ctx, w); err != nil {
			return err
		}
	} else if err := tx.UpdateWebhook(ctx, w); err != nil {
		return err
	}
	return v.decided(ctx, tx, w.Env, audit.EnvUpdated, map[string]any{"request": map[string]any{request: shown}, "webhook": w.ID})
}

// removeHook removes a webhook, with what waits for it.
func (v *visit) removeHook(ctx context.Context, tx *store.Tx, w store.Webhook) error {
	if w.ID == "" {
		return errNoPage
	}
	if !webhook.MayDefine(v.role, w, store.Webhook{}) {
		return staff.ErrRole
	}
	return errors.Join(tx.RemoveWebhook(ctx, w.Env, w.ID),
		v.decided(ctx, tx, w.Env, audit.EnvUpdated, map[string]any{"request": map[string]any{"remove_webhooks": []string{w.ID}}}))
}
