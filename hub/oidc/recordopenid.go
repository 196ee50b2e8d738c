package oidc

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// authorizeRecord is the wire types AuthorizeRequest and PushedAuthorizationRequest in the
// log, and with a request_uri alone AuthorizeV2Request.
type authorizeRecord struct {
	RequestURI   string   `json:"request_uri,omitempty"`
	Claim        []string `json:"claim,omitempty"`
	ClientID     string   `json:"client_id,omitempty"`
	ClientSecret string   `json:"client_secret,omitempty"`
	Challenge    string   `json:"code_challenge,omitempty"`
	Method       string   `json:"code_challenge_method,omitempty"`
	EmailHint    string   `json:"email_hint,omitempty"`
	Expiry       int      `json:"expiry_seconds,omitempty"`
	Redirect     string   `json:"redirect_uri,omitempty"`
	Mode         string   `json:"response_mode,omitempty"`
	Type         string   `json:"response_type,omitempty"`
	Return       string   `json:"return,omitempty"`
	Scope        []string `json:"scope,omitempty"`
	State        string   `json:"state"`
	Template     string   `json:"template,omitempty"`
	Claims       string   `json:"claims,omitempty"`
	Label        string   `json:"label,omitempty"`
}

// authorizeReply is the wire type AuthorizeResponse in the log.
type authorizeReply struct {
	Error    string `json:"error_message,omitempty"`
	Redirect string `json:"redirect_uri,omitempty"`
	Env      string `json:"env_name,omitempty"`
	Request  string `json:"request,omitempty"`
	Return   string `json:"return"`
}

// answerRecord is a record of an application's authorization. Members below Response are
// ours.
type answerRecord struct {
	Directory string         `json:"directory,omitempty"`
	Request   any            `json:"request"`
	Response  any            `json:"response"`
	Contract  party.Contract `json:"contract"`
	Client    string         `json:"oidc_client"`
	Subject   string         `json:"subject,omitempty"`
	Claims    []string       `json:"claims,omitempty"`
	Strength  string         `json:"binding_strength,omitempty"`
	Failure   string         `json:"failure_reason,omitempty"`
	Strict    bool           `json:"strict_account,omitempty"` // an account that the agent lets nobody into on the hub's word (T11)
	Allowed   bool           `json:"strict_allowed,omitempty"` // and an administrator allowed it for this client
}

// recordOf leaves out what is secret or names a person.
func recordOf(c party.Party, q params) authorizeRecord {
	expiry, _ := strconv.Atoi(q["expiry_seconds"])
	return authorizeRecord{
		Claim: words(q["claim"]), ClientID: c.ID, ClientSecret: hidden(q["client_secret"] + q["client_assertion"]), Challenge: hidden(q["code_challenge"]),
		Method: short(q["code_challenge_method"]), EmailHint: hidden(q["email_hint"]), Expiry: expiry, Redirect: short(q["redirect_uri"]), Mode: short(q["response_mode"]),
		Type: short(q["response_type"]), Return: short(q["return"]), Scope: words(q["scope"]), State: short(q["state"]), Template: short(q["template"]),
		Claims: hidden(q["claims"]), Label: hidden(q["label"]), // they may name a person; what was asked for stands beside
	}
}

func words(text string) []string { return slices.Clip(strings.Fields(short(text))) }

// how returns kind and request of a browser's authorization: by a pushed request, or by
// its own parameters.
func (a *authorization) how() (audit.Kind, authorizeRecord) {
	if a.q["request_uri"] != "" {
		return audit.OAuth2V2Authorize, authorizeRecord{RequestURI: redacted, ClientID: a.client.ID, State: short(a.asked.Echoed)}
	}
	return audit.OAuth2Authorize, recordOf(a.client, a.q)
}

// recordBegun writes that a browser was sent to the recovery domain.
func (p *Provider) recordBegun(ctx context.Context, tx *store.Tx, a *authorization, x exchange) error {
	kind, asks := a.how()
	e := p.event(a.client, kind, x.ID, a.r, answerRecord{Directory: a.client.Directory, Contract: party.OpenID, Client: a.client.ID, Request: asks,
		Response: authorizeReply{Env: a.client.Settings.Name, Request: x.ID}})
	if x.Plain != nil {
		e.Personal = map[string]string{"hint": short(x.Plain.Email)}
	}
	return audit.Append(ctx, tx, e)
}

// recordTurnedBack writes that a request was sent back.
func (p *Provider) recordTurnedBack(ctx context.Context, tx *store.Tx, a *authorization, e *oauthError) error {
	kind, asks := a.how()
	return audit.Append(ctx, tx, p.event(a.client, kind, store.NewID(), a.r, answerRecord{Directory: a.client.Directory, Contract: party.OpenID, Client: a.client.ID, Request: asks,
		Response: authorizeReply{Error: e.Code, Redirect: a.asked.Redirect}}))
}

