// Package provider is the method identity_provider: a person signs in at an outside
// OpenID provider, whose signed answer says who they are and is bound to the recovery by
// its nonce. It asks, fetches the answer and has it judged by package evidence; it knows
// no page, and nothing about an account.
package provider

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
)

// ReturnPath is the path of the recovery host that a provider sends people back to.
const ReturnPath = "/provider/return"

// keyPurpose is the purpose for which the store derives the keys of states and PKCE
// verifiers, so that neither stands in the store.
const keyPurpose = "postern/provider/v1"

// ErrNone says that no provider may verify for this directory.
var ErrNone = errors.New("provider: none is set for this directory")

// Config is what the method is made of; every member is needed.
type Config struct {
	Store  *store.Store
	Client *http.Client // goes only where it may, and follows no redirect
	Now    func() time.Time
}

// A Verifier is the method identity_provider. It is safe for use by many goroutines.
type Verifier struct {
	cfg Config

	mu    sync.Mutex
	known map[string]discovered // by issuer
}

// New returns the method.
func New(cfg Config) *Verifier { return &Verifier{cfg: cfg, known: map[string]discovered{}} }

// Method implements verify.Verifier.
func (*Verifier) Method() policy.Method { return policy.IdentityProvider }

// Usable reports whether any provider may verify for the directory, or without one for
// people who answer a request. It depends on nothing else, so it is the same for everybody.
func (v *Verifier) Usable(ctx context.Context, s verify.Subject) bool {
	list, err := v.providers(ctx, s.Env, s.Directory)
	return err == nil && len(list) > 0
}

// configured is one provider of an environment.
type configured struct {
	ID string
	Settings
}

// providers lists those that may verify for a directory, or where there is none for
// people who answer a request.
func (v *Verifier) providers(ctx context.Context, env, directory string) ([]configured, error) {
	rows, err := store.Get(ctx, v.cfg.Store, func(tx *store.Tx) ([]store.IdentityProvider, error) { return tx.IdentityProviders(ctx, env) })
	var list []configured
	for _, row := range rows {
		c := configured{ID: row.ID}
		if err := json.Unmarshal(row.Body, &c.Settings); err != nil {
			return nil, err
		}
		if slices.Contains(c.Directories, directory) || directory == "" && c.Requests {
			list = append(list, c)
		}
	}
	return list, err
}

// Asked is what the page is given: where the person may go.
type Asked struct {
	Exchange  string   `json:"exchange"`
	Nonce     string   `json:"nonce"` // the evidence context
	Providers []Choice `json:"providers"`
}

// A Choice is one provider as the page names it.
type Choice struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Open begins an exchange. Nothing is sent: a provider hears of the person when they go
// there.
func (v *Verifier) Open(ctx context.Context, s verify.Subject) (verify.Challenge, error) {
	if s.Context == (protocol.Context{}) {
		return verify.Challenge{}, errors.New("provider: asked before there is a context")
	}
	list, err := v.providers(ctx, s.Env, s.Directory)
	if err != nil {
		return verify.Challenge{}, err
	}
	if len(list) == 0 {
		return verify.Challenge{}, ErrNone
	}
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	a := Asked{Exchange: base64.RawURLEncoding.EncodeToString(b), Nonce: s.Context.String()}
	for _, p := range list {
		a.Providers = append(a.Providers, Choice{p.ID, p.Name})
	}
	ask, err := json.Marshal(a)
	return verify.Challenge{Text: a.Exchange, Ask: ask}, err
}

// secrets are state and PKCE verifier of one exchange at one provider, for one origin
// and context. They are made from the store's key, so that only the hub can.
func secrets(key []byte, env, exchange, provider, origin, nonce string) (state, verifier string) {
	derive := func(label string) string {
		mac := hmac.New(sha256.New, key)
		for _, part := range []string{label, env, exchange, provider, origin, nonce} {
			mac.Write([]byte(part))
			mac.Write([]byte{0})
		}
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	return derive("state"), derive("pkce")
}
