package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// endSession ends what this browser began here (OpenID Connect RP-Initiated Logout 1.0).
// Nobody stays signed in: there is no session to end but that of an unfinished proof, so
// nothing is asked of the person; an id_token_hint says whose client asks, and no more.
func (p *Provider) endSession(w http.ResponseWriter, r *http.Request, at party.Issuer) {
	a := &authorization{w: w, r: r, at: at}
	err := p.admit(w, r, "authorize", ofAddress)
	if err == nil {
		a.q, err = leavingParams(w, r)
	}
	to := ""
	if err == nil {
		to, err = p.afterwards(a)
	}
	if err != nil {
		p.refuse(a, err)
		return
	}
	host, _ := page.ParseOrigin(p.cfg.Origin())
	for _, name := range host.CookiesWith(r, browserCookie) {
		host.DropCookie(w, name)
	}
	switch {
	case to == "" && r.Method == http.MethodPost: // of the public API
		w.WriteHeader(http.StatusNoContent)
		return
	case to == "":
		l := languageOf(r)
		p.say(w, r, http.StatusOK, l.Text("signin.out.title"), l.Text("signin.out.text"))
		return
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// leavingParams reads a query, or the form of a POST. Clients of the public API send a POST
// that has neither a form nor a type.
func leavingParams(w http.ResponseWriter, r *http.Request) (params, error) {
	switch {
	case r.Method != http.MethodPost:
		return parseParams(r.URL.RawQuery)
	case r.ContentLength == 0 && r.Header.Get("Content-Type") == "":
		return params{}, nil
	}
	return formParams(w, r)
}

// afterwards returns the address to go on to: one of the client's, exactly.
func (p *Provider) afterwards(a *authorization) (string, error) {
	to := a.q["post_logout_redirect_uri"]
	if to == "" {
		return "", nil
	}
	id, err := p.leaving(a)
	if err != nil {
		return "", err
	}
	c, err := p.clientByID(a.r.Context(), id, a.at)
	if err != nil {
		return "", err
	}
	if c.Terms.Contract != party.OpenID || !slices.Contains(append(slices.Clone(c.Settings.PostLogout), c.RedirectURIs()...), to) {
		return "", errAsk("post_logout_redirect_uri is not one of this client")
	}
	if a.q["state"] != "" {
		to = withQuery(to, url.Values{"state": {a.q["state"]}})
	}
	return to, nil
}

// leaving returns the client that ends a sign-in: the one that says so, or the one that
// a token of ours was made for, however old. mod_auth_openidc names no client.
func (p *Provider) leaving(a *authorization) (string, error) {
	id, hint := a.q["client_id"], a.q["id_token_hint"]
	if hint == "" {
		return id, nil
	}
	claims, err := p.ownToken(a.r.Context(), hint, func(audience string) (party.Party, error) {
		if id != "" && audience != id {
			return party.Party{}, errNobody
		}
		return p.clientByID(a.r.Context(), audience, a.at)
	})
	if err != nil {
		return "", errors.Join(errAsk("id_token_hint is not a token of this client"), err)
	}
	return claims.Audience[0], nil
}

// ownToken reads a token that was signed here for a client, however old; of returns that
// client, if it may be it.
func (p *Provider) ownToken(ctx context.Context, text string, of func(audience string) (party.Party, error)) (claims jwt.RegisteredClaims, err error) {
	_, err = jwt.NewParser(jwt.WithValidMethods(party.Algorithms), jwt.WithoutClaimsValidation()).ParseWithClaims(text, &claims, func(t *jwt.Token) (any, error) {
		if len(claims.Audience) != 1 {
			return nil, errGone
		}
		c, err := of(claims.Audience[0])
		if err == nil && claims.Issuer != p.issuer(c.Terms) {
			err = errGone
		}
		if err != nil {
			return nil, err
		}
		return p.publicKey(ctx, c, t)
	})
	return claims, err
}

// publicKey returns the key of a client by which a token says that it was signed.
func (p *Provider) publicKey(ctx context.Context, c party.Party, t *jwt.Token) (any, error) {
	return store.Get(ctx, p.cfg.Store, func(tx *store.Tx) (any, error) { return party.PublicKeyOf(ctx, tx, c, t) })
}
