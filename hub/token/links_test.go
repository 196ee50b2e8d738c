package token

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/protocol"
)

type keys map[string][]byte

func (k keys) PresignKey(_ context.Context, env string) ([]byte, error) {
	if b, ok := k[env]; ok {
		return b, nil
	}
	return nil, errors.New("no such environment")
}

func (k keys) LinkLife(context.Context, string) (time.Duration, error) { return 0, nil }

// limited are keys of environments that say how long their links admit.
type limited struct {
	keys
	life time.Duration
}

func (l limited) LinkLife(context.Context, string) (time.Duration, error) { return l.life, nil }

func newLinks() *Links {
	return &Links{Keys: keys{"e1": []byte(strings.Repeat("1", 32)), "e2": []byte(strings.Repeat("2", 32))}}
}

func mint(t *testing.T, l *Links, is Issue) (string, Link) {
	t.Helper()
	text, link, err := l.Mint(t.Context(), is)
	if err != nil {
		t.Fatal(err)
	}
	return text, link
}

func TestALinkSaysWhatItWasAskedFor(t *testing.T) {
	l := newLinks()
	r := Request{Email: "alice@example.com", TTL: policy.Duration(time.Hour), Operations: []protocol.Action{"password", "mfa"},
		Directories: []string{"d1"}, Flow: "enroll", Policy: map[protocol.Action]policy.Strength{"mfa": policy.NameAndBirthDate}, OneShot: true}
	text, minted := mint(t, l, Issue{Env: "e1", Request: r})
	link, err := l.Verify(t.Context(), "e1", text)
	if err != nil {
		t.Fatal(err)
	}
	r.TTL = 0
	if !reflect.DeepEqual(link.Request, r) || link.ID != minted.ID || !link.Expires.Equal(minted.Expires) {
		t.Errorf("got %+v, want %+v", link, minted)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(link.ID); err != nil || len(raw) != 16 {
		t.Errorf("jti %q is not 128 bits", link.ID)
	}
	if !link.Admits("Alice@Example.com") || link.Admits("mallory@example.com") {
		t.Error("admits another address, or not its own")
	}
}

func TestT32_OnlyAnOwnersKeySignsForAnyAddress(t *testing.T) {
	l := newLinks()
	for _, email := range []string{"", "*"} {
		if _, _, err := l.Mint(t.Context(), Issue{Env: "e1", Request: Request{Email: email}}); !errors.Is(err, ErrOwner) {
			t.Errorf("%q without owner: %v", email, err)
		}
		if _, link := mint(t, l, Issue{Env: "e1", Owner: true, Request: Request{Email: email}}); !link.Admits("anybody@example.com") {
			t.Errorf("%q admits nobody", email)
		}
	}
}

func TestT32_TheLifeOfALinkIsCapped(t *testing.T) {
	for _, c := range []struct {
		ttl, max time.Duration
		ok       bool
	}{
		{0, 0, true}, {24 * time.Hour, 0, true}, {24*time.Hour + 1, 0, false}, {48 * time.Hour, 72 * time.Hour, true},
		{2 * time.Hour, time.Hour, false}, {-time.Hour, 0, false}, {time.Millisecond, 0, false},
	} {
		l := &Links{Keys: limited{newLinks().Keys.(keys), c.max}}
		_, link, err := l.Mint(t.Context(), Issue{Env: "e1", Owner: true, Request: Request{TTL: policy.Duration(c.ttl)}})
		if (err == nil) != c.ok {
			t.Errorf("ttl %s of at most %s: %v", c.ttl, c.max, err)
		}
		if c.ttl == 0 && err == nil && time.Until(link.Expires) > time.Hour {
			t.Errorf("default life %s", time.Until(link.Expires))
		}
	}
}

func TestEveryMemberOfARequestIsChecked(t *testing.T) {
	l := newLinks()
	many := make([]string, maxDirectories+1)
	for i := range many {
		many[i] = strings.Repeat("d", i+1)
	}
	for name, r := range map[string]Request{
		"email":             {Email: "alice"},
		"email with break":  {Email: "alice@example.com\r\nBcc: x"},
		"long email":        {Email: strings.Repeat("a", 250) + "@example.com"},
		"operation":         {Email: "a@b.c", Operations: []protocol.Action{"delete"}},
		"operation twice":   {Email: "a@b.c", Operations: []protocol.Action{"mfa", "mfa"}},
		"agent's spelling":  {Email: "a@b.c", Operations: []protocol.Action{"remove_all_mfa"}},
		"flow":              {Email: "a@b.c", Flow: "Enroll"},
		"policy value":      {Email: "a@b.c", Policy: map[protocol.Action]policy.Strength{"mfa": "NONE"}},
		"policy operation":  {Email: "a@b.c", Policy: map[protocol.Action]policy.Strength{"x": policy.Photo}},
		"empty directory":   {Email: "a@b.c", Directories: []string{""}},
		"directory twice":   {Email: "a@b.c", Directories: []string{"d", "d"}},
		"many directories":  {Email: "a@b.c", Directories: many},
		"endless directory": {Email: "a@b.c", Directories: []string{strings.Repeat("d", 65)}},
	} {
		if _, _, err := l.Mint(t.Context(), Issue{Env: "e1", Owner: true, Request: r}); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// forge signs claims as a forger would who has the key named, or none.
func forge(t *testing.T, m jwt.SigningMethod, key any, change func(*claims, map[string]any)) string {
	t.Helper()
	now := time.Now()
	c := claims{Email: "*", RegisteredClaims: jwt.RegisteredClaims{Issuer: issuer, Audience: jwt.ClaimStrings{"e1"}, ID: "id",
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour))}}
	tok := jwt.NewWithClaims(m, &c)
	tok.Header["typ"] = tokenType
	if change != nil {
		change(&c, tok.Header)
	}
	text, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestP08_ForgedExpiredAndForeignTokensAdmitNobody(t *testing.T) {
	l := newLinks()
	key := []byte(strings.Repeat("1", 32))
	hs := jwt.SigningMethodHS256
	past := jwt.NewNumericDate(time.Now().Add(-time.Second))
	for name, text := range map[string]string{
		"alg none":        forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"other algorithm": forge(t, jwt.SigningMethodHS512, key, nil),
		"other key":       forge(t, hs, []byte(strings.Repeat("2", 32)), nil),
		"other audience":  forge(t, hs, key, func(c *claims, _ map[string]any) { c.Audience = jwt.ClaimStrings{"e2"} }),
		"two audiences":   forge(t, hs, key, func(c *claims, _ map[string]any) { c.Audience = jwt.ClaimStrings{"e1", "e2"} }),
		"other issuer":    forge(t, hs, key, func(c *claims, _ map[string]any) { c.Issuer = "postern/oidc" }),
		"other type":      forge(t, hs, key, func(_ *claims, h map[string]any) { h["typ"] = "JWT" }),
		"expired":         forge(t, hs, key, func(c *claims, _ map[string]any) { c.ExpiresAt = past }),
		"without expiry":  forge(t, hs, key, func(c *claims, _ map[string]any) { c.ExpiresAt = nil }),
		"without id":      forge(t, hs, key, func(c *claims, _ map[string]any) { c.ID = "" }),
		"without address": forge(t, hs, key, func(c *claims, _ map[string]any) { c.Email = "" }),
		"from the future": forge(t, hs, key, func(c *claims, _ map[string]any) { c.IssuedAt = jwt.NewNumericDate(time.Now().Add(time.Hour)) }),
		"unknown word":    forge(t, hs, key, func(c *claims, _ map[string]any) { c.Operations = []protocol.Action{"everything"} }),
		"too long":        strings.Repeat("a", maxToken+1),
		"empty":           "",
	} {
		if _, err := l.Verify(t.Context(), "e1", text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := forge(t, hs, key, nil)
	if _, err := l.Verify(t.Context(), "e1", good); err != nil {
		t.Fatalf("the pattern of the forgeries is itself refused: %v", err)
	}
	if _, err := l.Verify(t.Context(), "e2", good); !errors.Is(err, ErrInvalid) {
		t.Errorf("another environment takes it: %v", err)
	}
}

func TestALinkEndsOnTheServersClock(t *testing.T) {
	l := newLinks()
	text, link := mint(t, l, Issue{Env: "e1", Owner: true})
	l.Now = func() time.Time { return link.Expires.Add(-time.Second) }
	if _, err := l.Verify(t.Context(), "e1", text); err != nil {
		t.Errorf("before its end: %v", err)
	}
	l.Now = func() time.Time { return link.Expires }
	if _, err := l.Verify(t.Context(), "e1", text); !errors.Is(err, ErrInvalid) {
		t.Errorf("at its end: %v", err)
	}
}

func TestAnOutageOfTheStoreIsNotAForgery(t *testing.T) {
	away := errors.New("away")
	l := &Links{Keys: failing{away}}
	if _, err := l.Verify(t.Context(), "e1", "a.b.c"); !errors.Is(err, away) || errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
	good := newLinks()
	text, _ := mint(t, good, Issue{Env: "e1", Owner: true})
	good.Keys = unlimited{good.Keys.(keys), away}
	if _, err := good.Verify(t.Context(), "e1", text); !errors.Is(err, away) || errors.Is(err, ErrInvalid) {
		t.Errorf("a limit that cannot be read: %v", err)
	}
	l.Keys = keys{"e1": []byte("short")}
	if _, _, err := l.Mint(t.Context(), Issue{Env: "e1", Owner: true}); err == nil {
		t.Error("a short key signs")
	}
}

type failing struct{ err error }

func (f failing) PresignKey(context.Context, string) ([]byte, error)      { return nil, f.err }
func (f failing) LinkLife(context.Context, string) (time.Duration, error) { return 0, f.err }

// unlimited holds keys, and cannot read how long links admit.
type unlimited struct {
	keys
	err error
}

func (u unlimited) LinkLife(context.Context, string) (time.Duration, error) { return 0, u.err }

// No text admits whose signature is not the key's, computed here by hand.
func FuzzVerify(f *testing.F) {
	l := newLinks()
	text, _, err := l.Mint(context.Background(), Issue{Env: "e1", Request: Request{Email: "a@b.c"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(strings.Replace(text, ".", "..", 1))
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := l.Verify(t.Context(), "e1", s); err != nil {
			return
		}
		dot := strings.LastIndexByte(s, '.')
		mac := hmac.New(sha256.New, []byte(strings.Repeat("1", 32)))
		mac.Write([]byte(s[:dot]))
		if want := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); s[dot+1:] != want {
			t.Fatalf("%q admits, its signature is not %s", s, want)
		}
	})
}
