package review_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/protocol"
)

// badges takes what became of photos.
type badges struct {
	told []string
	gone bool // whoever sent them takes part no more
}

// BadgeDecided implements review.Badges.
func (b *badges) BadgeDecided(_ context.Context, _ *store.Tx, _, _, person, refused string) (bool, error) {
	b.told = append(b.told, person+" "+refused)
	return !b.gone, nil
}

// asks hands a photo in and returns its case.
func (d *desk) asks(o review.BadgeOrder) string {
	d.t.Helper()
	o.Env, o.Use = d.s.Env, "use"
	c, err := store.Change(d.t.Context(), d.Store, func(tx *store.Tx) (c store.Review, err error) {
		ctx := d.t.Context()
		if err = errors.Join(tx.AddPerson(ctx, o.Env, o.Person), tx.PutPicture(ctx, o.Env, o.Person, store.PictureAsked, picture(d.t, 90))); err != nil {
			return c, err
		}
		if _, err = d.AskBadge(ctx, tx, o); err != nil {
			return c, err
		}
		return tx.BadgeReview(ctx, o.Env, o.Person)
	})
	d.must(err)
	return c.ID
}

func (d *desk) judge(reviewer, id, reason string) error {
	verdict := review.Accept
	if reason != "" {
		verdict = review.Refuse
	}
	return d.DecideBadge(d.t.Context(), d.s.Env, id, reviewer, verdict, reason, review.BadgeChecklist, audit.Principal{Role: "owner"})
}

func (d *desk) badge(person string) store.Review {
	d.t.Helper()
	c, err := store.Get(d.t.Context(), d.Store, func(tx *store.Tx) (store.Review, error) { return tx.BadgeReview(d.t.Context(), d.s.Env, person) })
	d.must(err)
	return c
}

func TestAPhotoForABadgeIsDecidedByTheRules(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		told := &badges{}
		d.Badges = told
		id := d.asks(review.BadgeOrder{Person: "p", Name: "Anna Weber"})
		d.take("S-ann", id)
		for what, err := range map[string]error{
			"without the list":      d.DecideBadge(t.Context(), d.s.Env, id, "S-ann", review.Accept, "", review.BadgeChecklist[1:], audit.Principal{}),
			"without a reason":      d.DecideBadge(t.Context(), d.s.Env, id, "S-ann", review.Refuse, "", review.BadgeChecklist, audit.Principal{}),
			"with words of its own": d.judge("S-ann", id, "I do not like it"),
			"as a document":         d.decide("S-ann", id, review.Fraud),
		} {
			if !errors.Is(err, review.ErrAnswer) {
				t.Errorf("decided %s: %v", what, err)
			}
		}
		if err := d.judge("S-ben", id, ""); !errors.Is(err, review.ErrOther) {
			t.Errorf("by somebody who was not given it: %v", err)
		}
		if _, err := d.Image(t.Context(), d.s.Env, id, "front", "S-ann"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a picture that the case does not have: %v", err)
		}
		d.must(d.judge("S-ann", id, "background"))
		again := d.asks(review.BadgeOrder{Person: "p", Name: "Anna Weber"})
		d.take("S-ann", again) // another photo is another case
		d.must(d.judge("S-ann", again, ""))
		if !slices.Equal(told.told, []string{"p background", "p "}) || len(d.flow.told) != 0 {
			t.Errorf("told %q, and of verifications %d", told.told, len(d.flow.told))
		}
		kinds := []string{"profile_picture_asked", "profile_picture_rejected", "profile_picture_asked", "profile_picture_accepted"}
		if got := d.kinds(); !slices.Equal(got, kinds) {
			t.Errorf("recorded %q", got)
		}
	})
}

