package hub

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/site"
)

// signIns are the questions of other identity providers in the words of the site.
type signIns struct{ *oidc.Provider }

// Open implements site.SignIns.
func (s signIns) Open(ctx context.Context, env, ticket, lang string, by flow.Client) (site.SignIn, error) {
	o, err := s.Provider.Open(ctx, env, ticket, lang, by)
	if errors.Is(err, oidc.ErrTicket) {
		err = flow.ErrNotAdmitted
	}
	return site.SignIn(o), err
}

// FinishPerson implements site.SignIns.
func (s signIns) FinishPerson(ctx context.Context, env, use, session string, give bool) (string, error) {
	to, err := s.Provider.FinishPerson(ctx, env, use, session, give)
	if errors.Is(err, oidc.ErrTicket) {
		err = request.ErrNotFound
	}
	return to, err
}
