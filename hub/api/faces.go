package api

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
)

// Faces asks the operator's program about pictures. Errors: review.ErrNoAnalyzer.
type Faces interface {
	LookAt(ctx context.Context, env string, pictures []review.Picture, checks ...string) ([]review.Finding, error)
}

// unfit is a picture on which the faces are not as they must be.
type unfit string

// Faults of a photo, as people read them.
const (
	noFace     unfit = "there is no face that could be recognised on the photo"
	manyFaces  unfit = "there is more than one face on the photo"
	otherFace  unfit = "the face on the photo is not the one that was verified with a document"
	unsureFace unfit = "the analyzer is not sure of the face on the photo"
)

// Error implements error.
func (u unfit) Error() string { return string(u) }

// checkFace asks the operator's program whether a photo may be that of an account: exactly
// one legible face is on it, which is that of the selfie of whoever the account is bound
// to, if one is kept. Without a program nobody looks for faces.
func (c *call) checkFace(ctx context.Context, a store.Account, photo []byte) error {
	pictures, checks := []review.Picture{{Kind: review.Photo, JPEG: photo}}, []string{review.OneFace}
	if env, person, ok := request.ParseSubject(a.Subject); ok && env == a.Env {
		selfie, err := c.selfie(ctx, env, person)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			pictures, checks = append(pictures, review.Picture{Kind: review.Selfie, JPEG: selfie}), append(checks, review.FaceSelfie)
		}
	}
	found, err := c.look(ctx, a.Env, pictures, checks...)
	if errors.Is(err, review.ErrNoAnalyzer) {
		return nil
	}
	if err != nil {
		return err
	}
	return faceFault(found)
}

// look asks the program; one that gives no answer is errAnalyzer.
func (c *call) look(ctx context.Context, env string, pictures []review.Picture, checks ...string) ([]review.Finding, error) {
	found, err := c.api.Faces.LookAt(ctx, env, pictures, checks...)
	if err == nil || errors.Is(err, review.ErrNoAnalyzer) || ctx.Err() != nil {
		return found, err
	}
	c.api.Log.Warn("the analyzer gave no answer", "trace", c.trace, "error", err)
	return nil, errAnalyzer
}

// faceFault returns what is wrong with a photo, nil if every check passed.
func faceFault(found []review.Finding) error {
	for _, f := range found {
		switch {
		case f.Result == capture.Pass:
		case f.Result != capture.Fail:
			return unsureFace
		case f.Name == review.FaceSelfie:
			return otherFace
		case f.Reason == review.ManyFaces:
			return manyFaces
		default:
			return noFace
		}
	}
	return nil
}

// selfie returns the selfie of a person that was verified with a document and that they
// still share; store.ErrNotFound if there is none.
func (c *call) selfie(ctx context.Context, env, person string) ([]byte, error) {
	return store.Fetch(ctx, c.api.Store, c.api.Storage, func(tx *store.Tx) ([]byte, error) {
		if shared, err := c.api.Requests.Shares(ctx, tx, env, person, store.PictureClaim); err != nil || !shared {
			return nil, errors.Join(err, store.ErrNotFound)
		}
		body, _, err := tx.Picture(ctx, env, person, store.PictureSelfie)
		return body, err
	})
}
