package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// States of an exchange, as persisted. The diagram stands in doc.go.
const (
	statePushed   = "pushed"
	stateAsked    = "asked"
	stateClaimed  = "claimed" // a phone has read the picture
	stateAgreed   = "agreed"  // its code was typed
	stateProving  = "proving"
	stateAnswered = "answered"
	stateCode     = "code"
	stateSpent    = "spent"
	stateRevoked  = "revoked"
)

// Times of an exchange.
const (
	pushedLife   = time.Minute      // of a request_uri
	exchangeLife = 15 * time.Minute // from the request to the answer; Entra ID and Okta give up after ten
	codeLife     = time.Minute
	answerLife   = 15 * time.Minute // of an answer for the browser that shows the picture, whose computer may sleep while a phone proves
	tokenLife    = 5 * time.Minute  // of an id_token and an access token
	keepUsed     = time.Hour        // what a second use of a code is told from an unknown one by
)

// asked is what a client asks and what it is answered: the private part of an exchange.
type asked struct {
	Redirect  string   `json:"redirect"`
	Echoed    string   `json:"state"` // state of the request
	Nonce     string   `json:"nonce,omitempty"`
	Mode      string   `json:"mode,omitempty"`      // response_mode
	Challenge string   `json:"challenge,omitempty"` // of PKCE
	Clear     bool     `json:"clear,omitempty"`     // and it is the verifier itself
	Subject   string   `json:"subject,omitempty"`   // sub of the answer, where the client names it
	User      string   `json:"user,omitempty"`      // preferred_username of the answer
	Account   string   `json:"account,omitempty"`   // immutable id; "" nobody
	Hint      string   `json:"hint,omitempty"`      // how the client named the account
	ACR       []string `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	Wanted    *wanted  `json:"wanted,omitempty"` // verified_claims
	Pushed    string   `json:"pushed,omitempty"` // hash of the request_uri that began it
	Use       string   `json:"use,omitempty"`    // the proof of who somebody is: there is one from the state proving on
	Plain     *plain   `json:"plain,omitempty"`  // what an application asks
	Device    string   `json:"device,omitempty"` // User-Agent of the browser that began
	Framed    bool     `json:"framed,omitempty"` // its page stands in a frame of the client
	Theme     string   `json:"theme,omitempty"`  // colour that it has there
	Turn      int      `json:"turn,omitempty"`   // phones that were turned away
	Phone     *phone   `json:"phone,omitempty"`
	Declined  bool     `json:"declined,omitempty"` // by cancelling, there or on the phone
	Answer    *answer  `json:"answer,omitempty"`
}

// An answer is what came of it.
type answer struct {
	Error    string          `json:"error,omitempty"` // of RFC 6749 4.1.2.1; "": it was proven
	ACR      string          `json:"acr,omitempty"`
	AMR      string          `json:"amr,omitempty"`
	At       time.Time       `json:"at"`
	Proven   []policy.Method `json:"proven,omitempty"`
	Person   string          `json:"person,omitempty"` // row id of the account, for the log
	Strict   bool            `json:"strict,omitempty"`
	Recovery string          `json:"recovery,omitempty"`
	Verified *verified       `json:"verified,omitempty"`
	Told     *told           `json:"told,omitempty"`
}

// An exchange is one sign-in with what it is about.
type exchange struct {
	store.OIDCExchange
	asked
}

// errGone says that a secret is unknown, used or too old. Nobody is told which.
var errGone = errors.New("oidc: unknown, used or expired")

func exchangeOf(e store.OIDCExchange) (exchange, error) {
	x := exchange{OIDCExchange: e}
	if known, ok := e.Meaning.(asked); ok {
		x.asked = known
		return x, nil
	}
	if err := json.Unmarshal(e.Private, &x.asked); err != nil {
		return x, fmt.Errorf("oidc: an exchange cannot be read: %w", err)
	}
	x.Meaning, x.About = x.asked, x.about()
	return x, nil
}

// about is whom x says something of; "": of nobody.
func (x *exchange) about() string {
	if x.Answer == nil || x.Answer.Told == nil {
		return ""
	}
	return x.Answer.Told.Person
}

// say makes what x is about that what its row holds. What it points to is not changed any
// more: others go on from it.
func (x *exchange) say() {
	x.Private, x.Meaning, x.About = nil, x.asked, x.about()
}

// maxSecret bounds a secret of an exchange, in bytes.
const maxSecret = 128

// newSecret makes a secret of an exchange, which begins with its id.
func newSecret(id string) string { return id + "." + store.NewToken() }

// parseSecret returns the exchange that a secret is of, and what is kept of the secret.
func parseSecret(secret string) (id, hash string, err error) {
	id, _, ok := strings.Cut(secret, ".")
	if !ok || len(secret) > maxSecret {
		return "", "", errGone
	}
	return id, store.HashToken(secret), nil
}

// lives returns how long somebody may take for an exchange of the client, and how long
// its tokens are good.
func lives(c party.Party) (asked, tokens time.Duration) {
	if c.Terms.Contract == party.OpenID {
		return request.Life, openIDTokenLife
	}
	return exchangeLife, tokenLife
}

// find returns the exchange of a secret in a state, with its client.
func (p *Provider) find(ctx context.Context, tx *store.Tx, secret, state string) (exchange, party.Party, error) {
	row, asker, err := keptOf(ctx, tx, secret)
	if err != nil {
		return exchange{}, party.Party{}, err
	}
	return p.understood(row, asker, state)
}

// keptOf returns the row of a secret, and that of its client.
func keptOf(ctx context.Context, tx *store.Tx, secret string) (store.OIDCExchange, store.OIDCParty, error) {
	id, hash, err := parseSecret(secret)
	if err != nil {
		return store.OIDCExchange{}, store.OIDCParty{}, err
	}
	row, asker, err := tx.OIDCExchangeOf(ctx, id, hash)
	if errors.Is(err, store.ErrNotFound) {
		err = errGone
	}
	return row, asker, err
}

// named is find by the name of an exchange. store.ErrNotFound says that there is none.
func (p *Provider) named(ctx context.Context, tx *store.Tx, env, id, state string) (exchange, party.Party, error) {
	row, asker, err := tx.OIDCExchangeWith(ctx, env, id)
	if err != nil {
		return exchange{}, party.Party{}, err
	}
	return p.understood(row, asker, state)
}

// read returns an exchange that is in a state and has not ended, for somebody who writes
// nothing: nothing of whoever was erased meanwhile is told, see known.
func (p *Provider) read(ctx context.Context, tx *store.Tx, row store.OIDCExchange, state string) (exchange, party.Party, error) {
	asker, err := tx.OIDCParty(ctx, row.Env, row.Client)
	if err != nil {
		return exchange{OIDCExchange: row}, party.Party{}, err
	}
	x, c, err := p.understood(row, asker, state)
	if err == nil {
		err = x.known(ctx, tx)
	}
	return x, c, err
}

// understood is an exchange of rows that are there. Whether whoever proved something was
// erased is decided where it is saved, see exchange.say.
func (p *Provider) understood(row store.OIDCExchange, asker store.OIDCParty, state string) (x exchange, c party.Party, err error) {
	if x, err = exchangeOf(row); err != nil {
		return x, c, err
	}
	if c, err = p.parsed.party(asker); err == nil && (row.State != state || !row.ExpiresAt.After(p.cfg.Now())) {
		err = errGone
	}
	return x, c, err
}

// known returns errGone if whoever proved something was erased meanwhile: what an
// exchange keeps of them is told to nobody any more.
func (x exchange) known(ctx context.Context, tx *store.Tx) error {
	if x.About == "" {
		return nil
	}
	p, err := tx.Person(ctx, x.Env, x.About)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err == nil && !p.ErasedAt.IsZero():
		return errGone
	}
	return err
}

// save writes x in its next state, with a new secret by which alone it goes on.
func (p *Provider) save(ctx context.Context, tx *store.Tx, x *exchange, state string, life time.Duration) (secret string, err error) {
	x.say()
	return p.move(ctx, tx, x, state, life)
}

// move is save of x that is about the same as before.
func (p *Provider) move(ctx context.Context, tx *store.Tx, x *exchange, state string, life time.Duration) (secret string, err error) {
	secret = newSecret(x.ID)
	x.State, x.Secret = state, store.HashToken(secret)
	if life > 0 {
		x.ExpiresAt = p.cfg.Now().Add(life)
	}
	err = tx.SaveOIDCExchange(ctx, &x.OIDCExchange)
	if errors.Is(err, store.ErrConflict) { // somebody else was faster
		err = errGone
	}
	return secret, err
}

// begin writes an exchange in its first state, and returns the secret by which it goes on.
func (p *Provider) begin(ctx context.Context, tx *store.Tx, c party.Party, a asked, state, browser string, life time.Duration) (exchange, string, error) {
	id := store.NewSortedID(p.cfg.Now())
	secret := newSecret(id)
	if c.Terms.People {
		a.Use = request.NewUse()
	}
	x := exchange{OIDCExchange: store.OIDCExchange{Env: c.Env, ID: id, Client: c.ID, State: state, Secret: store.HashToken(secret), Browser: browser,
		ExpiresAt: p.cfg.Now().Add(life)}, asked: a}
	x.say()
	return x, secret, tx.AddOIDCExchange(ctx, &x.OIDCExchange)
}
