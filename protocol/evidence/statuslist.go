package evidence

import (
	"bytes"
	"compress/zlib"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Bounds of a status list.
const (
	MaxStatusToken = 1 << 20        // bytes: a million entries of which one in a hundred is set need a tenth
	maxStatusList  = 16 << 20       // bytes of the list itself, which is read through and never held
	maxStatusAge   = 24 * time.Hour // of a list that does not say how long it holds
)

// What the status list that a document names decides, in the words of settings at both ends.
const (
	StatusIgnore  = "ignore"  // no list is read
	StatusPrefer  = "prefer"  // a list that can be read and says revoked refuses; one that cannot does not
	StatusRequire = "require" // a document counts only when its list says that it is valid
)

// ErrRevoked says that the issuer revoked or suspended a document.
var ErrRevoked = errors.New("evidence: revoked or suspended by its issuer")

// statusAlgs are the signatures of lists, as of credentials.
var statusAlgs = []string{"ES256", "ES384", "ES512", "EdDSA"}

// A statusToken is what both forms of a list say.
type statusToken struct {
	subject         string
	issued, expires time.Time // zero: it does not say
	ttl             time.Duration
	bits            int
	list            io.Reader // compressed
}

// CheckStatus looks a document up in the status list token that its Status names
// (draft-ietf-oauth-status-list, as a JWT or a CWT): signed under the same authority as the
// document, for that address, and current. Nil says that the document is valid, and until
// when the token may be kept; ErrRevoked that it is revoked, suspended, or in a state of
// the issuer's own. Every other error says that the list tells nothing.
func (c Claims) CheckStatus(token []byte, a Anchors, now time.Time) (until time.Time, err error) {
	if c.Status == nil {
		return until, fmt.Errorf("%w: a status", ErrMissing)
	}
	if len(token) == 0 || len(token) > MaxStatusToken {
		return until, fmt.Errorf("%w: status list of %d bytes", ErrFormat, len(token))
	}
	t, err := c.statusToken(token, a, now)
	if err != nil {
		return until, err
	}
	if until, err = t.current(c.Status.URI, now); err != nil {
		return until, err
	}
	value, err := t.entry(c.Status.Index)
	if err == nil && value != 0 {
		err = ErrRevoked
	}
	return until, err
}

func (c Claims) statusToken(token []byte, a Anchors, now time.Time) (statusToken, error) {
	if token[0] == 0xd2 || token[0] == 0x84 { // a COSE_Sign1, with its tag or without
		return c.statusCWT(token, a, now)
	}
	return c.statusJWT(string(bytes.TrimSpace(token)), a, now)
}

// statusSigner verifies who signed: somebody under the authority of the document itself,
// for its kind.
func (c Claims) statusSigner(chain [][]byte, a Anchors, now time.Time) (*x509.Certificate, error) {
	leaf, anchor, err := a.Trust.signer(chain, c.DocType, now)
	if err != nil {
		return nil, err
	}
	if anchor.Name() != c.Issuer {
		return nil, fmt.Errorf("%w: the status list is of another authority than the document", ErrUntrusted)
	}
	return leaf, credentialSigner(leaf)
}

func (c Claims) statusJWT(text string, a Anchors, now time.Time) (t statusToken, err error) {
	claims, err := parseJWT("status list", text, statusAlgs, now, func(h map[string]any) (crypto.PublicKey, error) {
		if h["typ"] != "statuslist+jwt" {
			return nil, fmt.Errorf("%w: typ of the status list", ErrFormat)
		}
		chain, err := headerChain(h)
		if err != nil {
			return nil, err
		}
		leaf, err := c.statusSigner(chain, a, now)
		if err != nil {
			return nil, err
		}
		return leaf.PublicKey, nil
	})
	if err != nil {
		return t, err
	}
	list, _ := claims["status_list"].(map[string]any)
	bits, _ := list["bits"].(json.Number)
	n, err := bits.Int64()
	if err != nil {
		return t, fmt.Errorf("%w: bits of the status list", ErrFormat)
	}
	t = statusToken{subject: claimText(claims, "sub"), bits: int(min(max(n, 0), 9)), list: base64.NewDecoder(b64, strings.NewReader(claimText(list, "lst")))}
	t.issued, _ = seconds(claims, "iat")
	t.expires, _ = seconds(claims, "exp")
	if ttl, there := claims["ttl"]; there {
		s, ok := ttl.(json.Number)
		n, err := s.Float64()
		if !ok || err != nil || n <= 0 || n > 1<<31 {
			return t, fmt.Errorf("%w: ttl of the status list", ErrFormat)
		}
		t.ttl = time.Duration(n) * time.Second
	}
	return t, nil
}

// A statusCWT holds the claims of RFC 8392 and of the draft.
type statusCWT struct {
	Subject string `cbor:"2,keyasint"`
	Expires int64  `cbor:"4,keyasint"`
	Issued  int64  `cbor:"6,keyasint"`
	List    struct {
		Bits int    `cbor:"bits"`
		List []byte `cbor:"lst"`
	} `cbor:"65533,keyasint"`
	TTL int64 `cbor:"65534,keyasint"`
}

// labelType is "typ" in a COSE header (RFC 9596).
const labelType = 16

func (c Claims) statusCWT(token []byte, a Anchors, now time.Time) (t statusToken, err error) {
	m, err := parseSign1("status list", token)
	if err != nil {
		return t, err
	}
	if err := statusType(m.Protected); err != nil {
		return t, err
	}
	chain, err := m.chain("status list")
	if err != nil {
		return t, err
	}
	leaf, err := c.statusSigner(chain, a, now)
	if err != nil {
		return t, err
	}
	payload, err := m.content("status list")
	if err != nil {
		return t, err
	}
	if err := m.verify("status list", leaf.PublicKey, payload); err != nil {
		return t, err
	}
	var w statusCWT
	if err := decode(signedCBOR, "status list", payload, &w); err != nil {
		return t, err
	}
	return w.token()
}

// statusType checks that the header of a list says what it is.
func statusType(header []byte) error {
	var head map[int64]cbor.RawMessage
	if err := decode(strictCBOR, "status list header", header, &head); err != nil {
		return err
	}
	var kind string
	if err := decode(strictCBOR, "typ of the status list", head[labelType], &kind); err != nil || kind != "application/statuslist+cwt" {
		return fmt.Errorf("%w: typ of the status list", ErrFormat)
	}
	return nil
}

// token is what a list says; its times are bounded before anybody reckons with them.
func (w statusCWT) token() (t statusToken, err error) {
	if w.TTL < 0 || w.TTL > 1<<31 || w.Expires < 0 || w.Expires > 1<<40 || w.Issued < 0 || w.Issued > 1<<40 {
		return t, fmt.Errorf("%w: times of the status list", ErrFormat)
	}
	t = statusToken{subject: w.Subject, bits: w.List.Bits, ttl: time.Duration(w.TTL) * time.Second, list: bytes.NewReader(w.List.List)}
	if w.Issued > 0 {
		t.issued = time.Unix(w.Issued, 0)
	}
	if w.Expires > 0 {
		t.expires = time.Unix(w.Expires, 0)
	}
	return t, nil
}

// current refuses a list of another address or another time, and says until when it may
// be kept.
func (t statusToken) current(uri string, now time.Time) (time.Time, error) {
	if t.subject == "" || t.subject != uri {
		return time.Time{}, fmt.Errorf("%w: the status list is of another address", ErrContext)
	}
	if t.issued.IsZero() || t.issued.After(now.Add(leeway)) {
		return time.Time{}, fmt.Errorf("%w: status list without a time of issue, or of the future", ErrExpired)
	}
	until := t.expires
	if until.IsZero() { // then its ttl bounds it, which is else only for whoever keeps it
		until = t.issued.Add(maxStatusAge)
		if t.ttl > 0 {
			until = t.issued.Add(min(t.ttl, maxStatusAge))
		}
	}
	if now.After(until.Add(leeway)) {
		return time.Time{}, fmt.Errorf("%w: status list", ErrExpired)
	}
	if t.ttl > 0 && now.Add(t.ttl).Before(until) {
		until = now.Add(t.ttl)
	}
	return until, nil
}

// entry reads one entry: the list is packed from the least significant bit of each byte,
// and compressed with DEFLATE in zlib's form. What stands before it is read through.
func (t statusToken) entry(index uint64) (byte, error) {
	if !slices.Contains([]int{1, 2, 4, 8}, t.bits) {
		return 0, fmt.Errorf("%w: bits of the status list", ErrFormat)
	}
	each := uint64(8 / t.bits)
	at := index / each
	if at >= maxStatusList {
		return 0, fmt.Errorf("%w: the status list has no such entry", ErrFormat)
	}
	z, err := zlib.NewReader(t.list)
	if err != nil {
		return 0, fmt.Errorf("%w: status list: %v", ErrFormat, err)
	}
	defer z.Close()
	var one [1]byte
	if _, err = io.CopyN(io.Discard, z, int64(at)); err == nil {
		_, err = io.ReadFull(z, one[:])
	}
	if err != nil {
		return 0, fmt.Errorf("%w: the status list ends before the entry: %v", ErrFormat, err)
	}
	return one[0] >> (index % each * uint64(t.bits)) & (1<<t.bits - 1), nil
}
