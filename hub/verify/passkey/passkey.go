// Package passkey proves that a person holds a key that they enrolled under "my recovery
// options": the browser signs the evidence context. It knows no store and counts no
// tries; agents check the same assertion again.
package passkey

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// A Key is a passkey that counts.
type Key struct {
	Factor     string // id
	Credential evidence.Credential
	Roots      policy.Roots // what enrolled it
}

// Keys knows the passkeys of accounts.
type Keys interface {
	// Passkeys returns those of the subject that count now for what is asked.
	Passkeys(ctx context.Context, s verify.Subject) ([]Key, error)
	// Used writes down that one was used.
	Used(ctx context.Context, s verify.Subject, factor string) error
}

// A Verifier is the method passkey.
type Verifier struct{ keys Keys }

// New returns the method.
func New(keys Keys) *Verifier { return &Verifier{keys} }

// Method implements verify.Verifier.
func (*Verifier) Method() policy.Method { return policy.Passkey }

// Usable reports whether the person has a key that counts. What cannot be read now is
// offered: a person who has none then sees that it does not work, and another method.
func (v *Verifier) Usable(ctx context.Context, s verify.Subject) bool {
	keys, err := v.keys.Passkeys(ctx, s)
	return err != nil || len(keys) > 0
}

// timeout is how long a browser waits for the person, in milliseconds.
const timeout = 5 * 60 * 1000

// request is what the page's script gives to navigator.credentials.get: the members of
// PublicKeyCredentialRequestOptionsJSON (WebAuthn Level 3, section 5.5).
type request struct {
	Challenge        string   `json:"challenge"`
	RPID             string   `json:"rpId"`
	Timeout          int      `json:"timeout"`
	UserVerification string   `json:"userVerification"`
	AllowCredentials []string `json:"allowCredentials"` // always empty: a list would tell who has keys (T30)
}

// Open asks for any key of this recovery domain over the context. Nothing of it depends
// on the account.
func (v *Verifier) Open(_ context.Context, s verify.Subject) (verify.Challenge, error) {
	ask, err := json.Marshal(request{
		Challenge: base64.RawURLEncoding.EncodeToString(s.Context[:]), RPID: s.RPID, Timeout: timeout,
		UserVerification: "required", AllowCredentials: []string{},
	})
	return verify.Challenge{Text: s.Context.String(), Ask: ask}, err
}

// Check verifies the assertion against the key of the account that it names.
func (v *Verifier) Check(ctx context.Context, s verify.Subject, challenge, answer string) (verify.Verdict, error) {
	if challenge != s.Context.String() || s.Context == (protocol.Context{}) {
		return verify.Verdict{Reason: "the challenge is not the context"}, nil
	}
	raw := []byte(answer)
	a, err := evidence.ParseAssertion(raw)
	if err != nil {
		return verify.Verdict{Reason: err.Error()}, nil
	}
	keys, err := v.keys.Passkeys(ctx, s)
	if err != nil {
		return verify.Verdict{}, fmt.Errorf("passkey: %w", err)
	}
	for _, k := range keys {
		if !bytes.Equal(k.Credential.ID, a.Credential) {
			continue
		}
		if err := evidence.CheckPasskey(raw, k.Credential, s.Context, evidence.Anchors{Origins: []string{s.Origin}}); err != nil {
			return verify.Verdict{Reason: err.Error()}, nil
		}
		right := verify.Verdict{Right: true, Evidence: []protocol.Evidence{{Type: evidence.TypePasskey, Raw: raw}}}
		return right.By(k.Factor, k.Roots), v.keys.Used(ctx, s, k.Factor)
	}
	return verify.Verdict{Reason: "not a key of this account that counts"}, nil
}
