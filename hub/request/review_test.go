package request_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// An office is a desk with people who look at documents.
type office struct {
	*desk
	reviews *review.Reviews
}

// Settle implements verify.Settler.
func (o office) Settle(ctx context.Context, env, use, _ string, v verify.Verdict) error {
	err := o.Requests.Settle(ctx, env, use, v)
	if errors.Is(err, request.ErrStep) {
		return verify.ErrNobody
	}
	return err
}

func newOffice(t *testing.T, wallets bool) office {
	t.Helper()
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	o := office{d, review.New(d.store, slog.New(slog.NewTextHandler(t.Output(), nil)))}
	o.reviews.Flow, o.reviews.Watcher, d.Pictures = o, d.Requests, o.reviews
	if !wallets {
		d.Verifiers = nil
	}
	d.Verifiers = append(d.Verifiers, o.reviews)
	d.tx(func(tx *store.Tx) error {
		return review.WriteSettings(t.Context(), tx, d.fixture.Env.ID, review.Settings{Requests: true})
	})
	return o
}

// hands takes pictures and hands them in.
func (o office) hands(p person) string {
	o.Helper()
	ctx, v := o.Context(), p.view()
	if v.Step != request.StepProve || v.Form != policy.FormCapture || v.Case == "" {
		o.Fatalf("no page that captures: %+v", v)
	}
	var photo bytes.Buffer
	o.ok(jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 64, 48)), nil))
	o.ok(o.reviews.Keep(ctx, p.env, v.Case, review.Given{Consent: true, Images: map[string][]byte{"front": photo.Bytes(), "selfie": photo.Bytes()}}))
	o.ok(p.Answer(ctx, p.env, p.id, p.session, review.Submitted))
	if v := p.view(); v.Step != request.StepWait {
		o.Fatalf("handed in: %+v", v)
	}
	return v.Case
}

var read = review.Facts{Kind: review.Passport, Given: "Anna  Maria", Family: "Weber", Birth: "1985-03-09", Number: "l01x00t47", Country: "D", Expiry: "2099-12-31"}

// decides takes the case and decides.
func (o office) decides(id, reviewer string, verdict review.Verdict, f review.Facts) error {
	o.Helper()
	ctx, env := o.Context(), o.fixture.Env.ID
	got, err := o.reviews.Take(ctx, env, reviewer)
	if err != nil || got != id {
		o.Fatalf("%s is given %q: %v", reviewer, got, err)
	}
	checks, reason := review.Checklist, ""
	if verdict != review.Accept {
		checks, reason = nil, "a print"
	} else if err := o.reviews.Transcribe(ctx, env, id, reviewer, f); err != nil {
		return err
	}
	return o.reviews.Decide(ctx, env, id, reviewer, verdict, reason, checks, audit.Principal{Role: "owner"})
}

func (o office) events() string {
	events := strings.Join(o.told, ", ")
	o.told = nil
	return events
}

