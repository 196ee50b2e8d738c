package hub

import (
	"slices"
	"testing"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
)

func TestFindingsAboutABadgePhotoAreToldOneAtATime(t *testing.T) {
	pass := review.Finding{Name: review.OneFace, Result: capture.Pass}
	fail := func(name, reason string) review.Finding {
		return review.Finding{Name: name, Result: capture.Fail, Reason: reason}
	}
	for name, c := range map[string]struct {
		found  []review.Finding
		want   request.Fault // "": none
		reason string
	}{
		"good":         {[]review.Finding{pass}, "", ""},
		"no face":      {[]review.Finding{fail(review.OneFace, review.NoFace), fail(review.FaceSelfie, "")}, request.NoFace, ""},
		"two faces":    {[]review.Finding{fail(review.OneFace, review.ManyFaces)}, request.ManyFaces, ""},
		"another face": {[]review.Finding{pass, fail(review.FaceSelfie, "")}, request.OtherFace, ""},
		"a black wall": {[]review.Finding{pass, fail(review.EmployeeBadge, "Background is plain black.")}, request.Unsuitable, "Background is plain black."},
		"no answer":    {[]review.Finding{pass, {Name: review.EmployeeBadge, Result: capture.Unsure}}, request.Unsure, ""},
		"face, wall":   {[]review.Finding{fail(review.OneFace, review.NoFace), fail(review.EmployeeBadge, "wall")}, request.NoFace, ""},
	} {
		faults, reason := badgeFaults(c.found)
		if want := slices.DeleteFunc([]request.Fault{c.want}, func(f request.Fault) bool { return f == "" }); !slices.Equal(faults, want) || reason != c.reason {
			t.Errorf("%s: %v %q, want %v %q", name, faults, reason, want, c.reason)
		}
	}
}
