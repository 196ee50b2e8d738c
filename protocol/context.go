package protocol

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
)

// RandomPart is the length of each end's random part of a recovery id, in bytes.
const RandomPart = 16

// contextLabel begins the hash of every evidence context.
const contextLabel = "postern/evidence/v1"

// approvalLabel begins the hash of every approval challenge.
const approvalLabel = "postern/approve/v1"

// A Context is the hash that binds a person's evidence to one operation on one
// account for one recipient. It is the nonce of every ceremony and the key of the
// agent's journal.
type Context [sha256.Size]byte

// String returns the hash in unpadded base64url, as ceremonies carry it.
func (c Context) String() string { return base64.RawURLEncoding.EncodeToString(c[:]) }

// MarshalText writes the form of String.
func (c Context) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the form of String.
func (c *Context) UnmarshalText(b []byte) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(b))
	if err != nil || len(raw) != len(c) {
		return fmt.Errorf("protocol: a context is %d bytes in base64url", len(c))
	}
	copy(c[:], raw)
	return nil
}

// Members are what an evidence context is made of, in the order of the hash.
type Members struct {
	Recovery  string `json:"recovery"`  // base64url of the hub's 16 random bytes followed by the agent's 16
	Directory string `json:"directory"` // directory id; empty for plain verifications
	Account   string `json:"account"`   // immutable id in canonical form; empty for plain verifications
	Operation string `json:"operation"` // CanonicalTasks, or "verify"
	Recipient []byte `json:"recipient"` // suite ids and point, see package seal; empty when nothing is sealed
	NotAfter  int64  `json:"not_after"` // Unix seconds by the agent's clock
}

// Context hashes the members: SHA-256 over the label and, for each member, its
// length as uint32 in big-endian order and its bytes.
func (m Members) Context() Context {
	h := sha256.New()
	h.Write([]byte(contextLabel))
	for _, b := range [][]byte{
		[]byte(m.Recovery), []byte(m.Directory), []byte(m.Account), []byte(m.Operation),
		m.Recipient, []byte(strconv.FormatInt(m.NotAfter, 10)),
	} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	return Context(h.Sum(nil))
}

// RecoveryID joins the random parts of hub and agent. The agent's part is nil for
// a plain verification.
func RecoveryID(hub, agent []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(append([]byte(nil), hub...), agent...))
}

// ApprovalChallenge is what an approver signs: the context and who approves.
func (c Context) ApprovalChallenge(approver string) [sha256.Size]byte {
	return sha256.Sum256(append(append([]byte(approvalLabel), c[:]...), approver...))
}
