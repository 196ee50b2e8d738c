package evidence

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Flags of authenticator data (WebAuthn Level 3, section 6.1).
const (
	flagPresent        = 1 << 0
	flagVerified       = 1 << 2
	flagBackupEligible = 1 << 3
	flagBackedUp       = 1 << 4
	flagAttested       = 1 << 6
	flagExtensions     = 1 << 7
)

// Layout of authenticator data: hash of the RP id, flags, counter.
const (
	authDataHead = 32 + 1 + 4
	attestedHead = 16 + 2 // AAGUID, length of the credential id
)

// authData is parsed authenticator data.
type authData struct {
	rpIDHash []byte
	flags    byte
	count    uint32
	attested *attested // nil without a new credential
}

// attested is a new credential within authenticator data.
type attested struct {
	aaguid [16]byte
	id     []byte
	key    []byte // COSE_Key, exactly as it came
}

// parseAuthData reads authenticator data and refuses every byte that it does not understand.
func parseAuthData(b []byte) (authData, error) {
	if len(b) < authDataHead || len(b) > maxAuthData {
		return authData{}, fmt.Errorf("%w: authenticator data of %d bytes", ErrFormat, len(b))
	}
	d := authData{rpIDHash: b[:32], flags: b[32], count: binary.BigEndian.Uint32(b[33:authDataHead])}
	rest := b[authDataHead:]
	if d.flags&flagAttested != 0 {
		var err error
		if d.attested, rest, err = parseAttested(rest); err != nil {
			return authData{}, err
		}
	}
	if d.flags&flagExtensions != 0 {
		var extensions map[string]cbor.RawMessage
		after, err := authenticatorCBOR().UnmarshalFirst(rest, &extensions)
		if err != nil {
			return authData{}, fmt.Errorf("%w: extensions: %w", ErrFormat, err)
		}
		rest = after
	}
	if len(rest) > 0 {
		return authData{}, fmt.Errorf("%w: %d bytes after the authenticator data", ErrFormat, len(rest))
	}
	return d, nil
}

func parseAttested(b []byte) (*attested, []byte, error) {
	if len(b) < attestedHead {
		return nil, nil, fmt.Errorf("%w: credential data of %d bytes", ErrFormat, len(b))
	}
	n := int(binary.BigEndian.Uint16(b[16:attestedHead]))
	if n == 0 || n > maxCredentialID || len(b) < attestedHead+n {
		return nil, nil, fmt.Errorf("%w: credential id of %d bytes", ErrFormat, n)
	}
	c := &attested{aaguid: [16]byte(b[:16]), id: b[attestedHead : attestedHead+n]}
	tail := b[attestedHead+n:]
	var key cbor.RawMessage
	rest, err := authenticatorCBOR().UnmarshalFirst(tail, &key)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: credential key: %w", ErrFormat, err)
	}
	c.key = tail[:len(tail)-len(rest)]
	return c, rest, nil
}

// check demands the RP id, a present person and a verified one.
func (d authData) check(rpID string) error {
	want := sha256.Sum256([]byte(rpID))
	switch {
	case subtle.ConstantTimeCompare(d.rpIDHash, want[:]) != 1:
		return fmt.Errorf("%w: another RP id", ErrContext)
	case d.flags&flagPresent == 0 || d.flags&flagVerified == 0:
		return ErrNotVerified
	case d.flags&flagBackedUp != 0 && d.flags&flagBackupEligible == 0:
		return fmt.Errorf("%w: backed up without being eligible", ErrFormat)
	}
	return nil
}

// authenticatorCBOR is how this package reads the CBOR of authenticators: small, flat, without
// doubled keys, tags or lengths to be known later (CTAP 2.2, section 8).
func authenticatorCBOR() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 4, MaxArrayElements: 64, MaxMapPairs: 64,
	}.DecMode()
	if err != nil {
		panic(err) // only for options that do not fit one another
	}
	return m
}
