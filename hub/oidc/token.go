package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// credentials are what a client proves itself by.
type credentials struct {
	id, secret string
	assertion  string // in place of a secret
	basic      bool
}

// maxBasic bounds the credentials of an Authorization header, in bytes.
const maxBasic = 1 << 10

// parseCredentials reads how a client proves itself: in the header (RFC 6749 2.3.1, form
// encoded before it is base64 encoded) or in the form. Both at once is an error.
func parseCredentials(header string, q params) (credentials, *oauthError) {
	asserts := q["client_assertion"] != "" || q["client_assertion_type"] != ""
	if header == "" {
		if asserts {
			return assertedCredentials(q)
		}
		return credentials{id: q["client_id"], secret: q["client_secret"]}, nil
	}
	if q["client_secret"] != "" || asserts {
		return credentials{}, invalid("invalid_request", "the client proves itself in more than one way")
	}
	kind, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(kind, "Basic") || len(text) > maxBasic {
		return credentials{}, errClient()
	}
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	id, secret, ok := strings.Cut(string(b), ":")
	if err != nil || !ok {
		return credentials{}, errClient()
	}
	c := credentials{basic: true}
	if c.id, err = url.QueryUnescape(id); err == nil {
		c.secret, err = url.QueryUnescape(secret)
	}
	if err != nil || q["client_id"] != "" && q["client_id"] != c.id {
		return credentials{}, errClient()
	}
	return c, nil
}

// clientRequest reads a request of a client's server: who it is, and what it says. Whoever
// asks too often waits.
func (p *Provider) clientRequest(w http.ResponseWriter, r *http.Request, at party.Issuer) (party.Party, params, *oauthError) {
	c, q, oauth := p.readClient(w, r, at)
	toItsPages(w, r, c)
	if err := p.admitClient(w, r, c, oauth == nil); err != nil {
		return party.Party{}, nil, p.tooMany(r, err)
	}
	return c, q, oauth
}

// readClient is clientRequest, however often.
func (p *Provider) readClient(w http.ResponseWriter, r *http.Request, at party.Issuer) (party.Party, params, *oauthError) {
	if len(r.Header.Values("Authorization")) > 1 {
		return party.Party{}, nil, errClient()
	}
	q, err := formParams(w, r)
	if err != nil {
		return party.Party{}, nil, invalid("invalid_request", err.Error())
	}
	given, oauth := parseCredentials(r.Header.Get("Authorization"), q)
	if oauth != nil {
		return party.Party{}, nil, oauth
	}
	c, err := p.clientByID(r.Context(), given.id, at)
	if errors.As(err, new(errAsk)) {
		return party.Party{}, nil, errClient()
	}
	if err != nil {
		return party.Party{}, nil, p.trouble(r, "a client cannot be read", err)
	}
	if ok, err := p.proves(r, c, given); err != nil {
		return party.Party{}, nil, p.trouble(r, "a client cannot be told from another", err)
	} else if !ok {
		return party.Party{}, nil, errClient()
	}
	return c, q, admitsFrom(r, c)
}

// admitsFrom refuses a client that proved itself from where its organisation lets nobody
// in. A client without a secret or key is not held by that: its requests come from
// wherever its users are.
func admitsFrom(r *http.Request, c party.Party) *oauthError {
	if c.Settings.Auth == party.AuthNone {
		return nil
	}
	if from, _ := netip.ParseAddr(addressOf(r)); !c.Org.Admits(from) { // the zero Addr is on no list
		return &oauthError{http.StatusForbidden, "unauthorized_client", "the organisation lets nobody in from this address"}
	}
	return nil
}

func (p *Provider) trouble(r *http.Request, what string, err error) *oauthError {
	p.cfg.Log.WarnContext(r.Context(), what, "error", err)
	return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", ""}
}

// tokenReply is the answer of the token endpoint. claims and subject are of the public
// API, whose refresh_token is left out: there is none, and RFC 6749 knows no empty one.
type tokenReply struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
	Claims      string `json:"claims"`
	IDToken     string `json:"id_token"`
	Subject     string `json:"subject"`
}

// token redeems a code.
func (p *Provider) token(w http.ResponseWriter, r *http.Request, at party.Issuer) {
	w.Header().Set("Pragma", "no-cache")
	c, q, oauth := p.clientRequest(w, r, at)
	switch {
	case oauth != nil:
	case q["grant_type"] != "" && q["grant_type"] != "authorization_code":
		oauth = invalid("unsupported_grant_type", "want authorization_code")
	case q["grant_type"] == "" || q["code"] == "":
		oauth = invalid("invalid_request", "grant_type or code is missing")
	}
	if oauth != nil {
		p.fail(w, r, oauth)
		return
	}
	reply, err := p.redeem(r.Context(), c, q)
	switch {
	case errors.Is(err, errGone):
		p.fail(w, r, invalid("invalid_grant", "the code is unknown, used or too old, or belongs to another request"))
	case err != nil:
		w.Header().Set("Retry-After", retrySoon)
		p.fail(w, r, p.trouble(r, "a code cannot be redeemed", err))
	default:
		writeJSON(w, r, http.StatusOK, []byte(store.JSON(reply)))
	}
}

// redeem gives the tokens of a code, once. A second use takes back what the first got.
func (p *Provider) redeem(ctx context.Context, c party.Party, q params) (reply tokenReply, err error) {
	err = p.signing(ctx, func(pen *pen) (err error) {
		reply, err = p.redeemBy(ctx, pen, c, q)
		return err
	})
	return reply, err
}

