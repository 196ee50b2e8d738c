package hub

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/site"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/review"
)

// signIns are the questions of other identity providers in the words of the site.
type signIns struct{ *oidc.Provider }

// Open implements site.SignIns.
func (s signIns) Open(ctx context.Context, env, ticket, lang string, by recovery.Client) (site.SignIn, error) {
	o, err := s.Provider.Open(ctx, env, ticket, lang, by)
	return site.SignIn(o), notAdmitted(err)
}

// Read implements site.Phones.
func (s signIns) Read(ctx context.Context, env, secret string) (site.SignInReading, error) {
	r, err := s.Provider.Read(ctx, env, secret)
	return site.SignInReading(r), notAdmitted(err)
}

// GoOn implements site.Phones.
func (s signIns) GoOn(ctx context.Context, env, secret, lang string, by recovery.Client) (site.SignIn, error) {
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
		return recovery.ErrNotAdmitted
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

// bindings finds the accounts that proofs are of, and asks their agents.
type bindings struct {
	store      *store.Store
	operations *operation.Operations
	reviews    *review.Reviews
}

// Bind implements oidc.Accounts.
func (b bindings) Bind(ctx context.Context, q oidc.Binding) (oidc.Bound, error) {
	binding := directory.Binding{Env: q.Env, Directory: q.Directory, Identifier: q.Identifier, Strength: q.Strength, Document: q.Document}
	if q.Case != "" {
		binding.Compare = b.reviews.Faces(q.Case)
	}
	a, out, err := b.find(ctx, binding)
	if err != nil || out.Reason != "" {
		return out, err
	}
	word, err := b.operations.WordOn(ctx, a, q.Origin)
	if err == nil && word.Strict {
		binding.Strict = true
		if a, out, err = b.find(ctx, binding); err != nil || out.Reason != "" {
			return out, err
		}
	}
	out = oidc.Bound{Account: a, Strict: word.Strict}
	if word.Refused {
		out.Reason = oidc.NotPermitted
	}
	return out, err
}

// find returns the account that a proof is of, or the reason why there is none.
func (b bindings) find(ctx context.Context, binding directory.Binding) (store.Account, oidc.Bound, error) {
	a, err := directory.Bind(ctx, b.store, binding)
	for of, reason := range unbound {
		if errors.Is(err, of) {
			return a, oidc.Bound{Reason: reason}, nil
		}
	}
	return a, oidc.Bound{}, err
}

// unbound are the reasons for which a proof is of no account.
var unbound = map[error]string{directory.ErrNobody: oidc.NoAccount, directory.ErrSeveral: oidc.SeveralAccounts, directory.ErrFace: oidc.PhotoNotCompared,
	directory.ErrNoPhoto: oidc.NoPhoto, directory.ErrOtherFace: oidc.PhotoDiffers}
