package agent

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// removeKey forgets a passkey because the hub says so: its owner removed it, or says
// that it was somebody else's. It needs no evidence, since it only takes power away; the
// event log has it, and the owner is told by the agent itself (T3).
func (s *service) removeKey(ctx context.Context, q protocol.RemoveKeyRequest, e *event) (any, error) {
	if err := wellFormed("account", q.Account, maxID); err != nil {
		return nil, err
	}
	if len(q.Hash) != 32 {
		return nil, protocol.Err(protocol.CodeBadRequest, "hash: want 32 bytes")
	}
	e.Account, e.Operation = q.Account, removalOf(q.Hash)
	if why := s.stopped(); why != nil {
		return nil, why
	}
	release, err := s.locks.take(ctx, q.Account)
	if err != nil {
		return nil, err
	}
	defer release()
	switch err := s.forgetKey(ctx, q.Account, q.Hash); {
	case errors.Is(err, known.ErrUnknown):
		return protocol.RemovedKey{}, nil
	case err != nil:
		return nil, protocol.Err(protocol.CodeUnavailable, "the agent cannot write its memory; look at its log and its disk")
	}
	return protocol.RemovedKey{Removed: true}, nil
}

// dropHeld ends what a passkey of the account proved and the agent holds still: it may
// have been the one that was removed (T23).
func (s *service) dropHeld(account string) error {
	for _, h := range s.journal.HeldOf(account) {
		if !slices.Contains(h.Acceptance.Proven, proof.MethodPasskey) {
			continue
		}
		if err := s.journal.Drop(h.Recovery.ID); err != nil && !errors.Is(err, journal.ErrNotBegun) && !errors.Is(err, journal.ErrExecuted) {
			return err
		}
	}
	return nil
}

// forgetKey removes a passkey and tells the owner. A directory that cannot be asked for
// the owner's addresses keeps no key in.
func (s *service) forgetKey(ctx context.Context, account string, hash []byte) error {
	if !s.known.HasKey(account, hash) {
		return known.ErrUnknown
	}
	if err := errors.Join(s.dropHeld(account), s.known.RemoveKey(account, hash)); err != nil {
		return err
	}
	s.log.Info("a passkey was removed", "account", withoutAddresses(account))
	facts, err := s.dir.Facts(ctx, account)
	if err != nil {
		s.log.Warn("nobody can be told that a passkey was removed", "account", withoutAddresses(account), "error", withoutAddresses(err.Error()))
		return nil
	}
	k, err := s.claimant(ctx, facts, []protocol.Task{{Operation: protocol.EnrollKey}}) // with the terms that let it in
	if err != nil {
		s.log.Warn("nobody can be told that a passkey was removed", "account", withoutAddresses(account), "error", withoutAddresses(err.Error()))
		return nil
	}
	s.announce(ctx, noteRemoved, journal.Recovery{Account: account}, k, s.now())
	return nil
}
