package request_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/audit/audittest"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/auditlog"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

const origin = "https://recover.example.com"

// A desk is an organisation that asks, a person with a wallet, and a clock.
type desk struct {
	*testing.T
	*request.Requests
	store     *store.Store
	fixture   storetest.Fixture
	authority *evidencetest.Authority
	wallet    *evidencetest.Wallet
	mu        sync.Mutex
	now       time.Time
	told      []string // events and what was shared
	phones    []string // that webhooks were told
	pictures  []request.GivenPicture
}

var jürgen = evidencetest.Person{Family: "Müller", Given: "Jürgen", BirthDate: "1980-02-29", Document: "D1234567", Expires: "2099-01-01"}

func newDesk(t *testing.T, s *store.Store) *desk {
	t.Helper()
	d := &desk{T: t, store: s, fixture: storetest.Seed(t, s), now: time.Now().Truncate(time.Second)}
	audittest.Watch(t, s)
	clock := func() time.Time { d.mu.Lock(); defer d.mu.Unlock(); return d.now }
	d.Requests = request.New(request.Config{Store: s, Buckets: d, Hooks: d, Now: clock, Public: func() string { return "https://id.vendor.test" },
		Verifiers: []verify.Verifier{wallet.New(wallet.Config{Store: s, Now: clock})}})
	var err error
	if d.authority, err = evidencetest.NewAuthority("DE", "Demo authority", d.now); err != nil {
		t.Fatal(err)
	}
	d.wallet = d.holder(jürgen)
	d.trust(d.fixture.Env.ID)
	return d
}

func (d *desk) holder(p evidencetest.Person) *evidencetest.Wallet {
	d.Helper()
	w, err := d.authority.NewWallet(p, d.now)
	if err != nil {
		d.Fatal(err)
	}
	return w
}

func (d *desk) trust(env string) {
	d.Helper()
	d.tx(func(tx *store.Tx) error {
		return tx.AddTrustSource(d.Context(), &store.TrustSource{Env: env, Kind: store.TrustPEM, Name: "demo", Body: d.authority.PEM()})
	})
}

func (d *desk) tx(fn func(tx *store.Tx) error) {
	d.Helper()
	if err := d.store.Tx(d.Context(), fn); err != nil {
		d.Fatal(err)
	}
}

// Take implements request.Buckets.
func (d *desk) Take(context.Context, string, int, time.Duration) (bool, error) { return true, nil }

// RequestChanged implements request.Hooks.
func (d *desk) RequestChanged(_ context.Context, _ *store.Tx, _, event string, r request.Document) error {
	d.told, d.phones = append(d.told, event+" "+r.Status), append(d.phones, r.Phone)
	return nil
}

// SharingChanged implements request.Hooks.
func (d *desk) SharingChanged(_ context.Context, _ *store.Tx, _ string, s request.Sharing) error {
	what := "share "
	if s.Revoked {
		what = "reject "
	}
	d.told = append(d.told, what+strings.Join(s.Claims, ","))
	return nil
}

// PictureGiven implements request.Hooks.
func (d *desk) PictureGiven(_ context.Context, _ *store.Tx, _ string, p request.GivenPicture) error {
	d.pictures = append(d.pictures, p)
	return nil
}

func (d *desk) create(o request.Order) store.Request {
	d.Helper()
	if o.Env == "" {
		o.Env = d.fixture.Env.ID
	}
	o.Origin = origin
	r, err := store.Change(d.Context(), d.store, func(tx *store.Tx) (store.Request, error) { return d.Create(d.Context(), tx, o) })
	if err != nil {
		d.Fatal(err)
	}
	return r
}

func (d *desk) document(r store.Request) request.Document {
	d.Helper()
	doc, err := store.Get(d.Context(), d.store, func(tx *store.Tx) (request.Document, error) {
		r, err := tx.Request(d.Context(), r.Env, r.ID)
		if err != nil {
			return request.Document{}, err
		}
		return d.Document(d.Context(), tx, r)
	})
	if err != nil {
		d.Fatal(err)
	}
	return doc
}

