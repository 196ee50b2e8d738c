package review

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/match"
)

// Judges says who decides about photos for badges, as the settings spell it.
type Judges string

// Who decides.
const (
	ByAnalyzer Judges = "analyzer"
	ByReviewer Judges = "reviewer"
	ByBoth     Judges = "both" // what the analyzer refuses, nobody else sees
)

// BadgeChecklist is what a reviewer must have looked at before they accept a photo for a
// badge: the rules that the person was shown.
var BadgeChecklist = []string{"badge_alone", "badge_front", "badge_light", "badge_wall", "badge_bare", "badge_sharp"}

// badgeFace is the point of the list that the face is that of the selfie, where one is kept.
const badgeFace = "badge_face"

// BadgeReasons are why a reviewer refuses a photo for a badge. The person reads what to do
// about each, and webhooks are told the word.
var BadgeReasons = []string{"no_face", "too_many_faces", "not_matched", "pose", "covered", "background", "dark", "bright", "blurred", "edited"}

// badgeLife is how long a photo for a badge waits for people: a week, in which somebody is
// at work.
const badgeLife = 7 * 24 * time.Hour

// maxOwn bounds how many accounts of one person are looked at.
const maxOwn = 50

// Badges takes what became of a photo for a badge, in the transaction in which it did.
type Badges interface {
	// BadgeDecided is told refused, "" if the photo was accepted. kept is false if whoever
	// sent it takes part no more: then nothing came of it.
	BadgeDecided(ctx context.Context, tx *store.Tx, env, use, person, refused string) (kept bool, err error)
}

// An OwnAccount is an account of somebody whose photo is looked at.
type OwnAccount struct {
	Directory string `json:"directory"`
	Account   string `json:"account"` // its immutable id
}

// A BadgeOrder is what AskBadge begins with. The picture is the person's PictureAsked.
type BadgeOrder struct {
	Env, Use, Person string
	Name             string    // that they proved
	Subject          string    // to which accounts may be bound
	Addresses        []string  // that are known as theirs
	Checks           []Finding // of the analyzer
	Ends             time.Time // of the person's consent; zero: never
}

func ofBadge(c store.Review) bool { return c.About == store.AboutBadge }

// AskBadge has people look at a photo, in the caller's transaction and in place of an
// earlier one of the same person. Two of them where an account of the person is in a group
// that asks for two. It returns until when they have time.
func (r *Reviews) AskBadge(ctx context.Context, tx *store.Tx, o BadgeOrder) (ends time.Time, err error) {
	if err := r.replaceBadge(ctx, tx, o.Env, o.Person); err != nil {
		return ends, err
	}
	now := tx.Now()
	c := store.Review{Env: o.Env, ID: store.NewID(), About: store.AboutBadge, Verification: o.Use, Person: o.Person, State: store.ReviewWaiting, Round: 1, Reviewers: 1,
		SubmittedAt: now, DueAt: now.Add(reviewTime), EndsAt: now.Add(badgeLife)}
	if !o.Ends.IsZero() && o.Ends.Before(c.EndsAt) {
		c.EndsAt = o.Ends
	}
	d := Details{Name: o.Name, Own: o.Addresses, Checks: o.Checks}
	accounts, err := accountsOf(ctx, tx, o)
	if err != nil {
		return ends, err
	}
	settings, err := ReadSettings(ctx, tx, o.Env)
	if err != nil {
		return ends, err
	}
	for _, a := range accounts {
		two, err := sensitive(ctx, tx, settings, o.Env, a.ID)
		if err != nil {
			return ends, err
		}
		if two {
			c.Reviewers = 2
		}
		d.Owner = append(d.Owner, OwnAccount{a.Directory, a.ImmutableID})
		d.Own = append(d.Own, a.Identifiers...)
	}
	c.Details = []byte(store.JSON(d))
	if err := tx.AddReview(ctx, &c); err != nil {
		return ends, err
	}
	return c.EndsAt, r.record(ctx, tx, &c, audit.ProfilePictureAsked, audit.Principal{}, nil)
}

// accountsOf are the accounts that are known as the person's: bound to them, or bearing one
// of their addresses.
func accountsOf(ctx context.Context, tx *store.Tx, o BadgeOrder) ([]store.Account, error) {
	all, err := tx.Accounts(ctx, o.Env, store.AccountFilter{Subject: o.Subject, Count: maxOwn})
	if err != nil || o.Subject == "" {
		all = nil // without a subject everybody's would be listed
	}
	for _, address := range o.Addresses {
		found, findErr := tx.FindAccounts(ctx, o.Env, address)
		all, err = append(all, found...), errors.Join(err, findErr)
	}
	return all, err
}

// replaceBadge ends the case of a photo that waits still, and forgets what it says.
func (r *Reviews) replaceBadge(ctx context.Context, tx *store.Tx, env, person string) error {
	c, err := tx.BadgeReview(ctx, env, person)
	if errors.Is(err, store.ErrNotFound) || err == nil && c.State != store.ReviewWaiting {
		return nil
	}
	if err != nil {
		return err
	}
	closeBadge(&c, store.BadgeReplaced, tx.Now())
	return errors.Join(tx.SaveReview(ctx, &c), tx.EraseReview(ctx, env, c.ID))
}

func closeBadge(c *store.Review, outcome string, now time.Time) {
	c.State, c.Outcome, c.DecidedAt, c.SettledAt = store.ReviewClosed, outcome, now, now
}

