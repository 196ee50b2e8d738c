package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	hooks "github.com/postern-id/postern/hub/webhook"
)

// webhook is the wire type WebhookDefinition. Its authorization header is never shown.
type webhook struct {
	ID        string    `json:"id"`
	URL       string    `json:"url"`
	Enabled   bool      `json:"enabled"`
	Events    []string  `json:"events"`
	CreatedAt time.Time `json:"created_at"` // ours
}

func wireWebhooks(all []store.Webhook) []webhook {
	out := make([]webhook, 0, len(all))
	for _, w := range all {
		out = append(out, webhook{w.ID, w.URL, w.Enabled, append([]string{}, w.Events...), w.CreatedAt})
	}
	return out
}

// webhookRequest is a WebhookDefinition that is added. An id is ignored.
type webhookRequest struct {
	ID            string   `json:"id,omitempty"`
	URL           string   `json:"url"`
	Enabled       *bool    `json:"enabled,omitempty"` // absent: true
	Events        []string `json:"events"`
	Authorization string   `json:"authorization_header,omitempty"`
	Internal      bool     `json:"internal,omitempty"` // ignored
}

// webhookUpdate is the wire type WebhookDefinitionUpdate.
type webhookUpdate struct {
	ID            string    `json:"id"`
	URL           *string   `json:"url,omitempty"`
	Enabled       *bool     `json:"enabled,omitempty"`
	Events        *[]string `json:"events,omitempty"`
	Authorization *string   `json:"authorization_header,omitempty"`
}

// redactWebhooks hides the authorization headers, and passwords in addresses.
func redactWebhooks(all []webhookRequest) []webhookRequest {
	out := slices.Clone(all)
	for i := range out {
		if out[i].Authorization != "" {
			out[i].Authorization = redactedSecret
		}
	}
	return out
}

// updateWebhooks removes, then adds, then changes.
func updateWebhooks(ctx context.Context, c *call, tx *store.Tx, req *updateEnvRequest) error {
	for _, id := range slices.Concat(req.RemoveWebhooks, req.RemoveWebhook) {
		if err := removeWebhook(ctx, c, tx, id); err != nil {
			return err
		}
	}
	for _, w := range slices.Concat(req.AddWebhooks, req.AddWebhook) {
		if err := addWebhook(ctx, c, tx, w); err != nil {
			return err
		}
	}
	all, err := tx.Webhooks(ctx, c.env.ID)
	if err != nil {
		return err
	}
	if len(all) > hooks.MaxWebhooks {
		return bad(fmt.Sprintf("add_webhooks: at most %d webhooks in one environment", hooks.MaxWebhooks))
	}
	if req.UpdateWebhook == nil {
		return nil
	}
	return changeWebhook(ctx, c, tx, *req.UpdateWebhook)
}

// removeWebhook removes a webhook by its id; published examples give the address.
func removeWebhook(ctx context.Context, c *call, tx *store.Tx, id string) error {
	all, err := tx.Webhooks(ctx, c.env.ID)
	if err != nil {
		return err
	}
	found := false
	for _, w := range all {
		if w.ID != id && w.URL != id {
			continue
		}
		found = true
		if err := c.mayTell(w, store.Webhook{}); err != nil {
			return err
		}
		if err := tx.RemoveWebhook(ctx, c.env.ID, w.ID); err != nil {
			return err
		}
	}
	if !found {
		return bad(fmt.Sprintf("remove_webhooks: %.80q is not a webhook of this environment", id))
	}
	return nil
}

func addWebhook(ctx context.Context, c *call, tx *store.Tx, req webhookRequest) error {
	w := store.Webhook{Env: c.env.ID, URL: req.URL, Enabled: true, Events: req.Events, Authorization: req.Authorization}
	set(&w.Enabled, req.Enabled)
	if err := c.openSecrets(ctx, tx, "add_webhooks.authorization_header", &w.Authorization); err != nil {
		return err
	}
	w, err := checkWebhook("add_webhooks", w)
	if err == nil {
		err = c.mayTell(store.Webhook{}, w)
	}
	if err != nil {
		return err
	}
	_, err = tx.AddWebhook(ctx, w)
	return err
}