func (d *desk) ok(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// A person is somebody in a browser at the link.
type person struct {
	*desk
	env, id, session string
}

func (d *desk) opens(r store.Request) person {
	d.Helper()
	id, session, err := d.Open(d.Context(), r.Env, r.Ticket, "en", request.Client{Address: "192.0.2.7", UserAgent: "Browser of Jürgen"})
	d.ok(err)
	return person{d, r.Env, id, session}
}

func (p person) view() request.View {
	p.Helper()
	v, err := p.View(p.Context(), p.env, p.id, p.session)
	p.ok(err)
	return v
}

// presents answers the open challenge with a wallet.
func (p person) presents(w *evidencetest.Wallet) error {
	p.Helper()
	return p.presentsAs(w, "mdl")
}

// presentsAs does so with one kind of document.
func (p person) presentsAs(w *evidencetest.Wallet, kind string) error {
	p.Helper()
	var ask struct {
		Digital []struct {
			Protocol string          `json:"protocol"`
			Data     json.RawMessage `json:"data"`
		} `json:"digital"`
	}
	p.ok(json.Unmarshal(p.view().Ask, &ask))
	data, err := w.AnswerBrowser(ask.Digital[0].Protocol, ask.Digital[0].Data, origin, kind, p.now)
	p.ok(err)
	b, err := json.Marshal(map[string]any{"protocol": ask.Digital[0].Protocol, "data": data})
	p.ok(err)
	return p.Answer(p.Context(), p.env, p.id, p.session, string(b))
}

// proves consents and presents.
func (p person) proves() person {
	p.Helper()
	p.ok(p.Agree(p.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	p.ok(p.presents(p.wallet))
	return p
}

func (p person) shares() person {
	p.Helper()
	p.ok(p.proves().Share(p.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7", UserAgent: "Browser of Jürgen"}))
	return p
}

func TestARequestIsAnsweredByAPersonWhoSawWhatTheyShare(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		r := d.create(request.Order{Label: "Ref 41471", Scopes: []string{"openid", "nt:birth_date"}, Claims: []string{"name", "gps_location", "govtid"}, MaxUses: 1})
		if got := d.document(r); got.Status != request.Pending || got.Progress != "created" || got.Subject != "" || !strings.HasPrefix(got.Link, origin+"/request#") {
			t.Errorf("new: %+v", got)
		}
		p := d.opens(r)
		if v := p.view(); v.Step != request.StepConsent || !slices.Equal(v.Claims, []string{"birth_date", "govtid", "name"}) || v.Ask != nil {
			t.Errorf("before consent %+v", v)
		}
		if got := d.document(r); got.Status != request.InProgress || got.Progress != "link_opened" {
			t.Errorf("opened: %+v", got)
		}
		if err := p.Share(t.Context(), p.env, p.id, p.session, request.Client{}); !errors.Is(err, request.ErrStep) {
			t.Errorf("shared before the proof: %v", err)
		}
		p.proves()
		if v := p.view(); v.Step != request.StepShare || v.Values["name"] != "Jürgen Müller" || v.Values["birth_date"] != "1980-02-29" {
			t.Errorf("before sharing %+v", v)
		}
		if got := d.document(r); got.Progress != "id_scanned" || got.Subject != "" || got.Properties != (request.Properties{}) {
			t.Errorf("the organisation saw something before the person shared it: %+v", got)
		}
		d.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
		got := d.document(r)
		if got.Status != request.Shared || got.Progress != "consent_given" || got.Properties.Name != "Jürgen Müller" || got.Properties.LastName != "" || got.SubjectText != "Jürgen Müller" {
			t.Errorf("shared: %+v", got)
		}
		want := []string{"request_created pending", "request_link_opened in_progress", "request_app_opened in_progress", "scan_accepted in_progress", "request_accepted shared", "share birth_date,govtid,name"}
		if !slices.Equal(d.told, want) {
			t.Errorf("webhooks %q; want %q", d.told, want)
		}
		if _, _, err := d.Open(t.Context(), r.Env, r.Ticket, "en", request.Client{}); !errors.Is(err, request.ErrGone) {
			t.Errorf("a link for one was used by two: %v", err)
		}
	})
}

func TestOnlyTheSessionThatOpenedALinkSeesIt(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	p := d.opens(d.create(request.Order{Claims: []string{"name"}}))
	for _, other := range []string{"", "x", store.NewToken()} {
		if _, err := d.View(t.Context(), p.env, p.id, other); !errors.Is(err, request.ErrNotFound) {
			t.Errorf("session %q: %v", other, err)
		}
		if err := d.Agree(t.Context(), p.env, p.id, other, request.Client{Address: "192.0.2.7"}); !errors.Is(err, request.ErrNotFound) {
			t.Errorf("session %q agreed: %v", other, err)
		}
	}
	if _, _, err := d.Open(t.Context(), d.fixture.Env.ID, "not a ticket", "en", request.Client{}); !errors.Is(err, request.ErrGone) {
		t.Errorf("an unknown ticket: %v", err)
	}
	if _, _, err := d.Open(t.Context(), storetest.Seed(t, d.store).Env.ID, "ticket", "en", request.Client{}); !errors.Is(err, request.ErrGone) {
		t.Errorf("another environment: %v", err)
	}
}

// A proof is for one use: every opening has a context of its own.
func TestP13_AProofOfOneUseIsNoneOfAnother(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	r := d.create(request.Order{Claims: []string{"name"}})
	first, second := d.opens(r), d.opens(r)
	d.ok(first.Agree(t.Context(), first.env, first.id, first.session, request.Client{Address: "192.0.2.7"}))
	d.ok(second.Agree(t.Context(), second.env, second.id, second.session, request.Client{Address: "192.0.2.7"}))
	var ask struct {
		Digital []struct {
			Protocol string          `json:"protocol"`
			Data     json.RawMessage `json:"data"`
		} `json:"digital"`
	}
	d.ok(json.Unmarshal(first.view().Ask, &ask))
	data, err := d.wallet.AnswerBrowser(ask.Digital[0].Protocol, ask.Digital[0].Data, origin, "mdl", d.now)
	d.ok(err)
	b, err := json.Marshal(map[string]any{"protocol": ask.Digital[0].Protocol, "data": data})
	d.ok(err)
	if err := second.Answer(t.Context(), second.env, second.id, second.session, string(b)); !errors.Is(err, request.ErrWrong) {
		t.Errorf("taken in another use: %v", err)
	}
	for range 10 {
		err = second.Answer(t.Context(), second.env, second.id, second.session, string(b))
	}
	if !errors.Is(err, request.ErrTooMany) {
		t.Errorf("tries have no end: %v", err)
	}
	d.ok(first.Answer(t.Context(), first.env, first.id, first.session, string(b)))
}

// The public reference: claims of the event share are "the list of currently shared claims",
// also where somebody shares by a second request.
func TestWebhooksHearOfAllThatSomebodySharesNow(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	shares := func(claim string) (person, string) {
		p := d.opens(d.create(request.Order{Claims: []string{claim}}))
		p.proves()
		d.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
		return p, d.told[len(d.told)-1]
	}
	if _, told := shares("name"); told != "share name" {
		t.Errorf("first: %s", told)
	}
	p, told := shares("birth_date")
	if told != "share birth_date,name" {
		t.Errorf("second: %s", told)
	}
	d.tx(func(tx *store.Tx) error {
		use, err := tx.RequestUse(t.Context(), p.env, p.id)
		if err != nil {
			return err
		}
		return d.Revoke(t.Context(), tx, p.env, use.Person, []string{"name"}, true)
	})
	if told := d.told[len(d.told)-1]; told != "reject name" {
		t.Errorf("taken back: %s", told)
	}
	if _, told := shares("family_name"); told != "share birth_date,family_name" {
		t.Errorf("third: %s", told)
	}
}

func TestAStrangerWithoutATrustedDocumentProvesNothing(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	p := d.opens(d.create(request.Order{Claims: []string{"name"}}))
	d.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	forger, err := evidencetest.NewAuthority("DE", "Demo authority", d.now)
	d.ok(err)
	w, err := forger.NewWallet(jürgen, d.now)
	d.ok(err)
	if err := p.presents(w); !errors.Is(err, request.ErrWrong) {
		t.Errorf("a forged document: %v", err)
	}
	none := storetest.Seed(t, d.store).Env.ID
	q := d.opens(d.create(request.Order{Env: none, Claims: []string{"name"}}))
	if err := q.Agree(t.Context(), q.env, q.id, q.session, request.Client{Address: "192.0.2.7"}); !errors.Is(err, request.ErrMethods) {
		t.Errorf("asked where nobody is trusted: %v", err)
	}
}

func TestARequestForSeveralCountsThem(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	r := d.create(request.Order{Claims: []string{"name"}, MaxUses: 2})
	late := []person{d.opens(r).proves(), d.opens(r).proves(), d.opens(r).proves()}
	results := make([]error, len(late))
	var wg sync.WaitGroup
	for i, p := range late {
		wg.Go(func() {
			for { // a conflict with another is no refusal
				results[i] = p.Share(t.Context(), p.env, p.id, p.session, request.Client{})
				if v, err := p.View(t.Context(), p.env, p.id, p.session); results[i] == nil || err != nil || v.Step != request.StepShare {
					return
				}
			}
		})
	}
	wg.Wait()
	shared := 0
	for _, err := range results {
		if err == nil {
			shared++
		} else if !errors.Is(err, request.ErrStep) {
			t.Error(err)
		}
	}
	if shared != 2 {
		t.Errorf("%d of 2 uses were taken: %v", shared, results)
	}
}

// A link for several people is withdrawn for those who have not answered; what was
// shared stays shared.
func TestALinkForSeveralIsWithdrawnAfterItsFirstUse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		r := d.create(request.Order{Claims: []string{"name"}})
		d.opens(r).shares()
		late := d.opens(r).proves()
		cancel := func() error {
			return d.store.Tx(t.Context(), func(tx *store.Tx) error {
				r, err := tx.Request(t.Context(), r.Env, r.ID)
				return errors.Join(err, d.Cancel(t.Context(), tx, r))
			})
		}
		d.told = nil
		d.ok(cancel())
		if want := []string{"request_canceled shared"}; !slices.Equal(d.told, want) {
			t.Errorf("webhooks %q; want %q", d.told, want)
		}
		if err := late.Share(t.Context(), late.env, late.id, late.session, request.Client{}); !errors.Is(err, request.ErrStep) {
			t.Errorf("shared after it was withdrawn: %v", err)
		}
		if _, _, err := d.Open(t.Context(), r.Env, r.Ticket, "en", request.Client{}); !errors.Is(err, request.ErrGone) {
			t.Errorf("opened after it was withdrawn: %v", err)
		}
		if got := d.document(r); got.Status != request.Shared || got.Properties.Name != "Jürgen Müller" {
			t.Errorf("what was shared: %+v", got)
		}
		if err := cancel(); !errors.Is(err, store.ErrConflict) {
			t.Errorf("withdrawn twice: %v", err)
		}
	})
}

