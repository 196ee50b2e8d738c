package webhook

import (
	"context"

	"github.com/postern-id/postern/hub/store"
)

// A RequestChange is a change of a request.
type RequestChange struct {
	ID      string // of the request
	Person  string // who answered it last, by the name that the audit log uses; "" if nobody did, or was erased
	Event   string // in the spelling of the public documents: "request_accepted"
	Request any    // the wire type Request
}

type requestBody struct {
	EventType Event  `json:"event_type"`
	Event     string `json:"event"`
	Request   any    `json:"request"`
}

// RequestChanged queues the event request in the caller's transaction.
func (h *Hooks) RequestChanged(ctx context.Context, tx *store.Tx, env string, c RequestChange) error {
	return queue(ctx, tx, env, Request, whom{c.Person, c.ID}, requestBody{Request, c.Event, c.Request})
}

// A Sharing is what a person shared with an environment, or took back.
type Sharing struct {
	Person  string // by the name that the audit log uses
	Subject string
	Request string // id
	Label   string
	Claims  []string
	Revoked bool
}

type sharingBody struct {
	EventType Event    `json:"event_type"`
	Subject   string   `json:"subject"`
	Request   string   `json:"request"`
	OrgName   string   `json:"org_name"`
	EnvName   string   `json:"env_name"`
	Claims    []string `json:"claims"`
	Label     string   `json:"label"`
}

// SharingChanged queues the event share, or reject for what was taken back, in the
// caller's transaction.
func (h *Hooks) SharingChanged(ctx context.Context, tx *store.Tx, env string, s Sharing) error {
	names, err := tx.EnvironmentNames(ctx, env)
	if err != nil {
		return err
	}
	event := Share
	if s.Revoked {
		event = Reject
	}
	return queue(ctx, tx, env, event, whom{s.Person, s.Request}, sharingBody{event, s.Subject, s.Request, names.Org, names.Env, append([]string{}, s.Claims...), s.Label})
}
