package hub

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/webhook"
)

// requestHooks tells webhooks of requests.
type requestHooks struct{ hooks *webhook.Hooks }

// RequestChanged implements request.Hooks.
func (h requestHooks) RequestChanged(ctx context.Context, tx *store.Tx, env, event string, r request.Document) error {
	return h.hooks.RequestChanged(ctx, tx, env, webhook.RequestChange{Event: event, Request: r})
}

// SharingChanged implements request.Hooks.
func (h requestHooks) SharingChanged(ctx context.Context, tx *store.Tx, env string, s request.Sharing) error {
	return h.hooks.SharingChanged(ctx, tx, env, webhook.Sharing{Subject: s.Subject, Request: s.Request, Label: s.Label, Claims: s.Claims, Revoked: s.Revoked})
}

// reviewed tells requests or recoveries what reviewers decided, whichever waits for it.
type reviewed struct {
	verify.Settler
	requests *request.Requests
}

// Settle implements verify.Settler.
func (s reviewed) Settle(ctx context.Context, env, verification, method string, v verify.Verdict) error {
	err := s.requests.Settle(ctx, env, verification, v)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.Settler.Settle(ctx, env, verification, method, v)
	case errors.Is(err, request.ErrStep):
		return verify.ErrNobody
	}
	return err
}
