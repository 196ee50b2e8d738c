package review

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/protocol/match"
)

// Pictures outside of a case, of which the operator's program is asked.
const (
	Photo  = "photo"  // that somebody brings
	Selfie = "selfie" // that was verified with a document
)

// Checks of pictures outside of a case.
const (
	OneFace       = "one_face"       // exactly one legible face is on the photo
	FaceSelfie    = "face_selfie"    // it is that of the selfie
	EmployeeBadge = "employee_badge" // the photo is fit for a badge
)

// Reasons of a failed OneFace.
const (
	NoFace    = "no_face"
	ManyFaces = "multiple_faces"
)

// ErrNoAnalyzer says that an environment has no program that looks at pictures.
var ErrNoAnalyzer = errors.New("review: no analyzer is set up for this environment")

// A Picture is a JPEG of one of the kinds above.
type Picture struct {
	Kind string
	JPEG []byte
}

// LookAt asks the operator's program about pictures that belong to no case, and returns one
// finding per check, capture.Unsure where the program said nothing. Errors: ErrNoAnalyzer;
// others are the program's, which is away, late or does not sign.
func (r *Reviews) LookAt(ctx context.Context, env string, pictures []Picture, checks ...string) ([]Finding, error) {
	settings, err := store.Get(ctx, r.Store, func(tx *store.Tx) (Settings, error) { return ReadSettings(ctx, tx, env) })
	if err != nil {
		return nil, err
	}
	if settings.Analyzer == nil || r.Analyst == nil {
		return nil, ErrNoAnalyzer
	}
	q := question{Version: analyzeVer, Case: store.NewID(), Checks: checks}
	for _, p := range pictures {
		q.Images = append(q.Images, questionImage{p.Kind, "image/jpeg", p.JPEG})
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	answer, err := r.Analyst.Exchange(ctx, settings.Analyzer.URL, settings.Analyzer.Secret, q.Case, body)
	if err != nil {
		return nil, err
	}
	found, err := findings(answer)
	if err != nil {
		return nil, err
	}
	out := make([]Finding, len(checks))
	for i, name := range checks {
		out[i] = Finding{Name: name, Result: capture.Unsure}
		if j := slices.IndexFunc(found, func(f Finding) bool { return f.Name == name }); j >= 0 {
			out[i] = found[j]
		}
	}
	return out, nil
}

// Faces returns a function that compares the selfie of a case with the photo of an
// account: what the reviewers said who were shown both, match.UnsureFace where one of them
// did not say that it is the same, otherwise what the operator's program says of them. match.NotCompared: there is no such photo, no selfie any more, or
// no program. The program is asked once about each account. Errors are the store's, or
// the program's, which is away, late or does not sign.
func (r *Reviews) Faces(id string) func(ctx context.Context, a store.Account) (match.Face, error) {
	known := map[string]match.Face{}
	return func(ctx context.Context, a store.Account) (match.Face, error) {
		if face, ok := known[a.ID]; ok {
			return face, nil
		}
		face, err := r.face(ctx, id, a)
		if err == nil {
			known[a.ID] = face
		}
		return face, err
	}
}

func (r *Reviews) face(ctx context.Context, id string, a store.Account) (match.Face, error) {
	face, err := store.Get(ctx, r.Store, func(tx *store.Tx) (match.Face, error) { return said(ctx, tx, id, a) })
	switch {
	case errors.Is(err, store.ErrNotFound):
		return match.NotCompared, nil
	case err != nil:
		return match.NotCompared, err
	case face != match.NotCompared:
		return face, nil
	}
	selfie, err := r.Picture(ctx, a.Env, id, Selfie)
	var photo []byte
	if err == nil {
		photo, err = store.Fetch(ctx, r.Store, r.Shelf, func(tx *store.Tx) ([]byte, error) { return tx.AccountPhoto(ctx, a.Env, a.ID) })
	}
	if errors.Is(err, store.ErrNotFound) {
		return match.NotCompared, nil
	}
	if err != nil {
		return match.NotCompared, err
	}
	found, err := r.LookAt(ctx, a.Env, []Picture{{Selfie, selfie}, {AccountPhoto, photo}}, faceAccount)
	switch {
	case errors.Is(err, ErrNoAnalyzer):
		return match.NotCompared, nil
	case err != nil:
		return match.NotCompared, err
	case found[0].Result == capture.Pass:
		return match.SameFace, nil
	case found[0].Result == capture.Fail:
		return match.OtherFace, nil
	}
	return match.UnsureFace, nil
}

// said returns what the reviewers of a case said of the face and the photo of an account.
// store.ErrNotFound: there is no photo, or no such case.
func said(ctx context.Context, tx *store.Tx, id string, a store.Account) (face match.Face, err error) {
	photo, err := tx.AccountPhotoSum(ctx, a.Env, a.ID)
	if err != nil {
		return face, err
	}
	c, err := tx.Review(ctx, a.Env, id)
	if err != nil {
		return face, err
	}
	votes, err := tx.ReviewVotes(ctx, a.Env, id)
	if err == nil {
		face, err = faceSaid(c, votes, a.ID, photo)
	}
	return face, err
}
