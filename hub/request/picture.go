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
// document.
func (q *Requests) pictured(ctx context.Context, tx *store.Tx, u store.RequestUse, r store.Request, f *found) error {
	if q.Public == nil || !slices.Contains(r.Claims, store.PictureClaim) {
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
	if slices.Contains(kinds, selfieKind) {
		f.Values[store.PictureClaim], f.Case = true, c.Case
	}
	return err
}

// keepSelfie keeps the selfie of a case for whoever was promised it, and turns the promise
// into its address. One that was erased meanwhile is not shared.
func (q *Requests) keepSelfie(ctx context.Context, tx *store.Tx, env, person string, f found) error {
	if f.Case == "" || q.Public == nil {
		return nil
	}
	body, err := tx.ReviewImage(ctx, env, f.Case, selfieKind)
	if errors.Is(err, store.ErrNotFound) {
		delete(f.Values, store.PictureClaim)
		return nil
	}
	if err != nil {
		return err
	}
	f.Values[store.PictureClaim] = q.PictureURL(env, person)
	return tx.PutPicture(ctx, env, person, store.PictureSelfie, body)
}

// PictureURL is where the picture of a person is, for those with an API key.
func (q *Requests) PictureURL(env, person string) string {
	return q.Public() + "/people/" + Subject(env, person) + "/picture"
}
