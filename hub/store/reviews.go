package store

import (
	"context"
	"time"
)

// A Review is a case: a captured document, or a photo for a badge, that people look at.
type Review struct {
	Env, ID       string
	Version       int64
	About         string // "": a document; AboutBadge
	Verification  string
	Directory     string
	Person        string // row id of the account; of a badge how the environment names the person
	State         string
	Round         int // 2: after an appeal
	Reviewers     int // how many people must agree
	Outcome       string
	Details       []byte // sealed under the key of the case; nil once erased
	ConsentAt     time.Time
	Assigned      string
	AssignedUntil time.Time
	CreatedAt     time.Time
	SubmittedAt   time.Time
	DueAt         time.Time
	DecidedAt     time.Time
	SettledAt     time.Time
	EndsAt        time.Time
	Erased        bool
}

// States of a case.
const (
	ReviewOpen     = "open"     // pictures are being made
	ReviewWaiting  = "waiting"  // people look
	ReviewRejected = "rejected" // they said no; the person may appeal
	ReviewClosed   = "closed"
)

const reviewColumns = `env, id, version, about, verification, directory, person, secret, state, round, reviewers, outcome, details, consent_at, assigned,
	assigned_until, created_at, submitted_at, due_at, decided_at, settled_at, ends_at`

func (tx *Tx) scanReview(scan Scan) (r Review, err error) {
	var secret, details string
	var round, reviewers int64
	var at [8]int64
	if err = scan(&r.Env, &r.ID, &r.Version, &r.About, &r.Verification, &r.Directory, &r.Person, &secret, &r.State, &round, &reviewers, &r.Outcome, &details,
		&at[0], &r.Assigned, &at[1], &at[2], &at[3], &at[4], &at[5], &at[6], &at[7]); err != nil {
		return r, err
	}
	r.Round, r.Reviewers, r.Erased = int(round), int(reviewers), secret == ""
	for i, t := range []*time.Time{&r.ConsentAt, &r.AssignedUntil, &r.CreatedAt, &r.SubmittedAt, &r.DueAt, &r.DecidedAt, &r.SettledAt, &r.EndsAt} {
		*t = Time(at[i])
	}
	if details != "" && secret != "" {
		r.Details, err = tx.openInCase(r.Env, r.ID, secret, "details", details)
	}
	return r, err
}

// AddReview inserts r as version 1 with a new key.
func (tx *Tx) AddReview(ctx context.Context, r *Review) error {
	secret, err := tx.newCaseKey(r.Env, r.ID)
	if err != nil {
		return err
	}
	details, err := tx.sealInCase(r.Env, r.ID, secret, "details", r.Details)
	if err != nil {
		return err
	}
	r.Version, r.CreatedAt = 1, tx.Now()
	_, err = tx.Exec(ctx, `INSERT INTO reviews (env, id, version, verification, directory, person, secret, state, round, reviewers, details, created_at, ends_at, submitted_at, due_at, about)
		VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`, r.Env, r.ID, r.Verification, r.Directory, r.Person, secret, r.State,
		r.Round, r.Reviewers, details, Millis(r.CreatedAt), Millis(r.EndsAt), Millis(r.SubmittedAt), Millis(r.DueAt), r.About)
	return err
}

// Review returns one case.
func (tx *Tx) Review(ctx context.Context, env, id string) (Review, error) {
	return One(ctx, tx, tx.scanReview, "SELECT "+reviewColumns+" FROM reviews WHERE env = $1 AND id = $2", env, id)
}

// ReviewOf returns the last case of a verification's document.
func (tx *Tx) ReviewOf(ctx context.Context, env, verification string) (Review, error) {
	return One(ctx, tx, tx.scanReview, "SELECT "+reviewColumns+" FROM reviews WHERE env = $1 AND verification = $2 AND about = '' ORDER BY created_at DESC, id LIMIT 1", env, verification)
}

// maxReviews bounds a list of cases.
const maxReviews = 200

// WaitingReviews lists the cases of an environment that people must look at, those due first.
func (tx *Tx) WaitingReviews(ctx context.Context, env string) ([]Review, error) {
	return All(ctx, tx, tx.scanReview, "SELECT "+reviewColumns+` FROM reviews WHERE env = $1 AND state = 'waiting' AND ends_at > $2
		ORDER BY due_at, id LIMIT $3`, env, Millis(tx.Now()), maxReviews)
}

// SaveReview is the one compare-and-set of a case: it writes every member that can change
// if the row still has r.Version, else ErrConflict. An erased case keeps no details.
func (tx *Tx) SaveReview(ctx context.Context, r *Review) error {
	secret, err := One(ctx, tx, Text, "SELECT secret FROM reviews WHERE env = $1 AND id = $2", r.Env, r.ID)
	if err != nil {
		return err
	}
	details := ""
	if secret != "" {
		if details, err = tx.sealInCase(r.Env, r.ID, secret, "details", r.Details); err != nil {
			return err
		}
	}
	err = tx.Swap(ctx, `UPDATE reviews SET version = version + 1, state = $4, round = $5, outcome = $6, details = $7, consent_at = $8, assigned = $9,
		assigned_until = $10, submitted_at = $11, due_at = $12, decided_at = $13, settled_at = $14, ends_at = $15, reviewers = $16 WHERE env = $1 AND id = $2 AND version = $3`,
		r.Env, r.ID, r.Version, r.State, r.Round, r.Outcome, details, Millis(r.ConsentAt), r.Assigned, Millis(r.AssignedUntil), Millis(r.SubmittedAt),
		Millis(r.DueAt), Millis(r.DecidedAt), Millis(r.SettledAt), Millis(r.EndsAt), r.Reviewers)
	if err == nil {
		r.Version++
	}
	return err
}

