package review_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// A flow remembers what it was told.
type flow struct {
	mu   sync.Mutex
	told []verify.Verdict
	err  error
}

func (f *flow) Settle(_ context.Context, _, verification, method string, v verify.Verdict) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if verification == "" || method != string(policy.DocumentReview) {
		return errors.New("not asked for")
	}
	if f.err == nil {
		f.told = append(f.told, v)
	}
	return f.err
}

// A desk is a queue over a real store with a clock of the test.
type desk struct {
	*review.Reviews
	t     *testing.T
	flow  *flow
	s     verify.Subject
	clock atomic.Int64
}

func newDesk(t *testing.T, c store.Config) *desk {
	t.Helper()
	d := &desk{t: t, flow: &flow{}}
	d.clock.Store(time.Now().UnixMilli())
	c.Now = func() time.Time { return time.UnixMilli(d.clock.Add(1)) }
	s := storetest.Open(t, c)
	f := storetest.Seed(t, s)
	d.Reviews = review.New(s, slog.New(slog.NewTextHandler(t.Output(), nil)))
	d.Flow = d.flow
	d.s = verify.Subject{Env: f.Env.ID, Directory: f.Directory.ID, Verification: store.NewID(), Account: "4f0c", Person: "row", Name: "Weber, Anna", Action: "password"}
	return d
}

func picture(t testing.TB, tone uint8) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 240, 160))
	for i := range m.Pix {
		m.Pix[i] = tone
	}
	m.Set(3, 3, color.White)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (d *desk) configure(s review.Settings) error {
	return errors.Join(s.Check(), d.Store.Tx(d.t.Context(), func(tx *store.Tx) error { return review.WriteSettings(d.t.Context(), tx, d.s.Env, s) }))
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// open makes a case with consent and pictures.
func (d *desk) open() string {
	d.t.Helper()
	c, err := d.Open(d.t.Context(), d.s)
	d.must(err)
	d.must(d.Consent(d.t.Context(), d.s.Env, c.Case))
	for _, kind := range []string{"front", "selfie"} {
		d.must(d.Put(d.t.Context(), d.s.Env, c.Case, kind, picture(d.t, 90)))
	}
	return c.Case
}

// photographed makes the account one that is there, with a photo.
func (d *desk) photographed() {
	d.t.Helper()
	d.must(d.Store.Tx(d.t.Context(), func(tx *store.Tx) error {
		if err := tx.PutAccounts(d.t.Context(), d.s.Env, d.s.Directory, 1, []store.AccountWrite{{Account: protocol.Account{ID: d.s.Account, Name: d.s.Name}, Digest: "d"}}); err != nil {
			return err
		}
		a, err := tx.AccountOf(d.t.Context(), d.s.Env, d.s.Directory, d.s.Account)
		d.s.Person = a.ID
		return err
	}))
	d.portrayed(50)
}

// portrayed sets or replaces the photo.
func (d *desk) portrayed(tone uint8) {
	d.t.Helper()
	d.must(d.Store.Tx(d.t.Context(), func(tx *store.Tx) error {
		return tx.SetAccountPhoto(d.t.Context(), d.s.Env, d.s.Person, "sum", picture(d.t, tone))
	}))
}

// submit hands a case in.
func (d *desk) submit() string {
	d.t.Helper()
	id := d.open()
	v, err := d.Check(d.t.Context(), d.s, id, review.Submitted)
	if err != nil || !v.Pending || v.Right {
		d.t.Fatalf("%+v, %v", v, err)
	}
	return id
}

// take gives a reviewer the only case.
func (d *desk) take(reviewer, id string) {
	d.t.Helper()
	got, err := d.Take(d.t.Context(), d.s.Env, reviewer)
	if err != nil || got != id {
		d.t.Fatalf("%s is given %q, %v", reviewer, got, err)
	}
}

func (d *desk) decide(reviewer, id string, v review.Verdict) error {
	checks, reason := review.Checklist, ""
	if v != review.Accept {
		checks, reason = nil, "another face"
	}
	return d.Decide(d.t.Context(), d.s.Env, id, reviewer, v, reason, checks, audit.Principal{Role: "owner"})
}

func (d *desk) kinds() (all []string) {
	d.t.Helper()
	list, err := store.Get(d.t.Context(), d.Store, func(tx *store.Tx) ([]store.AuditRow, error) {
		e, err := tx.Environment(d.t.Context(), d.s.Env)
		if err != nil {
			return nil, err
		}
		return tx.AuditRows(d.t.Context(), e.Org, store.AuditFilter{Envs: []string{d.s.Env}, Count: 50, OldestFirst: true})
	})
	d.must(err)
	for _, e := range list {
		all = append(all, e.Kind)
	}
	return all
}

func each(t *testing.T, test func(t *testing.T, d *desk)) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) { test(t, newDesk(t, c)) })
}

