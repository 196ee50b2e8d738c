package evidence

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/postern-id/postern/protocol"
)

// keyLabel begins the hash of every passkey.
const keyLabel = "postern/key/v1"

// An Assertion is Raw of passkey and approval evidence, as JSON: the answer of an
// authenticator as WebAuthn names its members, all bytes as the browser gave them.
type Assertion struct {
	Credential        []byte `json:"credential"`
	AuthenticatorData []byte `json:"authenticator_data"`
	ClientData        []byte `json:"client_data"` // clientDataJSON
	Signature         []byte `json:"signature"`
	UserHandle        []byte `json:"user_handle,omitempty"`
	Approver          string `json:"approver,omitempty"` // approval: who signed
}

// A Credential is the public half of a passkey.
type Credential struct {
	ID        []byte `json:"id"`
	PublicKey []byte `json:"public_key"` // COSE_Key
	RPID      string `json:"rp_id"`
}

// Hash identifies the key in the operation that enrols it, in files and on screens:
// SHA-256 over a label and, for each member in order, its length (uint32, big-endian)
// and its bytes.
func (c Credential) Hash() [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(keyLabel))
	for _, b := range [][]byte{c.ID, c.PublicKey, []byte(c.RPID)} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// ApprovalChallenge is the WebAuthn challenge of one approver for one context.
func ApprovalChallenge(c protocol.Context, approver string) [sha256.Size]byte {
	return c.ApprovalChallenge(approver)
}
