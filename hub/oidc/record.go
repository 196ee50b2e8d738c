package oidc

import (
	"context"
	"net/http"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
)

// redacted stands in the log for a token, a code or a secret.
const redacted = "REDACTED"

// maxLogged bounds one member of a record, in bytes: what a client sends may be long.
const maxLogged = 512

func short(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxLogged)], "") }

func hidden(s string) string {
	if s == "" {
		return ""
	}
	return redacted
}

// asksRecord is the request of an authorization in the log: what those of the public
// reference have in common.
type asksRecord struct {
	Claims       string `json:"claims"`
	ClientID     string `json:"client_id"`
	RedirectURI  string `json:"redirect_uri"`
	ResponseType string `json:"response_type"`
	Scope        string `json:"scope"`
	State        string `json:"state"`
}

// entraRecord is the wire type EntraEamAuthorizeRequest in the log: all of it is always there.
type entraRecord struct {
	asksRecord
	ClientRequestID string `json:"client_request_id"`
	IDTokenHint     string `json:"id_token_hint"`
	Nonce           string `json:"nonce"`
	ResponseMode    string `json:"response_mode"`
}

// oktaRecord is the wire type OktaEamAuthorizeRequest in the log. Members below LoginHint
// are ours.
type oktaRecord struct {
	asksRecord
	LoginHint    string `json:"login_hint"`
	Nonce        string `json:"nonce,omitempty"`
	ResponseMode string `json:"response_mode,omitempty"`
}

// asksReply is the response of an authorization in the log.
type asksReply struct {
	ClientID string `json:"oauth2_client_id"`
	Redirect string `json:"oauth2_redirect_uri"`
	Server   string `json:"oauth2_server"`
	Template string `json:"oauth2_template"`
	State    string `json:"state"`
}

// finishRecord is the request of a finish in the log.
type finishRecord struct {
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
	State string `json:"state"`
}

// finishReply is the response of a finish in the log.
type finishReply struct {
	BindingFailed  bool   `json:"binding_failed,omitempty"`
	Code           string `json:"code,omitempty"`
	Error          string `json:"error,omitempty"`
	IDToken        string `json:"id_token,omitempty"`
	State          string `json:"oauth2_state,omitempty"`
	Redirect       string `json:"redirect_uri,omitempty"`
	RequestTimeout bool   `json:"request_timeout,omitempty"`
}

// record is a record of either kind. Members below Response are ours.
type record struct {
	Directory string          `json:"directory"`
	Request   any             `json:"request"`
	Response  any             `json:"response"`
	Contract  party.Contract  `json:"contract"`
	Recovery  string          `json:"recovery,omitempty"`
	Methods   []policy.Method `json:"methods,omitempty"`
	ACR       string          `json:"acr,omitempty"`
	AMR       string          `json:"amr,omitempty"`
	Strict    bool            `json:"strict_account,omitempty"` // an account that the agent lets nobody into on the hub's word (T11)
}

func (p *Provider) event(c party.Party, kind audit.Kind, trace string, r *http.Request, d any) audit.Event {
	e := audit.Event{Org: c.Org.ID, Env: c.Env, Kind: kind, Trace: trace, Detail: d}
	if r != nil {
		e.RemoteAddr, e.UserAgent = addressOf(r), short(r.UserAgent())
	}
	return e
}

// recordAsked writes that a browser was sent to the recovery domain.
func (p *Provider) recordAsked(ctx context.Context, tx *store.Tx, a *authorization, x exchange) error {
	if a.row.Contract == party.OpenID {
		return p.recordBegun(ctx, tx, a, x)
	}
	d := record{Directory: a.client.Directory, Contract: a.row.Contract, Request: a.record(), Response: asksReply{
		ClientID: a.client.ID, Redirect: x.Redirect, Server: p.issuer(a.row), State: x.ID,
	}}
	if a.row.Contract == party.OktaIDV {
		d.Response = authorizeReply{Env: a.client.Settings.Name, Request: x.ID}
	}
	e := p.event(a.client, a.row.Authorize, x.ID, a.r, d)
	e.Personal = map[string]string{"hint": short(a.asked.Hint)}
	return audit.Append(ctx, tx, e)
}

// record leaves out what is or may name a person: the hint stands among the personal
// members.
func (a *authorization) record() any {
	uri, _ := a.q.redirect()
	if uri == "" {
		uri = a.asked.Redirect
	}
	asks := asksRecord{Claims: short(a.q["claims"]), ClientID: a.client.ID, RedirectURI: short(uri), ResponseType: short(a.q["response_type"]), Scope: short(a.q["scope"]), State: short(a.q["state"])}
	switch a.row.Contract {
	case party.EntraEAM:
		return entraRecord{asks, short(a.q["client-request-id"]), hidden(a.q["id_token_hint"]), short(a.q["nonce"]), short(a.q["response_mode"])}
	case party.OktaEAM:
		return oktaRecord{asks, hidden(a.q["login_hint"]), short(a.q["nonce"]), short(a.q["response_mode"])}
	}
	return authorizeRecord{RequestURI: hidden(a.q["request_uri"]), ClientID: a.client.ID, Redirect: short(uri), State: short(a.asked.Echoed)}
}

// recordRefused writes that a request was sent back unanswered.
func (p *Provider) recordRefused(ctx context.Context, tx *store.Tx, a *authorization, e *oauthError) error {
	if a.row.Contract == party.OpenID {
		return p.recordTurnedBack(ctx, tx, a, e)
	}
	d := record{Directory: a.client.Directory, Contract: a.row.Contract, Request: finishRecord{Error: e.Code, State: short(a.asked.Echoed)},
		Response: finishReply{Error: e.Code, State: short(a.asked.Echoed), Redirect: a.asked.Redirect}}
	if a.row.Contract == party.OktaIDV {
		d.Request, d.Response = a.record(), authorizeReply{Error: e.Code, Redirect: a.asked.Redirect}
	}
	return audit.Append(ctx, tx, p.event(a.client, a.row.Finish, store.NewID(), a.r, d))
}

// recordFinished writes what a client was answered. given names what it got.
func (p *Provider) recordFinished(ctx context.Context, tx *store.Tx, c party.Party, x exchange, given string) error {
	if c.Terms.Contract == party.OpenID {
		return p.recordAnswered(ctx, tx, c, x)
	}
	reply := finishReply{BindingFailed: x.Answer.Error != "", Error: x.Answer.Error, State: short(x.Echoed), Redirect: x.Redirect}
	switch given {
	case "code":
		reply.Code = redacted
	case "id_token":
		reply.IDToken = redacted
	}
	d := record{Directory: c.Directory, Contract: c.Terms.Contract, Request: finishRecord{Code: redacted, Error: x.Answer.Error, State: x.ID}, Response: reply,
		Recovery: x.Answer.Recovery, Methods: x.Answer.Proven, ACR: x.Answer.ACR, AMR: x.Answer.AMR, Strict: x.Answer.Strict}
	if c.Terms.Contract == party.OktaIDV {
		d.Request = authorizeRecord{RequestURI: redacted, ClientID: c.ID, Redirect: x.Redirect, State: short(x.Echoed)}
		d.Response = authorizeReply{Error: x.Answer.Error, Redirect: x.Redirect, Env: c.Settings.Name, Request: x.ID}
	}
	e := p.event(c, c.Terms.Finish, x.ID, nil, d)
	e.Account = x.Answer.Person
	return audit.Append(ctx, tx, e)
}