func (p *Provider) redeemBy(ctx context.Context, pen *pen, c party.Party, q params) (reply tokenReply, err error) {
	again := false
	err = p.cfg.Store.Step(ctx, func(tx *store.Tx) error {
		reply, again = tokenReply{}, false
		row, asker, err := keptOf(ctx, tx, q["code"])
		if err != nil {
			return err
		}
		if row.Env == c.Env && row.Client == c.ID && row.State == stateSpent { // RFC 9700 4.5, RFC 6749 4.1.2
			again = true
			row.State, row.Access = stateRevoked, ""
			if err := tx.SaveOIDCExchange(ctx, &row); err != nil {
				return err
			}
			return p.recordReused(ctx, tx, c, row.ID)
		}
		x, owner, err := p.understood(row, asker, stateCode)
		if err != nil {
			return err
		}
		if owner.ID != c.ID || owner.Env != c.Env || q["redirect_uri"] != x.Redirect || !x.verifies(q["code_verifier"]) {
			return errGone
		}
		reply, err = p.spend(ctx, tx, pen, owner, &x)
		return err
	})
	if err == nil && again || errors.Is(err, store.ErrConflict) {
		err = errGone
	}
	return reply, err
}

// verifies checks PKCE (RFC 7636 4.6).
func (x exchange) verifies(verifier string) bool {
	if x.Challenge == "" {
		return verifier == ""
	}
	if x.Clear {
		return subtle.ConstantTimeCompare([]byte(verifier), []byte(x.Challenge)) == 1
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(enc.EncodeToString(sum[:])), []byte(x.Challenge)) == 1
}

// spend marks a code as used, and keeps it as its row's secret, so that a second use is
// known for what it is.
func (p *Provider) spend(ctx context.Context, tx *store.Tx, pen *pen, c party.Party, x *exchange) (tokenReply, error) {
	token, subject, err := p.idToken(ctx, tx, pen, c, *x)
	if err != nil {
		return tokenReply{}, err
	}
	access := newSecret(x.ID)
	_, life := lives(c)
	x.State, x.Access, x.ExpiresAt = stateSpent, store.HashToken(access), p.cfg.Now().Add(life)
	if err := tx.SaveOIDCExchange(ctx, &x.OIDCExchange); err != nil {
		return tokenReply{}, err
	}
	reply := tokenReply{AccessToken: access, TokenType: "Bearer", ExpiresIn: int(life.Seconds()), Scope: strings.Join(c.Terms.Scopes, " "), IDToken: token, Subject: subject}
	if x.Plain != nil {
		reply.Scope, reply.Claims = strings.Join(x.Plain.Scopes, " "), x.Answer.Told.names()
		if err := p.cfg.People.TokenIssued(ctx, tx, x.Env, x.Use); err != nil {
			return tokenReply{}, err
		}
	}
	return reply, p.recordToken(ctx, tx, c, *x, reply)
}

// userinfo answers what the id_token said already, for clients that ask twice.
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request, at party.Issuer) {
	c, out, err := p.told(r, at)
	toItsPages(w, r, c)
	if busy := p.admitClient(w, r, c, err == nil); busy != nil {
		err = busy
	}
	switch {
	case errors.Is(err, errGone):
		ask := `Bearer error="invalid_token"`
		if r.Header.Get("Authorization") == "" { // RFC 6750, section 3.1
			ask = "Bearer"
		}
		w.Header().Set("WWW-Authenticate", ask)
		http.Error(w, "invalid_token", http.StatusUnauthorized)
	case errors.Is(err, errBusy):
		p.fail(w, r, p.tooMany(r, err))
	case err != nil:
		p.fail(w, r, p.trouble(r, "an access token cannot be read", err))
	default:
		writeJSON(w, r, http.StatusOK, []byte(store.JSON(out)))
	}
}

// told returns the client that the access token of a request was made for, and what it was
// told. errGone says that the token opens nothing.
func (p *Provider) told(r *http.Request, at party.Issuer) (c party.Party, out map[string]any, err error) {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	id, hash, err := parseSecret(strings.TrimSpace(token))
	if err != nil || !strings.EqualFold(kind, "Bearer") {
		return c, nil, errGone
	}
	if _, err := store.Glance(r.Context(), p.cfg.Store, opened(r.Context(), id, hash)); err != nil {
		return c, nil, err // no stranger has others wait for a transaction that writes
	}
	err = p.cfg.Store.Tx(r.Context(), func(tx *store.Tx) error {
		found, err := opened(r.Context(), id, hash)(tx)
		if err != nil {
			return err
		}
		var x exchange
		if x, c, err = p.read(r.Context(), tx, found, stateSpent); err != nil {
			return err
		}
		if !at.Serves(c.Terms.Contract) {
			return errGone
		}
		out, err = userInfo(r.Context(), tx, c, x)
		return err
	})
	return c, out, err
}

// opened finds the exchange that an access token opens; errGone: none.
func opened(ctx context.Context, id, hash string) func(tx *store.Tx) (store.OIDCExchange, error) {
	return func(tx *store.Tx) (store.OIDCExchange, error) {
		found, err := tx.OIDCExchangeByAccess(ctx, id, hash)
		if errors.Is(err, store.ErrNotFound) {
			err = errGone
		}
		return found, err
	}
}

// userInfo is what an exchange told of somebody.
func userInfo(ctx context.Context, tx *store.Tx, c party.Party, x exchange) (map[string]any, error) {
	out := map[string]any{}
	if x.User != "" {
		out["preferred_username"] = x.User
	}
	if x.Answer != nil && x.Answer.Told != nil {
		maps.Copy(out, x.Answer.Told.Claims)
	}
	subject, err := subjectOf(ctx, tx, c, x)
	out["sub"] = subject
	return out, err
}
