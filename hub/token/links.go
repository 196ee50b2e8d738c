package token

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/protocol"
)

// Keys holds what each environment says of its links: the key that signs them, and how long
// they admit.
type Keys interface {
	// PresignKey returns the environment's key of at least 32 bytes, made at its first use.
	PresignKey(ctx context.Context, env string) ([]byte, error)
	// LinkLife returns how long a link of the environment admits at most; 0: MaxLife.
	LinkLife(ctx context.Context, env string) (time.Duration, error)
}

// What every token says of itself, so that no other token of the product is taken for
// one: only one algorithm, one type and one issuer are ever accepted.
const (
	algorithm = "HS256" // hub nodes alone verify, so a shared key does; it is sealed in the store
	tokenType = "postern-presign+jwt"
	issuer    = "postern/presign"
)

// maxToken bounds a token before it is parsed: the site keeps it in a cookie, and
// browsers drop one of more than 4,096 bytes with its name and attributes.
const maxToken = 3800

// skew is how far the clocks of two nodes may differ: a link may come from a node
// whose clock is ahead (P28).
const skew = time.Minute

// minKey is the shortest key that HS256 takes here, in bytes.
const minKey = 32

// Links mints and verifies. Its methods may be called from many goroutines.
type Links struct {
	Keys Keys
	Now  func() time.Time // nil: time.Now
}

// An Issue asks for a link.
type Issue struct {
	Env     string
	Owner   bool // the caller's key has the role owner
	Request Request
}

type claims struct {
	jwt.RegisteredClaims
	Email       string                              `json:"email"`
	Operations  []protocol.Action                   `json:"ops,omitempty"`
	Directories []string                            `json:"dirs,omitempty"`
	Flow        string                              `json:"flow,omitempty"`
	Policy      map[protocol.Action]policy.Strength `json:"policy,omitempty"`
	OneShot     bool                                `json:"one_shot,omitempty"`
}

// Mint signs a link. The caller has checked that the directories are the
// environment's. Errors wrap ErrRequest or ErrOwner where the caller is at fault.
func (l *Links) Mint(ctx context.Context, is Issue) (string, Link, error) {
	limit, err := l.limit(ctx, is.Env)
	if err != nil {
		return "", Link{}, err
	}
	r := is.Request
	if err := r.check(limit); err != nil {
		return "", Link{}, err
	}
	if r.Email == AnyEmail && !is.Owner {
		return "", Link{}, ErrOwner
	}
	key, err := l.key(ctx, is.Env)
	if err != nil {
		return "", Link{}, err
	}
	link := Link{ID: newID(), Expires: l.now().Add(time.Duration(r.TTL)).Truncate(time.Second), Request: r}
	link.TTL = 0
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{is.Env}, ID: link.ID,
			IssuedAt: jwt.NewNumericDate(l.now()), ExpiresAt: jwt.NewNumericDate(link.Expires),
		},
		Email: r.Email, Operations: r.Operations, Directories: r.Directories, Flow: r.Flow, Policy: r.Policy, OneShot: r.OneShot,
	})
	t.Header["typ"] = tokenType
	text, err := t.SignedString(key)
	if err != nil {
		return "", Link{}, fmt.Errorf("token: %w", err)
	}
	if len(text) > maxToken {
		return "", Link{}, badRequest("the link would be too long")
	}
	return text, link, nil
}

// Verify reads a token of this environment. Every token that does not admit gives
// ErrInvalid and no reason; another error is the store's.
func (l *Links) Verify(ctx context.Context, env, text string) (Link, error) {
	if env == "" || text == "" || len(text) > maxToken {
		return Link{}, ErrInvalid
	}
	key, err := l.key(ctx, env)
	if err != nil {
		return Link{}, err
	}
	var c claims
	p := jwt.NewParser(jwt.WithValidMethods([]string{algorithm}), jwt.WithStrictDecoding(), jwt.WithExpirationRequired(),
		jwt.WithIssuer(issuer), jwt.WithAudience(env), jwt.WithTimeFunc(l.now))
	t, err := p.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return key, nil })
	if err != nil || t.Header["typ"] != tokenType || c.ID == "" || len(c.Audience) != 1 {
		return Link{}, ErrInvalid
	}
	if c.IssuedAt == nil || c.IssuedAt.After(l.now().Add(skew)) {
		return Link{}, ErrInvalid
	}
	if err := l.inTime(ctx, env, c.IssuedAt.Time); err != nil {
		return Link{}, err
	}
	return c.link()
}

// inTime gives ErrInvalid for a link that is older than its environment's links may be by now.
// Where the limit was lowered this ends what was made before: nothing else does (T32).
func (l *Links) inTime(ctx context.Context, env string, issued time.Time) error {
	limit, err := l.limit(ctx, env)
	if err == nil && !l.now().Before(issued.Add(limit)) {
		return ErrInvalid
	}
	return err
}

// link checks the vocabulary again: a token may be older than the program that reads it.
func (c claims) link() (Link, error) {
	r := Request{Email: c.Email, TTL: policy.Duration(time.Second), Operations: c.Operations, Directories: c.Directories,
		Flow: c.Flow, Policy: c.Policy, OneShot: c.OneShot}
	if c.Email == "" || r.check(MaxLife) != nil {
		return Link{}, ErrInvalid
	}
	r.TTL = 0
	return Link{ID: c.ID, Expires: c.ExpiresAt.Time, Request: r}, nil
}

func (l *Links) key(ctx context.Context, env string) ([]byte, error) {
	key, err := l.Keys.PresignKey(ctx, env)
	if err != nil {
		return nil, fmt.Errorf("token: key of the environment: %w", err)
	}
	if len(key) < minKey {
		return nil, fmt.Errorf("token: key of %d bytes; want at least %d", len(key), minKey)
	}
	return key, nil
}

func (l *Links) limit(ctx context.Context, env string) (time.Duration, error) {
	limit, err := l.Keys.LinkLife(ctx, env)
	if err != nil {
		return 0, fmt.Errorf("token: limit of the environment: %w", err)
	}
	return cmp.Or(limit, MaxLife), nil
}

func (l *Links) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// newID returns 128 random bits as text.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}
