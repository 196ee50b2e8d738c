package evidencetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/fxamacker/cbor/v2"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Flags of authenticator data (WebAuthn Level 3, section 6.1).
const (
	Present, Verified, BackupEligible, BackedUp, Attested, Extensions = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
)

// An Authenticator is a passkey in memory. It signs whatever its members say, wrong
// things too: tests change them.
type Authenticator struct {
	Origin     string // of the page that asks; the RP id is its host
	RPID       string
	ID         []byte
	UserHandle []byte
	Flags      byte           // of assertions; a registration adds Attested
	ClientData map[string]any // replaces or adds members of the client data
	Tail       []byte         // after the authenticator data

	signer crypto.Signer
	key    []byte // COSE_Key
	count  uint32
}

// NewAuthenticator makes a passkey with an ES256 key at origin.
func NewAuthenticator(origin string) *Authenticator {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	point, err := key.PublicKey.Bytes()
	must(err)
	return newAuthenticator(origin, key, map[int]any{1: 2, 3: evidence.AlgES256, -1: 1, -2: point[1:33], -3: point[33:]})
}

// NewEd25519 makes a passkey with an EdDSA key.
func NewEd25519(origin string) *Authenticator {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	return newAuthenticator(origin, key, map[int]any{1: 1, 3: evidence.AlgEdDSA, -1: 6, -2: []byte(public)})
}

// NewRSA makes a passkey with an RS256 key, as Windows Hello on a TPM does.
func NewRSA(origin string) *Authenticator {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return newAuthenticator(origin, key, map[int]any{1: 3, 3: evidence.AlgRS256, -1: key.N.Bytes(), -2: []byte{1, 0, 1}})
}

func newAuthenticator(origin string, signer crypto.Signer, key map[int]any) *Authenticator {
	u, err := url.Parse(origin)
	must(err)
	a := &Authenticator{Origin: origin, RPID: u.Hostname(), ID: make([]byte, 32), UserHandle: make([]byte, 32), Flags: Present | Verified, signer: signer}
	_, _ = rand.Read(a.ID)
	mode, err := cbor.CTAP2EncOptions().EncMode()
	must(err)
	a.key, err = mode.Marshal(key)
	must(err)
	return a
}

// Credential is the public half.
func (a *Authenticator) Credential() evidence.Credential {
	return evidence.Credential{ID: a.ID, PublicKey: a.key, RPID: a.RPID}
}

// Register returns the registration over challenge, as the page's script sends it.
func (a *Authenticator) Register(challenge [32]byte) []byte {
	data := a.authData(a.Flags | Attested)
	data = append(data, make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.ID)))
	data = append(append(append(data, a.ID...), a.key...), a.Tail...)
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	must(err)
	return asJSON(evidence.Registration{ClientData: a.clientData("webauthn.create", challenge), Attestation: object})
}

// Assert returns the assertion over challenge, as the page's script sends it: Raw of the
// evidence passkey.
func (a *Authenticator) Assert(challenge [32]byte) []byte { return asJSON(a.assertion(challenge)) }

// Approve returns Raw of the evidence approval: that approver vouches for c.
func (a *Authenticator) Approve(c protocol.Context, approver string) []byte {
	s := a.assertion(evidence.ApprovalChallenge(c, approver))
	s.Approver = approver
	return asJSON(s)
}

func (a *Authenticator) assertion(challenge [32]byte) evidence.Assertion {
	a.count++
	s := evidence.Assertion{Credential: a.ID, UserHandle: a.UserHandle,
		AuthenticatorData: append(a.authData(a.Flags), a.Tail...), ClientData: a.clientData("webauthn.get", challenge)}
	hash := sha256.Sum256(s.ClientData)
	message := append(append([]byte(nil), s.AuthenticatorData...), hash[:]...)
	digest, how := message, crypto.SignerOpts(crypto.Hash(0))
	if _, is := a.signer.(ed25519.PrivateKey); !is {
		sum := sha256.Sum256(message)
		digest, how = sum[:], crypto.SHA256
	}
	var err error
	s.Signature, err = a.signer.Sign(rand.Reader, digest, how)
	must(err)
	return s
}

func (a *Authenticator) authData(flags byte) []byte {
	hash := sha256.Sum256([]byte(a.RPID))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), a.count)
}

func (a *Authenticator) clientData(kind string, challenge [32]byte) []byte {
	m := map[string]any{"type": kind, "challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "origin": a.Origin, "crossOrigin": false}
	for k, v := range a.ClientData {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	return asJSON(m)
}

func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	must(err)
	return b
}

// must stops on what only a mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("evidencetest: %v", err))
	}
}
