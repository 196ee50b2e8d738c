package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// What a case holds is sealed under a key of the case, and that key under the master
// key: destroying it destroys the pictures, in every copy of the database that is made
// from then on.

const caseKeySize = 32

func caseCell(env, id string) Cell {
	return Cell{Env: env, Table: "reviews", Column: "secret", Row: id}
}

// newCaseKey returns a new key, sealed.
func (tx *Tx) newCaseKey(env, id string) (string, error) {
	raw := make([]byte, caseKeySize)
	rand.Read(raw)
	return tx.Seal(caseCell(env, id), raw)
}

// caseCipher opens the key of a case.
func (tx *Tx) caseCipher(env, id, secret string) (cipher.AEAD, error) {
	raw, err := tx.Unseal(caseCell(env, id), secret)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// caseData binds a sealed part to its place in its case.
func caseData(env, id, part string) []byte {
	return fmt.Appendf(nil, "postern/review/v1\x00%s\x00%s\x00%s", env, id, part)
}

func (tx *Tx) sealInCase(env, id, secret, part string, plain []byte) (string, error) {
	aead, err := tx.caseCipher(env, id, secret)
	if err != nil {
		return "", err
	}
	return base64.RawStdEncoding.EncodeToString(aead.Seal(nil, nil, plain, caseData(env, id, part))), nil
}

func (tx *Tx) openInCase(env, id, secret, part, sealed string) ([]byte, error) {
	aead, err := tx.caseCipher(env, id, secret)
	if err != nil {
		return nil, err
	}
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err == nil {
		b, err = aead.Open(nil, nil, b, caseData(env, id, part))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: review %s", errCell, part)
	}
	return b, nil
}
