package party

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"

	"github.com/postern-id/postern/hub/store"
)

// A Party is a registered relying party, read.
type Party struct {
	store.OIDCClient
	Terms    Terms
	Settings Settings           // what the row's say, read
	Org      store.Organisation // of its environment; Parse alone fills it
	Standard *Template          // the environment's default, likewise; nil: it asks for nothing and says nothing

	callbacks []string // of the environment, for clients without addresses of their own
}

// of reads a row.
func of(c store.OIDCClient) (Party, error) {
	row, ok := termsOf(Contract(c.Contract))
	if !ok {
		return Party{}, fmt.Errorf("party: contract %q is not known", c.Contract)
	}
	out := Party{OIDCClient: c, Terms: row}
	if err := json.Unmarshal(c.Settings, &out.Settings); err != nil {
		return Party{}, fmt.Errorf("party: settings of a client: %w", err)
	}
	return out, nil
}

// RedirectURIs lists the addresses to which the client may be answered, exactly.
func (c Party) RedirectURIs() []string {
	if c.Terms.Contract == EntraEAM {
		return entraRedirects()
	}
	if len(c.Settings.Redirects) == 0 {
		return c.callbacks
	}
	return c.Settings.Redirects
}

// ByIdentifier reports how accounts are found.
func (c Party) ByIdentifier() bool {
	if c.Settings.Account != "" {
		return c.Settings.Account == ByIdentifier
	}
	return c.Terms.Contract == OktaEAM
}

// Knows reports whether a secret is one of the client's live ones.
func (c Party) Knows(secret string) bool {
	hash, ok := []byte(store.HashToken(secret)), 0
	for _, s := range c.Secrets {
		ok |= subtle.ConstantTimeCompare(hash, []byte(s.Hash))
	}
	return ok == 1 && secret != ""
}

// Parse reads a row with what it needs of its environment and organisation;
// store.ErrNotFound where its directory was removed.
func Parse(row store.OIDCParty) (Party, error) {
	found, err := row.Client()
	if err != nil {
		return Party{}, err
	}
	c, err := of(found)
	if err != nil {
		return c, err
	}
	if c.Org, err = row.Organisation(); err != nil || c.Terms.Contract != OpenID {
		return c, err
	}
	if row.Orphan != 0 {
		return c, store.ErrNotFound
	}
	if t, ok := ParseTemplate(row.Standard, []byte(row.Body)); ok && (t.Asks() || t.Speaks) {
		c.Standard = &t
	}
	if len(c.Settings.Redirects) == 0 {
		c.callbacks, err = row.CallbackURLs()
	}
	return c, err
}

// BuiltIn reports whether the client is its environment, or its directory.
func (c Party) BuiltIn() bool {
	return c.Terms.Contract == OpenID && (c.ID == c.Env || c.ID == c.Directory)
}

// load returns a client with what it needs of its environment.
func load(ctx context.Context, tx *store.Tx, row store.OIDCClient) (Party, error) {
	c, err := of(row)
	if err != nil || c.Terms.Contract != OpenID {
		return c, err
	}
	if c.Directory != "" {
		if _, err := tx.Directory(ctx, c.Env, c.Directory); err != nil { // it was removed
			return c, err
		}
	}
	if len(c.Settings.Redirects) == 0 {
		e, err := tx.Environment(ctx, c.Env)
		if err != nil {
			return c, err
		}
		c.callbacks = e.CallbackURLs
	}
	return c, nil
}
