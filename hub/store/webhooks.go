package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// A Webhook is where an environment wants to hear of events.
type Webhook struct {
	ID            string
	Env           string
	URL           string
	Enabled       bool
	Events        []string // of the vocabulary of package webhook
	Authorization string   // value of the Authorization header; sealed in the store
	CreatedAt     time.Time
}

func authorizationCell(env, id string) Cell {
	return Cell{Env: env, Table: "webhooks", Column: "authorization_header", Row: id}
}

// AddWebhook stores a new webhook and returns its id, which it makes.
func (tx *Tx) AddWebhook(ctx context.Context, w Webhook) (string, error) {
	w.ID = NewID()
	events, sealed, err := tx.webhookColumns(w)
	if err != nil {
		return "", err
	}
	now := Millis(tx.Now())
	_, err = tx.Exec(ctx, `INSERT INTO webhooks (id, env, url, enabled, events, authorization_header, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`, w.ID, w.Env, w.URL, Flag(w.Enabled), events, sealed, now)
	if err != nil {
		return "", err
	}
	return w.ID, tx.follow(ctx, w)
}

// UpdateWebhook writes every member but the time of creation; ErrNotFound.
func (tx *Tx) UpdateWebhook(ctx context.Context, w Webhook) error {
	events, sealed, err := tx.webhookColumns(w)
	if err != nil {
		return err
	}
	err = tx.Must(ctx, `UPDATE webhooks SET url = $3, enabled = $4, events = $5, authorization_header = $6, updated_at = $7
		WHERE env = $1 AND id = $2`, w.Env, w.ID, w.URL, Flag(w.Enabled), events, sealed, Millis(tx.Now()))
	if err != nil {
		return err
	}
	return tx.follow(ctx, w)
}

func (tx *Tx) webhookColumns(w Webhook) (events, sealed string, err error) {
	b, err := json.Marshal(w.Events)
	if err != nil || w.Authorization == "" {
		return string(b), "", err
	}
	sealed, err = tx.Seal(authorizationCell(w.Env, w.ID), []byte(w.Authorization))
	return string(b), sealed, err
}

// RemoveWebhook deletes a webhook with its deliveries; ErrNotFound.
func (tx *Tx) RemoveWebhook(ctx context.Context, env, id string) error {
	return tx.Must(ctx, `DELETE FROM webhooks WHERE env = $1 AND id = $2`, env, id)
}

const webhookColumns = `SELECT id, env, url, enabled, events, authorization_header, created_at FROM webhooks `

// Webhooks lists the webhooks of an environment in the order of their creation.
func (tx *Tx) Webhooks(ctx context.Context, env string) ([]Webhook, error) {
	return All(ctx, tx, tx.scanWebhook, webhookColumns+`WHERE env = $1 ORDER BY created_at, id`, env)
}

// Webhook returns one webhook.
func (tx *Tx) Webhook(ctx context.Context, env, id string) (Webhook, error) {
	return One(ctx, tx, tx.scanWebhook, webhookColumns+`WHERE env = $1 AND id = $2`, env, id)
}

func (tx *Tx) scanWebhook(scan Scan) (Webhook, error) {
	var w Webhook
	var events, sealed string
	var enabled, created int64
	if err := scan(&w.ID, &w.Env, &w.URL, &enabled, &events, &sealed, &created); err != nil {
		return w, err
	}
	w.Enabled, w.CreatedAt = enabled != 0, Time(created)
	if err := json.Unmarshal([]byte(events), &w.Events); err != nil || sealed == "" {
		return w, err
	}
	plain, err := tx.Unseal(authorizationCell(w.Env, w.ID), sealed)
	w.Authorization = string(plain)
	return w, err
}

// webhookSecretBytes is the size of the random part of a webhook secret.
const webhookSecretBytes = 32

func webhookSecretCell(env, column string) Cell {
	return Cell{Env: env, Table: "webhook_secrets", Column: column, Row: env}
}

