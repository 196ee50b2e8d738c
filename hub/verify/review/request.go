package review

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/language"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Somebody who answers a request has no account that a document could be compared with.
// People read the document then, and what they typed is what was proven.

// ErrFacts says that what the document says is missing or malformed, or not what the
// other reviewer of the case read.
var ErrFacts = errors.New("review: what the document says is missing, malformed, or differs from what was read before")

// Kinds of documents, as the public interface spells them.
const (
	Passport = "passport"
	Card     = "driver_license" // or another document of a card's form
)

// Facts are what a reviewer read from a document.
type Facts struct {
	Kind    string `json:"kind"` // Passport or Card
	Given   string `json:"given"`
	Family  string `json:"family"`
	Birth   string `json:"birth"`   // YYYY-MM-DD
	Number  string `json:"number"`  // of the document
	Country string `json:"country"` // ISO 3166-1 alpha-2 or alpha-3 of its issuer
	Expiry  string `json:"expiry"`  // YYYY-MM-DD, the last day; "": none is printed
}

// maxFact bounds what is typed into one field, in bytes.
const maxFact = 200

// clean returns f as it is kept, and whether that can be what a document says.
func (f Facts) clean(now time.Time) (Facts, bool) {
	for _, text := range []*string{&f.Given, &f.Family, &f.Birth, &f.Number, &f.Country, &f.Expiry} {
		*text = strings.Join(strings.Fields(*text), " ")
		if len(*text) > maxFact || strings.ContainsFunc(*text, unicode.IsControl) {
			return f, false
		}
	}
	f.Number, f.Country = strings.ToUpper(f.Number), strings.ToUpper(f.Country)
	if f.Country == mrzGermany {
		f.Country = "DE"
	}
	region, err := language.ParseRegion(f.Country)
	birth, birthErr := time.Parse(time.DateOnly, f.Birth)
	expiry, expiryErr := time.Parse(time.DateOnly, f.Expiry)
	return f, err == nil && region.IsCountry() && birthErr == nil && birth.Before(now) &&
		(f.Expiry == "" || expiryErr == nil && expiry.AddDate(0, 0, 1).After(now)) &&
		f.Given+f.Family != "" && f.Number != "" && (f.Kind == Passport || f.Kind == Card)
}

// mrzGermany is what the machine-readable zone of a German document says (ICAO 9303-3, 5).
const mrzGermany = "D"

// reviewed is the issuer of what people read. It is another one than that of any signed
// document, so that nobody with a printed card takes the place of somebody with a wallet.
const reviewed = "document review, "

func (f Facts) claims() *evidence.Claims {
	c := evidence.Claims{Type: evidence.TypeReview, DocType: f.Kind, Given: f.Given, Family: f.Family, BirthDate: f.Birth, Document: f.Number}
	if region, err := language.ParseRegion(f.Country); err == nil {
		c.Country = region.String()
	}
	c.Issuer = reviewed + c.Country
	if last, err := time.Parse(time.DateOnly, f.Expiry); err == nil {
		c.Expires = last.AddDate(0, 0, 1)
	}
	return &c
}

// A Watcher is told, in the transaction that changes it, what happens to the case of
// somebody who answers a request. Events are those of the public interface.
type Watcher interface {
	CaseChanged(ctx context.Context, tx *store.Tx, env, verification, event, outcome string) error
}

// answers reports whether s answers a request.
func answers(s verify.Subject) bool {
	return s.Operation == string(protocol.Verify) && s.Directory == "" && s.Account == ""
}

// mayAnswer reports whether the environment lets people answer requests with a document,
// and this one has not been decided about.
func (r *Reviews) mayAnswer(ctx context.Context, s verify.Subject) bool {
	set, err := store.Get(ctx, r.Store, func(tx *store.Tx) (Settings, error) { return ReadSettings(ctx, tx, s.Env) })
	if err != nil || !set.Requests {
		return false
	}
	c, err := r.caseOf(ctx, s)
	return errors.Is(err, store.ErrNotFound) || err == nil && c.State != store.ReviewClosed
}

// ofRequest reports whether a case is that of somebody who answers a request.
func ofRequest(c store.Review) bool { return c.Directory == "" && !ofBadge(c) }

// watched are the decisions that concern the person only once the case has moved.
var watched = []audit.Kind{audit.ScanAccepted, audit.ScanAppealAccepted}

// watch tells of a change.
func (r *Reviews) watch(ctx context.Context, tx *store.Tx, c store.Review, event string) error {
	if r.Watcher == nil || !ofRequest(c) || c.State == store.ReviewWaiting && slices.Contains(watched, audit.Kind(event)) {
		return nil
	}
	return r.Watcher.CaseChanged(ctx, tx, c.Env, c.Verification, event, c.Outcome)
}

// Transcribe keeps what a reviewer who was given the case of a request read. A second
// reviewer must have read the same.
func (r *Reviews) Transcribe(ctx context.Context, env, id, reviewer string, f Facts) error {
	return r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error {
		if _, err := r.held(ctx, tx, env, id, reviewer); err != nil {
			return err
		}
		d, err := detailsOf(*c)
		if err != nil {
			return err
		}
		votes, err := tx.ReviewVotes(ctx, env, id)
		if err != nil {
			return err
		}
		f, ok := f.clean(tx.Now())
		accepted := slices.ContainsFunc(votes, func(v store.ReviewVote) bool { return v.Round == c.Round && v.Verdict == string(Accept) })
		if !ok || !ofRequest(*c) || accepted && (d.Facts == nil || *d.Facts != f) {
			return ErrFacts
		}
		d.Facts, d.ReadBy = &f, reviewer
		c.Details = []byte(store.JSON(d))
		return nil
	})
}

// transcribed refuses to accept a document of a request that this reviewer has not read.
func transcribed(c store.Review, reviewer string, v Verdict) error {
	d, err := detailsOf(c)
	if err == nil && v == Accept && ofRequest(c) && (d.Facts == nil || d.ReadBy != reviewer) {
		err = ErrFacts
	}
	return err
}

// verdictOf is what the flow is told of a closed case.
func verdictOf(c store.Review) verify.Verdict {
	v := proof(c.Outcome == Accepted, c.Outcome)
	if d, err := detailsOf(c); err == nil && v.Right && d.Facts != nil && ofRequest(c) {
		v.Claims = d.Facts.claims()
	}
	return v
}

// pictured are the events of pictures, by their kind.
var pictured = map[string]string{"front": "scan_front_image_added", "back": "scan_back_image_added", "selfie": "scan_selfie_image_added"}

// eventStarted says that a case was opened.
const eventStarted = "scan_started"