func TestAReviewerAcceptsAndTheVerificationIsToldOnce(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		id := d.submit()
		d.take("S-ann", id)
		c, err := d.Case(t.Context(), d.s.Env, id, "S-ann")
		if err != nil || c.Name != "Weber, Anna" || !slices.Contains(review.Prompts, c.Prompt) || !slices.Equal(c.Images, []string{"front", "selfie"}) {
			t.Errorf("%+v, %v", c, err)
		}
		if err := d.Decide(t.Context(), d.s.Env, id, "S-ann", review.Accept, "", review.Checklist[1:], audit.Principal{}); !errors.Is(err, review.ErrAnswer) {
			t.Errorf("accepted with a check missing: %v", err)
		}
		if err := d.Decide(t.Context(), d.s.Env, id, "S-ann", review.Fraud, " ", nil, audit.Principal{}); !errors.Is(err, review.ErrAnswer) {
			t.Errorf("rejected without a reason: %v", err)
		}
		d.must(d.decide("S-ann", id, review.Accept))
		if len(d.flow.told) != 1 || !d.flow.told[0].Right || len(d.flow.told[0].Evidence) != 1 || d.flow.told[0].Evidence[0].Type != evidence.TypeReview {
			t.Errorf("told %+v", d.flow.told)
		}
		if err := d.decide("S-ann", id, review.Accept); err == nil {
			t.Error("decided twice")
		}
		if got, want := d.kinds(), []string{"biometric_consent", "scan_finished", "scan_accepted"}; !slices.Equal(got, want) {
			t.Errorf("audit log: %v", got)
		}
		if d.Usable(t.Context(), d.s) {
			t.Error("the same verification may have a second case")
		}
	})
}

func TestNothingIsTakenWithoutConsentAndNothingHandedInWithoutPictures(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t))
	c, err := d.Open(t.Context(), d.s)
	d.must(err)
	if err := d.Put(t.Context(), d.s.Env, c.Case, "front", picture(t, 1)); !errors.Is(err, review.ErrState) {
		t.Errorf("a picture before consent: %v", err)
	}
	if err := d.Read(t.Context(), d.s.Env, c.Case, "P<", ""); !errors.Is(err, review.ErrState) {
		t.Errorf("a text before consent: %v", err)
	}
	d.must(d.Consent(t.Context(), d.s.Env, c.Case))
	if v, err := d.Check(t.Context(), d.s, c.Case, review.Submitted); err != nil || v.Pending || v.Right {
		t.Errorf("handed in without pictures: %+v, %v", v, err)
	}
	if err := d.Put(t.Context(), d.s.Env, c.Case, "front", []byte("<svg/>")); err == nil {
		t.Error("SVG was taken")
	}
	if err := d.Put(t.Context(), d.s.Env, c.Case, "other", picture(t, 1)); err == nil {
		t.Error("a picture of another kind was taken")
	}
	again, err := d.Open(t.Context(), d.s)
	if err != nil || again.Case != c.Case {
		t.Errorf("opened again: %+v, %v", again, err)
	}
	decoy := d.s
	decoy.Account = ""
	if d.Usable(t.Context(), decoy) {
		t.Error("usable for nobody")
	}
}

