package provider

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/postern-id/postern/hub/store"
)

// A Leaving is a person on their way to a provider.
type Leaving struct {
	Env, Origin string // of the recovery domain
	Recovery    string // as addresses name it: where the person comes back to; has no dot
	Language    string // BCP 47
	Ask         []byte // what Open gave the page
	Provider    string // id of the one that was chosen
}

// Leave returns the address to which the person goes now. The page asks when the person
// does: what is pushed ahead is good for a minute.
func (v *Verifier) Leave(ctx context.Context, l Leaving) (string, error) {
	var a Asked
	if err := json.Unmarshal(l.Ask, &a); err != nil {
		return "", err
	}
	if !slices.ContainsFunc(a.Providers, func(c Choice) bool { return c.ID == l.Provider }) {
		return "", store.ErrNotFound
	}
	row, err := store.Get(ctx, v.cfg.Store, func(tx *store.Tx) (store.IdentityProvider, error) {
		return tx.IdentityProvider(ctx, l.Env, l.Provider)
	})
	if err != nil {
		return "", err
	}
	var s Settings
	if err := json.Unmarshal(row.Body, &s); err != nil {
		return "", err
	}
	d, err := v.discover(ctx, s.Issuer)
	if err != nil {
		return "", err
	}
	address, err := url.Parse(v.request(s, d, l, a))
	if err != nil || d.more.PAR == "" {
		return address.String(), err
	}
	uri, err := v.push(ctx, s, d, address.Query())
	if err != nil {
		return "", err
	}
	address.RawQuery = url.Values{"client_id": {s.ClientID}, "request_uri": {uri}}.Encode()
	return address.String(), nil
}

// request is the whole authorization request.
func (v *Verifier) request(s Settings, d discovered, l Leaving, a Asked) string {
	state, verifier := secrets(v.cfg.Store.DeriveKeys(keyPurpose)[0], l.Env, a.Exchange, l.Provider, l.Origin, a.Nonce)
	opts := []oauth2.AuthCodeOption{
		oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"),
	}
	if len(s.ACR) > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("acr_values", strings.Join(s.ACR, " ")))
	}
	if l.Language != "" {
		opts = append(opts, oauth2.SetAuthURLParam("ui_locales", l.Language))
	}
	if d.more.Claims {
		opts = append(opts, oauth2.SetAuthURLParam("claims", s.wanted()))
	}
	c := s.config(d, l.Origin)
	return c.AuthCodeURL(l.Recovery+"."+state, opts...)
}

// wanted asks for names in the id_token itself: it is signed, what a provider says
// elsewhere is not (OpenID Connect Core 5.5, OpenID Connect for Identity Assurance 6).
func (s Settings) wanted() string {
	person := map[string]any{}
	for _, name := range names {
		person[s.claim(name)] = nil
	}
	essential := map[string]bool{"essential": true}
	token := map[string]any{"auth_time": essential}
	if len(s.AMR) > 0 { // many providers name it only when they are asked
		token["amr"] = essential
	}
	if s.Verified {
		token["verified_claims"] = map[string]any{"verification": map[string]any{"trust_framework": nil}, "claims": person}
	} else {
		for name := range person {
			token[name] = nil
		}
	}
	return store.JSON(map[string]any{"id_token": token})
}

// claim is what the provider calls a claim.
func (s Settings) claim(name string) string {
	if other := s.Claims[name]; other != "" {
		return other
	}
	return name
}

// RecoveryOf returns the recovery that a state names, for the page to go on with. It
// proves nothing: the session of that recovery does.
func RecoveryOf(state string) string {
	id, _, _ := strings.Cut(state, ".")
	return id
}
