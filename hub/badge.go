package hub

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
)

// badgeFaces has the operator's program and people look at photos for badges, as the
// environment says.
type badgeFaces struct {
	reviews *review.Reviews
	log     *slog.Logger
}

// JudgeBadge implements request.Faces.
func (b badgeFaces) JudgeBadge(ctx context.Context, env string, photo, selfie []byte) (j request.Judgement, err error) {
	settings, err := store.Get(ctx, b.reviews.Store, func(tx *store.Tx) (review.Settings, error) { return review.ReadSettings(ctx, tx, env) })
	if err != nil {
		return j, err
	}
	if settings.Badges == review.ByReviewer {
		return request.Judgement{People: true}, nil
	}
	pictures, checks := []review.Picture{{Kind: review.Photo, JPEG: photo}}, []string{review.OneFace, review.EmployeeBadge}
	if selfie != nil {
		pictures, checks = append(pictures, review.Picture{Kind: review.Selfie, JPEG: selfie}), append(checks, review.FaceSelfie)
	}
	found, err := b.reviews.LookAt(ctx, env, pictures, checks...)
	if settings.Badges == review.ByBoth {
		if err != nil {
			b.log.WarnContext(ctx, "the analyzer gave no answer about a badge photo", "error", err)
			return request.Judgement{People: true}, nil
		}
		return judgedByBoth(found)
	}
	if errors.Is(err, review.ErrNoAnalyzer) {
		return j, nil
	}
	if err == nil {
		j.Faults, j.Reason = badgeFaults(found)
	}
	return j, err
}

// judgedByBoth refuses what the program is sure of, and leaves the rest to people.
func judgedByBoth(found []review.Finding) (j request.Judgement, err error) {
	sure := slices.DeleteFunc(slices.Clone(found), func(f review.Finding) bool { return f.Result != capture.Fail })
	j.Faults, j.Reason = badgeFaults(sure)
	j.People = true
	j.Found, err = json.Marshal(found)
	return j, err
}

// AskPeople implements request.Faces.
func (b badgeFaces) AskPeople(ctx context.Context, tx *store.Tx, a request.AskedPhoto) (time.Time, error) {
	o := review.BadgeOrder{Env: a.Env, Use: a.Use, Person: a.Person, Name: a.Name, Subject: a.Subject, Addresses: a.Addresses, Ends: a.Ends}
	if a.Found != nil {
		if err := json.Unmarshal(a.Found, &o.Checks); err != nil {
			return time.Time{}, err
		}
	}
	return b.reviews.AskBadge(ctx, tx, o)
}

// badgeFaults puts findings into the words of a request, and returns what the program said
// of the rules for badges.
func badgeFaults(found []review.Finding) (faults []request.Fault, reason string) {
	for _, f := range found {
		switch {
		case f.Result == capture.Pass:
		case f.Result != capture.Fail:
			faults = append(faults, request.Unsure)
		case f.Name == review.FaceSelfie:
			faults = append(faults, request.OtherFace)
		case f.Name == review.EmployeeBadge:
			faults, reason = append(faults, request.Unsuitable), f.Reason
		case f.Reason == review.ManyFaces:
			faults = append(faults, request.ManyFaces)
		default:
			faults = append(faults, request.NoFace)
		}
	}
	if len(faults) > 1 { // what a person mends first; the rest may follow from it
		faults = faults[:1]
	}
	if len(faults) == 0 || faults[0] != request.Unsuitable {
		reason = ""
	}
	return faults, reason
}
