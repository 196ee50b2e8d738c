package site

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
)

// Captures takes pictures of documents for people to look at.
type Captures interface {
	Progress(ctx context.Context, env, id string) (review.Progress, error)
	Keep(ctx context.Context, env, id string, in review.Given) error
	Contest(ctx context.Context, env, id string, appeal bool) error
}

// capturePath is where pictures are sent to.
const capturePath = "/r/{id}/capture"

// captureScreen is the page on which a document is captured.
type captureScreen struct {
	Capture  review.Progress
	Pictures []string
}

// Pictures on the way: three of the largest, and what a form adds.
const maxCaptureForm = 3*capture.MaxImage + 64<<10

// captures reports whether the page of the view is one of capture, and fills it in.
func (v *visit) captures(s *screen) bool {
	if s.View.Ask.Method != policy.DocumentReview || !s.View.Ask.Open || s.View.Ask.Case == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	p, err := v.site.cfg.Captures.Progress(ctx, v.req.Env, s.View.Ask.Case)
	s.Capture, s.Pictures = p, review.Kinds
	return err == nil && (p.State == store.ReviewOpen || p.State == store.ReviewRejected)
}

// barcode is what the page's script read from the back of a document, in base64: forms
// would change its line ends. It is a hint that proves nothing.
func (v *visit) barcode() string {
	b, err := base64.StdEncoding.DecodeString(v.field("barcode"))
	if err != nil {
		return ""
	}
	return string(b)
}

// Given reports whether a picture was taken already.
func (c captureScreen) Given(kind string) bool { return slices.Contains(c.Capture.Has, kind) }

// NeedsPicture reports whether nobody can decide without it.
func (c captureScreen) NeedsPicture(kind string) bool { return slices.Contains(review.Needed, kind) }

// showCapture asks for pictures, or says that they were not accepted.
func (v *visit) showCapture(status int, s *screen) {
	s.Step, s.Title, s.Script = 3, s.Way("title"), v.script(s.View.Ask.Method)
	if s.Capture.State == store.ReviewRejected {
		s.Title = s.T("capture.rejected.title")
	}
	page.Allow(v.w.Header(), "camera")
	page.AllowWASM(v.w.Header()) // the reader of bar codes
	s.Mark = at(s.View)
	v.show(status, "capture", s)
}

// captured takes the form of the capture page. Whoever has no recovery that asks for
// pictures is answered before any of them is read.
func (v *visit) captured() {
	id, session, ok := v.own()
	if !ok {
		return
	}
	view, err := v.view()
	switch {
	case err != nil:
		v.fail(err)
		return
	case view.Step != flow.StepProve || view.Ask.Method != policy.DocumentReview || view.Ask.Case == "":
		v.toRecovery()
		return
	}
	if err := v.host.CheckFiles(v.w, v.r, maxCaptureForm); err != nil {
		v.fail(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), performTime) // what was handed in is judged, whoever hung up
	defer cancel()
	switch what := v.field("what"); what {
	case "appeal", "giveup":
		err = v.site.cfg.Captures.Contest(ctx, v.req.Env, view.Ask.Case, what == "appeal")
	default:
		err = v.handIn(ctx, view, session)
	}
	switch field := new(badField); {
	case errors.As(err, &field):
		s := v.screen(view)
		v.captures(s)
		s.wrong(field.name, s.T(field.words))
		v.showCapture(http.StatusUnprocessableEntity, s)
	case err != nil && !errors.Is(err, recovery.ErrStep) && !errors.Is(err, review.ErrState):
		v.fail(err)
	default:
		v.see("/r/"+id, nil)
	}
}

// A badField is a field that has to be filled in again.
type badField struct{ name, words string }

// Error implements error.
func (f *badField) Error() string { return "site: field " + f.name + ": " + f.words }

// handIn keeps what the form brings and, when that is all, lets people decide.
func (v *visit) handIn(ctx context.Context, view flow.View, session string) error {
	if err := v.keepPictures(ctx, view.Ask.Case); err != nil {
		return err
	}
	return v.site.cfg.Proofs.Answer(ctx, v.req.Env, view.ID, session, review.Submitted)
}

// keepPictures keeps what the form brings for a case, and says what is missing.
func (v *visit) keepPictures(ctx context.Context, id string) error {
	in := review.Given{Consent: v.field("consent") == "yes", Zone: v.field("zone"), Barcode: v.barcode(), Images: map[string][]byte{}}
	for _, kind := range review.Kinds {
		body, err := v.upload(kind)
		if err != nil {
			return &badField{kind, "capture.error.image"}
		}
		if len(body) > 0 {
			in.Images[kind] = body
		}
	}
	err := v.site.cfg.Captures.Keep(ctx, v.req.Env, id, in)
	var bad *review.ImageError
	switch {
	case errors.As(err, &bad):
		return &badField{bad.Kind, "capture.error.image"}
	case errors.Is(err, review.ErrConsent):
		return &badField{"consent", "capture.consent.error"}
	case err != nil:
		return err
	}
	p, err := v.site.cfg.Captures.Progress(ctx, v.req.Env, id)
	if err != nil {
		return err
	}
	for _, kind := range review.Needed {
		if !slices.Contains(p.Has, kind) {
			return &badField{kind, "capture.error.missing"}
		}
	}
	return nil
}

// upload returns the file of a field, nil if none was chosen.
func (v *visit) upload(field string) ([]byte, error) {
	f, _, err := v.r.FormFile(field)
	if errors.Is(err, http.ErrMissingFile) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	body, err := io.ReadAll(io.LimitReader(f, capture.MaxImage+1))
	if err == nil && len(body) > capture.MaxImage {
		err = capture.ErrImage
	}
	return body, err
}
