// Package mailcode proves that a person reads a mail address of the account other than
// the one being recovered: the hub makes a code and sends it there. It knows no SMTP
// and counts no tries.
package mailcode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// A Message is a mail that carries a code.
type Message struct {
	Env      string
	To       []string
	Enroll   bool   // the account is set up, not got back: changes words only
	Language string // BCP 47
	Origin   string // recovery domain
	Code     protocol.Secret
	Until    time.Time // when the code ends
}

// A Sender sends mail. It returns when the mail server has taken the message.
type Sender interface {
	SendCode(ctx context.Context, m Message) error
}

// A Verifier is the method mail_code.
type Verifier struct {
	sender Sender
	keys   func() [][]byte
}

// KeyPurpose is the purpose for which the store derives the keys of the hashes.
const KeyPurpose = "postern/mailcode/v1"

// New returns the method. keys gives the keys of the hashes that stand in the store:
// the first hashes, all are accepted.
func New(sender Sender, keys func() [][]byte) *Verifier {
	return &Verifier{sender, keys}
}

// Method implements verify.Verifier.
func (*Verifier) Method() policy.Method { return policy.MailCode }

// Usable reports whether there is an address to send to.
func (*Verifier) Usable(_ context.Context, s verify.Subject) bool { return len(s.Contacts.Mail) > 0 }

// maxRecipients bounds the addresses of one message.
const maxRecipients = 5

// Open makes a code, to be sent to every private address of the account.
func (v *Verifier) Open(_ context.Context, s verify.Subject) (verify.Challenge, error) {
	to := s.Contacts.Mail[:min(len(s.Contacts.Mail), maxRecipients)]
	if len(to) == 0 {
		return verify.Challenge{}, errors.New("mailcode: the account has no other address")
	}
	code := verify.NewCode()
	m := Message{Env: s.Env, To: to, Enroll: s.Enroll, Language: s.Language, Origin: s.Origin, Code: protocol.NewSecret(code), Until: s.Until}
	c := verify.Challenge{Text: verify.Keyed(v.keys()[0], s.Verification, code)}
	for _, address := range to {
		c.Masked = append(c.Masked, verify.Mask(address))
	}
	c.Send = func(ctx context.Context) ([]string, error) {
		if err := v.sender.SendCode(ctx, m); err != nil {
			return nil, fmt.Errorf("mailcode: send: %w", err)
		}
		return c.Masked, nil
	}
	return c, nil
}

// Check compares the keyed hashes in constant time.
func (v *Verifier) Check(_ context.Context, s verify.Subject, challenge, answer string) (verify.Verdict, error) {
	code := verify.CleanCode(answer)
	return verify.Attested(code != "" && verify.KeyedIs(challenge, v.keys(), s.Verification, code), evidence.TypeMailCode), nil
}
