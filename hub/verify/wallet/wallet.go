// Package wallet is the method digital_credential: a person presents a signed document
// from a wallet by OpenID4VP 1.0, through the browser's Digital Credentials API or by a
// redirect on the phone. It makes requests, takes what wallets answer and hands it to
// package evidence; it knows no page and decides nothing about an account.
package wallet

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Paths of the recovery host that wallets call; an unguessable id follows each.
const (
	RequestPath = "/wallet/request/"
	AnswerPath  = "/wallet/answer/"
	ReturnPath  = "/wallet/return" // where a wallet sends the person back to
)

// requestLife is how long a signed request may be answered (OpenID4VP 14.1 wants it
// short).
const requestLife = 5 * time.Minute

// Protocols of the Digital Credentials API (OpenID4VP A.1).
const (
	protocolSigned   = "openid4vp-v1-signed"
	protocolUnsigned = "openid4vp-v1-unsigned"
)

// Config is what the method is made of; Link and Client may be empty.
type Config struct {
	Store  *store.Store
	Now    func() time.Time
	Link   string       // address of the wallet app, to which parameters are added; "": DefaultLink
	Lists  *Lists       // of authorities; nil: its own
	Client *http.Client // reads status lists: goes nowhere inside that the operator did not allow, follows no redirect; nil: none can be read
}

// DefaultLink is the scheme by which every wallet of a device may be asked (OpenID4VP
// 13.1.2).
const DefaultLink = "openid4vp://"

// A Verifier is the method digital_credential.
type Verifier struct {
	store    *store.Store
	now      func() time.Time
	link     string
	lists    *Lists
	statuses *statusLists
}

// New returns the method.
func New(cfg Config) *Verifier {
	statuses := &statusLists{client: cfg.Client, now: cfg.Now, kept: map[listKey]keptList{}}
	return &Verifier{cfg.Store, cfg.Now, cmp.Or(cfg.Link, DefaultLink), cmp.Or(cfg.Lists, NewLists(cfg.Now)), statuses}
}

// Method implements verify.Verifier.
func (*Verifier) Method() policy.Method { return policy.DigitalCredential }

// Usable reports whether the environment trusts any authority. It depends on nothing
// else, so it is the same for everybody.
func (v *Verifier) Usable(ctx context.Context, s verify.Subject) bool {
	trust, err := v.lists.trust(ctx, v.store, s.Env)
	return err == nil && len(trust.Anchors()) > 0
}

// asked is what the page's script is given.
type asked struct {
	Digital []browserRequest `json:"digital"` // for navigator.credentials.get
	Link    string           `json:"link"`    // for a wallet on this device
}

type browserRequest struct {
	Protocol string `json:"protocol"`
	Data     any    `json:"data"`
}

// secret is what an exchange keeps for itself, sealed.
type secret struct {
	Key     []byte           `json:"key"` // P-256, to which the wallet encrypts
	State   string           `json:"state"`
	Origin  string           `json:"origin"`
	Context protocol.Context `json:"context"`
	Photo   bool             `json:"photo"`
	Home    bool             `json:"home,omitempty"`
	Until   time.Time        `json:"until"`
	Kinds   []string         `json:"kinds"` // that are asked for
}

// Open makes a request with a fresh key for both ways. The challenge only names the
// exchange: its secret is sealed in a row of its own.
func (v *Verifier) Open(ctx context.Context, s verify.Subject) (verify.Challenge, error) {
	if s.Context == (protocol.Context{}) {
		return verify.Challenge{}, errors.New("wallet: asked before there is a context")
	}
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return verify.Challenge{}, err
	}
	until := v.now().Add(requestLife)
	if s.Until.Before(until) {
		until = s.Until
	}
	kinds, err := v.kinds(ctx, s.Env)
	if err != nil {
		return verify.Challenge{}, err
	}
	private := secret{key.Bytes(), unguessable(), s.Origin, s.Context, s.Strength == policy.Photo, s.Home, until, kinds}
	sealed, err := json.Marshal(private)
	if err != nil {
		return verify.Challenge{}, err
	}
	e := store.WalletExchange{Env: s.Env, ID: unguessable(), Request: unguessable(), Verification: s.Verification, Private: sealed, ExpiresAt: until}
	if err := v.store.Tx(ctx, func(tx *store.Tx) error { return tx.OpenWalletExchange(ctx, e) }); err != nil {
		return verify.Challenge{}, err
	}
	ask, err := v.ask(ctx, s, private, e.Request)
	return verify.Challenge{Text: e.ID, Ask: ask}, err
}

// ask writes the requests for browser and phone.
func (v *Verifier) ask(ctx context.Context, s verify.Subject, private secret, request string) (json.RawMessage, error) {
	by, err := v.signer(ctx, s.Env, s.RPID)
	if err != nil {
		return nil, err
	}
	unsigned, err := private.request(evidence.TransportDCAPI, "")
	if err != nil {
		return nil, err
	}
	named, err := private.request(evidence.TransportDCAPI, "")
	if err != nil {
		return nil, err
	}
	named["client_id"], named["expected_origins"] = evidence.ClientID(s.Origin), []string{s.Origin}
	signed, err := by.sign(named, v.now(), private.Until)
	if err != nil {
		return nil, err
	}
	return json.Marshal(asked{
		Digital: []browserRequest{{protocolSigned, map[string]string{"request": signed}}, {protocolUnsigned, unsigned}},
		Link: v.link + "?" + url.Values{
			"client_id": {evidence.ClientID(s.Origin)}, "request_uri": {s.Origin + RequestPath + request}, "request_uri_method": {"post"},
		}.Encode(),
	})
}

// unguessable returns 256 random bits in base64url.
func unguessable() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
