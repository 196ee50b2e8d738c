package store

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
)

// ErrErased is returned where the key of a person was destroyed.
var ErrErased = errors.New("store: the person was erased")

// Seal encrypts plain under the key (AES-256-GCM). The text opens only with the same
// place, which names the column or member that it stands in.
func (k PersonKey) Seal(place string, plain []byte) (string, error) {
	aead, err := k.cipher()
	if err != nil {
		return "", err
	}
	return base64.RawStdEncoding.EncodeToString(aead.Seal(nil, nil, plain, []byte(place))), nil
}

// Open opens what Seal returned for the same place. ErrErased without the key.
func (k PersonKey) Open(place, sealed string) ([]byte, error) {
	aead, err := k.cipher()
	if err != nil {
		return nil, err
	}
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err == nil {
		b, err = aead.Open(nil, nil, b, []byte(place))
	}
	if err != nil {
		return nil, errCell
	}
	return b, nil
}

func (k PersonKey) cipher() (cipher.AEAD, error) {
	if k.Secret == nil {
		return nil, ErrErased
	}
	block, err := aes.NewCipher(k.Secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
