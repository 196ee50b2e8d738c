package oidc

import (
	"bytes"
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
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/store"
)

// Algorithms of JWS.
const (
	rs256 = "RS256"
	es256 = "ES256"
	eddsa = "EdDSA"
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
var ErrRotating = errors.New("oidc: a key is published already and signs within 48 hours")

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
	row, ok := rowOf(c)
	if !ok {
		return store.OIDCKey{}, fmt.Errorf("oidc: contract %q is not known", c)
	}
	return newKey(cmp.Or(s.Algorithm, row.algorithm), now)
}

func newKey(algorithm string, now time.Time) (store.OIDCKey, error) {
	var signer crypto.Signer
	var err error
	switch algorithm {
	case rs256:
		signer, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case es256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case eddsa:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("oidc: no keys for %q", algorithm)
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
		return p, errors.New("oidc: a key of an unknown kind")
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
// any more. ErrRotating if one waits already.
func Rotate(ctx context.Context, tx *store.Tx, env, client string, k store.OIDCKey) error {
	now := tx.Now()
	all, err := tx.OIDCKeys(ctx, env, client)
	if err != nil {
		return err
	}
	k.Env, k.Client = env, client
	if len(all) == 0 { // the first signs at once: nobody holds an older key set
		k.ActiveFrom = now
		return tx.AddOIDCKey(ctx, k)
	}
	if all[0].ActiveFrom.After(now) {
		return ErrRotating
	}
	if err := forget(ctx, tx, all, now); err != nil {
		return err
	}
	k.ActiveFrom = now.Add(publishFor)
	return tx.AddOIDCKey(ctx, k)
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

// sign writes a token of a client, with the key that is active now.
func (p *Provider) sign(ctx context.Context, tx *store.Tx, c client, claims jwt.MapClaims) (string, error) {
	all, err := tx.SealedOIDCKeys(ctx, c.Env, c.ID)
	if err != nil {
		return "", err
	}
	now := store.Millis(p.cfg.Now())
	i := slices.IndexFunc(all, func(k store.SealedOIDCKey) bool { return k.ActiveFrom <= now })
	if i < 0 {
		return "", errors.New("oidc: the client has no key that signs")
	}
	private, err := p.parsed.signer(p.cfg.Store, all[i])
	if err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(all[i].Algorithm), claims)
	t.Header["kid"] = all[i].ID
	p.sets[c.row.path].outlive(all[i].ID)
	return t.SignedString(private)
}

// keysKept is how long a node answers with the same key set: a key is published long
// before it signs, but for a client's first.
const keysKept = time.Second

// A keptSet is what the keys endpoint of an issuer answered last.
type keptSet struct {
	mu   sync.Mutex
	body []byte
	at   time.Time
}

// outlive lets the set be read anew before its time where a key is not in it: a client's
// first key signs at once, and its token must not come before it.
func (k *keptSet) outlive(kid string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !bytes.Contains(k.body, []byte(kid)) {
		k.body = nil
	}
}

// keySet returns what the keys endpoint of an issuer answers.
func (p *Provider) keySet(ctx context.Context, at issuerRow) ([]byte, error) {
	kept, now := p.sets[at.path], p.cfg.Now()
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if age := now.Sub(kept.at); kept.body != nil && age >= 0 && age < keysKept {
		return kept.body, nil
	}
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{[]json.RawMessage{}}
	for _, row := range at.rows {
		all, err := store.Get(ctx, p.cfg.Store, func(tx *store.Tx) ([]string, error) { return tx.PublishedOIDCKeys(ctx, string(row.contract)) })
		if err != nil {
			return nil, err
		}
		for _, k := range all {
			set.Keys = append(set.Keys, json.RawMessage(k))
		}
	}
	body, err := json.Marshal(set)
	if err == nil {
		kept.body, kept.at = body, now
	}
	return body, err
}
