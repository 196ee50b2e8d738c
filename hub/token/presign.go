package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/protocol"
)

// AnyEmail is the address of a link that admits anybody.
const AnyEmail = "*"

// DefaultLife is the life of a link that names none; MaxLife bounds it unless the
// environment allows more.
const (
	DefaultLife = time.Hour
	MaxLife     = 24 * time.Hour
)

// Bounds of what an environment says of the life of its links: whoever finds one in a mailbox
// is admitted, though never believed.
const (
	MinLimit = time.Minute
	MaxLimit = 30 * 24 * time.Hour
)

// GoodLimit reports whether an environment may say that its links admit at most this long:
// whole seconds, or 0 for MaxLife.
func GoodLimit(d time.Duration) bool {
	return d == 0 || d >= MinLimit && d <= MaxLimit && d%time.Second == 0
}

// Bounds of a link: its token travels in a URL.
const (
	maxEmail       = 254 // RFC 5321
	maxDirectories = 32
	maxDirectory   = 64
)

// Errors that callers tell apart.
var (
	// ErrRequest is wrapped by what is wrong with a request; its text may be shown.
	ErrRequest = errors.New("token: bad request")
	// ErrOwner says that only a key of the role owner may ask for this.
	ErrOwner = errors.New("token: only an owner's key signs a link for any address")
	// ErrInvalid covers every token that does not admit: forged, expired, foreign.
	ErrInvalid = errors.New("token: the link is not valid")
)

// A Request is the wire type RecoveryMicrositePresignRequest with our OneShot.
type Request struct {
	Email       string                              `json:"email,omitempty"` // empty: AnyEmail
	TTL         policy.Duration                     `json:"ttl,omitempty"`   // 0: DefaultLife
	Operations  []protocol.Action                   `json:"operations,omitempty"`
	Directories []string                            `json:"directories,omitempty"`
	Flow        string                              `json:"flow,omitempty"` // recover, enroll, badge; empty: recover
	Policy      map[protocol.Action]policy.Strength `json:"recovery_policy,omitempty"`
	OneShot     bool                                `json:"one_shot,omitempty"`
}

// A Link is what a verified token says.
type Link struct {
	ID      string    // jti, 128 random bits
	Expires time.Time // as it says itself; a lower limit of its environment ends it earlier
	Request           // Email is never empty; TTL is zero
}

// Admits reports whether the link is for this address, compared as addresses are.
func (l Link) Admits(address string) bool {
	return l.Email == AnyEmail || strings.EqualFold(l.Email, address)
}

// check reports what an API client must mend, and fills in the defaults. limit is the
// longest life that the environment allows.
func (r *Request) check(limit time.Duration) error {
	if r.Email == "" {
		r.Email = AnyEmail
	}
	if r.TTL == 0 {
		r.TTL = policy.Duration(DefaultLife)
	}
	switch {
	case !isAddress(r.Email):
		return badRequest("email is not an address")
	case r.TTL < policy.Duration(time.Second) || time.Duration(r.TTL) > limit:
		return badRequest("ttl is 1s to " + limit.String())
	case !slices.Contains([]string{"", "recover", "enroll", "badge"}, r.Flow):
		return badRequest("flow is recover, enroll or badge")
	}
	if err := r.checkLists(); err != nil {
		return err
	}
	return r.checkPolicy()
}

func (r *Request) checkLists() error {
	for i, a := range r.Operations {
		if _, ok := protocol.ActionByName(a); !ok || slices.Contains(r.Operations[:i], a) {
			return badRequest("operations names an unknown operation, or one twice")
		}
	}
	if len(r.Directories) > maxDirectories {
		return badRequest(fmt.Sprintf("directories has at most %d", maxDirectories))
	}
	for i, d := range r.Directories {
		if d == "" || len(d) > maxDirectory || slices.Contains(r.Directories[:i], d) {
			return badRequest("directories holds an id that cannot be, or one twice")
		}
	}
	return nil
}

func (r *Request) checkPolicy() error {
	for a, s := range r.Policy {
		if _, ok := protocol.ActionByName(a); !ok {
			return badRequest("recovery_policy names an unknown operation")
		}
		if _, err := policy.ParseStrength(string(s)); err != nil {
			return badRequest("recovery_policy holds an unknown policy")
		}
	}
	return nil
}

// isAddress takes what can be compared with a typed address; whether it receives mail
// is nobody's business here.
func isAddress(s string) bool {
	if s == AnyEmail {
		return true
	}
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && len(s) <= maxEmail && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

func badRequest(text string) error { return fmt.Errorf("%w: %s", ErrRequest, text) }
