package review

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// A Verdict is what a reviewer decides.
type Verdict string

// The verdicts.
const (
	Accept   Verdict = "accept"
	Unusable Verdict = "unusable" // nothing can be seen well enough
	Fraud    Verdict = "fraud"    // it is somebody else, or not a document
)

// Checklist is what a reviewer must have looked at before they accept.
var Checklist = []string{"document_kind", "not_expired", "name", "face_document", "face_live", "prompt", "no_screen"}

// Outcomes of a case in the store, as the requests of the public interface spell them.
const (
	Accepted         = "accepted"
	RejectedUnusable = "rejected_unusable"
	RejectedFraud    = "rejected_fraud"
	Expired          = "expired"
)

var outcomes = map[Verdict]string{Accept: Accepted, Unusable: RejectedUnusable, Fraud: RejectedFraud}

// maxReason bounds what a reviewer writes, in bytes.
const maxReason = 1000

// A Waiting is a line of the list: nothing of the person.
type Waiting struct {
	Env, ID  string
	Badge    bool // a photo for a badge
	Appeal   bool
	Second   bool // one reviewer has agreed, another must
	DueAt    time.Time
	Late     bool
	Mine     bool // this reviewer was given it
	Excluded bool // this reviewer has decided about it before
	Taken    bool // another reviewer looks at it now
	NotYet   bool // this reviewer decides about nobody, or not before CountsAt
	CountsAt time.Time
}

// List returns what waits in an environment, for one reviewer.
func (r *Reviews) List(ctx context.Context, env, reviewer string) (list []Waiting, err error) {
	err = r.Store.Read(ctx, func(tx *store.Tx) error {
		list = nil
		all, err := tx.WaitingReviews(ctx, env)
		if err != nil {
			return err
		}
		me, err := standingOf(ctx, tx, env, reviewer)
		if err != nil {
			return err
		}
		for _, c := range all {
			own, err := me.owns(c)
			if err != nil {
				return err
			}
			if own { // nobody even learns of their own case here
				continue
			}
			votes, err := tx.ReviewVotes(ctx, env, c.ID)
			if err != nil {
				return err
			}
			same, err := compared(ctx, tx, c, votes)
			if err != nil {
				return err
			}
			held := c.Assigned != "" && c.AssignedUntil.After(tx.Now())
			list = append(list, Waiting{Env: env, ID: c.ID, Badge: ofBadge(c), Appeal: c.Round > 1, Second: agreed(c, same, me.all, tx.Now()) > 0, DueAt: c.DueAt, Late: c.DueAt.Before(tx.Now()),
				Mine: held && c.Assigned == reviewer, Taken: held && c.Assigned != reviewer, Excluded: me.voted(votes, reviewer), NotYet: !me.decides, CountsAt: me.CountsAt})
		}
		return nil
	})
	return list, err
}

// agreed counts who accepted in the round that runs and may decide still: what somebody
// accepted who was removed or suspended since, or is of the environment no longer, counts
// no more. Votes are those of compared.
func agreed(c store.Review, votes []store.ReviewVote, staff []store.Staff, now time.Time) (n int) {
	for _, v := range votes {
		counts := strings.HasPrefix(v.Reviewer, Nameless) || slices.ContainsFunc(staff, func(p store.Staff) bool { return p.ID == v.Reviewer && p.DecidesIn(c.Env, now) })
		if v.Round == c.Round && v.Verdict == string(Accept) && counts {
			n++
		}
	}
	return n
}

// A standing is what somebody may decide at this moment.
type standing struct {
	store.Staff
	decides bool
	all     []store.Staff // of the organisation
}

// Nameless begins the name of a reviewer who came by the link of an installation.
const Nameless = "S-"

// standingOf reads who a reviewer is. Somebody without a name came by the link that an
// installation printed: they decide only as long as nobody with a name could, because
// nobody can tell whether a case is their own.
func standingOf(ctx context.Context, tx *store.Tx, env, reviewer string) (s standing, err error) {
	e, err := tx.Environment(ctx, env)
	if err != nil {
		return s, err
	}
	all, err := tx.StaffList(ctx, e.Org)
	s.decides, s.all = true, all
	for _, p := range all {
		if p.ID == reviewer {
			return standing{p, p.DecidesIn(env, tx.Now()), all}, nil
		}
		if store.AtLeast(p.Role, leastReviewer) && p.DecidesIn(env, tx.Now()) {
			s.decides = false
		}
	}
	return s, err
}

// leastReviewer is the least role that looks at documents.
const leastReviewer = store.RoleUser

// owns reports whether a case is about the person themselves.
func (s standing) owns(c store.Review) (bool, error) {
	d, err := detailsOf(c)
	return s.ID != "" && (s.Is(c.Directory, d.Account, d.Own) || ofBadge(c) && s.shown(d)), err
}