func TestTheLinkEndsWhenItIsCanceledRejectedOrOver(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	canceled, rejected, over := d.create(request.Order{Claims: []string{"name"}, MaxUses: 1}), d.create(request.Order{Claims: []string{"name"}, MaxUses: 1}), d.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
	late := d.opens(canceled).proves()
	d.tx(func(tx *store.Tx) error {
		r, err := tx.Request(t.Context(), canceled.Env, canceled.ID)
		return errors.Join(err, d.Cancel(t.Context(), tx, r))
	})
	if err := late.Share(t.Context(), late.env, late.id, late.session, request.Client{}); !errors.Is(err, request.ErrStep) || late.view().Step != request.StepEnded {
		t.Errorf("shared after it was canceled: %v", err)
	}
	p := d.opens(rejected).proves()
	d.ok(p.Reject(t.Context(), p.env, p.id, p.session, request.Client{}))
	d.mu.Lock()
	d.now = d.now.Add(request.Life + time.Second)
	d.mu.Unlock()
	for r, want := range map[*store.Request]string{&canceled: request.Cancelled, &rejected: request.Cancelled, &over: request.Expired} {
		if got := d.document(*r); got.Status != want || got.Subject != "" {
			t.Errorf("%+v; want %s", got, want)
		}
		if _, _, err := d.Open(t.Context(), r.Env, r.Ticket, "en", request.Client{}); !errors.Is(err, request.ErrGone) {
			t.Errorf("%s: opened: %v", want, err)
		}
	}
}

