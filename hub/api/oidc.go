package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// oidcClientIn is what an administrator says of an identity provider that asks here who
// somebody is.
type oidcClientIn struct {
	Contract  string `json:"contract,omitempty" words:"contract"`
	ClientID  string `json:"client_id,omitempty"` // openid: the id of the environment, or of the directory; "": one is made
	Directory string `json:"directory,omitempty"`
	party.Settings
}

// oidcClientOut is a client as the API shows it.
type oidcClientOut struct {
	ID        string `json:"client_id"`
	Contract  string `json:"contract"`
	Directory string `json:"directory,omitempty"`
	party.Settings
	CreatedAt time.Time       `json:"created_at"`
	Secrets   []time.Time     `json:"secrets_added_at"`
	Keys      []party.KeyView `json:"keys"`
	Addresses party.Addresses `json:"addresses"` // for the identity provider's own settings
	Secret    string          `json:"client_secret,omitempty"`
}

// redacted implements redactor: the secret is shown once, and never kept.
func (o oidcClientOut) redacted() any {
	if o.Secret != "" {
		o.Secret = redactedSecret
	}
	return o
}

func (c *call) wireClient(ctx context.Context, tx *store.Tx, from store.OIDCClient) (out oidcClientOut, err error) {
	out = oidcClientOut{ID: from.ID, Contract: from.Contract, Directory: from.Directory, CreatedAt: from.CreatedAt, Secrets: []time.Time{}}
	if err := json.Unmarshal(from.Settings, &out.Settings); err != nil {
		return out, err
	}
	for _, s := range from.Secrets {
		out.Secrets = append(out.Secrets, s.AddedAt)
	}
	out.Addresses = party.AddressesOf(party.Contract(from.Contract), strings.TrimSuffix(c.api.Ticket.Hub, "/"))
	out.Keys, err = party.Keys(ctx, tx, from.Env, from.ID)
	return out, err
}

// listClients lists the identity providers that ask an environment.
func listClients(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := tx.OIDCClients(ctx, c.env.ID)
	list := make([]oidcClientOut, 0, len(all))
	for _, from := range all {
		out, err := c.wireClient(ctx, tx, from)
		if err != nil {
			return nil, err
		}
		list = append(list, out)
	}
	return list, err
}

// getClient answers with one identity provider that asks here.
func getClient(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return c.wireClient(ctx, tx, c.client)
}

// makeKey makes a signing key before the transaction, which must not wait for it, or finds
// the one outside of the hub that is named.
func makeKey(ctx context.Context, c *call) (err error) {
	contract, settings, err := c.ofKey()
	if err != nil {
		return err
	}
	if settings.Check(contract) != nil { // it is refused later, in words
		contract, settings = party.OpenID, party.Settings{}
	}
	if fingerprint := c.text("external"); fingerprint != "" {
		return c.findKey(ctx, contract, settings, fingerprint)
	}
	c.newKey, err = party.NewKey(contract, settings, time.Now())
	return err
}

// ofKey is what a key is made for: a client that is there, or the one of the body.
func (c *call) ofKey() (contract party.Contract, settings party.Settings, err error) {
	if in, ok := c.body.(*oidcClientIn); ok {
		if contract, ok = party.ContractByName(in.Contract); !ok { // it is refused later
			return party.EntraEAM, settings, nil
		}
		return contract, in.Settings, nil
	}
	err = json.Unmarshal(c.client.Settings, &settings)
	return party.Contract(c.client.Contract), settings, err
}

// findKey takes a key outside of the hub for a client.
func (c *call) findKey(ctx context.Context, contract party.Contract, settings party.Settings, fingerprint string) (err error) {
	c.newKey, err = party.OutsideKey(ctx, c.api.Signer, contract, settings, fingerprint, time.Now())
	if err = inWords(err); errors.Is(err, party.ErrSigner) {
		c.api.Log.WarnContext(ctx, "a signing key outside of the hub cannot be looked at", "key", fingerprint, "error", err)
	}
	return err
}

