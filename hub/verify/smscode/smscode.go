// Package smscode proves that a person reads the text messages of a phone that the
// directory knows, or that they confirmed themselves: the hub makes a code and gives it
// to the service that the environment named. It knows no phone company, and counts
// messages, never tries.
package smscode

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Numbers of the method (NIST SP 800-63B-4, section 3.2.9 and 3.1.3.3).
const (
	codeLife  = 10 * time.Minute
	maxPhones = 2 // that one code goes to: each message costs money
)

// KeyPurpose is the purpose for which the store derives the keys of the hashes.
const KeyPurpose = "postern/smscode/v1"

// A Verifier is the method sms_code.
type Verifier struct {
	route  *Route
	second bool // it is asked for after a first code, for this one operation
}

// New returns the method, which sends over route.
func New(route *Route) *Verifier { return &Verifier{route: route} }

// NewConfirmation returns the method sms_confirm: a second code after sms_code. The first
// lets people begin, the second lets this one operation go ahead.
func NewConfirmation(route *Route) *Verifier { return &Verifier{route, true} }

// Method implements verify.Verifier.
func (v *Verifier) Method() policy.Method {
	if v.second {
		return policy.SMSConfirm
	}
	return policy.SMSCode
}

// Usable reports whether there is a phone that may be written to.
func (v *Verifier) Usable(ctx context.Context, s verify.Subject) bool {
	phones, err := v.phones(ctx, s)
	return err == nil && len(phones) > 0
}

// phones are the subject's, in canonical form, as far as the environment writes to them.
func (v *Verifier) phones(ctx context.Context, s verify.Subject) ([]Number, error) {
	settings, err := v.route.Settings(ctx, s.Env)
	if err != nil {
		return nil, err
	}
	var all []Number
	for _, text := range s.Contacts.Phone {
		n, err := settings.Number(text)
		if err == nil && !slices.Contains(all, n) && len(all) < maxPhones {
			all = append(all, n)
		}
	}
	return all, nil
}

// Open makes a code, to be sent to the phones of the account.
func (v *Verifier) Open(ctx context.Context, s verify.Subject) (verify.Challenge, error) {
	phones, err := v.phones(ctx, s)
	if err != nil {
		return verify.Challenge{}, err
	}
	if len(phones) == 0 {
		return verify.Challenge{}, ErrNumber
	}
	code := verify.NewCode()
	until := v.route.now().Add(codeLife)
	if s.Until.Before(until) {
		until = s.Until
	}
	c := verify.Challenge{Text: verify.Keyed(v.route.keys()[0], v.place(s), code) + "." + strconv.FormatInt(until.Unix(), 10)}
	for _, p := range phones {
		c.Masked = append(c.Masked, p.Mask())
	}
	c.Send = func(ctx context.Context) ([]string, error) {
		return v.send(ctx, phones, Message{
			Env: s.Env, Account: s.Directory + "/" + s.Account, Client: s.Client, Enroll: s.Enroll, Second: v.second,
			Language: s.Language, Origin: s.Origin, Code: protocol.NewSecret(code), Until: until,
		})
	}
	return c, nil
}

// send sends to each phone; one that was reached is enough.
func (v *Verifier) send(ctx context.Context, phones []Number, m Message) (masked []string, err error) {
	var errs []error
	for _, p := range phones {
		m.To = p.E164
		if err := v.route.Send(ctx, m); err != nil {
			errs = append(errs, err)
			continue
		}
		masked = append(masked, p.Mask())
	}
	if len(masked) == 0 {
		return nil, errors.Join(errs...)
	}
	return masked, nil
}

// Check compares the keyed hashes in constant time.
func (v *Verifier) Check(_ context.Context, s verify.Subject, challenge, answer string) (verify.Verdict, error) {
	hash, end, _ := strings.Cut(challenge, ".")
	until, err := strconv.ParseInt(end, 10, 64)
	if err != nil || !v.route.now().Before(time.Unix(until, 0)) {
		return verify.Verdict{Reason: "the code has ended"}, nil
	}
	code := verify.CleanCode(answer)
	return verify.Attested(code != "" && verify.KeyedIs(hash, v.route.keys(), v.place(s), code), evidence.TypeSMSCode), nil
}

// place is what a code is good for: a first code is no second one.
func (v *Verifier) place(s verify.Subject) string {
	if v.second {
		return s.Verification + "\x00" + s.Operation
	}
	return s.Verification
}