func TestASubjectIsOfOneEnvironment(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	second := storetest.Seed(t, d.store).Env.ID
	d.trust(second)
	mine, again, theirs := d.create(request.Order{Claims: []string{"name"}}), d.create(request.Order{Claims: []string{"birth_date"}}), d.create(request.Order{Env: second, Claims: []string{"name"}})
	for _, r := range []store.Request{mine, again, theirs} {
		d.opens(r).shares()
	}
	a, b, c := d.document(mine).Subject, d.document(again).Subject, d.document(theirs).Subject
	if a != b || len(a) == 0 {
		t.Errorf("one person is %q and %q in one environment", a, b)
	}
	env, person, ok := request.ParseSubject(a)
	if !ok || env != mine.Env || len(person) != 26 {
		t.Errorf("subject %q", a)
	}
	if _, other, _ := request.ParseSubject(c); other == person {
		t.Error("two environments can compare their subjects")
	}
	d.wallet = d.holder(evidencetest.Person{Family: "Müller", Given: "Jürgen", BirthDate: "1980-02-29", Document: "another", Expires: "2099-01-01"})
	namesake := d.create(request.Order{Claims: []string{"name"}})
	d.opens(namesake).shares()
	if d.document(namesake).Subject == a {
		t.Error("a namesake born on the same day is the same subject")
	}
}

