package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"regexp"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
)

// Reviews is the queue of documents that people look at.
type Reviews interface {
	List(ctx context.Context, env, reviewer string) ([]review.Waiting, error)
	Take(ctx context.Context, env, reviewer string) (id string, err error)
	Case(ctx context.Context, env, id, reviewer string) (review.Case, error)
	Image(ctx context.Context, env, id, kind, reviewer string) ([]byte, error)
	Decide(ctx context.Context, env, id, reviewer string, verdict review.Verdict, reason string, checks []string, by audit.Principal) error
}

// Transcripts takes what reviewers read from documents of people without an account.
type Transcripts interface {
	Transcribe(ctx context.Context, env, id, reviewer string, f review.Facts) error
}

// BadgeDecisions takes what reviewers decided about photos for badges.
type BadgeDecisions interface {
	DecideBadge(ctx context.Context, env, id, reviewer string, verdict review.Verdict, reason string, checks []string, by audit.Principal) error
}

// reviewsPath is where the queue is. Cases are below it, by environment and id.
const (
	reviewsPath = root + "/reviews"
	casePath    = reviewsPath + "/{env}/{id}"
)

// reviewScreen is the list, or a case.
type reviewScreen struct {
	Queues []queue
	Case   *review.Case
	Env    string
	Wrong  string // key of why what was decided cannot be taken
	Read   review.Facts
	Typed  string
	Ticked map[string]bool
}

// A queue is what waits in one environment.
type queue struct {
	Env, Name string
	Waiting   []review.Waiting
}

// Free reports whether this reviewer can be given a case.
func (q queue) Free() bool {
	for _, w := range q.Waiting {
		if !w.NotYet && (w.Mine || !w.Taken && !w.Excluded) {
			return true
		}
	}
	return false
}

// reviewer is who looks: the person who signed in. Sessions that were opened by the link of
// an installation name nobody, so two of them are two people here.
func (v *visit) reviewer() string {
	if v.member.ID != "" {
		return v.member.ID
	}
	h := sha256.Sum256([]byte("reviewer\x00" + v.host.Cookie(v.r, sessionCookie)))
	return review.Nameless + hex.EncodeToString(h[:5])
}

// reviews lists what waits in every environment of the organisation.
func (v *visit) reviews() {
	ctx, cancel := v.context()
	defer cancel()
	envs, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) ([]store.Environment, error) { return v.environments(ctx, tx) })
	s := v.screen()
	s.Title, s.SignedIn = s.T("review.title"), true
	for _, e := range envs {
		list, listErr := v.console.cfg.Reviews.List(ctx, e.ID, v.reviewer())
		err = errors.Join(err, listErr)
		if len(list) > 0 {
			s.Queues = append(s.Queues, queue{e.ID, e.Name, list})
		}
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.show(http.StatusOK, "reviews", s)
}

// takeReview gives this reviewer a case by chance.
func (v *visit) takeReview() {
	ctx, cancel := v.context()
	defer cancel()
	env := v.field("env")
	err := v.owns(ctx, env)
	id := ""
	if err == nil {
		id, err = v.console.cfg.Reviews.Take(ctx, env, v.reviewer())
	}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict): // somebody was faster
		v.see(reviewsPath)
	case err != nil:
		v.fail(err)
	default:
		v.see(reviewsPath + "/" + env + "/" + id)
	}
}

// reviewID is the form of ids in addresses.
var reviewID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// named returns environment and case of the address, if they are the organisation's.
func (v *visit) named(ctx context.Context) (env, id string, err error) {
	env, id = v.r.PathValue("env"), v.r.PathValue("id")
	if !reviewID.MatchString(env) || !reviewID.MatchString(id) {
		return "", "", errNoPage
	}
	return env, id, v.owns(ctx, env)
}

// review shows a case to the reviewer who was given it.
func (v *visit) review() { v.showCase(http.StatusOK, "") }

func (v *visit) showCase(status int, wrong string) {
	ctx, cancel := v.context()
	defer cancel()
	env, id, err := v.named(ctx)
	if err != nil {
		v.fail(err)
		return
	}
	c, err := v.console.cfg.Reviews.Case(ctx, env, id, v.reviewer())
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen()
	s.Title, s.SignedIn = s.T("review.case"), true
	s.Case, s.Env, s.Wrong, s.Typed, s.Ticked = &c, env, wrong, v.field("reason"), map[string]bool{}
	if s.Read = readOf(c); wrong != "" {
		s.Read = v.typed()
	}
	for _, check := range v.r.PostForm["check"] {
		s.Ticked[check] = true
	}
	name := "review"
	if c.Badge {
		name, s.Title = "badgecase", s.T("review.badge")
	}
	v.show(status, name, s)
}