// WebhookSecrets are the texts that sign an environment's deliveries, each "webhook-" and
// 64 hexadecimal digits.
type WebhookSecrets struct {
	Present     string
	Former      string // signs too, so that receivers may be changed one by one; "": none
	FormerUntil time.Time
}

// WebhookSecrets returns the secrets of an environment. The first one is made at its
// first use.
func (s *Store) WebhookSecrets(ctx context.Context, env string) (WebhookSecrets, error) {
	secrets, err := Get(ctx, s, func(tx *Tx) (WebhookSecrets, error) { return tx.WebhookSecrets(ctx, env) })
	if !errors.Is(err, ErrNotFound) {
		return secrets, err
	}
	return Change(ctx, s, func(tx *Tx) (WebhookSecrets, error) {
		secrets, err := tx.WebhookSecrets(ctx, env)
		if !errors.Is(err, ErrNotFound) {
			return secrets, err
		}
		return tx.RenewWebhookSecret(ctx, env, 0)
	})
}

// WebhookSecrets returns the secrets of an environment; ErrNotFound before their first use.
func (tx *Tx) WebhookSecrets(ctx context.Context, env string) (w WebhookSecrets, err error) {
	var present, former string
	var until int64
	err = tx.Row(ctx, []any{&present, &former, &until}, `SELECT secret, former, former_until FROM webhook_secrets WHERE env = $1`, env)
	if err != nil {
		return w, err
	}
	plain, err := tx.Unseal(webhookSecretCell(env, "secret"), present)
	w.Present = string(plain)
	if w.FormerUntil = Time(until); err != nil || former == "" || !w.FormerUntil.After(tx.Now()) {
		w.FormerUntil = time.Time{}
		return w, err
	}
	plain, err = tx.Unseal(webhookSecretCell(env, "former"), former)
	w.Former = string(plain)
	return w, err
}

// RenewWebhookSecret makes a new secret, which signs from now on, and returns it with the
// one that it replaces. That one signs beside it for so long.
func (tx *Tx) RenewWebhookSecret(ctx context.Context, env string, keep time.Duration) (WebhookSecrets, error) {
	old, err := tx.WebhookSecrets(ctx, env)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return old, err
	}
	b := make([]byte, webhookSecretBytes)
	_, _ = rand.Read(b) // never fails
	w := WebhookSecrets{Present: "webhook-" + hex.EncodeToString(b)}
	present, err := tx.Seal(webhookSecretCell(env, "secret"), []byte(w.Present))
	if err != nil {
		return w, err
	}
	former := ""
	if keep > 0 && old.Present != "" {
		w.Former, w.FormerUntil = old.Present, tx.Now().Add(keep)
		if former, err = tx.Seal(webhookSecretCell(env, "former"), []byte(w.Former)); err != nil {
			return w, err
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO webhook_secrets (env, secret, created_at, former, former_until) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (env) DO UPDATE SET secret = excluded.secret, created_at = excluded.created_at, former = excluded.former, former_until = excluded.former_until`,
		env, present, Millis(tx.Now()), former, Millis(w.FormerUntil))
	return w, err
}

// EndFormerWebhookSecret ends the secret that signs beside the present one; ErrNotFound if
// none does.
func (tx *Tx) EndFormerWebhookSecret(ctx context.Context, env string) error {
	return tx.Must(ctx, `UPDATE webhook_secrets SET former = '', former_until = 0 WHERE env = $1 AND former <> '' AND former_until > $2`, env, Millis(tx.Now()))
}

// Names are what an environment and its organisation are called.
type Names struct{ Org, Env string }

// EnvironmentNames returns the names of an environment and its organisation.
func (tx *Tx) EnvironmentNames(ctx context.Context, env string) (Names, error) {
	return One(ctx, tx, func(scan Scan) (n Names, err error) {
		err = scan(&n.Org, &n.Env)
		return n, err
	}, `SELECT o.name, e.name FROM environments e JOIN organisations o ON o.id = e.org WHERE e.id = $1`, env)
}