func (d *desk) disclose(r store.Request, names ...string) request.Disclosed {
	d.Helper()
	_, person, _ := request.ParseSubject(d.document(r).Subject)
	out, err := store.Get(d.Context(), d.store, func(tx *store.Tx) (request.Disclosed, error) {
		wanted := make([]request.Wanted, len(names))
		for i, n := range names {
			wanted[i].Claim = n
		}
		return d.Disclose(d.Context(), tx, r.Env, person, wanted)
	})
	d.ok(err)
	return out
}

func TestWhatWasSharedEndsWithItsTimeAndWithThePersonsWord(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	r := d.create(request.Order{Claims: []string{"name", "birth_date"}, ShareLife: time.Hour, MaxUses: 1})
	p := d.opens(r).shares()
	got := d.disclose(r, "name", "birth_date", "address")
	if got.Properties[0].Status != 200 || got.Properties[0].Value != "Jürgen Müller" || got.Properties[0].Expires == nil || got.Properties[2].Status != 403 ||
		len(got.Requests) != 1 || got.Requests[0].Status != 200 {
		t.Errorf("shared %+v", got)
	}
	d.tx(func(tx *store.Tx) error {
		return d.Revoke(t.Context(), tx, r.Env, strings.Split(got.Subject, "@")[0], []string{"name"}, false)
	})
	if got := d.disclose(r, "name", "birth_date"); got.Properties[0].Status != 403 || got.Properties[0].Value != nil || got.Properties[1].Status != 200 {
		t.Errorf("one claim revoked %+v", got)
	}
	if doc := d.document(r); doc.Status != request.Shared || doc.Properties.Name != "" || doc.Properties.BirthDate == "" {
		t.Errorf("one claim revoked %+v", doc)
	}
	d.now = d.now.Add(time.Hour)
	if got := d.disclose(r, "birth_date"); got.Properties[0].Status != 410 || got.Properties[0].Value != nil {
		t.Errorf("over %+v", got)
	}
	if doc := d.document(r); doc.Status != request.ExpiredScopes || doc.Properties.BirthDate != "" {
		t.Errorf("over %+v", doc)
	}
	d.now = d.now.Add(-time.Hour)
	d.told = nil
	d.ok(p.TakeBack(t.Context(), p.env, p.id, p.session, request.Client{}))
	if doc := d.document(r); doc.Status != request.Revoked || doc.Properties != (request.Properties{}) {
		t.Errorf("taken back %+v", doc)
	}
	if !slices.Equal(d.told, []string{"end_user_revoke revoked", "reject birth_date"}) {
		t.Errorf("told %q", d.told)
	}
}