func TestAnAppealIsDecidedBySomebodyElse(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		id := d.submit()
		d.take("S-ann", id)
		d.must(d.decide("S-ann", id, review.Fraud))
		if len(d.flow.told) != 0 {
			t.Error("the verification was told before the appeal")
		}
		p, err := d.Progress(t.Context(), d.s.Env, id)
		if err != nil || !p.Appeal || p.State != store.ReviewRejected {
			t.Errorf("%+v, %v", p, err)
		}
		d.must(d.Appeal(t.Context(), d.s.Env, id))
		if err := d.Appeal(t.Context(), d.s.Env, id); !errors.Is(err, review.ErrState) {
			t.Errorf("appealed twice: %v", err)
		}
		if _, err := d.Take(t.Context(), d.s.Env, "S-ann"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the same reviewer is given the appeal: %v", err)
		}
		if err := d.decide("S-ann", id, review.Accept); !errors.Is(err, review.ErrOther) {
			t.Errorf("the same reviewer decides the appeal: %v", err)
		}
		d.take("S-ben", id)
		d.must(d.decide("S-ben", id, review.Accept))
		if len(d.flow.told) != 1 || !d.flow.told[0].Right {
			t.Errorf("told %+v", d.flow.told)
		}
		if got, want := d.kinds(), []string{"biometric_consent", "scan_finished", "scan_rejected", "scan_appealed", "scan_appeal_accepted"}; !slices.Equal(got, want) {
			t.Errorf("audit log: %v", got)
		}
	})
}

func TestARejectedAppealIsFinal(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t))
	id := d.submit()
	d.take("S-ann", id)
	d.must(d.decide("S-ann", id, review.Unusable))
	d.must(d.Appeal(t.Context(), d.s.Env, id))
	d.take("S-ben", id)
	d.must(d.decide("S-ben", id, review.Fraud))
	if len(d.flow.told) != 1 || d.flow.told[0].Right || d.flow.told[0].Reason != review.RejectedFraud {
		t.Errorf("told %+v", d.flow.told)
	}
	if err := d.Appeal(t.Context(), d.s.Env, id); !errors.Is(err, review.ErrState) {
		t.Errorf("a second appeal: %v", err)
	}
}

func TestSensitiveGroupsNeedTwoPeople(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t))
	d.must(d.configure(review.Settings{SecondFor: []string{"Finance", "g-2"}}))
	d.s.Groups = []policy.Group{{ID: "1", Name: "FINANCE"}}
	id := d.submit()
	d.take("S-ann", id)
	d.must(d.decide("S-ann", id, review.Accept))
	if len(d.flow.told) != 0 {
		t.Fatal("one person was enough")
	}
	if _, err := d.Take(t.Context(), d.s.Env, "S-ann"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the first reviewer is given it again: %v", err)
	}
	d.take("S-ben", id)
	d.must(d.decide("S-ben", id, review.Accept))
	if len(d.flow.told) != 1 || !d.flow.told[0].Right {
		t.Errorf("told %+v", d.flow.told)
	}
}

// Whoever can set photos must not have one person's word about one face count for another.
func TestT17_WhoComparedAnotherPhotoIsNotCounted(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.must(d.configure(review.Settings{SecondFor: []string{"Finance"}}))
		d.s.Groups = []policy.Group{{ID: "1", Name: "Finance"}}
		d.photographed()
		id := d.submit()
		accepts := func(reviewer string) {
			t.Helper()
			d.take(reviewer, id)
			ticks := append(slices.Clone(review.Checklist), review.AccountPhoto)
			d.must(d.Decide(t.Context(), d.s.Env, id, reviewer, review.Accept, "", ticks, audit.Principal{Role: "owner"}))
		}
		second := func() bool {
			t.Helper()
			list, err := d.List(t.Context(), d.s.Env, "S-zoe")
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			return list[0].Second
		}
		accepts("S-ann")
		if !second() {
			t.Error("who accepted does not count")
		}
		d.portrayed(120)
		if second() {
			t.Error("the list counts who compared another photo")
		}
		accepts("S-ben")
		if len(d.flow.told) != 0 {
			t.Fatalf("who compared another photo was counted: %+v", d.flow.told)
		}
		if !second() {
			t.Error("who compared the new photo does not count")
		}
		accepts("S-cleo")
		if len(d.flow.told) != 1 || !d.flow.told[0].Right {
			t.Errorf("told %+v", d.flow.told)
		}
	})
}

