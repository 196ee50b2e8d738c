// Package review is the method document_review: a person captures a document and a face,
// and people decide whether both are the account's owner. It keeps the queue of cases:
// who may look at which, how many must agree, when pictures are erased. Photos for badges
// are cases of the same queue. It knows no pages, and it never says that a document is
// genuine: no one signed what it holds.
package review

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/protocol/evidence"
)

// Times of a case.
const (
	caseLife    = 24 * time.Hour   // as long as a recovery that waits for people
	reviewTime  = 4 * time.Hour    // by when somebody should have looked
	assignTime  = 20 * time.Minute // for one case; then another reviewer may be given it
	retention   = 24 * time.Hour   // of what was captured, after the decision
	upkeepEvery = time.Minute
)

// Errors that pages tell apart.
var (
	ErrState  = errors.New("review: the case is not at this step")
	ErrOther  = errors.New("review: another reviewer has to decide")
	ErrAnswer = errors.New("review: verdict, reason or checks are missing")
	ErrParts  = errors.New("review: pictures or consent are missing")
)

// Reviews is the queue, and the verifier. Every member but Log is needed; Flow may be set
// after New, before Run.
type Reviews struct {
	Store    *store.Store
	Log      *slog.Logger
	Flow     verify.Settler
	Analyst  Analyst       // nil: nobody but people looks
	Patience time.Duration // with the analyzer, whose questions go to people after it
	Watcher  Watcher       // nil: nobody; set like Flow
	Badges   Badges        // needed before a photo for a badge is handed in; set like Flow
	Shelf    store.Shelf   // nil: every picture lies in the store; set like Flow

	decoding chan struct{} // how many pictures are decoded at once
}

// decoders bounds the memory that pictures take: each may need 200 MB while it is decoded.
const decoders = 2

// New makes a queue.
func New(s *store.Store, log *slog.Logger) *Reviews {
	return &Reviews{Store: s, Log: log, Patience: analyzeTime, decoding: make(chan struct{}, decoders)}
}

// Prompts are what a person may be asked to do in the picture of the face, so that a
// picture that was made before does not serve. Pages say them in words.
var Prompts = []string{"left", "right", "up", "hand_chin", "hand_ear", "two_fingers", "thumb", "eyes_closed"}

// Details is what a case says, under its key.
type Details struct {
	Name    string           `json:"name"`   // of the account
	Action  string           `json:"action"` // what is asked for
	Prompt  string           `json:"prompt"`
	Zone    *capture.Printed `json:"zone,omitempty"`
	Barcode *capture.Printed `json:"barcode,omitempty"`
	Hints   []capture.Hint   `json:"hints,omitempty"`
	Checks  []Finding        `json:"checks,omitempty"`  // of the analyzer
	Account string           `json:"account,omitempty"` // immutable id
	Own     []string         `json:"own,omitempty"`     // addresses of the account: whoever has one of them is its owner
	Facts   *Facts           `json:"facts,omitempty"`   // of a request: what the document says
	ReadBy  string           `json:"read_by,omitempty"` // who typed that last
	Meant   string           `json:"meant,omitempty"`   // of a request: row id of the account whose photo is shown

	Photos map[string]string `json:"photos,omitempty"` // by reviewer: SHA-256 of the account's photo that they accepted
	Unsure map[string]string `json:"unsure,omitempty"` // the same of those who accepted a document beside a photo, and did not say that the face is the one on it
	Owner  []OwnAccount      `json:"owner,omitempty"`  // of a badge: accounts of the person
}

// Method implements verify.Verifier.
func (*Reviews) Method() policy.Method { return policy.DocumentReview }

// Usable implements verify.Verifier: somebody whose case was decided once has no second
// one, and nobody hands in many.
func (r *Reviews) Usable(ctx context.Context, s verify.Subject) bool {
	if answers(s) {
		return r.mayAnswer(ctx, s)
	}
	c, err := r.caseOf(ctx, s)
	if errors.Is(err, store.ErrNotFound) && s.Account != "" {
		room, err := store.Get(ctx, r.Store, func(tx *store.Tx) (bool, error) { return r.room(ctx, tx, s) })
		return room && err == nil
	}
	return s.Account != "" && err == nil && c.State != store.ReviewClosed
}

func (r *Reviews) caseOf(ctx context.Context, s verify.Subject) (store.Review, error) {
	return store.Get(ctx, r.Store, func(tx *store.Tx) (store.Review, error) { return tx.ReviewOf(ctx, s.Env, s.Verification) })
}

// Open implements verify.Verifier: it makes a case, or returns the one that is there.
func (r *Reviews) Open(ctx context.Context, s verify.Subject) (verify.Challenge, error) {
	if s.Account == "" && !answers(s) { // capture opens only after a proof, so no page shows this
		id := store.NewID()
		return verify.Challenge{Text: id, Case: id}, nil
	}
	c, d, err := r.draft(s)
	if err != nil {
		return verify.Challenge{}, err
	}
	err = r.Store.Tx(ctx, func(tx *store.Tx) error {
		switch old, err := tx.ReviewOf(ctx, s.Env, s.Verification); {
		case err == nil && old.State != store.ReviewClosed:
			c = old
			return nil
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		}
		return r.open(ctx, tx, s, &c, d)
	})
	return verify.Challenge{Text: c.ID, Case: c.ID}, err
}

