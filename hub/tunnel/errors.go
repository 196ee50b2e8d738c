package tunnel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// ErrFingerprint is given when an administrator confirms an agent with another
// fingerprint than its own.
var ErrFingerprint = errors.New("tunnel: the fingerprint is not this agent's")

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// asProtocol makes an error of a call one that has a code. The caller's own end stays
// in the chain: what happened at the agent is not known then.
func asProtocol(err error) error {
	if err == nil {
		return nil
	}
	var e *protocol.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", protocol.Err(protocol.CodeInternal, "the agent did not answer in time"), err)
	}
	return fmt.Errorf("%w: %w", protocol.Err(protocol.CodeInternal, "the call failed"), err)
}

// Answers between nodes begin with one of these.
const (
	answerOK    = 0 // then the body
	answerError = 1 // then an Error in JSON
	answerNone  = 2 // the agent is not connected to that node
)

func encodeAnswer(body []byte, err error) []byte {
	if err == nil {
		return append([]byte{answerOK}, body...)
	}
	if errors.Is(err, errNotHere) {
		return []byte{answerNone}
	}
	var e *protocol.Error
	if !errors.As(err, &e) {
		e = protocol.Err(protocol.CodeInternal, "the node that holds the agent failed; its log says more")
	}
	text, _ := json.Marshal(e) // two strings always marshal
	return append([]byte{answerError}, text...)
}

func decodeAnswer(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, protocol.Err(protocol.CodeInternal, "empty answer of the other node")
	}
	switch b[0] {
	case answerOK:
		return b[1:], nil
	case answerNone:
		return nil, errNoAgent
	}
	var e protocol.Error
	if err := json.Unmarshal(b[1:], &e); err != nil || e.Code == "" {
		return nil, protocol.Err(protocol.CodeInternal, "unreadable answer of the other node")
	}
	return nil, &e
}
