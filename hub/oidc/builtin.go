package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	"github.com/postern-id/postern/hub/store"
)

// In the public API an environment, and each directory of it, is itself a client: its id
// is the client_id, and an API key of the environment will do as its secret. Its row is
// made when it is first used, if the environment has callback addresses; an administrator
// may make it before, and give it secrets and settings of its own.

// builtIn reports whether the client is its environment, or its directory.
func (c client) builtIn() bool {
	return c.row.contract == OpenID && (c.ID == c.Env || c.ID == c.Directory)
}

// load returns a client with what it needs of its environment.
func load(ctx context.Context, tx *store.Tx, row store.OIDCClient) (client, error) {
	c, err := clientOf(row)
	if err != nil || c.row.contract != OpenID {
		return c, err
	}
	if c.Directory != "" {
		if _, err := tx.Directory(ctx, c.Env, c.Directory); err != nil { // it was removed
			return c, err
		}
	}
	if len(c.settings.Redirects) == 0 {
		e, err := tx.Environment(ctx, c.Env)
		if err != nil {
			return c, err
		}
		c.callbacks = e.CallbackURLs
	}
	return c, nil
}

// builtIn makes the client that an environment or a directory is; store.ErrNotFound where
// there is none of that id, or nobody could be answered.
func (p *Provider) builtIn(ctx context.Context, id string) (client, error) {
	var env store.Environment
	directory := ""
	err := p.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if env, err = tx.Environment(ctx, id); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		d, err := tx.DirectoryByID(ctx, id)
		if err != nil {
			return err
		}
		directory = d.ID
		env, err = tx.Environment(ctx, d.Env)
		return err
	})
	if err == nil && len(env.CallbackURLs) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return client{}, err
	}
	settings := Settings{Name: env.PublicName}
	key, err := NewKey(OpenID, settings, p.cfg.Now())
	if err != nil {
		return client{}, err
	}
	err = p.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		_, err := Add(ctx, tx, env.ID, id, OpenID, directory, settings, key)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrConflict) { // another one was faster
		return client{}, err
	}
	return p.partyByID(ctx, id)
}

// keyAdmits reports whether a secret is an API key that may make requests in the client's
// environment, from where it is used.
func (p *Provider) keyAdmits(r *http.Request, c client, secret string) (ok bool, err error) {
	ctx := r.Context()
	var key store.APIKey
	err = p.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if key, err = tx.APIKeyByHash(ctx, store.HashToken(secret)); err != nil {
			return err
		}
		env, err := tx.Environment(ctx, c.Env)
		if err != nil {
			return err
		}
		org, err := tx.Organisation(ctx, env.Org)
		if err != nil {
			return err
		}
		from, _ := netip.ParseAddr(addressOf(r))
		ok = key.Org == env.Org && key.Admits(c.Env) && store.AtLeast(key.Role, store.RoleUser) && org.Admits(from)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err == nil && ok && key.UseDue(p.cfg.Now()) {
		err = p.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return tx.TouchAPIKey(ctx, key.Org, key.ID) })
	}
	return ok, err
}
