package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"math/big"

	"github.com/fxamacker/cbor/v2"
)

// COSE header labels (IANA "COSE Header Parameters").
const (
	labelAlg      = 1
	labelCritical = 2
	labelKid      = 4
	labelX5Chain  = 33 // RFC 9360
)

// A coseAlgorithm says what a signature algorithm is made of. A nil curve is Ed25519.
type coseAlgorithm struct {
	curve elliptic.Curve
	hash  func() hash.Hash
}

// coseAlgorithms are the ones accepted (IANA "COSE Algorithms"; RFC 9053 and RFC 9864
// for the fully specified ones). An ECDSA algorithm goes with one curve, as ISO/IEC
// 18013-5 and OpenID4VP have it.
var coseAlgorithms = map[int64]coseAlgorithm{
	-7:  {elliptic.P256(), sha256.New},
	-9:  {elliptic.P256(), sha256.New},
	-35: {elliptic.P384(), sha512.New384},
	-51: {elliptic.P384(), sha512.New384},
	-36: {elliptic.P521(), sha512.New},
	-52: {elliptic.P521(), sha512.New},
	-8:  {},
	-19: {},
}

// A sign1 is a COSE_Sign1 message (RFC 9052 4.2).
type sign1 struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected map[int64]cbor.RawMessage
	Payload     cbor.RawMessage
	Signature   []byte
}

// parseSign1 reads a message with or without its tag 18.
func parseSign1(what string, raw []byte) (sign1, error) {
	var m sign1
	if len(raw) > 0 && raw[0] == 0xd2 {
		raw = raw[1:]
	}
	if len(raw) == 0 || raw[0] != 0x84 {
		return m, fmt.Errorf("%w: %s is not an array of four", ErrFormat, what)
	}
	err := decode(strictCBOR, what, raw, &m)
	return m, err
}

// content returns the message's own payload.
func (m sign1) content(what string) ([]byte, error) {
	var b []byte
	if len(m.Payload) == 0 || m.Payload[0]>>5 != 2 {
		return nil, fmt.Errorf("%w: %s has no payload", ErrFormat, what)
	}
	err := decode(strictCBOR, what, m.Payload, &b)
	return b, err
}

// detached reports whether the payload is null: undefined would not do.
func (m sign1) detached() bool { return len(m.Payload) == 1 && m.Payload[0] == 0xf6 }

// verify checks the signature by key over payload, which is the message's own or a
// detached one.
func (m sign1) verify(what string, key crypto.PublicKey, payload []byte) error {
	var head map[int64]cbor.RawMessage
	if err := decode(strictCBOR, what+" header", m.Protected, &head); err != nil {
		return err
	}
	if _, critical := head[labelCritical]; critical {
		return fmt.Errorf("%w: %s has critical headers", ErrFormat, what)
	}
	var alg int64
	if err := decode(strictCBOR, what+" algorithm", head[labelAlg], &alg); err != nil {
		return err
	}
	signed, err := deterministic.Marshal([]any{"Signature1", m.Protected, []byte{}, payload})
	if err != nil {
		return err
	}
	return checkSignature(what, alg, key, signed, m.Signature)
}

// checkSignature verifies a COSE signature: r and s of full length for ECDSA.
func checkSignature(what string, alg int64, key crypto.PublicKey, signed, sig []byte) error {
	a, known := coseAlgorithms[alg]
	if !known {
		return fmt.Errorf("%w: %s by algorithm %d", ErrRefused, what, alg)
	}
	ok := false
	switch k := key.(type) {
	case ed25519.PublicKey:
		ok = a.curve == nil && ed25519.Verify(k, signed, sig)
	case *ecdsa.PublicKey:
		if a.curve == nil || a.curve != k.Curve || len(sig) != 2*size(k.Curve) {
			break
		}
		h := a.hash()
		h.Write(signed)
		n := size(k.Curve)
		ok = ecdsa.Verify(k, h.Sum(nil), new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
	}
	if !ok {
		return fmt.Errorf("%w: %s", ErrSignature, what)
	}
	return nil
}

// chain returns x5chain of the unprotected header: one byte string or an array of
// them. Beside it only a key id may stand there, which nothing reads.
func (m sign1) chain(what string) ([][]byte, error) {
	for label := range m.Unprotected {
		if label != labelX5Chain && label != labelKid {
			return nil, fmt.Errorf("%w: %s has an unsigned header %d", ErrFormat, what, label)
		}
	}
	raw := m.Unprotected[labelX5Chain]
	if len(raw) == 0 {
		return nil, fmt.Errorf("%w: %s brings no certificate", ErrFormat, what)
	}
	if raw[0]>>5 == 2 { // a byte string
		one := make([][]byte, 1)
		err := decode(strictCBOR, what+" certificate", raw, &one[0])
		return one, err
	}
	var many [][]byte
	if err := decode(strictCBOR, what+" certificates", raw, &many); err != nil {
		return nil, err
	}
	if len(many) == 0 { // nothing, or a list of nothing
		return nil, fmt.Errorf("%w: %s brings no certificate", ErrFormat, what)
	}
	return many, nil
}

// A deviceKey is the part of a COSE_Key that signatures need (RFC 9053 7).
type deviceKey struct {
	Kty   int64           `cbor:"1,keyasint"`
	Curve int64           `cbor:"-1,keyasint"`
	X     []byte          `cbor:"-2,keyasint"`
	Y     cbor.RawMessage `cbor:"-3,keyasint"`
}

// public returns the key as Go knows it, its point validated. Compressed points are
// refused.
func (k deviceKey) public() (crypto.PublicKey, error) {
	switch k.Kty {
	case 1:
		if k.Curve != 6 || len(k.X) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: OKP device key", ErrFormat)
		}
		return ed25519.PublicKey(k.X), nil
	case 2:
		c := map[int64]elliptic.Curve{1: elliptic.P256(), 2: elliptic.P384(), 3: elliptic.P521()}[k.Curve]
		if c == nil {
			return nil, fmt.Errorf("%w: device key on curve %d", ErrRefused, k.Curve)
		}
		var y []byte
		if err := decode(signedCBOR, "device key", k.Y, &y); err != nil {
			return nil, err
		}
		key, err := point(c, k.X, y)
		if err != nil {
			return nil, err
		}
		return key, nil
	}
	return nil, fmt.Errorf("%w: device key of type %d", ErrRefused, k.Kty)
}
