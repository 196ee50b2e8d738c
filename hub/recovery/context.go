package recovery

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// FullID returns the recovery's id as hub and agent know it.
func FullID(rec *store.Recovery) (string, error) {
	hub, err1 := base64.RawURLEncoding.DecodeString(rec.ID)
	agent, err2 := base64.RawURLEncoding.DecodeString(rec.AgentPart)
	if err := errors.Join(err1, err2); err != nil {
		return "", fmt.Errorf("recovery: id of a recovery: %w", err)
	}
	return protocol.RecoveryID(hub, agent), nil
}

// Members returns what the evidence context is made of.
func Members(rec *store.Recovery) (protocol.Members, error) {
	id, err := FullID(rec)
	return protocol.Members{Recovery: id, Directory: rec.Directory, Account: rec.Account, Operation: rec.Tasks,
		Recipient: rec.Recipient, NotAfter: rec.NotAfter}, err
}

// SetRecipient sets the browser's key, once: ErrRecipient if it is malformed, or another one
// than before.
func SetRecipient(rec *store.Recovery, recipient []byte) error {
	if _, err := seal.ParseRecipient(recipient); err != nil {
		return ErrRecipient
	}
	if len(rec.Recipient) > 0 && !bytes.Equal(rec.Recipient, recipient) {
		return ErrRecipient
	}
	rec.Recipient = slices.Clone(recipient)
	return nil
}

// HasSecret reports whether one of the tasks has a secret result.
func HasSecret(tasks []protocol.Task) bool {
	return slices.ContainsFunc(tasks, func(t protocol.Task) bool { return t.Operation.Secret() })
}

// Unsealed reports whether a recovery was begun by an agent of the public protocol,
// whose secrets the hub sees (T24).
func Unsealed(rec *store.Recovery) bool {
	_, is := protocol.LegacyDirectory(rec.Agent)
	return is
}