// voted reports whether a reviewer decided about a case before, by whichever of their rows
// among the staff: persons are counted, not rows (T07).
func (s standing) voted(votes []store.ReviewVote, reviewer string) bool {
	return slices.ContainsFunc(votes, func(v store.ReviewVote) bool {
		return v.Reviewer == reviewer || s.Account != "" && slices.ContainsFunc(s.all, func(p store.Staff) bool {
			return p.ID == v.Reviewer && p.Is(s.Directory, s.Account, nil)
		})
	})
}

// Take gives a reviewer a case by chance, so that nobody chooses whom to decide about.
// A reviewer who has one keeps it. store.ErrNotFound says that nothing waits for them.
func (r *Reviews) Take(ctx context.Context, env, reviewer string) (id string, err error) {
	list, err := r.List(ctx, env, reviewer)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(list, func(w Waiting) bool { return w.Mine }); i >= 0 {
		return list[i].ID, nil
	}
	list = slices.DeleteFunc(list, func(w Waiting) bool { return w.Taken || w.Excluded || w.NotYet })
	if len(list) == 0 {
		return "", store.ErrNotFound
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(len(list))))
	if err != nil {
		return "", err
	}
	id = list[n.Int64()].ID
	return id, r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error {
		if c.State != store.ReviewWaiting || c.Assigned != "" && c.Assigned != reviewer && c.AssignedUntil.After(tx.Now()) {
			return store.ErrConflict
		}
		c.Assigned, c.AssignedUntil = reviewer, tx.Now().Add(assignTime)
		return nil
	})
}

// A Case is what a reviewer who was given it sees.
type Case struct {
	Details
	ID        string
	Badge     bool // a photo for a badge
	Request   bool // of somebody who answers a request: there is no account, and the reviewer reads
	Appeal    bool
	Reviewers int
	Images    []string
	Points    []string // what this reviewer must have looked at before they accept
	DueAt     time.Time
	Until     time.Time // it is given to somebody else then
}

// Case returns a case to the reviewer who was given it; ErrOther to everybody else.
func (r *Reviews) Case(ctx context.Context, env, id, reviewer string) (v Case, err error) {
	err = r.Store.Read(ctx, func(tx *store.Tx) error {
		c, err := r.held(ctx, tx, env, id, reviewer)
		if err != nil {
			return err
		}
		v = Case{ID: c.ID, Badge: ofBadge(c), Request: ofRequest(c), Appeal: c.Round > 1, Reviewers: c.Reviewers, DueAt: c.DueAt, Until: c.AssignedUntil}
		if v.Details, err = detailsOf(c); err != nil {
			return err
		}
		if v.Badge {
			v.Images, v.Points, err = badgeSheet(ctx, tx, c)
			return err
		}
		v.Images, err = tx.ReviewImages(ctx, env, id)
		photo, photoErr := photoSum(ctx, tx, c)
		if v.Points = checklist(photo != ""); photo != "" {
			v.Images = append(v.Images, AccountPhoto)
		}
		return errors.Join(err, photoErr)
	})
	return v, err
}

// held returns a case that reviewer was given and has not decided about.
func (r *Reviews) held(ctx context.Context, tx *store.Tx, env, id, reviewer string) (store.Review, error) {
	c, err := tx.Review(ctx, env, id)
	if err != nil {
		return c, err
	}
	me, err := standingOf(ctx, tx, env, reviewer)
	if err != nil {
		return c, err
	}
	own, err := me.owns(c)
	if err != nil {
		return c, err
	}
	if own || !me.decides {
		return c, ErrOther
	}
	votes, err := tx.ReviewVotes(ctx, env, id)
	if err == nil && (reviewer == "" || c.State != store.ReviewWaiting || c.Assigned != reviewer || !c.AssignedUntil.After(tx.Now()) || me.voted(votes, reviewer)) {
		err = ErrOther
	}
	return c, err
}

// Image returns a picture to the reviewer who was given its case, with a mark that says
// who saw it and when.
func (r *Reviews) Image(ctx context.Context, env, id, kind, reviewer string) (body []byte, err error) {
	body, err = store.Fetch(ctx, r.Store, r.Shelf, func(tx *store.Tx) (body []byte, err error) {
		c, err := r.held(ctx, tx, env, id, reviewer)
		switch {
		case err != nil:
		case ofBadge(c):
			body, err = badgePicture(ctx, tx, c, kind)
		case kind == AccountPhoto:
			body, err = photoOf(ctx, tx, c)
		}
		return body, err
	})
	if err == nil && body == nil {
		body, err = r.Picture(ctx, env, id, kind)
	}
	if err != nil {
		return nil, err
	}
	return mark(body, fmt.Sprintf("%s %s %s", reviewer, id[:min(6, len(id))], r.Store.Now().UTC().Format("2006-01-02 15:04")))
}