// PutReviewImage keeps a picture of a case that is still being made, in place of one of
// the same kind. ErrConflict says that the case has moved on.
func (tx *Tx) PutReviewImage(ctx context.Context, env, id, kind string, body []byte) error {
	r, err := tx.Review(ctx, env, id)
	if err != nil {
		return err
	}
	secret, err := One(ctx, tx, Text, "SELECT secret FROM reviews WHERE env = $1 AND id = $2", env, id)
	if err != nil {
		return err
	}
	if r.State != ReviewOpen || r.Erased {
		return ErrConflict
	}
	sealed, err := tx.sealInCase(env, id, secret, kind, body)
	if err != nil {
		return err
	}
	if err := tx.removeElsewhere(ctx, env, id, kind); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO review_images (env, review, kind, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (env, review, kind) DO UPDATE SET body = excluded.body, storage = ''`, env, id, kind, sealed)
	return err
}

// ReviewImage returns a picture; ErrNotFound once it was erased, Elsewhere if it lies in a
// storage.
func (tx *Tx) ReviewImage(ctx context.Context, env, id, kind string) ([]byte, error) {
	var secret, body, storage string
	err := tx.Row(ctx, []any{&secret, &body, &storage}, `SELECT r.secret, i.body, i.storage FROM review_images i JOIN reviews r ON r.env = i.env AND r.id = i.review
		WHERE i.env = $1 AND i.review = $2 AND i.kind = $3 AND r.secret <> ''`, env, id, kind)
	switch {
	case err != nil:
		return nil, err
	case storage != "":
		return nil, &Elsewhere{env, storage, body, func(ctx context.Context, tx *Tx, sealed []byte) ([]byte, error) {
			return tx.OpenReviewImage(ctx, env, id, kind, body, sealed)
		}}
	}
	return tx.openInCase(env, id, secret, kind, body)
}

// ReviewImages lists the kinds of pictures that a case has.
func (tx *Tx) ReviewImages(ctx context.Context, env, id string) ([]string, error) {
	return All(ctx, tx, Text, "SELECT kind FROM review_images WHERE env = $1 AND review = $2 ORDER BY kind", env, id)
}

// A ReviewVote is what one person decided.
type ReviewVote struct {
	Reviewer string
	Round    int
	Verdict  string
	Reason   string
	Checks   []string // that were ticked
	At       time.Time
}

// AddReviewVote records a decision. A second one of the same person is ErrConflict.
func (tx *Tx) AddReviewVote(ctx context.Context, env, id string, v ReviewVote) error {
	return tx.Swap(ctx, `INSERT INTO review_votes (env, review, reviewer, round, verdict, reason, checks, made_at)
		SELECT env, id, $3, $4, $5, $6, $7, $8 FROM reviews WHERE env = $1 AND id = $2 ON CONFLICT (env, review, reviewer) DO NOTHING`,
		env, id, v.Reviewer, v.Round, v.Verdict, v.Reason, JSON(v.Checks), Millis(tx.Now()))
}

// ReviewVotes lists the decisions about a case in their order.
func (tx *Tx) ReviewVotes(ctx context.Context, env, id string) ([]ReviewVote, error) {
	return All(ctx, tx, func(scan Scan) (v ReviewVote, err error) {
		var round, at int64
		var checks string
		if err = scan(&v.Reviewer, &round, &v.Verdict, &v.Reason, &checks, &at); err == nil {
			err = ParseJSON(checks, &v.Checks)
		}
		v.Round, v.At = int(round), Time(at)
		return v, err
	}, `SELECT reviewer, round, verdict, reason, checks, made_at FROM review_votes WHERE env = $1 AND review = $2 ORDER BY made_at, reviewer`, env, id)
}

// DueReviews lists cases for upkeep: those whose verification was not told yet, those
// that nothing waits for any more, and those to be erased, decided before a time.
func (tx *Tx) DueReviews(ctx context.Context, decidedBefore time.Time) ([]Review, error) {
	return All(ctx, tx, tx.scanReview, "SELECT "+reviewColumns+` FROM reviews WHERE (state = 'closed' AND settled_at = 0)
		OR (state <> 'closed' AND ends_at <= $1) OR (secret <> '' AND state = 'closed' AND decided_at < $2) LIMIT $3`,
		Millis(tx.Now()), Millis(decidedBefore), maxReviews)
}

// EraseReview destroys the key of a case and what was under it. Votes stay.
func (tx *Tx) EraseReview(ctx context.Context, env, id string) error {
	tx.erased = true
	if err := tx.removeElsewhere(ctx, env, id, ""); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM review_images WHERE env = $1 AND review = $2", env, id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "UPDATE reviews SET secret = '', details = '' WHERE env = $1 AND id = $2", env, id)
	return err
}

// ReviewSettings returns how an environment reviews, as written by SetReviewSettings; nil
// if nobody did.
func (tx *Tx) ReviewSettings(ctx context.Context, env string) ([]byte, error) {
	all, err := All(ctx, tx, Text, "SELECT secret FROM review_settings WHERE env = $1", env)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return tx.Unseal(Cell{Env: env, Table: "review_settings", Column: "secret", Row: env}, all[0])
}

// SetReviewSettings keeps how an environment reviews, sealed.
func (tx *Tx) SetReviewSettings(ctx context.Context, env string, body []byte) error {
	secret, err := tx.Seal(Cell{Env: env, Table: "review_settings", Column: "secret", Row: env}, body)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO review_settings (env, secret) VALUES ($1, $2) ON CONFLICT (env) DO UPDATE SET secret = excluded.secret`, env, secret)
	return err
}
