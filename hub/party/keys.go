package party

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // x5t is defined by it (RFC 7517 4.8); nothing trusts it
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/store"
)

// Algorithms of JWS.
const (
	RS256 = "RS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// Times of keys.
const (
	publishFor  = 48 * time.Hour            // before a key signs: relying parties keep key sets for a day
	keepRetired = 48 * time.Hour            // after another one signs: longer than any token and any kept key set
	rotateEvery = 180 * 24 * time.Hour      // by itself
	certLife    = 20 * 365 * 24 * time.Hour // of the self-signed certificate, which nobody checks the time of
	rsaBits     = 2048
)

// ErrRotating says that another key waits already to sign.
var ErrRotating = errors.New("party: a key is published already and signs within 48 hours")

var enc = base64.RawURLEncoding

// A publicKey is a key as the key set publishes it (RFC 7517).
type publicKey struct {
	Kty string   `json:"kty"`
	Use string   `json:"use"`
	Alg string   `json:"alg"`
	Kid string   `json:"kid"`
	N   string   `json:"n,omitempty"`
	E   string   `json:"e,omitempty"`
	Crv string   `json:"crv,omitempty"`
	X   string   `json:"x,omitempty"`
	Y   string   `json:"y,omitempty"`
	X5C []string `json:"x5c,omitempty"`
	X5T string   `json:"x5t,omitempty"`
}

// NewKey makes a key for a client of a contract with such settings. It takes a moment; no
// transaction should wait for it.
func NewKey(c Contract, s Settings, now time.Time) (store.OIDCKey, error) {
	algorithm, err := algorithmFor(c, s)
	if err != nil {
		return store.OIDCKey{}, err
	}
	return newKey(algorithm, now)
}

// algorithmFor is that of keys of such clients.
func algorithmFor(c Contract, s Settings) (string, error) {
	row, ok := termsOf(c)
	if !ok {
		return "", fmt.Errorf("party: contract %q is not known", c)
	}
	return cmp.Or(s.Algorithm, row.Algorithm), nil
}

func newKey(algorithm string, now time.Time) (store.OIDCKey, error) {
	var signer crypto.Signer
	var err error
	switch algorithm {
	case RS256:
		signer, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("party: no keys for %q", algorithm)
	}
	if err != nil {
		return store.OIDCKey{}, err
	}
	pub, err := published(signer, algorithm, now)
	if err != nil {
		return store.OIDCKey{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	return store.OIDCKey{ID: pub.Kid, Algorithm: algorithm, Public: []byte(store.JSON(pub)), Private: private, ActiveFrom: now}, err
}

// describe names a public key. kid is the thumbprint of RFC 7638.
func describe(public crypto.PublicKey) (p publicKey, err error) {
	var thumb []byte
	switch k := public.(type) {
	case *rsa.PublicKey:
		p.Kty, p.N, p.E = "RSA", enc.EncodeToString(k.N.Bytes()), enc.EncodeToString(big.NewInt(int64(k.E)).Bytes())
		thumb = []byte(fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, p.E, p.N))
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return p, err
		}
		half := (len(point) - 1) / 2
		p.Kty, p.Crv, p.X, p.Y = "EC", k.Curve.Params().Name, enc.EncodeToString(point[1:1+half]), enc.EncodeToString(point[1+half:])
		thumb = []byte(fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, p.Crv, p.X, p.Y))
	case ed25519.PublicKey:
		p.Kty, p.Crv, p.X = "OKP", "Ed25519", enc.EncodeToString(k)
		thumb = []byte(fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, p.Crv, p.X)) // RFC 8037, section 2
	default:
		return p, errors.New("party: a key of an unknown kind")
	}
	sum := sha256.Sum256(thumb)
	p.Kid = enc.EncodeToString(sum[:])
	return p, nil
}

// published makes the entry of the key set.
func published(signer crypto.Signer, algorithm string, now time.Time) (publicKey, error) {
	p, err := describe(signer.Public())
	if err != nil {
		return p, err
	}
	p.Use, p.Alg = "sig", algorithm
	der, err := selfSigned(signer, p.Kid, now)
	if err != nil {
		return p, err
	}
	print := sha1.Sum(der)
	p.X5C, p.X5T = []string{base64.StdEncoding.EncodeToString(der)}, enc.EncodeToString(print[:])
	return p, nil
}

// selfSigned returns the certificate that Entra ID wants beside each key.
func selfSigned(signer crypto.Signer, name string, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLife),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	return x509.CreateCertificate(rand.Reader, t, t, signer.Public(), signer)
}

