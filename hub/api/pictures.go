package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"net/http"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
)

// Bounds of a selfie that is compared, as the public reference has them.
const (
	maxSelfie  = 5 << 20 // bytes
	leastSide  = 100     // pixels
	mostPixels = 10_000  // of a side; capture takes 24 million in all
)

// jpegImage is a reply that is a picture.
type jpegImage []byte

// faceAsked is a picture with what the operator's program said of it.
type faceAsked struct {
	clean []byte
	found []review.Finding
}

// redacted implements redactor.
func (*faceAsked) redacted() any { return nil }

// faceBody is an action whose body is a picture, of which before asks the program.
func faceBody(before func(context.Context, *call) error, run func(context.Context, *call, *store.Tx) (any, error)) action {
	return action{what: run, media: pictures, decode: func(b []byte) (any, error) { return b, nil }, before: before, run: run}
}

// selfieResult is the wire type CompareSelfieResult.
type selfieResult struct {
	Match      bool         `json:"match"`
	Confidence float64      `json:"confidence"`
	NoFace     bool         `json:"no_face,omitempty"`
	NotMatched bool         `json:"not_matched,omitempty"`
	ManyFaces  bool         `json:"multiple_faces,omitempty"`
	Badge      *badgeResult `json:"employee_badge,omitempty"`
}

// badgeResult is the wire type EmployeeBadgeValidationResult.
type badgeResult struct {
	Valid  bool   `json:"valid"`
	Reason string `json:"reason,omitempty"`
}

// comparedFace asks the program whether a picture shows the person whose selfie was
// compared with their document.
func comparedFace(ctx context.Context, c *call) error {
	raw := c.body.([]byte)
	size, err := jpeg.DecodeConfig(bytes.NewReader(raw))
	if err != nil || min(size.Width, size.Height) < leastSide || max(size.Width, size.Height) > mostPixels {
		return bad(fmt.Sprintf("the body must be a JPEG image of at least %[1]d×%[1]d and at most %[2]d×%[2]d pixels, and of 24 million pixels", leastSide, mostPixels))
	}
	checks := []string{review.OneFace, review.FaceSelfie}
	if c.text("extra_validation") != "" {
		checks = append(checks, review.EmployeeBadge)
	}
	return c.askFace(ctx, raw, bad("selfie: nobody has compared a selfie of this person with a document, or they do not share the claim picture"),
		bad("selfie: this product compares no faces by itself, and no analyzer is set up for this environment"), checks...)
}

// askFace cleans a picture and asks the program of it. none and without are what to say
// without a selfie, and without a program.
func (c *call) askFace(ctx context.Context, raw []byte, none, without error, checks ...string) error {
	clean, err := c.cleaned(ctx, raw)
	if err != nil {
		return err
	}
	selfie, err := c.selfie(ctx, c.env.ID, c.person)
	if err != nil {
		return as(err, store.ErrNotFound, none)
	}
	found, err := c.look(ctx, c.env.ID, []review.Picture{{Kind: review.Photo, JPEG: clean}, {Kind: review.Selfie, JPEG: selfie}}, checks...)
	c.body = &faceAsked{clean, found}
	return as(err, review.ErrNoAnalyzer, without)
}

// compareFace answers with what the program said. What it is not sure of does not match.
func compareFace(_ context.Context, c *call, _ *store.Tx) (any, error) {
	var out selfieResult
	one := true
	for _, f := range c.body.(*faceAsked).found {
		switch f.Name {
		case review.OneFace:
			one = f.Result == capture.Pass
			out.ManyFaces = f.Result == capture.Fail && f.Reason == review.ManyFaces
			out.NoFace = f.Result == capture.Fail && !out.ManyFaces
		case review.FaceSelfie:
			out.Match, out.NotMatched = f.Result == capture.Pass, f.Result == capture.Fail
			out.Confidence = confidenceOf(f)
		case review.EmployeeBadge:
			out.Badge = &badgeResult{Valid: f.Result == capture.Pass}
			if !out.Badge.Valid {
				out.Badge.Reason = f.Reason
			}
		}
	}
	if out.Match = out.Match && one; !one {
		out.Confidence = 0
	}
	c.detail = map[string]any{"subject": c.r.PathValue("subject"), "response": out}
	return out, nil
}

// confidenceOf is the program's own score, between 0 and 1; where it gives none, what its
// result means.
func confidenceOf(f review.Finding) float64 {
	switch {
	case f.Score > 0:
		return min(f.Score, 1)
	case f.Result == capture.Pass:
		return 1
	}
	return 0
}