// Nobody takes their own photo: not by an account that is theirs, not by an address, and not
// by the name, which is all that is known of many.
func TestT17_NobodyDecidesAboutTheirOwnPhoto(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.Badges = &badges{}
		d.photographed() // an account
		d.tx(func(ctx context.Context, tx *store.Tx, _ string) error {
			return tx.SetSubject(ctx, d.s.Env, d.s.Person, "p@subject")
		})
		o := review.BadgeOrder{Person: "p", Name: "Ann-Marie Müller", Subject: "p@subject", Addresses: []string{"am@private.example"}}
		own := map[string]store.Staff{
			"by the account": {Mail: "a@corp.example", Role: "user", Directory: d.s.Directory, Account: d.s.Account},
			"by the address": {Mail: "am@private.example", Role: "owner"},
		}
		id := d.asks(o)
		ben := d.hire(store.Staff{Mail: "ben@corp.example", Role: "user"})
		for how, p := range own {
			who := d.hire(p)
			if list, err := d.List(t.Context(), d.s.Env, who); err != nil || len(list) != 0 {
				t.Errorf("%s: the list shows %d, %v", how, len(list), err)
			}
			if _, err := d.Take(t.Context(), d.s.Env, who); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: given their own photo: %v", how, err)
			}
		}
		d.tx(func(ctx context.Context, tx *store.Tx, org string) error {
			return tx.AddStaff(ctx, &store.Staff{Org: org, ID: "namesake", Name: "Ann-Marie Mueller", Mail: "x@corp.example", Role: "user"})
		})
		if list, err := d.List(t.Context(), d.s.Env, "namesake"); err != nil || len(list) != 0 {
			t.Errorf("by the name: the list shows %d, %v", len(list), err)
		}
		d.take(ben, id)
		d.tx(func(ctx context.Context, tx *store.Tx, org string) error {
			return tx.LinkStaff(ctx, org, ben, d.s.Directory, d.s.Account)
		}) // it turns out meanwhile
		if err := d.judge(ben, id, ""); !errors.Is(err, review.ErrOther) {
			t.Errorf("decided about their own photo: %v", err)
		}
		if _, err := d.Image(t.Context(), d.s.Env, id, review.Photo, ben); !errors.Is(err, review.ErrOther) {
			t.Errorf("saw it in the queue: %v", err)
		}
	})
}

func TestAPhotoOfASensitiveGroupNeedsTwoPeople(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		told := &badges{}
		d.Badges = told
		d.must(d.configure(review.Settings{SecondFor: []string{"finance"}, Badges: review.ByReviewer}))
		d.tx(func(ctx context.Context, tx *store.Tx, _ string) error {
			return errors.Join(tx.PutGroups(ctx, d.s.Env, d.s.Directory, []protocol.Group{{ID: "g", Name: "Finance"}}),
				tx.PutAccounts(ctx, d.s.Env, d.s.Directory, 1, []store.AccountWrite{{Account: protocol.Account{ID: "7", Name: "Anna", Identifiers: []string{"anna@corp.example"}, Groups: []protocol.Group{{ID: "g", Name: "Finance"}}}, Digest: "d"}}))
		})
		id := d.asks(review.BadgeOrder{Person: "p", Name: "Anna Weber", Addresses: []string{"anna@corp.example"}})
		d.take("S-ann", id)
		d.must(d.judge("S-ann", id, ""))
		if len(told.told) != 0 || d.badge("p").State != store.ReviewWaiting {
			t.Errorf("one was enough: %q", told.told)
		}
		if _, err := d.Take(t.Context(), d.s.Env, "S-ann"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the same reviewer a second time: %v", err)
		}
		d.take("S-ben", id)
		d.must(d.judge("S-ben", id, ""))
		if !slices.Equal(told.told, []string{"p "}) {
			t.Errorf("told %q", told.told)
		}
	})
}