// Decide records what a reviewer decided. Accepting asks for every check of the list, for
// as many people as the case asks for, and after an appeal for other people than before.
func (r *Reviews) Decide(ctx context.Context, env, id, reviewer string, verdict Verdict, reason string, checks []string, by audit.Principal) error {
	reason = strings.TrimSpace(reason)
	if outcomes[verdict] == "" || len(reason) > maxReason || verdict != Accept && reason == "" || verdict == Accept && !all(Checklist, checks) {
		return ErrAnswer
	}
	vote := store.ReviewVote{Reviewer: reviewer, Verdict: string(verdict), Reason: reason, Checks: checks}
	err := r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error {
		if err := r.mayVote(ctx, tx, c, vote); err != nil {
			return err
		}
		kind, err := count(ctx, tx, c, vote)
		if err != nil {
			return err
		}
		return r.record(ctx, tx, c, kind, by, map[string]any{"verdict": verdict, "reviewer": reviewer, "reason": reason, "closed": c.State != store.ReviewWaiting})
	})
	if err == nil {
		r.settle(ctx, env, id)
	}
	return err
}

// mayVote returns why a reviewer cannot vote so on a case, and notes in it whose photo they
// saw.
func (r *Reviews) mayVote(ctx context.Context, tx *store.Tx, c *store.Review, vote store.ReviewVote) error {
	if _, err := r.held(ctx, tx, c.Env, c.ID, vote.Reviewer); err != nil {
		return err
	}
	if ofBadge(*c) {
		return ErrAnswer // see DecideBadge
	}
	if err := transcribed(*c, vote.Reviewer, Verdict(vote.Verdict)); err != nil {
		return err
	}
	photo, err := photoSum(ctx, tx, *c)
	if err != nil {
		return err
	}
	same := slices.Contains(vote.Checks, AccountPhoto)
	needs := photo != "" && (same || !ofRequest(*c)) // the document is one whosever face is on the photo
	if Verdict(vote.Verdict) == Accept && !all(checklist(needs), vote.Checks) {
		return ErrAnswer
	}
	return saw(c, vote.Reviewer, photo, same || !ofRequest(*c))
}

// count adds a vote to its case and draws the conclusion, in c; it returns what the log
// calls that.
func count(ctx context.Context, tx *store.Tx, c *store.Review, vote store.ReviewVote) (kind audit.Kind, err error) {
	vote.Round, vote.Checks = c.Round, known(vote.Checks)
	if err := tx.AddReviewVote(ctx, c.Env, c.ID, vote); err != nil {
		return kind, err
	}
	votes, err := tx.ReviewVotes(ctx, c.Env, c.ID)
	if err == nil {
		votes, err = compared(ctx, tx, *c, votes)
	}
	if err != nil {
		return kind, err
	}
	c.Assigned, c.AssignedUntil = "", time.Time{}
	me, err := standingOf(ctx, tx, c.Env, vote.Reviewer)
	if err != nil {
		return kind, err
	}
	return conclude(c, Verdict(vote.Verdict), agreed(*c, votes, me.all, tx.Now()), tx.Now()), nil
}

// conclude moves a case by a verdict and returns what the audit log calls it.
func conclude(c *store.Review, v Verdict, agreed int, now time.Time) audit.Kind {
	appeal := c.Round > 1
	switch {
	case v == Accept:
		if agreed >= c.Reviewers {
			c.State, c.Outcome, c.DecidedAt = store.ReviewClosed, Accepted, now
		}
		return map[bool]audit.Kind{false: audit.ScanAccepted, true: audit.ScanAppealAccepted}[appeal]
	case appeal:
		c.State, c.Outcome, c.DecidedAt = store.ReviewClosed, outcomes[v], now
		return audit.ScanAppealRejected
	}
	c.State, c.Outcome, c.DecidedAt = store.ReviewRejected, outcomes[v], now
	return audit.ScanRejected
}

// all reports whether every check of a list was ticked.
func all(list, checks []string) bool {
	return !slices.ContainsFunc(list, func(c string) bool { return !slices.Contains(checks, c) })
}

func known(checks []string) []string {
	return slices.DeleteFunc(slices.Clone(checks), func(c string) bool { return !slices.Contains(checklist(true), c) })
}

// settleAgain is longer than it takes from handing in to waiting, an analyzer between
// them: until then a verification that does not wait may do so yet.
const settleAgain = 2 * time.Minute

// settle tells the flow about a case that is closed. What fails is tried again by Run.
func (r *Reviews) settle(ctx context.Context, env, id string) {
	c, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Review, error) { return tx.Review(ctx, env, id) })
	if err != nil || c.State != store.ReviewClosed || !c.SettledAt.IsZero() {
		return
	}
	err = r.Flow.Settle(ctx, env, c.Verification, string(policy.DocumentReview), verdictOf(c))
	if errors.Is(err, verify.ErrNobody) && r.Store.Now().Before(c.SubmittedAt.Add(settleAgain)) {
		return // the page that handed it in has not said yet that it waits
	}
	if err != nil && !errors.Is(err, verify.ErrNobody) {
		r.Log.WarnContext(ctx, "a verification could not be told of a review", "case", id, "error", err)
		return
	}
	err = r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error { c.SettledAt = tx.Now(); return nil })
	if err != nil && !errors.Is(err, store.ErrConflict) {
		r.Log.WarnContext(ctx, "a settled review could not be kept", "case", id, "error", err)
	}
}