func TestPeopleReadADocumentAndItsOwnerSharesWhatTheyRead(t *testing.T) {
	o := newOffice(t, false)
	r := o.create(request.Order{Claims: []string{"name", "birth_date", "govtid", "govtid_expired"}, MaxUses: 1})
	p := o.opens(r)
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	id := o.hands(p)
	if d := o.document(r); d.Progress != "face_scanned" || d.Status != request.InProgress || d.Subject != "" {
		t.Errorf("handed in: %+v", d)
	}
	if _, err := o.reviews.Take(t.Context(), p.env, "S-ann"); err != nil {
		t.Fatal(err)
	}
	if err := o.reviews.Decide(t.Context(), p.env, id, "S-ann", review.Accept, "", review.Checklist, audit.Principal{}); !errors.Is(err, review.ErrFacts) {
		t.Errorf("accepted without reading it: %v", err)
	}
	for name, wrong := range map[string]review.Facts{
		"no such country": {Kind: review.Passport, Family: "W", Birth: "1985-03-09", Number: "1", Country: "QZ9"}, "no name": {Kind: review.Passport, Birth: "1985-03-09", Number: "1", Country: "DE"},
		"expired": {Kind: review.Passport, Family: "W", Birth: "1985-03-09", Number: "1", Country: "DE", Expiry: "2001-01-01"},
		"a date":  {Kind: review.Passport, Family: "W", Birth: "09.03.1985", Number: "1", Country: "DE"},
		"no kind": {Family: "W", Birth: "1985-03-09", Number: "1", Country: "DE"},
	} {
		if err := o.reviews.Transcribe(t.Context(), p.env, id, "S-ann", wrong); !errors.Is(err, review.ErrFacts) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.ok(o.decides(id, "S-ann", review.Accept, read))
	v := p.view()
	if v.Step != request.StepShare || v.Values["name"] != "Anna Maria Weber" || v.Values["birth_date"] != "1985-03-09" {
		t.Errorf("accepted: %+v", v)
	}
	if d := o.document(r); d.Subject != "" || d.Status != request.InProgress {
		t.Errorf("shared before the person said so: %+v", d)
	}
	o.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
	d := o.document(r)
	if id, ok := d.Properties.GovtID.(map[string]any); !ok || id["type"] != "passport" || id["issuer"] != "DEU" || id["document_number"] != "L01X00T47" || id["expiration"] != "2099-12-31" || d.Status != request.Shared {
		t.Errorf("shared: %+v", d)
	}
	const want = "request_created pending, request_link_opened in_progress, request_app_opened in_progress, scan_started in_progress, biometric_consent in_progress, " +
		"scan_front_image_added in_progress, scan_selfie_image_added in_progress, scan_finished in_progress, scan_accepted in_progress, request_selfie_verified in_progress, " +
		"request_accepted shared, share birth_date,govtid,govtid_expired,name"
	if got := o.events(); !same(got, want) {
		t.Errorf("told\n%s; want\n%s", got, want)
	}
}

// same compares events; those of one moment have no order.
func same(got, want string) bool {
	a, b := strings.Split(got, ", "), strings.Split(want, ", ")
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func TestADocumentIsRefusedAppealedAndRefusedForGood(t *testing.T) {
	o := newOffice(t, false)
	r := o.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
	p := o.opens(r)
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	id := o.hands(p)
	o.told = nil
	o.ok(o.decides(id, "S-ann", review.Fraud, read))
	if d := o.document(r); d.Status != request.RejectedFraud || p.view().Step != request.StepDeclined {
		t.Errorf("refused: %+v", d)
	}
	if _, _, err := o.Open(t.Context(), r.Env, r.Ticket, "en", request.Client{}); !errors.Is(err, request.ErrGone) {
		t.Errorf("the link of somebody who was refused opens for others: %v", err)
	}
	if use, ok := o.Resume(t.Context(), r.Env, r.Ticket, map[string]string{p.id: p.session}); !ok || use != p.id {
		t.Errorf("the link does not lead back: %q", use)
	}
	if _, ok := o.Resume(t.Context(), r.Env, r.Ticket, map[string]string{p.id: "another"}); ok {
		t.Error("the link leads somebody else there")
	}
	o.ok(o.reviews.Contest(t.Context(), p.env, id, true))
	if d := o.document(r); d.Status != request.Appealed || p.view().Step != request.StepWait {
		t.Errorf("appealed: %+v", d)
	}
	o.ok(o.decides(id, "S-ben", review.Unusable, read))
	if d := o.document(r); d.Status != request.RejectedUnusable || p.view().Step != request.StepRefused {
		t.Errorf("refused for good: %+v %+v", d, p.view())
	}
	if err := p.Reject(t.Context(), p.env, p.id, p.session, request.Client{}); !errors.Is(err, request.ErrStep) {
		t.Errorf("%v", err)
	}
	const want = "scan_rejected rejected_fraud, scan_appealed rejected_appealed, scan_appeal_rejected rejected_unusable, request_rejected rejected_unusable"
	if got := o.events(); got != want {
		t.Errorf("told %s", got)
	}
}

func TestAnAppealThatIsAcceptedGoesOn(t *testing.T) {
	o := newOffice(t, false)
	r := o.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
	p := o.opens(r)
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	id := o.hands(p)
	o.ok(o.decides(id, "S-ann", review.Unusable, read))
	o.ok(o.reviews.Contest(t.Context(), p.env, id, true))
	o.told = nil
	o.ok(o.decides(id, "S-ben", review.Accept, read))
	if d := o.document(r); d.Status != request.InProgress || p.view().Step != request.StepShare {
		t.Errorf("accepted: %+v", d)
	}
	if got := o.events(); got != "scan_appeal_accepted in_progress, request_selfie_verified in_progress" {
		t.Errorf("told %s", got)
	}
}

func TestWhoIsNotBelievedMayTryAnotherWayUnlessItWasFraud(t *testing.T) {
	for verdict, want := range map[review.Verdict]request.Step{review.Unusable: request.StepMethod, review.Fraud: request.StepRefused} {
		o := newOffice(t, true)
		r := o.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
		p := o.opens(r)
		o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
		o.ok(p.Choose(t.Context(), p.env, p.id, p.session, "document_review"))
		id := o.hands(p)
		o.ok(o.decides(id, "S-ann", verdict, read))
		o.ok(o.reviews.Contest(t.Context(), p.env, id, false))
		if v := p.view(); v.Step != want {
			t.Errorf("%s: %+v", verdict, v)
		}
		if verdict == review.Fraud {
			continue
		}
		if v := p.view(); !slices.Equal(v.Methods, []policy.Method{policy.DigitalCredential}) {
			t.Errorf("the same way once more: %+v", v)
		}
		o.ok(p.Choose(t.Context(), p.env, p.id, p.session, "digital_credential"))
		if d := o.document(r); d.Status != request.InProgress {
			t.Errorf("tries another way: %+v", d)
		}
		o.ok(p.presents(o.wallet))
		o.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
	}
}

func TestTwoReviewersMustHaveReadTheSame(t *testing.T) {
	o := newOffice(t, false)
	p := o.opens(o.create(request.Order{Claims: []string{"name"}, MaxUses: 1}))
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	id := o.hands(p)
	o.tx(func(tx *store.Tx) error {
		c, err := tx.Review(t.Context(), p.env, id)
		c.Reviewers = 2
		return errors.Join(err, tx.SaveReview(t.Context(), &c))
	})
	first := read
	o.ok(o.decides(id, "S-ann", review.Accept, first))
	if p.view().Step != request.StepWait {
		t.Error("one of two was enough")
	}
	other := first
	other.Family = "Webber"
	if err := o.decides(id, "S-ben", review.Accept, other); !errors.Is(err, review.ErrFacts) {
		t.Errorf("read otherwise: %v", err)
	}
	o.ok(o.decides(id, "S-ben", review.Accept, first))
	if p.view().Step != request.StepShare {
		t.Errorf("%+v", p.view())
	}
}

func TestWhoWithdrawsTheirPicturesIsLookedAtByNobody(t *testing.T) {
	o := newOffice(t, false)
	r := o.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
	p := o.opens(r)
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	o.hands(p)
	o.told = nil
	o.ok(p.Reject(t.Context(), p.env, p.id, p.session, request.Client{}))
	if _, err := o.reviews.Take(t.Context(), p.env, "S-ann"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("still in the queue: %v", err)
	}
	if got := o.events(); got != "scan_aborted in_progress, request_canceled cancelled" {
		t.Errorf("told %s", got)
	}
}

// A printed card is easier to make than a signed document: whoever shows one is not taken
// for whoever showed the other, even with every field alike.
func TestAReadDocumentIsAnotherPersonThanASignedOne(t *testing.T) {
	o := newOffice(t, true)
	signed := o.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
	p := o.opens(signed)
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	o.ok(p.Choose(t.Context(), p.env, p.id, p.session, "digital_credential"))
	o.ok(p.presents(o.wallet))
	o.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
	shown := o.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
	p = o.opens(shown)
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	o.ok(p.Choose(t.Context(), p.env, p.id, p.session, "document_review"))
	id := o.hands(p)
	o.ok(o.decides(id, "S-ann", review.Accept, review.Facts{Kind: review.Card, Given: "Jürgen", Family: "Müller", Birth: "1980-02-29", Number: "D1234567", Country: "DE"}))
	o.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
	if a, b := o.document(signed).Subject, o.document(shown).Subject; a == b || a == "" || b == "" {
		t.Errorf("%q and %q", a, b)
	}
}

// A passport and the licences of two states of one country may bear the same number.
func TestStrangersWhoseDocumentsBearOneNumberAreTwoPeople(t *testing.T) {
	o := newOffice(t, false)
	ann := review.Facts{Kind: review.Card, Given: "Ann", Family: "Öne", Birth: "1980-01-01", Number: "123456789", Country: "US"}
	subject := func(f review.Facts) string {
		t.Helper()
		created := o.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
		p := o.opens(created)
		o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
		o.ok(p.Choose(t.Context(), p.env, p.id, p.session, "document_review"))
		o.ok(o.decides(o.hands(p), "S-ann", review.Accept, f))
		o.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
		return o.document(created).Subject
	}
	first := subject(ann)
	again := ann
	again.Family, again.Given, again.Number, again.Expiry = " O\u0308NE ", "Ann Eve", " 123456789", "2099-12-31"
	if got := subject(again); got != first || got == "" {
		t.Errorf("the same person, typed in another way, is %q and was %q", got, first)
	}
	for what, change := range map[string]func(f *review.Facts){
		"another kind":       func(f *review.Facts) { f.Kind = review.Passport },
		"another birth date": func(f *review.Facts) { f.Birth = "1990-02-02" },
		"another name":       func(f *review.Facts) { f.Family = "Two" },
		"another country":    func(f *review.Facts) { f.Country = "CA" },
		"another number":     func(f *review.Facts) { f.Number = "123456780" },
	} {
		f := ann
		if change(&f); subject(f) == first {
			t.Errorf("%s makes them one person", what)
		}
	}
}

func TestDocumentsAreAskedOnlyWhereTheEnvironmentSaysSo(t *testing.T) {
	o := newOffice(t, false)
	o.tx(func(tx *store.Tx) error {
		return review.WriteSettings(t.Context(), tx, o.fixture.Env.ID, review.Settings{})
	})
	p := o.opens(o.create(request.Order{Claims: []string{"name"}}))
	if err := p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}); !errors.Is(err, request.ErrMethods) {
		t.Errorf("%v", err)
	}
}

