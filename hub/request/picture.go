package request

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/store"
)

// selfieKind is the picture of a case that shows the person.
const selfieKind = "selfie"

// pictured adds to what was found that there is a selfie, which people compared with the
// document, to be shared or to be compared with the photo of an account.
func (q *Requests) pictured(ctx context.Context, tx *store.Tx, u store.RequestUse, r store.Request, f *found) error {
	shares := q.Public != nil && slices.Contains(r.Claims, store.PictureClaim)
	compares := slices.ContainsFunc(r.Claims, Matched)
	if !shares && !compares {
		return nil
	}
	c, err := tx.Code(ctx, u.Env, u.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && c.Case == "" {
		return nil
	}
	if err != nil {
		return err
	}
	kinds, err := tx.ReviewImages(ctx, u.Env, c.Case)
	if !slices.Contains(kinds, selfieKind) {
		return err
	}
	if shares {
		f.Values[store.PictureClaim], f.Case = true, c.Case
	}
	if compares {
		f.Face = c.Case
	}
	return err
}

// selfieOf reads the selfie that somebody promised, before the transaction in which it is
// kept: it may lie in storage of the organisation's own. Nil if none was promised, or if
// it was erased.
func (q *Requests) selfieOf(ctx context.Context, u store.RequestUse) ([]byte, error) {
	f, err := foundIn(u)
	if err != nil || f.Case == "" || q.Public == nil {
		return nil, err
	}
	body, err := q.Pictures.Picture(ctx, u.Env, f.Case, selfieKind)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return body, err
}

// keepSelfie keeps the selfie of a case for whoever was promised it, and turns the promise
// into its address. One that was erased meanwhile is not shared.
func (q *Requests) keepSelfie(ctx context.Context, tx *store.Tx, env, person string, f found) error {
	if f.Case == "" || q.Public == nil {
		return nil
	}
	kinds, err := tx.ReviewImages(ctx, env, f.Case)
	if err != nil {
		return err
	}
	if f.selfie == nil || !slices.Contains(kinds, selfieKind) {
		delete(f.Values, store.PictureClaim)
		return nil
	}
	f.Values[store.PictureClaim] = q.PictureURL(env, person)
	return tx.PutPicture(ctx, env, person, store.PictureSelfie, f.selfie)
}

// PictureURL is where the picture of a person is, for those with an API key.
func (q *Requests) PictureURL(env, person string) string {
	return q.Public() + "/people/" + Subject(env, person) + "/picture"
}
