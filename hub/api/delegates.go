package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/provider"
)

// delegate is the wire type OIDCDelegate: an outside OpenID provider at which people who
// answer a request may prove who they are. It is an identity provider of the
// environment, whose other settings the rows of identity-providers have; made here it
// serves requests and no recovery of any directory. Its secret is never shown.
type delegate struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"` // absent: the client is public, with PKCE alone
	Issuer       string `json:"issuer"`
}

// delegateUpdate is the wire type OIDCDelegateUpdate.
type delegateUpdate struct {
	ID           string  `json:"id"`
	Name         *string `json:"name,omitempty"`
	ClientID     *string `json:"client_id,omitempty"`
	ClientSecret *string `json:"client_secret,omitempty"`
	Issuer       *string `json:"issuer,omitempty"`
}

func (d delegate) redacted() delegate {
	if d.ClientSecret != "" {
		d.ClientSecret = redactedSecret
	}
	return d
}

func (d *delegateUpdate) redacted() *delegateUpdate {
	if d == nil || d.ClientSecret == nil {
		return d
	}
	out, hidden := *d, redactedSecret
	out.ClientSecret = &hidden
	return &out
}

// wireDelegates lists the delegates of an environment without their secrets.
func wireDelegates(ctx context.Context, tx *store.Tx, env string) ([]delegate, error) {
	all, err := tx.IdentityProviders(ctx, env)
	out := make([]delegate, 0, len(all))
	for _, p := range all {
		var s provider.Settings
		if err := json.Unmarshal(p.Body, &s); err != nil {
			return nil, err
		}
		out = append(out, delegate{ID: p.ID, Name: s.Name, ClientID: s.ClientID, Issuer: s.Issuer})
	}
	return out, err
}

// updateDelegates removes, then adds, then changes.
func updateDelegates(ctx context.Context, c *call, tx *store.Tx, req *updateEnvRequest) error {
	for _, id := range slices.Concat(req.RemoveDelegates, req.RemoveDelegate) {
		if err := tx.RemoveIdentityProvider(ctx, c.env.ID, id); err != nil {
			return as(err, store.ErrNotFound, bad(fmt.Sprintf("remove_oidc_delegates: %.80q is not a delegate of this environment", id)))
		}
	}
	for _, d := range slices.Concat(req.AddDelegates, req.AddDelegate) {
		if err := addDelegate(ctx, c, tx, d); err != nil {
			return err
		}
	}
	if req.UpdateDelegate == nil {
		return nil
	}
	return changeDelegate(ctx, c, tx, *req.UpdateDelegate)
}

func addDelegate(ctx context.Context, c *call, tx *store.Tx, d delegate) error {
	if err := c.openSecrets(ctx, tx, "add_oidc_delegates.client_secret", &d.ClientSecret); err != nil {
		return err
	}
	s := provider.Settings{Name: d.Name, Issuer: d.Issuer, ClientID: d.ClientID, Requests: true}
	giveSecret(&s, d.ClientSecret)
	if err := c.checkProvider(ctx, tx, &s); err != nil {
		return under("add_oidc_delegates", err)
	}
	p := store.IdentityProvider{Env: c.env.ID, Body: []byte(store.JSON(s))}
	return as(tx.AddIdentityProvider(ctx, &p), store.ErrConflict, bad("add_oidc_delegates: this environment has as many as it may; remove one first"))
}

func changeDelegate(ctx context.Context, c *call, tx *store.Tx, d delegateUpdate) error {
	p, err := tx.IdentityProvider(ctx, c.env.ID, d.ID)
	if err != nil {
		return as(err, store.ErrNotFound, bad("update_oidc_delegate.id: not a delegate of this environment"))
	}
	if err := c.openSecrets(ctx, tx, "update_oidc_delegate.client_secret", d.ClientSecret); err != nil {
		return err
	}
	var s provider.Settings
	if err := json.Unmarshal(p.Body, &s); err != nil {
		return err
	}
	if d.Issuer != nil && *d.Issuer != s.Issuer && d.ClientSecret == nil && s.Auth != provider.AuthNone {
		return bad("update_oidc_delegate.client_secret: give it with a new issuer; the kept one is never sent to another")
	}
	set(&s.Name, d.Name)
	set(&s.ClientID, d.ClientID)
	set(&s.Issuer, d.Issuer)
	if d.ClientSecret != nil {
		giveSecret(&s, *d.ClientSecret)
	}
	if err := c.checkProvider(ctx, tx, &s); err != nil {
		return under("update_oidc_delegate", err)
	}
	p.Body = []byte(store.JSON(s))
	return tx.SaveIdentityProvider(ctx, p)
}

// giveSecret sets the secret of a client, which is public without one.
func giveSecret(s *provider.Settings, secret string) {
	s.ClientSecret, s.PrivateKey = secret, ""
	switch {
	case secret == "":
		s.Auth = provider.AuthNone
	case s.Auth != provider.AuthPost:
		s.Auth = provider.AuthBasic
	}
}

// under returns a refusal as one of a member.
func under(member string, err error) error {
	refused, ok := err.(badRequest)
	if !ok {
		return err
	}
	out := make(badRequest, 0, len(refused))
	for _, line := range refused {
		out = append(out, member+": "+line)
	}
	return out
}