// pictureSet is the wire type SetPictureResponse.
type pictureSet struct {
	OK  bool   `json:"ok"`
	URL string `json:"url"`
}

// pictureError is the wire type SetPictureErrorResponse: a word of SetPictureError.
type pictureError string

// Words of SetPictureError.
const (
	pictureFormat    pictureError = "invalid_format"
	pictureNoFace    pictureError = "no_face"
	pictureNobody    pictureError = "no_reference" // no selfie, or nothing that could compare with it
	pictureOther     pictureError = "not_matched"
	pictureManyFaces pictureError = "too_many_faces"
	pictureTooLarge  pictureError = "too_large"
)

// Error implements error.
func (e pictureError) Error() string { return "api: picture: " + string(e) }

// answer writes the refusal.
func (e pictureError) answer(w http.ResponseWriter) {
	b, _ := json.Marshal(struct { // a flag and a text always marshal
		OK    bool         `json:"ok"`
		Error pictureError `json:"error"`
	}{false, e})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(b)
}

// setPicture asks the program whether a picture shows the person.
func setPicture(ctx context.Context, c *call) error {
	raw := c.body.([]byte)
	if len(raw) > capture.MaxImage {
		return pictureTooLarge
	}
	err := c.askFace(ctx, raw, pictureNobody, pictureNobody, review.OneFace, review.FaceSelfie)
	if err != nil {
		var format badRequest
		if errors.As(err, &format) {
			return pictureFormat
		}
		return err
	}
	switch err := faceFault(c.body.(*faceAsked).found); {
	case err == nil:
		return nil
	case errors.Is(err, noFace):
		return pictureNoFace
	case errors.Is(err, manyFaces):
		return pictureManyFaces
	}
	return pictureOther
}

// choosePicture keeps the picture that is shown of a person.
func choosePicture(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	if shared, err := c.api.Requests.Shares(ctx, tx, c.env.ID, c.person, store.PictureClaim); err != nil || !shared {
		return nil, errors.Join(err, pictureNobody)
	}
	clean := c.body.(*faceAsked).clean
	sum := sha256.Sum256(clean)
	c.detail = map[string]any{"subject": c.r.PathValue("subject"), "image_hash": hex.EncodeToString(sum[:]), "image_size": len(clean)}
	return pictureSet{true, c.api.Requests.PictureURL(c.env.ID, c.person)}, tx.PutPicture(ctx, c.env.ID, c.person, store.PictureChosen, clean)
}

// getPicture answers with the picture that a person shares: the one that was chosen, or
// their selfie.
func getPicture(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	if shared, err := c.api.Requests.Shares(ctx, tx, c.env.ID, c.person, store.PictureClaim); err != nil || !shared {
		return nil, errors.Join(err, store.ErrNotFound)
	}
	body, _, err := tx.Picture(ctx, c.env.ID, c.person, store.PictureChosen)
	if errors.Is(err, store.ErrNotFound) {
		body, _, err = tx.Picture(ctx, c.env.ID, c.person, store.PictureSelfie)
	}
	if away := (*store.Elsewhere)(nil); errors.As(err, &away) {
		return away, nil
	}
	return jpegImage(body), err
}

// fetchPicture gets a picture that lies in a storage, after the transaction.
func fetchPicture(ctx context.Context, c *call, reply any) (any, error) {
	away, ok := reply.(*store.Elsewhere)
	if !ok {
		return reply, nil
	}
	body, err := away.Fetch(ctx, c.api.Store, c.api.Storage)
	return jpegImage(body), err
}

// preferredName is the wire type SetPreferredNameRequest.
type preferredName struct {
	Name string `json:"preferred_name"`
}

// redacted implements redactor: a name is personal.
func (preferredName) redacted() any { return preferredName{redactedSecret} }

// setPreferredName keeps how a person wants to be called, under their key.
func setPreferredName(ctx context.Context, c *call, tx *store.Tx, req *preferredName) (any, error) {
	if err := checkText("preferred_name", req.Name); err != nil {
		return nil, err
	}
	known, err := tx.Person(ctx, c.env.ID, c.person)
	if err == nil && !known.ErasedAt.IsZero() {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	c.detail = map[string]any{"subject": c.r.PathValue("subject"), "request": req.redacted()}
	if err := tx.PutProperty(ctx, c.env.ID, c.person, store.Property{Claim: "preferred_name", Value: []byte(store.JSON(req.Name))}); err != nil {
		return nil, err
	}
	return nil, c.api.Requests.Named(ctx, tx, c.env.ID, c.person)
}