func TestACaseOfARequestEndsWithIt(t *testing.T) {
	o := newOffice(t, false)
	r := o.create(request.Order{Claims: []string{"name"}, MaxUses: 1, ExpiresAt: o.now.Add(2 * time.Hour)})
	p := o.opens(r)
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	if v := p.view(); !v.ExpiresAt.Equal(r.ExpiresAt) {
		t.Errorf("a use lives until %s, its request until %s", v.ExpiresAt, r.ExpiresAt)
	}
	c, err := store.Get(t.Context(), o.store, func(tx *store.Tx) (store.Review, error) { return tx.ReviewOf(t.Context(), p.env, p.id) })
	if err != nil || c.EndsAt.After(r.ExpiresAt) {
		t.Errorf("%v %v", c.EndsAt, err)
	}
}

func TestAnAgeIsSharedWithoutTheDateOfBirth(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	r := d.create(request.Order{Scopes: []string{"openid", "nt:age_over_18", "nt:age_over_21"}, MaxUses: 1})
	d.opens(r).shares()
	got := d.document(r)
	if got.Properties.Over18 == nil || !*got.Properties.Over18 || got.Properties.Over21 == nil || got.Properties.BirthDate != "" || len(got.Claims) != 0 {
		t.Errorf("%+v", got)
	}
	if got := d.disclose(r, "age_over_18"); got.Properties[0].Value != true || len(got.Requests) != 1 || len(got.Requests[0].Claims) != 0 {
		t.Errorf("what is no claim of the public API stands among those of a consent: %+v", got)
	}
	young := evidenceOf(d, "2015-01-01")
	d.wallet = young
	r = d.create(request.Order{Scopes: []string{"nt:age_over_18"}, MaxUses: 1})
	d.opens(r).shares()
	if got := d.document(r); got.Properties.Over18 == nil || *got.Properties.Over18 || got.Properties.Over21 != nil {
		t.Errorf("%+v", got.Properties)
	}
}

func evidenceOf(d *desk, born string) *evidencetest.Wallet {
	return d.holder(evidencetest.Person{Family: "Jung", Given: "Ida", BirthDate: born, Document: "Y1", Expires: "2099-01-01"})
}
