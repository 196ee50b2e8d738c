package hub

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
)

// badgeFaces has the operator's program look at photos for badges.
type badgeFaces struct{ reviews *review.Reviews }

// JudgeBadge implements request.Faces.
func (b badgeFaces) JudgeBadge(ctx context.Context, env string, photo, selfie []byte) ([]request.Fault, string, error) {
	pictures, checks := []review.Picture{{Kind: review.Photo, JPEG: photo}}, []string{review.OneFace, review.EmployeeBadge}
	if selfie != nil {
		pictures, checks = append(pictures, review.Picture{Kind: review.Selfie, JPEG: selfie}), append(checks, review.FaceSelfie)
	}
	found, err := b.reviews.LookAt(ctx, env, pictures, checks...)
	if errors.Is(err, review.ErrNoAnalyzer) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	faults, reason := badgeFaults(found)
	return faults, reason, nil
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