// picture sends a picture of a case, with the reviewer's mark.
func (v *visit) picture() {
	ctx, cancel := v.context()
	defer cancel()
	env, id, err := v.named(ctx)
	var body []byte
	if err == nil {
		body, err = v.console.cfg.Reviews.Image(ctx, env, id, v.r.PathValue("kind"), v.reviewer())
	}
	if err != nil {
		v.fail(err)
		return
	}
	page.Picture(v.w, v.r, body)
}

// decideReview takes a decision.
func (v *visit) decideReview() {
	ctx, cancel := v.context()
	defer cancel()
	env, id, err := v.named(ctx)
	if v.field("about") == store.AboutBadge {
		v.decideBadge(ctx, env, id, err)
		return
	}
	if err == nil && v.field("verdict") == string(review.Accept) && v.r.PostForm["document"] != nil {
		err = v.console.cfg.Transcripts.Transcribe(ctx, env, id, v.reviewer(), v.typed())
	}
	if err == nil {
		err = v.console.cfg.Reviews.Decide(ctx, env, id, v.reviewer(), review.Verdict(v.field("verdict")), v.field("reason"), v.r.PostForm["check"], v.actor())
	}
	switch {
	case errors.Is(err, review.ErrAnswer):
		v.showCase(http.StatusUnprocessableEntity, "review.error")
	case errors.Is(err, review.ErrFacts):
		v.showCase(http.StatusUnprocessableEntity, "review.error.facts")
	case err != nil:
		v.fail(err)
	default:
		v.see(reviewsPath)
	}
}

// decideBadge takes a decision about a photo.
func (v *visit) decideBadge(ctx context.Context, env, id string, err error) {
	if err == nil {
		err = v.console.cfg.Badges.DecideBadge(ctx, env, id, v.reviewer(), review.Verdict(v.field("verdict")), v.field("reason"), v.r.PostForm["check"], v.actor())
	}
	switch {
	case errors.Is(err, review.ErrAnswer):
		v.showCase(http.StatusUnprocessableEntity, "review.error.badge")
	case err != nil:
		v.fail(err)
	default:
		v.see(reviewsPath)
	}
}

// BadgeReasons are what a reviewer chooses from who does not take a photo.
func (reviewScreen) BadgeReasons() []string { return review.BadgeReasons }

// Checklist is what a reviewer ticks.
func (s reviewScreen) Checklist() []string { return s.Case.Points }

// A sheet is what was read from one place of the document.
type sheet struct {
	Title string
	*capture.Printed
}

// Sheets returns what was read.
func (s *screen) Sheets() (all []sheet) {
	if s.Case.Zone != nil {
		all = append(all, sheet{s.T("review.zone"), s.Case.Zone})
	}
	if s.Case.Barcode != nil {
		all = append(all, sheet{s.T("review.barcode"), s.Case.Barcode})
	}
	return all
}

// read returns what the reviewer typed.
func (v *visit) typed() review.Facts {
	return review.Facts{Kind: v.field("document"), Given: v.field("given"), Family: v.field("family"), Birth: v.field("birth"), Number: v.field("number"), Country: v.field("country"), Expiry: v.field("expiry")}
}

// readOf is what the fields begin with: what another reviewer read, or what the page
// read, which nobody signed.
func readOf(c review.Case) review.Facts {
	if c.Facts != nil {
		return *c.Facts
	}
	f := review.Facts{Kind: review.Card}
	for _, p := range []*capture.Printed{c.Zone, c.Barcode} {
		if p == nil {
			continue
		}
		f = review.Facts{Kind: review.Card, Given: p.Given, Family: p.Family, Birth: p.Birth, Number: p.Number, Country: p.Issuer, Expiry: p.Expiry}
		if p.Kind == "TD3" {
			f.Kind = review.Passport
		}
		break
	}
	return f
}

// Kinds are the kinds of documents that a reviewer chooses from.
func (reviewScreen) Kinds() []string { return []string{review.Card, review.Passport} }

// A reading is a field of what a document says.
type reading struct{ Name, Value string }

// Readings are the fields that a reviewer fills in.
func (s reviewScreen) Readings() []reading {
	return []reading{{"given", s.Read.Given}, {"family", s.Read.Family}, {"birth", s.Read.Birth}, {"number", s.Read.Number}, {"country", s.Read.Country}, {"expiry", s.Read.Expiry}}
}
