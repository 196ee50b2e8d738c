package agent

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// maxCredential bounds a public key with its id.
const maxCredential = 8 << 10

// enrols reports whether tasks let a passkey into the agent's keyring (T3).
func enrols(tasks []protocol.Task) bool {
	return len(tasks) == 1 && tasks[0].Operation == protocol.EnrollKey
}

// own reports whether tasks change nothing in the directory.
func own(tasks []protocol.Task) bool { return len(tasks) == 1 && tasks[0].Operation.Own() }

// hashOf is the hash that the operation carries.
func hashOf(tasks []protocol.Task) ([]byte, error) {
	hash, err := hex.DecodeString(tasks[0].Params["key"])
	if err != nil || len(hash) != 32 || hex.EncodeToString(hash) != tasks[0].Params["key"] {
		return nil, protocol.Err(protocol.CodeBadRequest, "enroll_key: key is the credential's hash in lower-case hex")
	}
	return hash, nil
}

// checkKey compares the credential with the hash that the evidence is for.
func (s *service) checkKey(j job) error {
	_, _, err := s.keyOf(j)
	return err
}

func (s *service) keyOf(j job) (evidence.Credential, []byte, error) {
	var c evidence.Credential
	hash, err := hashOf(j.tasks)
	if err != nil {
		return c, nil, err
	}
	if len(j.request.Credential) > maxCredential || json.Unmarshal(j.request.Credential, &c) != nil {
		return c, nil, protocol.Err(protocol.CodeBadRequest, "enroll_key: the credential cannot be read")
	}
	if sum := c.Hash(); !bytes.Equal(sum[:], hash) {
		return c, nil, protocol.Err(protocol.CodeBadRequest, "enroll_key: the credential is not the one that the evidence is for")
	}
	if !s.checker.Knows(c.RPID) {
		return c, nil, protocol.Err(protocol.CodePermissionDenied, "enroll_key: the passkey is for a site that is not among evidence.origins in the agent's file")
	}
	return c, hash, nil
}

// enrolKey lets the passkey in. It counts after 72 hours.
func (s *service) enrolKey(j job, v proof.Verdict) error {
	c, hash, err := s.keyOf(j)
	if err != nil {
		return err
	}
	by := s.strength(j, v)
	err = s.known.Enrol(known.Key{
		Account: j.recovery.Account, Credential: c.ID, PublicKey: c.PublicKey, RPID: c.RPID, Hash: hash, Strength: by.Methods, Approvals: by.Approvals,
	})
	switch {
	case errors.Is(err, known.ErrFull):
		return protocol.Err(protocol.CodePermissionDenied, "the account has as many passkeys as it may have")
	case err != nil:
		return protocol.Err(protocol.CodeUnavailable, "the agent cannot write its memory; look at its log and its disk")
	}
	return nil
}

// strength is what a passkey that comes in rests on: it is never stronger than that, and
// no stronger than the passkey that may have proven it (T17).
func (s *service) strength(j job, v proof.Verdict) proof.Strength {
	if a := s.journal.Accepted(j.recovery.ID); a != nil && len(v.Proven) == 0 { // it was held
		return proof.Strength{Methods: a.Strength, Approvals: a.Approvals}
	}
	return v.Strength
}
