package site

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/verify/review"
)

// requestCapturePath is where pictures for a request are sent to.
const requestCapturePath = "/request/{use}/capture"

// caseOf fills in how far the pictures are.
func (v *visit) caseOf(s *screen, id string) {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	p, err := v.site.cfg.Captures.Progress(ctx, v.req.Env, id)
	if err != nil {
		v.site.cfg.Log.WarnContext(ctx, "the case of a request cannot be read", "case", id, "error", err)
	}
	s.Capture, s.Pictures = p, review.Kinds
}

// keepUse lets the browser's session last as long as people may take to decide.
func (v *visit) keepUse(view request.View) {
	if left := time.Until(view.ExpiresAt); left > sessionLife {
		_, session := v.use()
		v.host.SetCookie(v.w, requestCookie+view.ID, session, left, http.SameSiteStrictMode)
	}
}

// requestState tells the script of a waiting page how it stands.
func (v *visit) requestState() {
	view, ok := v.sought()
	if !ok {
		return
	}
	b, err := json.Marshal(map[string]string{"step": string(view.Step), "at": requestAt(view)})
	if err != nil {
		v.fail(err)
		return
	}
	v.kept("application/json", false)
	v.body(string(b))
}

func requestAt(view request.View) string {
	return strings.Join([]string{string(view.Step), string(view.Method)}, " ")
}

// capturedForRequest takes the form of the page that captures, see captured.
func (v *visit) capturedForRequest() {
	id, session := v.use()
	view, ok := v.sought()
	if !ok {
		return
	}
	captures := view.Step == request.StepProve && view.Form == policy.FormCapture
	if !captures && view.Step != request.StepDeclined {
		v.toRequest()
		return
	}
	if err := v.host.CheckFiles(v.w, v.r, maxCaptureForm); err != nil {
		v.fail(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), performTime) // what was handed in is judged, whoever hung up
	defer cancel()
	var err error
	if what := v.field("what"); what == "appeal" || what == "giveup" {
		err = v.site.cfg.Captures.Contest(ctx, v.req.Env, view.Case, what == "appeal")
	} else if err = v.keepPictures(ctx, view.Case); err == nil {
		err = v.site.cfg.Requests.Answer(ctx, v.req.Env, id, session, review.Submitted)
	}
	switch field := new(badField); {
	case errors.As(err, &field):
		v.showUse(http.StatusUnprocessableEntity, view, func(s *screen) { s.wrong(field.name, s.T(field.words)) })
	case err != nil && !errors.Is(err, request.ErrStep) && !errors.Is(err, review.ErrState):
		v.fail(err)
	default:
		v.toRequest()
	}
}
