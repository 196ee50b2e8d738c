// Package savedcode proves that a person has the sheet of recovery codes that they made
// under "my recovery options": 120 random bits each, usable once. It knows no store and
// counts no tries.
package savedcode

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol/evidence"
)

// alphabet is Crockford's base32: no I, L, O, U, so that a sheet can be read aloud.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Form of a code: six groups of four, 120 bits. From 112 bits on a salted hash is
// enough (NIST SP 800-63B-4, section 3.1.2).
const (
	length = 24
	group  = 4
)

// New makes a code, in groups.
func New() string {
	var random [length]byte
	_, _ = rand.Read(random[:]) // never fails
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%group == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(alphabet[r&31])
	}
	return b.String()
}

// maxTyped bounds what is read as a code: groups with space around every sign.
const maxTyped = 4 * length

// Clean reads a code as people type it: in any case, with or without groups, O for zero,
// I and L for one. What is no code gives "".
func Clean(typed string) string {
	if len(typed) > maxTyped {
		return ""
	}
	code := strings.NewReplacer(" ", "", "-", "", "\u2011", "", "\u00a0", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(typed))
	if len(code) != length || strings.Trim(code, alphabet) != "" {
		return ""
	}
	return code
}

// saltSize is the length of a salt in bytes.
const saltSize = 16

// Hash is how a code stands in the store: salt and SHA-256 over both, base64url.
func Hash(code string) string {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	return hash(salt, Clean(code))
}

func hash(salt []byte, code string) string {
	sum := sha256.Sum256(append(append([]byte(nil), salt...), code...))
	return base64.RawURLEncoding.EncodeToString(append(append([]byte(nil), salt...), sum[:]...))
}

// matches compares in constant time.
func matches(stored, code string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(stored)
	if err != nil || len(raw) != saltSize+sha256.Size || code == "" {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(hash(raw[:saltSize], code)), []byte(stored)) == 1
}

// A Code is one that was not used.
type Code struct {
	ID, Hash string
	Factor   string       // id of its sheet
	Roots    policy.Roots // what enrolled its sheet
}

// Sheets knows the codes of accounts.
type Sheets interface {
	// SavedCodes returns those of the subject that count now for what is asked.
	SavedCodes(ctx context.Context, s verify.Subject) ([]Code, error)
	// UseCode takes one for the subject's verification, once: of many at once it is true
	// for one. The owner is told, and gets another in its place.
	UseCode(ctx context.Context, s verify.Subject, id string) (bool, error)
}

// A Verifier is the method saved_code.
type Verifier struct{ sheets Sheets }

// NewVerifier returns the method.
func NewVerifier(sheets Sheets) *Verifier { return &Verifier{sheets} }

// Method implements verify.Verifier.
func (*Verifier) Method() policy.Method { return policy.SavedCode }

// Usable reports whether the person has a code left. What cannot be read now is offered.
func (v *Verifier) Usable(ctx context.Context, s verify.Subject) bool {
	codes, err := v.sheets.SavedCodes(ctx, s)
	return err != nil || len(codes) > 0
}

// Open has nothing to send.
func (*Verifier) Open(context.Context, verify.Subject) (verify.Challenge, error) {
	return verify.Challenge{}, nil
}

// Check takes the code that was typed, once (P7).
func (v *Verifier) Check(ctx context.Context, s verify.Subject, _, answer string) (verify.Verdict, error) {
	codes, err := v.sheets.SavedCodes(ctx, s)
	if err != nil {
		return verify.Verdict{}, fmt.Errorf("savedcode: %w", err)
	}
	typed := Clean(answer)
	for _, c := range codes {
		if !matches(c.Hash, typed) {
			continue
		}
		used, err := v.sheets.UseCode(ctx, s, c.ID)
		if err != nil {
			return verify.Verdict{}, fmt.Errorf("savedcode: %w", err)
		}
		return verify.Attested(used, evidence.TypeSavedCode).By(c.Factor, c.Roots), nil
	}
	return verify.Verdict{}, nil
}