func changeWebhook(ctx context.Context, c *call, tx *store.Tx, req webhookUpdate) error {
	w, err := tx.Webhook(ctx, c.env.ID, req.ID)
	if err != nil {
		return as(err, store.ErrNotFound, bad("update_webhook.id: not a webhook of this environment"))
	}
	before := w
	set(&w.URL, req.URL)
	set(&w.Enabled, req.Enabled)
	set(&w.Events, req.Events)
	set(&w.Authorization, req.Authorization)
	if req.Authorization == nil && w.Authorization != "" && !hooks.SameReceiver(before.URL, w.URL) {
		return bad(`update_webhook.authorization_header: the one that is kept was given for another host, and is not sent to this one: say which goes there, "" for none`)
	}
	if err := c.openSecrets(ctx, tx, "update_webhook.authorization_header", &w.Authorization); err != nil {
		return err
	}
	if w, err = checkWebhook("update_webhook", w); err != nil {
		return err
	}
	if err := c.mayTell(before, w); err != nil {
		return err
	}
	return tx.UpdateWebhook(ctx, w)
}

// mayTell refuses others than owners what tells the audit log, or told it.
func (c *call) mayTell(before, now store.Webhook) error {
	if !hooks.MayDefine(c.key.Role, before, now) {
		return errForbidden
	}
	return nil
}

// checkWebhook refuses what cannot be delivered.
func checkWebhook(member string, w store.Webhook) (store.Webhook, error) {
	w, err := hooks.Define(w)
	if wrong := (*hooks.Wrong)(nil); errors.As(err, &wrong) {
		err = bad(member + ": " + wrong.Field + ": " + wrong.Text)
	}
	return w, err
}

// eventNames lists what can be subscribed to.
func eventNames() []string { return hooks.EventNames() }

// refreshSecretRequest is the wire type RefreshWebhookSecretRequest.
type refreshSecretRequest struct {
	EnvID string           `json:"envID"`
	Keep  *policy.Duration `json:"keep_former,omitempty"` // ours; absent: keepFormer
}

// How long the former secret signs beside the new one.
const (
	keepFormer    = 24 * time.Hour
	maxKeepFormer = 30 * 24 * time.Hour
)

// webhookSecret is the wire type RefreshWebhookSecretResponse.
type webhookSecret struct {
	Secret      string     `json:"webhook_shared_secret"`
	FormerUntil *time.Time `json:"former_valid_until,omitempty"` // ours
}

// redacted implements redactor.
func (s webhookSecret) redacted() any { return webhookSecret{redactedSecret, s.FormerUntil} }

// refreshWebhookSecret makes a new secret for signatures. The former one signs beside it
// for a while.
func refreshWebhookSecret(ctx context.Context, c *call, tx *store.Tx, req *refreshSecretRequest) (any, error) {
	if req.EnvID != "" && req.EnvID != c.env.ID {
		return nil, bad("envID: another environment than the path names")
	}
	keep := keepFormer
	if req.Keep != nil {
		keep = time.Duration(*req.Keep)
	}
	if keep < 0 || keep > maxKeepFormer {
		return nil, bad("keep_former: want a duration from 0s to 720h")
	}
	if err := c.mayChangeSecret(ctx, tx); err != nil {
		return nil, err
	}
	secrets, err := tx.RenewWebhookSecret(ctx, c.env.ID, keep)
	out := webhookSecret{Secret: secrets.Present}
	if secrets.Former != "" {
		out.FormerUntil = &secrets.FormerUntil
	}
	return out, err
}

// endFormerSecret ends the secret that signs beside the present one.
func endFormerSecret(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	if err := c.mayChangeSecret(ctx, tx); err != nil {
		return nil, err
	}
	return nil, tx.EndFormerWebhookSecret(ctx, c.env.ID)
}

// mayChangeSecret refuses others than owners the secret under which the audit log is told.
func (c *call) mayChangeSecret(ctx context.Context, tx *store.Tx) error {
	all, err := tx.Webhooks(ctx, c.env.ID)
	if err == nil && !hooks.MayChangeSecret(c.key.Role, all) {
		return errForbidden
	}
	return err
}