// States of a key.
const (
	KeyNext    = "next"    // published, and signs later
	KeyActive  = "active"  // signs
	KeyRetired = "retired" // published until nobody holds what it signed
)

// StateOf returns the state of a key among all of a client, the newest first.
func StateOf(k store.OIDCKey, all []store.OIDCKey, now time.Time) string {
	switch active, ok := active(all, now); {
	case k.ActiveFrom.After(now):
		return KeyNext
	case ok && active.ID == k.ID:
		return KeyActive
	}
	return KeyRetired
}

// active returns the key that signs now.
func active(all []store.OIDCKey, now time.Time) (store.OIDCKey, bool) {
	i := slices.IndexFunc(all, func(k store.OIDCKey) bool { return !k.ActiveFrom.After(now) })
	if i < 0 {
		return store.OIDCKey{}, false
	}
	return all[i], true
}

// Rotate publishes a key, which signs after 48 hours, and forgets those that nobody needs
// any more. ErrRotating if one waits already, store.ErrConflict and a *Wrong for one that lies
// outside and is a client's.
func Rotate(ctx context.Context, tx *store.Tx, env, client string, k store.OIDCKey) error {
	now := tx.Now()
	all, err := tx.OIDCKeys(ctx, env, client)
	if err != nil {
		return err
	}
	k.Env, k.Client = env, client
	if len(all) == 0 { // the first signs at once: nobody holds an older key set
		k.ActiveFrom = now
		return keep(ctx, tx, k)
	}
	if all[0].ActiveFrom.After(now) {
		return ErrRotating
	}
	if err := forget(ctx, tx, all, now); err != nil {
		return err
	}
	k.ActiveFrom = now.Add(publishFor)
	return keep(ctx, tx, k)
}

// keep writes a key. Of one that lies outside and is a client's it says so in words.
func keep(ctx context.Context, tx *store.Tx, k store.OIDCKey) error {
	err := tx.AddOIDCKey(ctx, k)
	if k.Fingerprint != "" && errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %w", err, &Wrong{"external", "this key is a client's already, and each has its own"})
	}
	return err
}

// Rotation is what the audit log says of a next key: also where it lies.
func Rotation(k store.OIDCKey) map[string]any {
	d := map[string]any{"rotate_key": k.ID}
	if k.Fingerprint != "" {
		d["external"] = k.Fingerprint
	}
	return d
}

// forget removes keys whose successor has signed for long enough.
func forget(ctx context.Context, tx *store.Tx, all []store.OIDCKey, now time.Time) error {
	for i := 1; i < len(all); i++ {
		if all[i-1].ActiveFrom.Add(keepRetired).Before(now) {
			if err := tx.RemoveOIDCKey(ctx, all[i].Env, all[i].ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// PublicKeyOf returns the key of a client by which a token says that it was signed;
// store.ErrNotFound where the client publishes no such key.
func PublicKeyOf(ctx context.Context, tx *store.Tx, c Party, t *jwt.Token) (any, error) {
	all, err := tx.OIDCKeys(ctx, c.Env, c.ID)
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if k.ID == t.Header["kid"] && k.Algorithm == t.Method.Alg() {
			return PublicKey(k.Public)
		}
	}
	return nil, store.ErrNotFound
}

// Renew publishes a client's next key when the newest is old, and forgets those that nobody
// needs any more. Of a client whose newest key lies outside it makes none: nobody here can
// make one there, and one that lies here would be what its administrator did not want. Two nodes that do so at once publish two, of which the later signs: no
// harm. ErrRotating if one waits already.
func Renew(ctx context.Context, st *store.Store, c store.OIDCClient, now time.Time) error {
	keys, err := store.Get(ctx, st, func(tx *store.Tx) ([]store.OIDCKey, error) { return tx.OIDCKeys(ctx, c.Env, c.ID) })
	if err != nil {
		return err
	}
	if len(keys) > 0 && (keys[0].Fingerprint != "" || !Old(keys[0].ActiveFrom, now)) {
		return st.Tx(ctx, func(tx *store.Tx) error { return forget(ctx, tx, keys, now) })
	}
	of, err := of(c)
	if err != nil {
		return err
	}
	k, err := NewKey(of.Terms.Contract, of.Settings, now)
	if err != nil {
		return err
	}
	return st.Tx(ctx, func(tx *store.Tx) error { return Rotate(ctx, tx, c.Env, c.ID, k) })
}