// shown reports whether the photo of a case is one of the person themselves: by an account,
// or by their name, which is all that is known of most.
func (s standing) shown(d Details) bool {
	return slices.ContainsFunc(d.Owner, func(a OwnAccount) bool { return s.Is(a.Directory, a.Account, nil) }) ||
		strings.TrimSpace(s.Name) != "" && match.Names(match.Name{Full: d.Name}, match.Name{Full: s.Name}) == match.Match
}

// badgeSheet returns the pictures of a badge's case, and what a reviewer ticks.
func badgeSheet(ctx context.Context, tx *store.Tx, c store.Review) (images, points []string, err error) {
	since, err := tx.PictureSince(ctx, c.Env, c.Person, store.PictureSelfie)
	switch {
	case err != nil:
		return nil, nil, err
	case since.IsZero():
		return []string{Photo}, BadgeChecklist, nil
	}
	return []string{Photo, Selfie}, append(slices.Clone(BadgeChecklist), badgeFace), nil
}

// badgePicture returns a picture of a badge's case.
func badgePicture(ctx context.Context, tx *store.Tx, c store.Review, kind string) (body []byte, err error) {
	switch kind {
	case Photo:
		body, _, err = tx.Picture(ctx, c.Env, c.Person, store.PictureAsked)
	case Selfie:
		body, _, err = tx.Picture(ctx, c.Env, c.Person, store.PictureSelfie)
	default:
		err = store.ErrNotFound
	}
	return body, err
}

// Refuse is the verdict of a reviewer who does not take a photo for a badge.
const Refuse Verdict = "refuse"

// DecideBadge records what a reviewer decided about a photo for a badge: Accept asks for
// every point of the list and for as many people as the case asks for, Refuse for one of
// BadgeReasons and for one person. Errors: ErrAnswer, ErrOther.
func (r *Reviews) DecideBadge(ctx context.Context, env, id, reviewer string, verdict Verdict, reason string, checks []string, by audit.Principal) error {
	switch {
	case verdict == Accept:
		reason = "" // one that was marked before
	case verdict != Refuse || !slices.Contains(BadgeReasons, reason):
		return ErrAnswer
	}
	return r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error {
		if _, err := r.held(ctx, tx, env, id, reviewer); err != nil {
			return err
		}
		if !ofBadge(*c) {
			return ErrAnswer
		}
		_, points, err := badgeSheet(ctx, tx, *c)
		if err != nil {
			return err
		}
		if reason == "" && !all(points, checks) {
			return ErrAnswer
		}
		ticked := slices.DeleteFunc(slices.Clone(checks), func(k string) bool { return !slices.Contains(points, k) })
		return r.judged(ctx, tx, c, store.ReviewVote{Reviewer: reviewer, Round: c.Round, Reason: reason, Checks: ticked}, by)
	})
}

// judged keeps a decision about a photo and what follows from it.
func (r *Reviews) judged(ctx context.Context, tx *store.Tx, c *store.Review, vote store.ReviewVote, by audit.Principal) error {
	kind, outcome := audit.ProfilePictureAccepted, store.BadgeAccepted
	vote.Verdict = string(Accept)
	if vote.Reason != "" {
		kind, outcome, vote.Verdict = audit.ProfilePictureRejected, vote.Reason, string(Refuse)
	}
	if err := tx.AddReviewVote(ctx, c.Env, c.ID, vote); err != nil {
		return err
	}
	c.Assigned, c.AssignedUntil = "", time.Time{}
	if vote.Reason == "" {
		votes, err := tx.ReviewVotes(ctx, c.Env, c.ID)
		if err != nil {
			return err
		}
		me, err := standingOf(ctx, tx, c.Env, vote.Reviewer)
		if err != nil {
			return err
		}
		if agreed(*c, votes, me.all, tx.Now()) < c.Reviewers {
			outcome = "" // somebody else looks, too
		}
	}
	if outcome != "" {
		closeBadge(c, outcome, tx.Now())
	}
	err := r.record(ctx, tx, c, kind, by, map[string]any{"verdict": vote.Verdict, "reviewer": vote.Reviewer, "reason": vote.Reason, "closed": outcome != ""})
	if err != nil || outcome == "" {
		return err
	}
	return r.tellBadge(ctx, tx, c, vote.Reason)
}

func (r *Reviews) tellBadge(ctx context.Context, tx *store.Tx, c *store.Review, refused string) error {
	kept, err := r.Badges.BadgeDecided(ctx, tx, c.Env, c.Verification, c.Person, refused)
	if err == nil && !kept {
		c.Outcome = store.BadgeWithdrawn
	}
	return err
}

// lapse ends a case that nobody decided in time.
func (r *Reviews) lapse(ctx context.Context, c store.Review) error {
	return r.change(ctx, c.Env, c.ID, func(tx *store.Tx, c *store.Review) error {
		if c.State != store.ReviewWaiting {
			return nil // decided meanwhile
		}
		closeBadge(c, Expired, tx.Now())
		if err := r.record(ctx, tx, c, audit.ProfilePictureRejected, audit.Principal{System: "schedule"}, map[string]any{"reason": Expired, "closed": true}); err != nil {
			return err
		}
		return r.tellBadge(ctx, tx, c, Expired)
	})
}
