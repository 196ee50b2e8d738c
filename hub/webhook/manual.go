package webhook

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// A Revocation is a manual verification that staff took back.
type Revocation struct {
	ID         string
	Directory  string
	ExternalID string // the account's immutable id
	Subject    string // whom a relying party calls this person; "" if nobody
	Recovery   string // that counted it; "" if none did
	Performed  bool   // the operation of that recovery had been sent to the agent
	Reason     string
}

type revocationBody struct {
	EventType  Event     `json:"event_type"`
	OrgName    string    `json:"org_name"`
	EnvName    string    `json:"env_name"`
	Date       time.Time `json:"date"`
	ID         string    `json:"manual_verification"`
	Directory  string    `json:"directory"`
	ExternalID string    `json:"external_id"`
	Subject    string    `json:"subject"`
	Recovery   string    `json:"recovery"`
	Performed  bool      `json:"performed"`
	Reason     string    `json:"reason"`
}

// ManualVerificationRevoked queues the event manual_verification_revoked in the caller's
// transaction.
func (h *Hooks) ManualVerificationRevoked(ctx context.Context, tx *store.Tx, env string, r Revocation) error {
	names, err := tx.EnvironmentNames(ctx, env)
	if err != nil {
		return err
	}
	person, err := personOf(ctx, tx, env, r.Directory, r.ExternalID)
	if err != nil {
		return err
	}
	return queue(ctx, tx, env, ManualRevoked, whom{person, r.Recovery}, revocationBody{ManualRevoked, names.Org, names.Env, h.now().UTC(), r.ID, r.Directory, r.ExternalID, r.Subject, r.Recovery, r.Performed, r.Reason})
}