// What one reviewer says of a face may stand for a name: for the account of a sensitive
// group that an application means, one does not say it alone.
func TestT16_AFaceOfASensitiveGroupNeedsTwoPeople(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.must(d.configure(review.Settings{Requests: true, SecondFor: []string{"finance"}}))
		d.tx(func(ctx context.Context, tx *store.Tx, _ string) error {
			return errors.Join(tx.PutGroups(ctx, d.s.Env, d.s.Directory, []protocol.Group{{ID: "g", Name: "Finance"}}),
				tx.PutAccounts(ctx, d.s.Env, d.s.Directory, 1, []store.AccountWrite{{Account: protocol.Account{ID: "7", Name: "Anna", Identifiers: []string{"anna@corp.example"}, Groups: []protocol.Group{{ID: "g", Name: "Finance"}}}, Digest: "d"}}))
		})
		anna, err := store.Get(t.Context(), d.Store, func(tx *store.Tx) (store.Account, error) {
			return tx.AccountOf(t.Context(), d.s.Env, d.s.Directory, "7")
		})
		d.must(err)
		for meant, want := range map[string]int{anna.ID: 2, "": 1} {
			s := verify.Subject{Env: d.s.Env, Verification: store.NewID(), Operation: string(protocol.Verify), Meant: meant, Until: time.Now().Add(time.Hour)}
			_, err := d.Open(t.Context(), s)
			d.must(err)
			c, err := store.Get(t.Context(), d.Store, func(tx *store.Tx) (store.Review, error) { return tx.ReviewOf(t.Context(), s.Env, s.Verification) })
			if d.must(err); c.Reviewers != want {
				t.Errorf("meant %q: %d reviewers, want %d", meant, c.Reviewers, want)
			}
		}
	})
}

func TestAPhotoThatIsReplacedWithdrawnOrLateIsNotDecided(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		told := &badges{}
		d.Badges = told
		first := d.asks(review.BadgeOrder{Person: "p", Name: "Anna Weber"})
		d.take("S-ann", first)
		second := d.asks(review.BadgeOrder{Person: "p", Name: "Anna Weber"})
		if err := d.judge("S-ann", first, ""); !errors.Is(err, review.ErrOther) {
			t.Errorf("decided about what was replaced: %v", err)
		}
		d.take("S-ann", second)
		d.tx(func(ctx context.Context, tx *store.Tx, _ string) error { return tx.ErasePerson(ctx, d.s.Env, "p") })
		if err := d.judge("S-ann", second, ""); !errors.Is(err, review.ErrOther) {
			t.Errorf("decided about somebody who is erased: %v", err)
		}
		if c := d.badge("p"); c.Outcome != store.BadgeWithdrawn && c.Outcome != store.BadgeReplaced || !c.Erased || c.Details != nil {
			t.Errorf("after erasing: %+v", c)
		}
		d.asks(review.BadgeOrder{Person: "q", Name: "Ben Weber"})
		d.upkeep(t, 6*24*time.Hour)
		if d.badge("q").State != store.ReviewWaiting {
			t.Error("ended before a week was over")
		}
		d.upkeep(t, 2*24*time.Hour)
		if c := d.badge("q"); c.State != store.ReviewClosed || c.Outcome != review.Expired || !slices.Equal(told.told, []string{"q expired"}) {
			t.Errorf("after a week: %+v, told %q", c, told.told)
		}
		told.gone = true
		last := d.asks(review.BadgeOrder{Person: "r", Name: "Carl"})
		d.take("S-ann", last)
		d.must(d.judge("S-ann", last, ""))
		if c := d.badge("r"); c.Outcome != store.BadgeWithdrawn {
			t.Errorf("whoever takes part no more: %+v", c)
		}
	})
}

func TestSettingsForBadgesNameWhoDecides(t *testing.T) {
	program := &review.Analyzer{URL: "https://analyzer.example/", Secret: "0123456789abcdef0123456789abcdef"}
	for _, c := range []struct {
		review.Settings
		ok bool
	}{
		{review.Settings{Badges: review.ByReviewer}, true},
		{review.Settings{Badges: review.ByBoth, Analyzer: program}, true},
		{review.Settings{Badges: review.ByAnalyzer, Analyzer: program}, true},
		{review.Settings{Badges: review.ByBoth}, false},
		{review.Settings{Badges: review.ByAnalyzer}, false},
		{review.Settings{Badges: "nobody"}, false},
	} {
		if err := c.Check(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.Settings, err)
		}
	}
}