// shelf holds what was moved out of the store.
type shelf map[string][]byte

// Object implements store.Shelf.
func (s shelf) Object(_ context.Context, _, _, name string) ([]byte, error) { return s[name], nil }

// moved puts the pictures of the environment into a storage of its organisation's.
func (d *desk) moved() (objects int) {
	d.t.Helper()
	kept := shelf{}
	d.Shelf = kept
	d.must(d.Store.Tx(d.t.Context(), func(tx *store.Tx) error {
		d.must(tx.SetStorage(d.t.Context(), d.s.Env, []byte("{}")))
		for {
			due, _, err := tx.ImagesToMove(d.t.Context(), store.MoveFrom{})
			if err != nil || len(due) == 0 {
				return err
			}
			for _, image := range due {
				to, err := tx.PlanMove(d.t.Context(), image)
				d.must(err)
				kept[to.Object] = to.Body
				d.must(tx.ImageMoved(d.t.Context(), to))
			}
		}
	}))
	return len(kept)
}

// The photo is the same one wherever it lies.
func TestT17_APhotoThatWentToTheOrganisationsStorageIsShownAndCounts(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.must(d.configure(review.Settings{SecondFor: []string{"Finance"}}))
		d.s.Groups = []policy.Group{{ID: "1", Name: "Finance"}}
		d.photographed()
		id := d.submit()
		sees := func(reviewer string) []byte {
			t.Helper()
			d.take(reviewer, id)
			v, err := d.Case(t.Context(), d.s.Env, id, reviewer)
			d.must(err)
			if !slices.Contains(v.Images, review.AccountPhoto) || !slices.Contains(v.Points, review.AccountPhoto) {
				t.Fatalf("the photo of the account is not shown: %v %v", v.Images, v.Points)
			}
			body, err := d.Image(t.Context(), d.s.Env, id, review.AccountPhoto, reviewer)
			d.must(err)
			return body
		}
		accepts := func(reviewer string) {
			t.Helper()
			ticks := append(slices.Clone(review.Checklist), review.AccountPhoto)
			d.must(d.Decide(t.Context(), d.s.Env, id, reviewer, review.Accept, "", ticks, audit.Principal{Role: "owner"}))
		}
		if body := sees("S-ann"); len(body) == 0 {
			t.Error("an empty picture")
		}
		accepts("S-ann")
		if n := d.moved(); n != 3 {
			t.Fatalf("%d objects", n)
		}
		if body := sees("S-ben"); !bytes.HasPrefix(body, []byte("\xff\xd8\xff")) {
			t.Errorf("%.10q", body)
		}
		accepts("S-ben")
		if len(d.flow.told) != 1 || !d.flow.told[0].Right {
			t.Errorf("told %+v", d.flow.told)
		}
	})
}

func TestT17_WhoDecidedBeforeThereWasAPhotoIsNotCounted(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t))
	d.must(d.configure(review.Settings{SecondFor: []string{"Finance"}}))
	d.s.Groups = []policy.Group{{ID: "1", Name: "Finance"}}
	d.photographed()
	d.must(d.Store.Tx(t.Context(), func(tx *store.Tx) error { return tx.RemoveAccountPhoto(t.Context(), d.s.Env, d.s.Person) }))
	id := d.submit()
	d.take("S-ann", id)
	d.must(d.decide("S-ann", id, review.Accept))
	d.portrayed(50)
	d.take("S-ben", id)
	if err := d.decide("S-ben", id, review.Accept); !errors.Is(err, review.ErrAnswer) {
		t.Fatalf("accepted without the photo: %v", err)
	}
	ticks := append(slices.Clone(review.Checklist), review.AccountPhoto)
	d.must(d.Decide(t.Context(), d.s.Env, id, "S-ben", review.Accept, "", ticks, audit.Principal{Role: "owner"}))
	if len(d.flow.told) != 0 {
		t.Errorf("one person compared the photo: %+v", d.flow.told)
	}
}

