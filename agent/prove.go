package agent

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// prove says whether the evidence of a request meets the terms of its account. An
// account that is not strict needs none here: the hub's policy decides.
func (s *service) prove(ctx context.Context, j job, k claimant) (proof.Verdict, *protocol.Error) {
	if !k.terms.Strict {
		return proof.Verdict{}, nil
	}
	code, err := s.journal.CodeState(j.recovery.ID)
	v, missing := s.checker.Check(proof.Case{
		Context: j.context, Account: j.recovery.Account, Terms: k.terms, Evidence: j.request.Evidence,
		AgentCode: err == nil && code.Proven, Person: k.person, Keys: k.keys, Approvers: k.approvers, Owner: func(issuer, number string) string { return s.known.Owner(s.known.Document(issuer, number)) },
		Status: func(uri string) ([]byte, error) { return s.statuses.token(ctx, uri) },
		Begun:  time.Unix(j.recovery.Begun, 0), Now: s.now(),
	})
	if missing != nil {
		return v, protocol.Err(protocol.CodePermissionDenied, missing.Error())
	}
	return v, nil
}

// proofsOf keeps of evidence kind, issuer and hash (T35).
func proofsOf(v proof.Verdict) []journal.Proof {
	var ps []journal.Proof
	for _, p := range v.Pieces {
		ps = append(ps, journal.Proof{Type: p.Type, Issuer: cut(p.Issuer, maxID), Hash: append([]byte(nil), p.Hash[:]...)})
	}
	return ps
}

func cut(text string, n int) string { return text[:min(len(text), n)] }

// newDocuments are the keyed hashes of documents that are not tied to the account yet.
func (s *service) newDocuments(v proof.Verdict) []string {
	var all []string
	for _, p := range v.New {
		all = append(all, s.known.Document(p.Issuer, p.Number))
	}
	return all
}

// remember ties the documents of a recovery that was carried out to its account (T15),
// never those of one that was only accepted.
func (s *service) remember(j job, v proof.Verdict) {
	documents := s.newDocuments(v)
	if a := s.journal.Accepted(j.recovery.ID); a != nil {
		documents = a.Documents
	}
	for _, d := range documents {
		switch err := s.known.Tie(j.recovery.Account, d); {
		case errors.Is(err, known.ErrTied):
			s.log.Warn("a document proved two accounts", "account", withoutAddresses(j.recovery.Account))
		case err != nil:
			s.log.Error("a document cannot be remembered", "error", err)
		}
	}
}

func credentialOf(k known.Key) evidence.Credential {
	return evidence.Credential{ID: k.Credential, PublicKey: k.PublicKey, RPID: k.RPID}
}

func approverCredential(a known.Approver) evidence.Credential {
	return evidence.Credential{ID: a.Credential, PublicKey: a.PublicKey, RPID: a.RPID}
}
