package party

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/hub/store"
)

// A Signer signs by keys that lie outside of the hub (T11).
type Signer interface {
	// Key returns the public half of the key with a fingerprint as ssh-add -l prints it.
	Key(ctx context.Context, fingerprint string) (crypto.PublicKey, error)
	// Sign returns the signature of a message as JWS writes it. It was verified.
	Sign(ctx context.Context, by crypto.PublicKey, message []byte) ([]byte, error)
}

// ErrSigner says that the signer does not answer, or that there is none.
var ErrSigner = errors.New("party: the signer outside of the hub does not answer")

// MaxFingerprint bounds a fingerprint, in bytes: SHA256: and 43 letters.
const MaxFingerprint = 64

// OutsideKey returns the key with a fingerprint as one for a client of a contract with such
// settings: it stays where it is, and signs here once, which shows that it can. A *Wrong
// for a key that cannot be the client's, ErrSigner where nobody can say. No transaction
// should wait for it.
func OutsideKey(ctx context.Context, s Signer, c Contract, set Settings, fingerprint string, now time.Time) (store.OIDCKey, error) {
	want, err := algorithmFor(c, set)
	if err != nil {
		return store.OIDCKey{}, err
	}
	if len(fingerprint) > MaxFingerprint || !strings.HasPrefix(fingerprint, "SHA256:") {
		return store.OIDCKey{}, &Wrong{"external", "want a fingerprint as ssh-add -l prints it: SHA256:…"}
	}
	public, err := s.Key(ctx, fingerprint)
	if err != nil {
		return store.OIDCKey{}, wrongKey(err)
	}
	if got := algorithmOf(public); got != want {
		return store.OIDCKey{}, &Wrong{"external", fmt.Sprintf("want a key for %q: that one signs %q", want, got)}
	}
	pub, err := published(outside{ctx, s, public}, want, now)
	if err != nil {
		return store.OIDCKey{}, wrongKey(err)
	}
	return store.OIDCKey{ID: pub.Kid, Algorithm: want, Public: []byte(store.JSON(pub)), Fingerprint: fingerprint, ActiveFrom: now}, nil
}

// wrongKey tells what whoever named the key can mend from what the signer has to.
func wrongKey(err error) error {
	for _, mine := range []struct {
		is   error
		text string
	}{
		{signer.ErrNoKey, "the signer does not hold this key: load it there; ssh-add -l lists fingerprints"},
		{signer.ErrKind, "want a key of P-256, Ed25519, or RSA of at least 2048 bits, and no certificate"},
		{signer.ErrRefused, "the signer holds the key, and does not sign by it: see its log"},
		{signer.ErrForged, "what the signer gave is no signature by this key"},
		{signer.ErrNone, "this hub has no signer: the option signer of the Caddyfile names one"},
	} {
		if errors.Is(err, mine.is) {
			return &Wrong{"external", mine.text}
		}
	}
	return fmt.Errorf("%w: %w", ErrSigner, err)
}

// algorithmOf is the one algorithm in which a key signs.
func algorithmOf(public crypto.PublicKey) string {
	switch public.(type) {
	case *rsa.PublicKey:
		return RS256
	case *ecdsa.PublicKey:
		return ES256
	case ed25519.PublicKey:
		return EdDSA
	}
	return ""
}

// outside is a key that lies outside, for the certificate that is published with it.
type outside struct {
	ctx    context.Context // of the one signature that it is for
	signer Signer
	public crypto.PublicKey
}

var _ crypto.MessageSigner = outside{}

// Public implements crypto.Signer.
func (o outside) Public() crypto.PublicKey { return o.public }

// Sign implements crypto.Signer. Agents sign what they have hashed themselves.
func (outside) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("party: a key outside signs no hashes")
}

// SignMessage implements crypto.MessageSigner.
func (o outside) SignMessage(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	sig, err := o.signer.Sign(o.ctx, o.public, message)
	if _, ok := o.public.(*ecdsa.PublicKey); !ok || err != nil {
		return sig, err
	}
	half := len(sig) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])}) // as X.509 has it
}

// PublicKey reads a key as the key set publishes it.
func PublicKey(jwk []byte) (crypto.PublicKey, error) {
	var k publicKey
	if err := json.Unmarshal(jwk, &k); err != nil {
		return nil, err
	}
	public, _, ok := k.read()
	if !ok {
		return nil, errors.New("party: a published key cannot be read")
	}
	return public, nil
}

// Old reports whether a key that has signed since a time would be replaced by itself if it
// lay in the hub.
func Old(since, now time.Time) bool { return !since.Add(rotateEvery).After(now) }
