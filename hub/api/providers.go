package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/provider"
)

// providerOut is an identity provider as the API shows it.
type providerOut struct {
	ID string `json:"id"`
	provider.Settings
	AddedAt   time.Time `json:"added_at"`
	Redirects []string  `json:"redirect_uris"` // for the client at the provider
}

func (c *call) wireProvider(ctx context.Context, tx *store.Tx, p store.IdentityProvider) (providerOut, error) {
	out := providerOut{ID: p.ID, AddedAt: p.AddedAt, Redirects: []string{}}
	if err := json.Unmarshal(p.Body, &out.Settings); err != nil {
		return out, err
	}
	out.Settings = out.Shown()
	domains, err := tx.Domains(ctx, p.Env)
	for _, d := range domains {
		out.Redirects = append(out.Redirects, c.api.Origin(d.Name)+provider.ReturnPath)
	}
	return out, err
}

// listProviders lists the outside identity providers of an environment.
func listProviders(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := tx.IdentityProviders(ctx, c.env.ID)
	list := make([]providerOut, 0, len(all))
	for _, p := range all {
		out, err := c.wireProvider(ctx, tx, p)
		if err != nil {
			return nil, err
		}
		list = append(list, out)
	}
	return list, err
}

// getProvider answers with one outside identity provider.
func getProvider(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return c.wireProvider(ctx, tx, c.provider)
}

// addProvider connects an outside identity provider.
func addProvider(ctx context.Context, c *call, tx *store.Tx, s *provider.Settings) (any, error) {
	if err := c.checkProvider(ctx, tx, s); err != nil {
		return nil, err
	}
	p := store.IdentityProvider{Env: c.env.ID, Body: []byte(store.JSON(s))}
	if err := tx.AddIdentityProvider(ctx, &p); err != nil {
		return nil, as(err, store.ErrConflict, bad("this environment has as many identity providers as it may; remove one first"))
	}
	c.detail = map[string]any{"request": map[string]any{"add_identity_provider": s.Shown()}, "identity_provider": p.ID}
	return c.wireProvider(ctx, tx, p)
}

// replaceProvider sets all of a provider anew, secrets included: what was kept is never
// sent to an issuer that came later.
func replaceProvider(ctx context.Context, c *call, tx *store.Tx, s *provider.Settings) (any, error) {
	if err := c.checkProvider(ctx, tx, s); err != nil {
		return nil, err
	}
	c.provider.Body = []byte(store.JSON(s))
	c.detail = map[string]any{"request": map[string]any{"replace_identity_provider": s.Shown()}, "identity_provider": c.provider.ID}
	return nil, tx.SaveIdentityProvider(ctx, c.provider)
}

// removeProvider disconnects a provider.
func removeProvider(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"request": map[string]any{"remove_identity_provider": c.provider.ID}, "identity_provider": c.provider.ID}
	return nil, tx.RemoveIdentityProvider(ctx, c.env.ID, c.provider.ID)
}

// checkProvider opens encrypted secrets, and refuses what cannot work.
func (c *call) checkProvider(ctx context.Context, tx *store.Tx, s *provider.Settings) error {
	if err := c.openSecrets(ctx, tx, "client_secret, private_key", &s.ClientSecret, &s.PrivateKey); err != nil {
		return err
	}
	err := s.CheckIn(ctx, tx, c.env.ID, c.api.Ticket.HubName)
	if w := (*provider.Wrong)(nil); errors.As(err, &w) {
		return bad(w.Field + ": " + w.Text)
	}
	return err
}

func (c *call) findProvider(ctx context.Context, tx *store.Tx, id string) (err error) {
	c.provider, err = tx.IdentityProvider(ctx, c.env.ID, id)
	return err
}