// Erasing a person is the destruction of their key: a copy of the rows opens no more,
// and every leaf of the audit log is as it was.
func TestAnErasedPersonCannotBeReadAndTheLogStaysAsItWas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		r := d.create(request.Order{Claims: []string{"name", "birth_date"}, MaxUses: 1})
		d.opens(r).shares()
		_, person, _ := request.ParseSubject(d.document(r).Subject)
		text := func(query string) (v string) {
			d.tx(func(tx *store.Tx) error { return tx.Row(t.Context(), []any{&v}, query, r.Env, person) })
			return v
		}
		sealed := text("SELECT value FROM properties WHERE env = $1 AND person = $2 AND claim = 'name'")
		if strings.Contains(sealed, "Jürgen") {
			t.Fatal("a property stands there as it is")
		}
		before := d.log()
		d.tx(func(tx *store.Tx) error { return d.Erase(t.Context(), tx, r.Env, person) })
		d.tx(func(tx *store.Tx) error { // a copy of the row from before
			_, err := tx.Exec(t.Context(), `INSERT INTO properties (env, person, claim, value, shared_at) VALUES ($1, $2, 'name', $3, 1)`, r.Env, person, sealed)
			return err
		})
		err := s.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.Properties(t.Context(), r.Env, person); return err })
		if !errors.Is(err, store.ErrErased) {
			t.Errorf("an erased person's property: %v", err)
		}
		d.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), "DELETE FROM properties WHERE env = $1 AND person = $2", r.Env, person)
			return err
		})
		after := d.log()
		erased := 0
		for i, e := range before {
			if !bytes.Equal(e.Leaf, after[i].Leaf) || auditlog.LeafHash(e.Leaf) != auditlog.LeafHash(after[i].Leaf) {
				t.Errorf("leaf %s was changed", e.ID)
			}
			if after[i].UserAgent == "Browser of Jürgen" {
				t.Errorf("%s tells of their browser", e.Kind)
			}
			if after[i].Erased {
				erased++
				if e.UserAgent != "Browser of Jürgen" || after[i].UserAgent != "" || after[i].RemoteAddr != "" {
					t.Errorf("%s before %q, after %q %q", e.Kind, e.UserAgent, after[i].UserAgent, after[i].RemoteAddr)
				}
			}
		}
		if erased == 0 {
			t.Error("nothing personal was in the log: the test shows nothing")
		}
		if doc := d.document(r); doc.Status != request.PersonDeleted || !doc.PIIRemoved || doc.Properties != (request.Properties{}) || doc.SubjectText != "" {
			t.Errorf("%+v", doc)
		}
		if got := d.disclose(r, "name"); got.Properties[0].Status != 403 || got.Requests[0].Status != 403 {
			t.Errorf("%+v", got)
		}
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return d.Erase(t.Context(), tx, r.Env, person) }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("erased twice: %v", err)
		}
	})
}

func (d *desk) log() []audit.Record {
	d.Helper()
	all, err := store.Get(d.Context(), d.store, func(tx *store.Tx) ([]audit.Record, error) {
		return audit.List(d.Context(), tx, d.fixture.Org.ID, store.AuditFilter{Count: 100, OldestFirst: true})
	})
	d.ok(err)
	return all
}