// addClient lets an identity provider ask, with a secret where its contract has one.
func addClient(ctx context.Context, c *call, tx *store.Tx, in *oidcClientIn) (any, error) {
	contract, ok := party.ContractByName(in.Contract)
	if !ok {
		return nil, bad("contract: want one of " + strings.Join(party.Contracts(), ", "))
	}
	if err := c.checkClient(ctx, tx, contract, in); err != nil {
		return nil, err
	}
	made, err := party.Add(ctx, tx, c.env.ID, in.ClientID, contract, in.Directory, in.Settings, c.newKey)
	if err != nil {
		return nil, as(inWords(err), store.ErrConflict, bad("this environment has as many of these as it may, or one of this client_id; remove one first"))
	}
	return c.withSecret(ctx, tx, made)
}

// withSecret returns a client with a new secret, if it has any.
func (c *call) withSecret(ctx context.Context, tx *store.Tx, from store.OIDCClient) (oidcClientOut, error) {
	secret, err := party.NewSecret(ctx, tx, &from)
	if err != nil && !errors.Is(err, party.ErrSecrets) {
		return oidcClientOut{}, err
	}
	out, wireErr := c.wireClient(ctx, tx, from)
	if err == nil {
		out.Secret = secret.Reveal()
	}
	request := map[string]any{"contract": from.Contract, "directory": from.Directory, "settings": out.Settings, "new_secret": err == nil}
	if c.newKey.Fingerprint != "" {
		request["external"] = c.newKey.Fingerprint
	}
	c.detail = map[string]any{"oidc_client": from.ID, "request": request}
	return out, wireErr
}

// replaceClient sets all of a client anew but its contract, its keys and its secrets.
func replaceClient(ctx context.Context, c *call, tx *store.Tx, in *oidcClientIn) (any, error) {
	if in.Contract != "" && in.Contract != c.client.Contract {
		return nil, bad("contract: stays what it is; add another client")
	}
	if err := c.checkClient(ctx, tx, party.Contract(c.client.Contract), in); err != nil {
		return nil, err
	}
	c.detail = map[string]any{"oidc_client": c.client.ID, "request": map[string]any{"directory": in.Directory, "settings": in.Settings}}
	return nil, party.Change(ctx, tx, &c.client, in.Directory, in.Settings)
}

// removeClient ends all that an identity provider may ask, and its keys.
func removeClient(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"oidc_client": c.client.ID, "request": map[string]any{"remove_oidc_client": c.client.ID}}
	return nil, tx.RemoveOIDCClient(ctx, c.env.ID, c.client.ID)
}

// addClientSecret makes another secret; the two newest are good.
func addClientSecret(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	out, err := c.withSecret(ctx, tx, c.client)
	if err == nil && out.Secret == "" {
		return nil, bad("this client has no secret: its contract has none, or it proves itself in another way")
	}
	return out, err
}

// endClientSecrets ends all secrets but the newest.
func endClientSecrets(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"oidc_client": c.client.ID, "request": map[string]any{"end_old_secrets": true}}
	return nil, party.EndSecrets(ctx, tx, &c.client)
}

// rotateClientKey publishes the next key, which signs after 48 hours. It lies in the hub,
// sealed, or with the signer outside of it, where external names its fingerprint there.
func rotateClientKey(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"oidc_client": c.client.ID, "request": party.Rotation(c.newKey)}
	if err := party.Rotate(ctx, tx, c.env.ID, c.client.ID, c.newKey); err != nil {
		return nil, as(inWords(err), party.ErrRotating, bad("a key is published already, and signs within 48 hours"))
	}
	return party.Keys(ctx, tx, c.env.ID, c.client.ID)
}

// checkClient refuses what cannot work.
func (c *call) checkClient(ctx context.Context, tx *store.Tx, contract party.Contract, in *oidcClientIn) error {
	return inWords(party.Draft{ClientID: in.ClientID, Contract: contract, Directory: in.Directory, Settings: in.Settings}.CheckIn(ctx, tx, c.env.ID))
}

// inWords tells the caller which member is wrong, and why; other errors stay as they are.
func inWords(err error) error {
	if w := (*party.Wrong)(nil); errors.As(err, &w) {
		return bad(w.Field + ": " + w.Text)
	}
	return err
}

func (c *call) findClient(ctx context.Context, tx *store.Tx, id string) (err error) {
	c.client, err = tx.OIDCClient(ctx, c.env.ID, id)
	return err
}
