package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// requestPrefix begins every request_uri (RFC 9126 2.2).
const requestPrefix = "urn:ietf:params:oauth:request_uri:"

// push takes a request from a client's server, before the browser comes (RFC 9126).
func (p *Provider) push(w http.ResponseWriter, r *http.Request, at party.Issuer) {
	c, q, oauth := p.clientRequest(w, r, at)
	var a asked
	if oauth == nil {
		a, oauth = p.understandPushed(r, c, q)
	}
	life := pushedLife
	if oauth == nil {
		life, oauth = pushedFor(c, q)
	}
	if oauth != nil {
		p.fail(w, r, oauth)
		return
	}
	uri := ""
	err := p.cfg.Store.Early(r.Context(), func(tx *store.Tx) error {
		x, secret, err := p.begin(r.Context(), tx, c, a, statePushed, "", life)
		if err != nil {
			return err
		}
		uri = requestPrefix + secret
		return p.recordPushed(r.Context(), tx, r, c, x, q, life)
	})
	if err != nil {
		p.fail(w, r, p.trouble(r, "a request cannot be kept", err))
		return
	}
	writeJSON(w, r, http.StatusCreated, []byte(store.JSON(map[string]any{"request_uri": uri, "expires_in": int(life.Seconds())})))
}

// Bounds of expiry_seconds.
const maxPushedLife = time.Hour

// pushedFor reads how long a request_uri is good.
func pushedFor(c party.Party, q params) (time.Duration, *oauthError) {
	text := q["expiry_seconds"]
	if text == "" || c.Terms.Contract != party.OpenID {
		return pushedLife, nil
	}
	n, err := strconv.Atoi(text)
	if life := time.Duration(n) * time.Second; err == nil && n > 0 && life <= maxPushedLife {
		return life, nil
	}
	return 0, invalid("invalid_request", fmt.Sprintf("expiry_seconds: want a number from 1 to %d", int(maxPushedLife.Seconds())))
}

// understandPushed reads a pushed request.
func (p *Provider) understandPushed(r *http.Request, c party.Party, q params) (asked, *oauthError) {
	if c.Terms.Contract != party.OpenID {
		return understandIDV(c, q)
	}
	a := asked{Redirect: q["redirect_uri"], Echoed: q["state"], Nonce: q["nonce"]}
	switch {
	case q["client_id"] != "" && q["client_id"] != c.ID:
		return a, invalid("invalid_request", "client_id is another one than the client's")
	case !slices.Contains(c.RedirectURIs(), a.Redirect):
		return a, invalid("invalid_request", "redirect_uri is not one of this client")
	}
	oauth := p.understandOpenID(r, c, q, &a, true)
	return a, oauth
}

// understandIDV reads a request of Okta for a person's identity.
func understandIDV(c party.Party, q params) (a asked, oauth *oauthError) {
	a = asked{Redirect: q["redirect_uri"], Echoed: q["state"], Nonce: q["nonce"], Subject: q["login_hint"], Hint: q["login_hint"]}
	switch {
	case q["client_id"] != c.ID:
		return a, invalid("invalid_request", "client_id is missing, or another one than the client's")
	case !slices.Contains(c.RedirectURIs(), a.Redirect):
		return a, invalid("invalid_request", "redirect_uri is not one of this client")
	case a.Hint == "" || len(a.Hint) > maxSubject:
		return a, invalid("invalid_request", "login_hint is missing")
	}
	if oauth := understandCode(c.Terms, q, &a); oauth != nil {
		return a, oauth
	}
	asks, err := parseClaims(q["claims"])
	if err != nil {
		return a, invalid("invalid_request", err.Error())
	}
	if a.Wanted, err = parseWanted(asks); err != nil {
		return a, invalid("invalid_request", strings.TrimPrefix(err.Error(), "oidc: "))
	}
	return a, nil
}

// maxSubject bounds what a client calls a person, in bytes.
const maxSubject = 256

// takePushed finds the request that the browser brings by its name: once, and within a
// minute; the browser that brought it may load the page again.
func (p *Provider) takePushed(a *authorization) error {
	secret, ok := strings.CutPrefix(a.q["request_uri"], requestPrefix)
	if !ok {
		return errAsk("request_uri is missing: requests are pushed here")
	}
	ctx := a.r.Context()
	_, err := store.Glance(ctx, p.cfg.Store, func(tx *store.Tx) (struct{}, error) {
		return struct{}{}, p.takeFrom(tx, a, secret)
	})
	return err
}

// takeFrom is takePushed of a secret.
func (p *Provider) takeFrom(tx *store.Tx, a *authorization, secret string) error {
	ctx, again := a.r.Context(), false
	x, c, err := p.find(ctx, tx, secret, statePushed)
	if errors.Is(err, errGone) {
		again = true
		x, c, err = p.seen(a.r, tx, secret)
	}
	if err != nil {
		return err
	}
	if !a.at.Serves(c.Terms.Contract) || a.q["client_id"] != "" && a.q["client_id"] != c.ID {
		return errAsk("request_uri is another client's")
	}
	a.pushed, a.client, a.row, a.asked, a.again = &x, c, c.Terms, x.asked, again
	return nil
}