func TestT17_GroupsForTwoReviewersAreNamedInAnyCase(t *testing.T) {
	s := review.Settings{SecondFor: []string{"Finance", "CN=Board,DC=example"}}
	for group, want := range map[policy.Group]bool{
		{ID: "1", Name: "finance"}:                   true,
		{ID: "cn=board,dc=example", Name: "Board"}:   true,
		{ID: "2", Name: "Finances"}:                  false,
		{ID: "cn=board,dc=example,dc=org", Name: ""}: false,
	} {
		if got := s.Second([]policy.Group{group}); got != want {
			t.Errorf("%+v: %v", group, got)
		}
	}
}

func TestOnlyTheReviewerWhoWasGivenACaseSeesIt(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t))
	id := d.submit()
	if _, err := d.Case(t.Context(), d.s.Env, id, "S-ann"); !errors.Is(err, review.ErrOther) {
		t.Errorf("seen before it was given: %v", err)
	}
	d.take("S-ann", id)
	if _, err := d.Image(t.Context(), d.s.Env, id, "selfie", "S-ben"); !errors.Is(err, review.ErrOther) {
		t.Errorf("a picture for another reviewer: %v", err)
	}
	if _, err := d.Take(t.Context(), d.s.Env, "S-ben"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("given to two at once: %v", err)
	}
	marked, err := d.Image(t.Context(), d.s.Env, id, "selfie", "S-ann")
	d.must(err)
	other, err := d.Image(t.Context(), d.s.Env, id, "front", "S-ann")
	d.must(err)
	m, err := jpeg.Decode(bytes.NewReader(marked))
	d.must(err)
	if bytes.Equal(marked, picture(t, 90)) || bytes.Equal(other, picture(t, 90)) || !bright(m) {
		t.Error("the pictures bear no mark")
	}
	d.clock.Add((21 * time.Minute).Milliseconds())
	if _, err := d.Image(t.Context(), d.s.Env, id, "selfie", "S-ann"); !errors.Is(err, review.ErrOther) {
		t.Errorf("seen after the time was over: %v", err)
	}
	d.take("S-ben", id)
}

// bright reports whether m has pixels that a grey picture has not.
func bright(m image.Image) bool {
	n := 0
	for y := m.Bounds().Min.Y + 20; y < m.Bounds().Max.Y; y++ {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x++ {
			if r, _, _, _ := m.At(x, y).RGBA(); r>>8 > 130 {
				n++
			}
		}
	}
	return n > 100
}

// P7: of 200 decisions of one case at once one counts.
func TestP07_OfTwoHundredDecisionsOneCounts(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		id := d.submit()
		d.take("S-ann", id)
		var done atomic.Int32
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if d.decide("S-ann", id, review.Accept) == nil {
					done.Add(1)
				}
			})
		}
		wg.Wait()
		if done.Load() != 1 {
			t.Errorf("%d decisions", done.Load())
		}
	})
}

func TestCapturedDataIsErasedADayAfterTheDecision(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		id := d.submit()
		d.take("S-ann", id)
		d.must(d.decide("S-ann", id, review.Accept))
		d.upkeep(t, 23*time.Hour)
		if d.pictures(id) != 2 {
			t.Error("erased early")
		}
		d.upkeep(t, 2*time.Hour)
		if d.pictures(id) != 0 {
			t.Error("not erased")
		}
		err := d.Store.Read(t.Context(), func(tx *store.Tx) error {
			c, err := tx.Review(t.Context(), d.s.Env, id)
			if err == nil && (!c.Erased || c.Details != nil || c.Outcome != review.Accepted) {
				t.Errorf("%+v", c)
			}
			return err
		})
		d.must(err)
		if k := d.kinds(); k[len(k)-1] != "scan_erased" {
			t.Errorf("audit log: %v", k)
		}
	})
}

