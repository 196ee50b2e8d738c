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
	return w.ID, err
}

// UpdateWebhook writes every member but the time of creation; ErrNotFound.
func (tx *Tx) UpdateWebhook(ctx context.Context, w Webhook) error {
	events, sealed, err := tx.webhookColumns(w)
	if err != nil {
		return err
	}
	return tx.Must(ctx, `UPDATE webhooks SET url = $3, enabled = $4, events = $5, authorization_header = $6, updated_at = $7
		WHERE env = $1 AND id = $2`, w.Env, w.ID, w.URL, Flag(w.Enabled), events, sealed, Millis(tx.Now()))
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

func webhookSecretCell(env string) Cell {
	return Cell{Env: env, Table: "webhook_secrets", Column: "secret", Row: env}
}

// WebhookSecret returns the text that signs an environment's deliveries, "webhook-" and
// 64 hexadecimal digits, made at its first use.
func (s *Store) WebhookSecret(ctx context.Context, env string) (string, error) {
	secret, err := Get(ctx, s, func(tx *Tx) (string, error) { return tx.webhookSecret(ctx, env) })
	if !errors.Is(err, ErrNotFound) {
		return secret, err
	}
	return Change(ctx, s, func(tx *Tx) (string, error) {
		secret, err := tx.webhookSecret(ctx, env)
		if !errors.Is(err, ErrNotFound) {
			return secret, err
		}
		return tx.RenewWebhookSecret(ctx, env)
	})
}

func (tx *Tx) webhookSecret(ctx context.Context, env string) (string, error) {
	sealed, err := One(ctx, tx, Text, `SELECT secret FROM webhook_secrets WHERE env = $1`, env)
	if err != nil {
		return "", err
	}
	plain, err := tx.Unseal(webhookSecretCell(env), sealed)
	return string(plain), err
}

// RenewWebhookSecret makes a new secret, which signs from now on, and returns it.
func (tx *Tx) RenewWebhookSecret(ctx context.Context, env string) (string, error) {
	b := make([]byte, webhookSecretBytes)
	_, _ = rand.Read(b) // never fails
	secret := "webhook-" + hex.EncodeToString(b)
	sealed, err := tx.Seal(webhookSecretCell(env), []byte(secret))
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `INSERT INTO webhook_secrets (env, secret, created_at) VALUES ($1, $2, $3)
		ON CONFLICT (env) DO UPDATE SET secret = excluded.secret, created_at = excluded.created_at`, env, sealed, Millis(tx.Now()))
	return secret, err
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