func TestWhatIsOverIsSaidOnce(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	real := d.create(request.Order{Claims: []string{"name"}, ExpiresAt: d.now.Add(-time.Second)})
	d.told = nil
	d.ok(d.Sweep(t.Context()))
	d.ok(d.Sweep(t.Context()))
	if !slices.Equal(d.told, []string{"request_expired expired"}) || d.document(real).Status != request.Expired {
		t.Errorf("told %q", d.told)
	}
}

func TestWhatIsOverIsForgottenAndToldOnce(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	r := d.create(request.Order{Claims: []string{"name", "birth_date"}, ShareLife: time.Second, MaxUses: 1})
	p := d.opens(r).shares()
	kept := d.create(request.Order{Claims: []string{"birth_date"}, MaxUses: 1})
	d.opens(kept).shares() // of the same person, without an end
	d.now = d.now.Add(time.Second)
	d.told = nil
	deadline := time.Now().Add(10 * time.Second)
	for d.told == nil { // the store has a clock of its own
		d.ok(d.Sweep(t.Context()))
		if time.Now().After(deadline) {
			t.Fatal("nothing was told")
		}
	}
	d.ok(d.Sweep(t.Context()))
	if !slices.Equal(d.told, []string{"request_expired expired_scopes"}) {
		t.Errorf("told %q", d.told)
	}
	if got := d.disclose(kept, "name", "birth_date"); got.Properties[0].Status != 410 || got.Properties[1].Status != 200 {
		t.Errorf("%+v", got.Properties)
	}
	values, err := store.Get(t.Context(), d.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT value FROM properties WHERE env = $1 AND claim = 'name'", p.env)
	})
	if err != nil || !slices.Equal(values, []string{""}) {
		t.Errorf("kept %q %v", values, err)
	}
}

// The database is read as a thief of the disk and of the master key would.
func TestErasureDestroysAKeyInEveryFile(t *testing.T) {
	c := storetest.SQLite(t)
	s := storetest.Open(t, c)
	d := newDesk(t, s)
	r := d.create(request.Order{Claims: []string{"name", "birth_date"}, MaxUses: 1})
	d.opens(r).shares()
	_, person, _ := request.ParseSubject(d.document(r).Subject)
	cell := func(query string, args ...any) string {
		t.Helper()
		v, err := store.Get(t.Context(), s, func(tx *store.Tx) (string, error) { return store.One(t.Context(), tx, store.Text, query, args...) })
		d.ok(err)
		return v
	}
	key := cell("SELECT secret FROM audit_persons WHERE env = $1 AND person = $2", r.Env, person)
	value := cell("SELECT value FROM properties WHERE env = $1 AND person = $2 AND claim = 'name'", r.Env, person)
	row := cell("SELECT leaf FROM audit_events WHERE kind = 'request_accepted'")
	if len(key) < 40 || len(value) < 20 || !strings.Contains(row, `"request_accepted"`) || strings.Contains(row, "192.0.2.7") {
		t.Fatalf("%q %q %s", key, value, row)
	}
	if where := found(t, c.Dir, key); len(where) == 0 {
		t.Fatal("the sealed key is not where this test looks for it")
	}
	d.tx(func(tx *store.Tx) error { return d.Erase(t.Context(), tx, r.Env, person) })
	for what, text := range map[string]string{"key": key, "value": value} {
		if where := found(t, c.Dir, text); len(where) > 0 {
			t.Errorf("the sealed %s is still in %q", what, where)
		}
	}
	if found := cell("SELECT leaf FROM audit_events WHERE kind = 'request_accepted'"); found != row {
		t.Error("the audit row changed")
	}
	if where := found(t, c.Dir, row[:60]); len(where) == 0 {
		t.Error("the audit row, sealed for good, is gone")
	}
	if doc := d.document(r); doc.Status != request.PersonDeleted || !doc.PIIRemoved || doc.Properties != (request.Properties{}) {
		t.Errorf("%+v", doc)
	}
}

// found returns the files below dir that hold text.
func found(t *testing.T, dir, text string) (where []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			where = append(where, e.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}
