package review

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
)

// An Analyst carries questions to the operator's program and brings signed answers.
type Analyst interface {
	Exchange(ctx context.Context, url, secret, id string, body []byte) ([]byte, error)
}

// A Finding is what the program says of one check. Pass alone never accepts unless the
// settings say so; everything else is for people.
type Finding struct {
	Name   string         `json:"name"`
	Result capture.Result `json:"result"`
	Score  float64        `json:"score,omitempty"`
	Model  string         `json:"model,omitempty"`
	Reason string         `json:"reason,omitempty"`
}

// Checks are what the program is asked for.
var Checks = []string{"one_face", "face_match", "liveness", "document"}

// Bounds of the call.
const (
	analyzeTime  = 20 * time.Second // the person waits at a page
	maxFindings  = 16
	maxFindText  = 200
	analyzeVer   = 1
	analyzerRole = "analyzer"
)

// question is what is posted.
type question struct {
	Version int             `json:"version"`
	Case    string          `json:"case"`
	Prompt  string          `json:"prompt"`
	Images  []questionImage `json:"images"`
	Checks  []string        `json:"checks"`
}

type questionImage struct {
	Kind string `json:"kind"`
	Type string `json:"type"`
	Data []byte `json:"data"`
}

// analyse asks the program, if there is one, and reports whether its answer is enough. A
// program that is away, late or unsure leaves the case to people; one that finds a fault
// asks for a second person.
func (r *Reviews) analyse(ctx context.Context, env, id string) (enough bool) {
	if r.Analyst == nil {
		return false
	}
	settings, err := store.Get(ctx, r.Store, func(tx *store.Tx) (Settings, error) { return ReadSettings(ctx, tx, env) })
	if err != nil || settings.Analyzer == nil {
		return false
	}
	found, shown, err := r.ask(ctx, env, id, *settings.Analyzer)
	if err != nil {
		r.Log.WarnContext(ctx, "the analyzer gave no answer", "case", id, "error", err)
		return false
	}
	err = r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error {
		enough = false
		d, err := detailsOf(*c)
		if err != nil || c.State != store.ReviewWaiting {
			return err
		}
		d.Checks = found
		c.Details = []byte(store.JSON(d))
		failed := slices.ContainsFunc(found, func(f Finding) bool { return f.Result == capture.Fail })
		if failed {
			c.Reviewers = 2
		}
		photo, err := photoSum(ctx, tx, *c)
		if err != nil {
			return err
		}
		if !settings.Analyzer.Accepts || c.Reviewers > 1 || photo != shown || !passed(asked(photo != ""), found) || ofRequest(*c) { // somebody must read it then
			return nil
		}
		enough = true
		c.State, c.Outcome, c.DecidedAt, c.SettledAt = store.ReviewClosed, Accepted, tx.Now(), tx.Now()
		return r.record(ctx, tx, c, audit.ScanAccepted, audit.Principal{System: analyzerRole}, nil)
	})
	if err != nil {
		r.Log.WarnContext(ctx, "the analyzer's answer could not be kept", "case", id, "error", err)
	}
	return enough && err == nil
}

// asked are the checks of a case: one more where the account has a photo.
func asked(photo bool) []string {
	if !photo {
		return Checks
	}
	return append(slices.Clone(Checks), faceAccount)
}

// passed reports whether every check that was asked for passed.
func passed(checks []string, found []Finding) bool {
	return !slices.ContainsFunc(checks, func(name string) bool {
		return !slices.ContainsFunc(found, func(f Finding) bool { return f.Name == name && f.Result == capture.Pass })
	}) && !slices.ContainsFunc(found, func(f Finding) bool { return f.Result != capture.Pass })
}

// pictures are those of a case, in the order of Kinds. One that cannot be read now fails
// the question: a program that was shown less would judge less.
func (r *Reviews) pictures(ctx context.Context, env, id string) (all []questionImage, err error) {
	for _, kind := range Kinds {
		body, err := r.Picture(ctx, env, id, kind)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		}
		all = append(all, questionImage{kind, "image/jpeg", body})
	}
	return all, nil
}

// ask also returns which photo of the account the program was shown.
func (r *Reviews) ask(ctx context.Context, env, id string, a Analyzer) (found []Finding, photo string, err error) {
	q := question{Version: analyzeVer, Case: id}
	pictures, err := r.pictures(ctx, env, id)
	if err != nil {
		return nil, "", err
	}
	q.Images = slices.Clone(pictures)
	face, err := store.Fetch(ctx, r.Store, r.Shelf, func(tx *store.Tx) ([]byte, error) {
		c, err := tx.Review(ctx, env, id)
		if err != nil {
			return nil, err
		}
		d, err := detailsOf(c)
		if q.Prompt = d.Prompt; err != nil {
			return nil, err
		}
		face, err := photoOf(ctx, tx, c)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		return face, err
	})
	if err != nil {
		return nil, "", err
	}
	if q.Checks = asked(face != nil); face != nil {
		photo = sum(face)
		q.Images = append(q.Images, questionImage{AccountPhoto, "image/jpeg", face})
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	answer, err := r.Analyst.Exchange(ctx, a.URL, a.Secret, id, body)
	if err != nil {
		return nil, "", err
	}
	found, err = findings(answer)
	return found, photo, err
}

// findings reads an answer; what it says beyond the bounds is cut.
func findings(answer []byte) ([]Finding, error) {
	var v struct {
		Checks []Finding `json:"checks"`
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		return nil, err
	}
	v.Checks = v.Checks[:min(len(v.Checks), maxFindings)]
	for i := range v.Checks {
		f := &v.Checks[i]
		if f.Result != capture.Pass && f.Result != capture.Fail {
			f.Result = capture.Unsure
		}
		f.Name, f.Model, f.Reason = cut(f.Name), cut(f.Model), cut(f.Reason)
	}
	return v.Checks, nil
}

func cut(s string) string { return s[:min(len(s), maxFindText)] }
