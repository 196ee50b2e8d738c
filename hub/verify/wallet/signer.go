package wallet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// Lifetimes of certificates that a hub makes for itself.
const (
	signerLife  = 398 * 24 * time.Hour // the longest that common wallets take
	signerRenew = 30 * 24 * time.Hour  // before its end
)

// A signer signs requests in the name of one recovery host.
type signer struct {
	key   *ecdsa.PrivateKey
	chain []string // x5c: standard base64 of DER, leaf first
}

// hostOf returns the host of an origin, without its port.
func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// signer returns the host's certificate and key: the operator's, or one that the hub
// makes and signs itself, since x509_san_dns needs one.
func (v *Verifier) signer(ctx context.Context, env, host string) (signer, error) {
	w, err := store.Get(ctx, v.store, func(tx *store.Tx) (store.WalletSigner, error) { return tx.WalletSigner(ctx, env, host) })
	fresh := err == nil && (w.Given || v.now().Add(signerRenew).Before(w.EndsAt))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return signer{}, err
	}
	if !fresh {
		if w, err = v.renew(ctx, env, host); err != nil {
			return signer{}, err
		}
	}
	return readSigner(w)
}

// renew makes a certificate, unless another node has made one in the meantime.
func (v *Verifier) renew(ctx context.Context, env, host string) (store.WalletSigner, error) {
	made, err := ownSigner(env, host, v.now())
	if err != nil {
		return made, err
	}
	return store.Change(ctx, v.store, func(tx *store.Tx) (store.WalletSigner, error) {
		w, err := tx.WalletSigner(ctx, env, host)
		if err == nil && (w.Given || v.now().Add(signerRenew).Before(w.EndsAt)) {
			return w, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return w, err
		}
		return made, tx.SetWalletSigner(ctx, made)
	})
}

// ownSigner makes a key and a certificate signed by itself.
func ownSigner(env, host string, now time.Time) (store.WalletSigner, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return store.WalletSigner{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return store.WalletSigner{}, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(signerLife), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return store.WalletSigner{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	return store.WalletSigner{
		Env: env, Host: host, Private: private, EndsAt: t.NotAfter,
		Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}, err
}

// ParseSigner reads what an operator gives for a host: PEM with the certificate first,
// those above it after it, and the key (PKCS #8, P-256) anywhere. It checks that they
// belong together and that the certificate bears the host.
func ParseSigner(env, host string, file []byte, now time.Time) (store.WalletSigner, error) {
	w := store.WalletSigner{Env: env, Host: host, Given: true}
	var chain bytes.Buffer
	for rest := file; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		switch b.Type {
		case "CERTIFICATE":
			if err := pem.Encode(&chain, b); err != nil {
				return w, err
			}
		case "PRIVATE KEY":
			w.Private = b.Bytes
		}
	}
	w.Chain = chain.Bytes()
	s, err := readSigner(w)
	if err != nil {
		return w, err
	}
	der, err := base64.StdEncoding.DecodeString(s.chain[0])
	if err != nil {
		return w, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return w, err
	}
	w.EndsAt = leaf.NotAfter
	switch {
	case !s.key.PublicKey.Equal(leaf.PublicKey):
		return w, errors.New("wallet: key and certificate do not belong together")
	case leaf.VerifyHostname(host) != nil:
		return w, fmt.Errorf("wallet: the certificate does not bear the name %s", host)
	case now.After(leaf.NotAfter):
		return w, errors.New("wallet: the certificate has expired")
	}
	return w, nil
}

func readSigner(w store.WalletSigner) (signer, error) {
	var s signer
	for rest := w.Chain; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		s.chain = append(s.chain, base64.StdEncoding.EncodeToString(b.Bytes))
	}
	key, err := x509.ParsePKCS8PrivateKey(w.Private)
	if err != nil {
		return s, fmt.Errorf("wallet: key of requests: %w", err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() || len(s.chain) == 0 {
		return s, errors.New("wallet: requests are signed by a key on P-256 with its certificate")
	}
	s.key = ec
	return s, nil
}
