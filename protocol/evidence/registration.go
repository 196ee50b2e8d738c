package evidence

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// A Registration is what the browser answers when a person makes a passkey, as JSON.
// Bytes are in standard base64.
type Registration struct {
	ClientData  []byte `json:"client_data"`
	Attestation []byte `json:"attestation"` // CBOR, WebAuthn Level 3, section 6.5
}

// A Registered passkey, with what its authenticator said of itself. Nothing attests
// that, so it is good for a label and for nothing else.
type Registered struct {
	Credential
	AAGUID [16]byte
	Synced bool // copied between devices by its maker
}

// maxRegistration bounds a registration: attestations that nobody asked for carry certificates.
const maxRegistration = 32 << 10

// CheckRegistration verifies that a passkey was made over challenge at the RP id rpID,
// at an origin of a, with the person verified. What the registration says about the
// authenticator's maker is not asked for and not believed.
func CheckRegistration(raw []byte, challenge [32]byte, rpID string, a Anchors) (Registered, error) {
	var r Registration
	if err := strictJSON(raw, maxRegistration, &r); err != nil {
		return Registered{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err := checkClientData(r.ClientData, "webauthn.create", challenge, rpID, a); err != nil {
		return Registered{}, err
	}
	d, err := parseAttestation(r.Attestation)
	if err != nil {
		return Registered{}, err
	}
	if err := d.check(rpID); err != nil {
		return Registered{}, err
	}
	if _, err := parseCOSEKey(d.attested.key); err != nil {
		return Registered{}, err
	}
	return Registered{Credential{d.attested.id, d.attested.key, rpID}, d.attested.aaguid, d.flags&flagBackupEligible != 0}, nil
}

func parseAttestation(b []byte) (authData, error) {
	var object struct {
		Format    string          `cbor:"fmt"`
		Statement cbor.RawMessage `cbor:"attStmt"`
		AuthData  []byte          `cbor:"authData"`
	}
	if err := authenticatorCBOR().Unmarshal(b, &object); err != nil {
		return authData{}, fmt.Errorf("%w: attestation: %w", ErrFormat, err)
	}
	d, err := parseAuthData(object.AuthData)
	if err == nil && d.attested == nil {
		err = fmt.Errorf("%w: no new credential", ErrFormat)
	}
	return d, err
}
