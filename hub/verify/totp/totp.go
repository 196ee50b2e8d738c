// Package totp proves that a person holds the seed of an authenticator app (RFC 6238)
// that they enrolled under "my recovery options". It knows no store and counts no tries.
package totp

import (
	"context"
	"crypto/hmac"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol/evidence"
)

// What every authenticator app can do.
const (
	Period   = 30 * time.Second
	Digits   = 6
	SeedSize = 20 // bytes: as long as the hash, RFC 4226, section 4
	skew     = 1  // steps before and after the present one
)

// A Seed is an app that counts.
type Seed struct {
	Factor string       // id
	Secret string       // base32
	Last   int64        // the last step that was used: it and all before it are void
	Roots  policy.Roots // what enrolled it
}

// Seeds knows the apps of accounts.
type Seeds interface {
	// Seeds returns those of the subject that count now for what is asked.
	Seeds(ctx context.Context, s verify.Subject) ([]Seed, error)
	// UseStep takes a step of one, once: of many at once it is true for one.
	UseStep(ctx context.Context, s verify.Subject, factor string, step int64) (bool, error)
}

// A Verifier is the method totp.
type Verifier struct {
	seeds Seeds
	now   func() time.Time
}

// New returns the method. now is the hub's clock.
func New(seeds Seeds, now func() time.Time) *Verifier { return &Verifier{seeds, now} }

// Method implements verify.Verifier.
func (*Verifier) Method() policy.Method { return policy.TOTP }

// Usable reports whether the person has an app that counts. What cannot be read now is
// offered.
func (v *Verifier) Usable(ctx context.Context, s verify.Subject) bool {
	seeds, err := v.seeds.Seeds(ctx, s)
	return err != nil || len(seeds) > 0
}

// Open has nothing to send.
func (*Verifier) Open(context.Context, verify.Subject) (verify.Challenge, error) {
	return verify.Challenge{}, nil
}

// Check takes the step of a right code, so that the code is right once (P7).
func (v *Verifier) Check(ctx context.Context, s verify.Subject, _, answer string) (verify.Verdict, error) {
	seeds, err := v.seeds.Seeds(ctx, s)
	if err != nil {
		return verify.Verdict{}, fmt.Errorf("totp: %w", err)
	}
	for _, seed := range seeds {
		step, ok := Match(seed.Secret, answer, v.now())
		if !ok || step <= seed.Last {
			continue
		}
		used, err := v.seeds.UseStep(ctx, s, seed.Factor, step)
		if err != nil {
			return verify.Verdict{}, fmt.Errorf("totp: %w", err)
		}
		return verify.Attested(used, evidence.TypeTOTP).By(seed.Factor, seed.Roots), nil
	}
	return verify.Verdict{}, nil
}

// Match returns the step, within one of the present, whose code was typed. All steps are
// compared, in constant time.
func Match(secret, typed string, now time.Time) (step int64, ok bool) {
	code := clean(typed)
	present := now.Unix() / int64(Period/time.Second)
	for at := present - skew; at <= present+skew; at++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(max(at, 0)), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && hmac.Equal([]byte(want), []byte(code)) {
			step, ok = at, true
		}
	}
	return step, ok && code != ""
}

// clean takes out what people put between digits; "" for what is no code.
func clean(typed string) string {
	if len(typed) > 4*Digits {
		return ""
	}
	code := strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(typed)
	if len(code) != Digits || strings.Trim(code, "0123456789") != "" {
		return ""
	}
	return code
}