// draft makes the case of a subject, with what its reviewers are told.
func (r *Reviews) draft(s verify.Subject) (store.Review, Details, error) {
	prompt, err := rand.Int(rand.Reader, big.NewInt(int64(len(Prompts))))
	if err != nil {
		return store.Review{}, Details{}, err
	}
	d := Details{Name: s.Name, Action: string(s.Action), Prompt: Prompts[prompt.Int64()], Account: s.Account}
	c := store.Review{Env: s.Env, ID: store.NewID(), Verification: s.Verification, Directory: s.Directory, Person: s.Person,
		State: store.ReviewOpen, Round: 1, Reviewers: 1, EndsAt: r.Store.Now().Add(caseLife)}
	if answers(s) {
		d.Meant = s.Meant
		if s.Until.Before(c.EndsAt) {
			c.EndsAt = s.Until
		}
	}
	return c, d, nil
}

// open keeps a new case: how many reviewers it takes, and whose it is, is known only now.
func (r *Reviews) open(ctx context.Context, tx *store.Tx, s verify.Subject, c *store.Review, d Details) error {
	settings, err := ReadSettings(ctx, tx, s.Env)
	if err != nil {
		return err
	}
	two, err := sensitive(ctx, tx, settings, s.Env, d.Meant)
	if err != nil {
		return err
	}
	c.Reviewers = 1
	if two || settings.Second(s.Groups) {
		c.Reviewers = 2
	}
	if d.Own, err = owners(ctx, tx, s, d.Meant); err != nil {
		return err
	}
	c.Details = []byte(store.JSON(d))
	return errors.Join(tx.AddReview(ctx, c), r.watch(ctx, tx, *c, eventStarted))
}

// Submitted is the answer by which a page hands a case in. It carries nothing: everything
// is in the case already.
const Submitted = "submitted"

// Check implements verify.Verifier: it hands the case in.
func (r *Reviews) Check(ctx context.Context, s verify.Subject, challenge, answer string) (verify.Verdict, error) {
	if answer != Submitted || s.Account == "" && !answers(s) {
		return verify.Verdict{Reason: "not handed in"}, nil
	}
	err := r.submit(ctx, s, challenge)
	switch {
	case errors.Is(err, ErrParts):
		return verify.Verdict{Reason: "pictures are missing"}, nil
	case errors.Is(err, ErrState), errors.Is(err, store.ErrNotFound):
		return verify.Verdict{Reason: "no open case"}, nil
	case err != nil:
		return verify.Verdict{}, err
	}
	if r.analyse(ctx, s.Env, challenge) {
		return proof(true, "analyzer"), nil
	}
	return verify.Verdict{Pending: true}, nil
}

// Needed are the pictures without which nobody can decide.
var Needed = []string{"front", "selfie"}

func (r *Reviews) submit(ctx context.Context, s verify.Subject, id string) error {
	return r.change(ctx, s.Env, id, func(tx *store.Tx, c *store.Review) error {
		kinds, err := tx.ReviewImages(ctx, s.Env, id)
		switch {
		case err != nil:
			return err
		case c.State == store.ReviewWaiting && c.Verification == s.Verification:
			return nil // pressed twice
		case c.State != store.ReviewOpen || c.Verification != s.Verification:
			return ErrState
		case c.ConsentAt.IsZero() || slices.ContainsFunc(Needed, func(k string) bool { return !slices.Contains(kinds, k) }):
			return ErrParts
		}
		if room, err := r.room(ctx, tx, s); err != nil || !room {
			return errors.Join(err, ErrState)
		}
		if err := r.count(ctx, tx, s); err != nil {
			return err
		}
		c.State, c.SubmittedAt, c.DueAt = store.ReviewWaiting, tx.Now(), tx.Now().Add(reviewTime)
		return r.record(ctx, tx, c, audit.ScanFinished, audit.Principal{}, map[string]any{"images": kinds})
	})
}

// change applies fn to a case with one compare-and-set.
func (r *Reviews) change(ctx context.Context, env, id string, fn func(tx *store.Tx, c *store.Review) error) error {
	return r.Store.Tx(ctx, func(tx *store.Tx) error {
		c, err := tx.Review(ctx, env, id)
		if err != nil {
			return err
		}
		if err := fn(tx, &c); err != nil {
			return err
		}
		return tx.SaveReview(ctx, &c)
	})
}

// record writes to the audit log.
func (r *Reviews) record(ctx context.Context, tx *store.Tx, c *store.Review, kind audit.Kind, by audit.Principal, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	detail["case"], detail["round"] = c.ID, c.Round
	if err := r.watch(ctx, tx, *c, string(kind)); err != nil {
		return err
	}
	e := audit.Event{Env: c.Env, Kind: kind, Account: c.Person, Trace: c.Verification, Actor: by, Detail: detail}
	if ofBadge(*c) {
		e.Account, e.Person = "", c.Person
	}
	return audit.Append(ctx, tx, e)
}

// detailsOf reads what a case says.
func detailsOf(c store.Review) (d Details, err error) {
	if len(c.Details) > 0 {
		err = json.Unmarshal(c.Details, &d)
	}
	return d, err
}

// proof is what people's agreement is worth to the flow.
func proof(right bool, reason string) verify.Verdict {
	v := verify.Attested(right, evidence.TypeReview)
	v.Reason = reason
	return v
}
