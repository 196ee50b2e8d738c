package hub

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/site"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// signIns are the questions of other identity providers in the words of the site.
type signIns struct{ *oidc.Provider }

// Open implements site.SignIns.
func (s signIns) Open(ctx context.Context, env, ticket, lang string, by flow.Client) (site.SignIn, error) {
	o, err := s.Provider.Open(ctx, env, ticket, lang, by)
	return site.SignIn(o), notAdmitted(err)
}

// Read implements site.Phones.
func (s signIns) Read(ctx context.Context, env, secret string) (site.SignInReading, error) {
	r, err := s.Provider.Read(ctx, env, secret)
	return site.SignInReading(r), notAdmitted(err)
}

// GoOn implements site.Phones.
func (s signIns) GoOn(ctx context.Context, env, secret, lang string, by flow.Client) (site.SignIn, error) {
	o, err := s.Provider.GoOn(ctx, env, secret, lang, by)
	return site.SignIn(o), notAdmitted(err)
}

// Disown implements site.Phones.
func (s signIns) Disown(ctx context.Context, env, secret string) error {
	return notAdmitted(s.Provider.Disown(ctx, env, secret))
}

// notAdmitted is the site's word for a ticket that leads nowhere.
func notAdmitted(err error) error {
	if errors.Is(err, oidc.ErrTicket) {
		return flow.ErrNotAdmitted
	}
	return err
}

// pictures draw addresses for cameras.
type pictures struct{}

// Draw implements oidc.Picture.
func (pictures) Draw(text string) (string, int, error) { return factor.QR(text) }

// PNG implements oidc.Picture.
func (pictures) PNG(text string) ([]byte, error) { return factor.QRImage(text) }

// FinishPerson implements site.SignIns.
func (s signIns) FinishPerson(ctx context.Context, env, use, session string, give bool) (string, error) {
	to, err := s.Provider.FinishPerson(ctx, env, use, session, give)
	if errors.Is(err, oidc.ErrTicket) {
		err = request.ErrNotFound
	}
	return to, err
}

// strangers are requests in the words of package oidc.
type strangers struct{ requests *request.Requests }

// OpenFor implements oidc.People.
func (s strangers) OpenFor(ctx context.Context, o oidc.Opening) (use, session string, err error) {
	return s.requests.OpenFor(ctx, request.Opening{Env: o.Env, Exchange: o.Exchange, Origin: o.Origin, Label: o.Label, Claims: o.Claims, Language: o.Language,
		By: request.Client{Address: o.Address, UserAgent: o.UserAgent}})
}

// FinishFor implements oidc.People.
func (s strangers) FinishFor(ctx context.Context, env, use, session string, give bool, then func(tx *store.Tx, exchange string, proven *evidence.Claims) error) error {
	return s.requests.FinishFor(ctx, env, use, session, give, then)
}