// recordAnswered writes what came of a proof: nothing, or a code.
func (p *Provider) recordAnswered(ctx context.Context, tx *store.Tx, c party.Party, x exchange) error {
	t := x.Answer.Told
	if t == nil {
		return audit.Append(ctx, tx, p.event(c, audit.OAuth2RequestCanceled, x.ID, nil, map[string]any{"request": x.ID, "oidc_client": c.ID, "error": x.Answer.Error}))
	}
	kind, asks := audit.OAuth2Authorize, authorizeRecord{ClientID: c.ID, Redirect: x.Redirect, State: short(x.Echoed)}
	if x.Pushed != "" {
		kind, asks.RequestURI = audit.OAuth2V2Authorize, redacted
	}
	e := p.event(c, kind, x.ID, nil, answerRecord{Directory: c.Directory, Contract: party.OpenID, Client: c.ID, Request: asks,
		Response: authorizeReply{Redirect: x.Redirect, Env: c.Settings.Name, Request: x.ID}, Subject: t.Subject, Claims: words(t.names()),
		Strength: t.Strength, Failure: t.Failure, Strict: t.Strict, Allowed: t.Strict && c.Settings.AllowStrict})
	t.concern(&e)
	return audit.Append(ctx, tx, e)
}

// concern says whom an event is about.
func (t *told) concern(e *audit.Event) {
	if e.Account = t.Account; e.Account == "" {
		e.Person = t.Person
	}
}

// pushedReply is the wire type PushedAuthorizationResponse in the log.
type pushedReply struct {
	RequestURI string `json:"request_uri"`
	Expires    int    `json:"expires_in"`
}

// recordPushed writes that a client pushed a request.
func (p *Provider) recordPushed(ctx context.Context, tx *store.Tx, r *http.Request, c party.Party, x exchange, q params, life time.Duration) error {
	asks := recordOf(c, q)
	asks.ClientSecret = redacted // in the header as well
	if c.Terms.Contract != party.OpenID {
		asks.Claims = hidden(asks.Claims)
	}
	e := p.event(c, audit.OAuth2PushedAuthorization, x.ID, r, answerRecord{Directory: c.Directory, Contract: c.Terms.Contract, Client: c.ID, Request: asks, Response: pushedReply{redacted, int(life.Seconds())}})
	e.Personal = map[string]string{"hint": short(x.Hint)}
	if x.Plain != nil {
		e.Personal = map[string]string{"hint": short(x.Plain.Email)}
	}
	return audit.Append(ctx, tx, e)
}

// tokenRecord is the wire type TokenRequest in the log.
type tokenRecord struct {
	Grant    string `json:"grant_type"`
	ClientID string `json:"client_id"`
	Secret   string `json:"client_secret"`
	Redirect string `json:"redirect_uri"`
	Code     string `json:"code"`
	Verifier string `json:"code_verifier,omitempty"`
}

// tokenGiven is the wire type TokenResponse in the log.
type tokenGiven struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Scope   string `json:"scope"`
	Claims  string `json:"claims"`
	Expires int    `json:"expires_in"`
	Type    string `json:"token_type"`
	Subject string `json:"subject"`
}

// recordToken writes that a code was redeemed. The subject is in it where it means
// nothing to anybody else.
func (p *Provider) recordToken(ctx context.Context, tx *store.Tx, c party.Party, x exchange, reply tokenReply) error {
	d := answerRecord{Directory: c.Directory, Contract: c.Terms.Contract, Client: c.ID,
		Request: tokenRecord{Grant: "authorization_code", ClientID: c.ID, Secret: redacted, Redirect: x.Redirect, Code: redacted, Verifier: hidden(x.Challenge)}}
	given := tokenGiven{Access: redacted, ID: redacted, Scope: reply.Scope, Claims: reply.Claims, Expires: reply.ExpiresIn, Type: reply.TokenType}
	e := p.event(c, audit.OAuth2Token, x.ID, nil, nil)
	e.Account = x.Answer.Person
	if t := x.Answer.Told; t != nil {
		given.Subject, d.Strict, d.Allowed = t.Subject, t.Strict, t.Strict && c.Settings.AllowStrict
		t.concern(&e)
	}
	d.Response = given
	e.Detail = d
	return audit.Append(ctx, tx, e)
}

// recordReused writes that a code came twice, and that what it gave was taken back.
func (p *Provider) recordReused(ctx context.Context, tx *store.Tx, c party.Party, exchange string) error {
	return audit.Append(ctx, tx, p.event(c, audit.OAuth2Token, exchange, nil, answerRecord{Contract: c.Terms.Contract, Client: c.ID, Failure: "code_used_twice",
		Request: tokenRecord{Grant: "authorization_code", ClientID: c.ID, Secret: redacted, Code: redacted}, Response: struct {
			Error string `json:"error"`
		}{"invalid_grant"}}))
}