// pictures counts the pictures that can be opened.
func (d *desk) pictures(id string) (n int) {
	for _, kind := range review.Kinds {
		if _, err := store.Get(d.t.Context(), d.Store, func(tx *store.Tx) ([]byte, error) { return tx.ReviewImage(d.t.Context(), d.s.Env, id, kind) }); err == nil {
			n++
		}
	}
	return n
}

// upkeep lets time pass and runs the queue once.
func (d *desk) upkeep(t *testing.T, pass time.Duration) {
	t.Helper()
	d.clock.Add(pass.Milliseconds())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.must(d.Upkeep(context.WithoutCancel(ctx)))
}

func TestWhatTheFlowDidNotHearIsToldAgain(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t))
	id := d.submit()
	d.take("S-ann", id)
	d.flow.err = errors.New("the store is away")
	d.must(d.decide("S-ann", id, review.Accept))
	d.flow.err = nil
	d.upkeep(t, time.Minute)
	d.upkeep(t, time.Minute)
	if len(d.flow.told) != 1 || !d.flow.told[0].Right {
		t.Errorf("told %+v", d.flow.told)
	}
}

func TestACaseThatNobodyDecidesEndsAndIsErased(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t))
	id := d.submit()
	d.upkeep(t, 24*time.Hour)
	if list, err := d.List(t.Context(), d.s.Env, "S-ann"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	d.upkeep(t, 25*time.Hour)
	if d.pictures(id) != 0 || len(d.flow.told) != 0 {
		t.Error("not erased, or told")
	}
}

func TestWhatWasReadGivesHints(t *testing.T) {
	d := newDesk(t, storetest.SQLite(t))
	id := d.open()
	d.must(d.Read(t.Context(), d.s.Env, id, "I<UTOL01X00T471<<<<<<<<<<<<<<<8503091F3308084UTO<<<<<<<<<<<2WEBER<<ANNA<MARIA<<<<<<<<<<<<<", "no bar code"))
	_, err := d.Check(t.Context(), d.s, id, review.Submitted)
	d.must(err)
	d.take("S-ann", id)
	c, err := d.Case(t.Context(), d.s.Env, id, "S-ann")
	if err != nil || c.Zone == nil || c.Zone.Family != "WEBER" || c.Barcode != nil || len(c.Hints) != 3 {
		t.Errorf("%+v, %v", c, err)
	}
}

// Nobody fills the queue: an account has three cases a day, a client twenty.
func TestT31_TheQueueIsNotFlooded(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		d := newDesk(t, c)
		d.s.Address = "192.0.2.7"
		last := ""
		for range 3 {
			d.s.Verification = store.NewID()
			if !d.Usable(t.Context(), d.s) {
				t.Fatal("refused too early")
			}
			last = d.submit()
		}
		if v, err := d.Check(t.Context(), d.s, last, review.Submitted); err != nil || !v.Pending {
			t.Errorf("a case that is handed in counts once: %+v, %v", v, err)
		}
		fourth := d.s
		fourth.Verification = store.NewID()
		if d.Usable(t.Context(), fourth) {
			t.Error("a fourth case of one account is offered")
		}
		d.s = fourth
		if v, err := d.Check(t.Context(), d.s, d.open(), review.Submitted); err != nil || v.Pending || v.Right {
			t.Errorf("a fourth case of one account is taken: %+v, %v", v, err)
		}
		for i := range 17 {
			d.s.Account, d.s.Verification = fmt.Sprint("account ", i), store.NewID()
			d.submit()
		}
		d.s.Account, d.s.Verification = "one more", store.NewID()
		if d.Usable(t.Context(), d.s) {
			t.Error("a client hands in twenty-one")
		}
		d.s.Address = "198.51.100.7"
		if !d.Usable(t.Context(), d.s) {
			t.Error("somebody else pays for it")
		}
		d.clock.Add((24*time.Hour + time.Minute).Milliseconds())
		d.s.Address = "192.0.2.7"
		if !d.Usable(t.Context(), d.s) {
			t.Error("it lasts longer than a day")
		}
	})
}
