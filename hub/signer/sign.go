package signer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Sizes of signatures and keys.
const (
	minRSA    = 2048               // bits
	maxRSA    = 8192               // bits, as what reads key sets takes at most
	half      = 32                 // bytes of r and of s, on P-256
	maxPoints = 2 * (4 + half + 1) // bytes of both as SSH writes them: length, sign, number
)

// What SSH calls the algorithms that tokens have.
const (
	sshECDSA = ssh.KeyAlgoECDSA256          // RFC 5656: SHA-256 on P-256, as ES256
	sshRSA   = ssh.KeyAlgoRSASHA256         // RFC 8332: PKCS #1 v1.5 with SHA-256, as RS256
	sshEd    = ssh.KeyAlgoED25519           // RFC 8709, as EdDSA
	flagRSA  = agent.SignatureFlagRsaSha256 // without it agents sign by SHA-1
)

// flagsOf are those by which an agent signs as JWS does.
func flagsOf(key ssh.PublicKey) agent.SignatureFlags {
	if key.Type() == ssh.KeyAlgoRSA {
		return flagRSA
	}
	return 0
}

// usable returns a key in the form of Go's own libraries, if it signs tokens.
func usable(key ssh.PublicKey) (crypto.PublicKey, error) {
	c, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil, ErrKind
	}
	switch k := c.CryptoPublicKey().(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() && key.Type() == sshECDSA {
			return k, nil
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n >= minRSA && n <= maxRSA && k.E >= 3 && k.E <= 1<<31-1 {
			return k, nil
		}
	case ed25519.PublicKey:
		if key.Type() == sshEd { // one on a security key signs something else besides
			return k, nil
		}
	}
	return nil, ErrKind
}

// verified returns a signature as JWS writes it, if it is one.
func verified(by crypto.PublicKey, message []byte, s *ssh.Signature) (out []byte, err error) {
	sum, good := sha256.Sum256(message), false
	switch k := by.(type) {
	case *ecdsa.PublicKey:
		if out, err = fixed(s.Blob); err != nil || s.Format != sshECDSA {
			return nil, ErrForged
		}
		good = ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(out[:half]), new(big.Int).SetBytes(out[half:]))
	case *rsa.PublicKey:
		out = padded(s.Blob, k.Size())
		good = s.Format == sshRSA && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], out) == nil
	case ed25519.PublicKey:
		out = s.Blob
		good = s.Format == sshEd && len(out) == ed25519.SignatureSize && ed25519.Verify(k, message, out)
	}
	if !good {
		return nil, ErrForged
	}
	return out, nil
}

// fixed makes of r and s as SSH writes them, two numbers of any length (RFC 5656, section
// 3.1.2), what JWS has: 32 bytes each (RFC 7518, section 3.4).
func fixed(blob []byte) ([]byte, error) {
	var n struct{ R, S *big.Int }
	if len(blob) > maxPoints {
		return nil, fmt.Errorf("%w: %d bytes of r and s", ErrForged, len(blob))
	}
	if err := ssh.Unmarshal(blob, &n); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	out := make([]byte, 2*half)
	for i, x := range []*big.Int{n.R, n.S} {
		if x.Sign() <= 0 || x.BitLen() > 8*half {
			return nil, fmt.Errorf("%w: r or s out of range", ErrForged)
		}
		x.FillBytes(out[i*half : (i+1)*half])
	}
	return out, nil
}

// padded gives a signature the length of the modulus: some agents leave out zeros at its
// beginning.
func padded(sig []byte, size int) []byte {
	if len(sig) >= size {
		return sig
	}
	return append(make([]byte, size-len(sig)), sig...)
}
