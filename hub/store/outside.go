package store

import (
	"context"
	"time"
)

func smsCell(env string) Cell {
	return Cell{Env: env, Table: "sms_settings", Column: "secret", Row: env}
}

// SMSSettings returns how an environment sends text messages, as SetSMSSettings wrote
// it; nil if it sends none.
func (tx *Tx) SMSSettings(ctx context.Context, env string) ([]byte, error) {
	all, err := All(ctx, tx, Text, "SELECT secret FROM sms_settings WHERE env = $1", env)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return tx.Unseal(smsCell(env), all[0])
}

// SetSMSSettings keeps how an environment sends text messages, sealed; nil: not at all.
func (tx *Tx) SetSMSSettings(ctx context.Context, env string, body []byte) error {
	if body == nil {
		_, err := tx.Exec(ctx, "DELETE FROM sms_settings WHERE env = $1", env)
		return err
	}
	secret, err := tx.Seal(smsCell(env), body)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO sms_settings (env, secret) VALUES ($1, $2) ON CONFLICT (env) DO UPDATE SET secret = excluded.secret`, env, secret)
	return err
}

// maxProviders bounds the identity providers of one environment.
const maxProviders = 16

// An IdentityProvider is an outside service that knows people.
type IdentityProvider struct {
	Env, ID string
	Body    []byte // JSON of hub/verify/provider; sealed in the store
	AddedAt time.Time
}

func providerCell(env, id string) Cell {
	return Cell{Env: env, Table: "identity_providers", Column: "secret", Row: id}
}

// AddIdentityProvider inserts p, added now; ErrConflict when the environment has as many
// as it may.
func (tx *Tx) AddIdentityProvider(ctx context.Context, p *IdentityProvider) error {
	var n int64
	if err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM identity_providers WHERE env = $1", p.Env); err != nil {
		return err
	}
	if n >= maxProviders {
		return ErrConflict
	}
	p.ID, p.AddedAt = NewID(), tx.Now()
	secret, err := tx.Seal(providerCell(p.Env, p.ID), p.Body)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO identity_providers (env, id, secret, added_at) VALUES ($1, $2, $3, $4)", p.Env, p.ID, secret, Millis(p.AddedAt))
	return err
}

// IdentityProviders lists those of an environment, oldest first.
func (tx *Tx) IdentityProviders(ctx context.Context, env string) ([]IdentityProvider, error) {
	return All(ctx, tx, tx.scanProvider, "SELECT env, id, secret, added_at FROM identity_providers WHERE env = $1 ORDER BY added_at, id", env)
}

// IdentityProvider returns one.
func (tx *Tx) IdentityProvider(ctx context.Context, env, id string) (IdentityProvider, error) {
	return One(ctx, tx, tx.scanProvider, "SELECT env, id, secret, added_at FROM identity_providers WHERE env = $1 AND id = $2", env, id)
}

func (tx *Tx) scanProvider(scan Scan) (p IdentityProvider, err error) {
	var secret string
	var added int64
	if err := scan(&p.Env, &p.ID, &secret, &added); err != nil {
		return p, err
	}
	p.AddedAt = Time(added)
	p.Body, err = tx.Unseal(providerCell(p.Env, p.ID), secret)
	return p, err
}

// SaveIdentityProvider replaces the body of one that exists.
func (tx *Tx) SaveIdentityProvider(ctx context.Context, p IdentityProvider) error {
	secret, err := tx.Seal(providerCell(p.Env, p.ID), p.Body)
	if err != nil {
		return err
	}
	return tx.Must(ctx, "UPDATE identity_providers SET secret = $3 WHERE env = $1 AND id = $2", p.Env, p.ID, secret)
}

// RemoveIdentityProvider deletes one.
func (tx *Tx) RemoveIdentityProvider(ctx context.Context, env, id string) error {
	return tx.Must(ctx, "DELETE FROM identity_providers WHERE env = $1 AND id = $2", env, id)
}
