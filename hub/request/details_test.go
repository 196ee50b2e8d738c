package request_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/verify/smscode"
	"github.com/postern-id/postern/hub/webhook"
)

// A phoneCompany is an HTTP server that takes text messages, behind the product's own
// route; and a mail server's worth of mails.
type phoneCompany struct {
	*smscode.Route
	mu        sync.Mutex
	texts     []string // "number: text"
	mails     []request.CodeMessage
	decisions []request.Decision
	dead      bool
}

func (c *phoneCompany) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	c.texts = append(c.texts, r.FormValue("to")+": "+r.FormValue("text"))
}

// Takes implements request.Texter.
func (c *phoneCompany) Takes(ctx context.Context, tx *store.Tx, env, number string, whatsApp bool) (string, error) {
	to, err := smscode.Takes(ctx, tx, env, number, whatsApp)
	if errors.Is(err, smscode.ErrNumber) || errors.Is(err, smscode.ErrCountry) {
		err = request.ErrAddress
	}
	return to, err
}

// SendLink implements request.Texter.
func (c *phoneCompany) SendLink(context.Context, request.LinkMessage) error { return nil }

// Ready implements request.Texter.
func (c *phoneCompany) Ready(ctx context.Context, tx *store.Tx, env string) error {
	body, err := tx.SMSSettings(ctx, env)
	if err == nil && body == nil {
		err = request.ErrChannel
	}
	return err
}

// SendCode implements request.Texter.
func (c *phoneCompany) SendCode(ctx context.Context, m request.CodeMessage) error {
	return c.Send(ctx, smscode.Message{Env: m.Env, To: m.To, Account: "request:" + m.Use, Client: m.Client, Asked: true, Language: m.Language, Origin: m.Origin, Code: m.Code, Until: m.Until})
}

// A postOffice implements request.Mailer.
type postOffice struct{ *phoneCompany }

// QueueLink implements request.Mailer.
func (postOffice) QueueLink(context.Context, *store.Tx, store.Request, string) error { return nil }

// Ready implements request.Mailer.
func (postOffice) Ready() error { return nil }

// QueueDecision implements request.Mailer.
func (p postOffice) QueueDecision(_ context.Context, _ *store.Tx, d request.Decision) error {
	p.decisions = append(p.decisions, d)
	return nil
}

// SendCode implements request.Mailer.
func (p postOffice) SendCode(_ context.Context, m request.CodeMessage) error {
	p.mails = append(p.mails, m)
	return nil
}

// calls connects a desk with a phone company.
func (d *desk) calls() *phoneCompany {
	d.Helper()
	c := &phoneCompany{}
	server := httptest.NewServer(c)
	d.Cleanup(server.Close)
	hooks, err := webhook.New(webhook.Config{Store: d.store, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	d.ok(err)
	c.Route = smscode.NewRoute(d.store, hooks.Client(), time.Now)
	set := smscode.Settings{URL: server.URL, Body: "to={to}&text={text}", Countries: []string{"DE"}}
	d.ok(set.Check())
	d.tx(func(tx *store.Tx) error {
		return tx.SetSMSSettings(d.Context(), d.fixture.Env.ID, []byte(store.JSON(set)))
	})
	d.SMS, d.Mail = c, postOffice{c}
	return c
}

var codeIn = regexp.MustCompile(`\b\d{8}\b`)

// code returns the code of the last message.
func (c *phoneCompany) code() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return codeIn.FindString(c.texts[len(c.texts)-1])
}

func (p person) says(text string) error {
	return p.Give(p.Context(), p.env, p.id, p.session, text, request.Client{Address: "192.0.2.7"})
}

func (p person) confirms(code string) error {
	return p.ConfirmDetail(p.Context(), p.env, p.id, p.session, code)
}

func (p person) agrees() person {
	p.Helper()
	p.ok(p.Agree(p.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	return p
}

func (p person) share() error {
	return p.Share(p.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7", UserAgent: "Browser of Jürgen"})
}

// The published example of a request asks for a phone number and a name.
func TestAPhoneNumberIsSharedOnceItsCodeWasTyped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		c := d.calls()
		r := d.create(request.Order{Claims: []string{"phone", "name"}, MaxUses: 1})
		if !slices.Equal(r.Claims, []string{"name", "phone_number"}) {
			t.Errorf("asked for %v", r.Claims)
		}
		p := d.opens(r).proves()
		if v := p.view(); v.Step != request.StepDetail || v.Detail != "phone_number" || v.Sent != "" {
			t.Fatalf("after the proof %+v", v)
		}
		if err := p.share(); !errors.Is(err, request.ErrStep) {
			t.Errorf("shared without a number: %v", err)
		}
		for _, wrong := range []string{"", "12", "+33 6 12 34 56 78", "+49 30 1234567890123"} {
			if err := p.says(wrong); !errors.Is(err, request.ErrDetail) {
				t.Errorf("%q: %v", wrong, err)
			}
		}
		d.ok(p.says("+49 151 10000000"))
		if v := p.view(); v.Step != request.StepDetail || v.Sent != "+4915110000000" {
			t.Errorf("sent: %+v", v)
		}
		if len(c.texts) != 1 || !strings.HasPrefix(c.texts[0], "+4915110000000: ") {
			t.Fatalf("%q", c.texts)
		}
		if err := p.confirms("00000000"); !errors.Is(err, request.ErrCode) {
			t.Errorf("a wrong code: %v", err)
		}
		if err := p.share(); !errors.Is(err, request.ErrStep) {
			t.Errorf("shared without the code: %v", err)
		}
		d.ok(p.confirms(c.code()))
		if err := p.confirms(c.code()); !errors.Is(err, request.ErrStep) {
			t.Errorf("a code that was used: %v", err)
		}
		if v := p.view(); v.Step != request.StepShare || v.Values["phone_number"] != "+4915110000000" || v.Values["name"] != "Jürgen Müller" {
			t.Errorf("confirmed: %+v", v)
		}
		d.ok(p.share())
		if got := d.document(r); got.Properties.Phone != "+4915110000000" || got.Properties.Name != "Jürgen Müller" || got.Source != "full_idv" {
			t.Errorf("%+v", got)
		}
		for _, want := range []string{"vault_phone_added in_progress", "vault_phone_verified in_progress"} {
			if !slices.Contains(d.told, want) {
				t.Errorf("webhooks heard %q, not %s", d.told, want)
			}
		}
		d.told = nil
		d.ok(d.TakeBack(t.Context(), p.env, p.id, p.session, request.Client{}))
		if want := []string{"end_user_revoke revoked", "vault_phone_deleted revoked", "reject name,phone_number"}; !slices.Equal(d.told, want) {
			t.Errorf("taken back, webhooks heard %q, want %q", d.told, want)
		}
	})
}

func TestTheEndOfItsTimeTellsThatANumberIsForgottenUnlessItIsSharedLonger(t *testing.T) {
	for _, longer := range []bool{false, true} {
		d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
		c := d.calls()
		shares := func(o request.Order) {
			p := d.opens(d.create(o)).proves()
			if p.view().Step == request.StepDetail {
				d.ok(p.says("+49 151 10000000"))
				d.ok(p.confirms(c.code()))
			}
			d.ok(p.share())
		}
		shares(request.Order{Claims: []string{"phone", "name"}, ShareLife: time.Second, MaxUses: 1})
		want := []string{"request_expired expired_scopes", "vault_phone_deleted expired_scopes"}
		if longer {
			shares(request.Order{Claims: []string{"phone", "name"}, MaxUses: 1})
			want = want[:1]
		}
		d.now, d.told = d.now.Add(time.Second), nil
		for deadline := time.Now().Add(10 * time.Second); d.told == nil; { // the store has a clock of its own
			d.ok(d.Sweep(t.Context()))
			if time.Now().After(deadline) {
				t.Fatal("nothing was told")
			}
		}
		d.ok(d.Sweep(t.Context()))
		if !slices.Equal(d.told, want) {
			t.Errorf("shared longer: %v; webhooks heard %q, want %q", longer, d.told, want)
		}
	}
}

// T5: five wrong codes end a code, a code is good for ten minutes and for its own number,
// and one person is sent five.
func TestT05_CodesForDetailsEndAndAreFew(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	c := d.calls()
	p := d.opens(d.create(request.Order{Claims: []string{"phone_number"}})).agrees()
	d.ok(p.says("+49 151 10000000"))
	right := c.code()
	for range 5 {
		if err := p.confirms("00000000"); !errors.Is(err, request.ErrCode) {
			t.Fatal(err)
		}
	}
	if err := p.confirms(right); !errors.Is(err, request.ErrCode) {
		t.Errorf("after five wrong ones: %v", err)
	}
	d.ok(p.says("+49 151 10000000"))
	first := c.code()
	d.ok(p.says("+49 151 10000001"))
	if err := p.confirms(first); !errors.Is(err, request.ErrCode) {
		t.Errorf("the code of another number: %v", err)
	}
	d.mu.Lock()
	d.now = d.now.Add(11 * time.Minute)
	d.mu.Unlock()
	if err := p.confirms(c.code()); !errors.Is(err, request.ErrCode) {
		t.Errorf("after ten minutes: %v", err)
	}
	d.ok(p.says("+49 151 10000002"))
	d.ok(p.says("+49 151 10000003"))
	if err := p.says("+49 151 10000004"); !errors.Is(err, request.ErrTooMany) || len(c.texts) != 5 {
		t.Errorf("a sixth code: %v, %d messages", err, len(c.texts))
	}
	d.ok(p.ForgetDetail(t.Context(), p.env, p.id, p.session))
	if v := p.view(); v.Sent != "" || v.Step != request.StepDetail {
		t.Errorf("forgotten: %+v", v)
	}
}

// Of many who type the right code at once, one confirms it.
func TestACodeForADetailIsTakenOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		c := d.calls()
		p := d.opens(d.create(request.Order{Claims: []string{"phone_number"}})).agrees()
		d.ok(p.says("+49 151 10000000"))
		var wg sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for range 20 {
			wg.Go(func() {
				if p.confirms(c.code()) == nil {
					mu.Lock()
					defer mu.Unlock()
					taken++
				}
			})
		}
		if wg.Wait(); taken != 1 {
			t.Errorf("taken %d times", taken)
		}
		d.told = nil
	})
}

// Who guesses many codes at once is told of no more of them than were counted: neither that
// they are wrong, nor, by another answer, that one is right.
func TestT05_GuessesAtOnceAreCountedOneByOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		d.calls()
		p := d.opens(d.create(request.Order{Claims: []string{"phone_number"}})).agrees()
		d.ok(p.says("+49 151 10000000"))
		var wg sync.WaitGroup
		var mu sync.Mutex
		said, counted := 0, 0
		for range 50 {
			wg.Go(func() {
				err := p.confirms("00000000")
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, request.ErrCode) {
					said++
				}
				if !errors.Is(err, request.ErrStep) {
					counted++
				}
			})
		}
		if wg.Wait(); said != counted || said == 0 {
			t.Errorf("%d guesses were told to be wrong, %d were counted", said, counted)
		}
		d.told = nil
	})
}

// Where nothing but a number is asked for nobody shows a document, and the number is whom
// the organisation knows.
func TestWhoGivesTheSameNumberIsTheSamePerson(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	c := d.calls()
	subject := func(number string) string {
		r := d.create(request.Order{Claims: []string{"phone_number", "preferred_name"}, MaxUses: 1})
		p := d.opens(r).agrees()
		d.ok(p.says(number))
		d.ok(p.confirms(c.code()))
		if v := p.view(); v.Detail != "preferred_name" {
			t.Fatalf("%+v", v)
		}
		if err := p.says(" \t"); !errors.Is(err, request.ErrDetail) {
			t.Errorf("no name: %v", err)
		}
		d.ok(p.says("  Jo  the First "))
		d.ok(p.share())
		got := d.document(r)
		if got.Source != "" || got.Properties.Phone == "" {
			t.Errorf("%+v", got)
		}
		return got.Subject
	}
	one := subject("+49 151 10000000")
	if one == "" || subject("+49 (151) 10000000") != one || subject("+49 151 10000001") == one {
		t.Error("a subject is not its number")
	}
}

// Whoever has a link is a stranger, who would fill somebody's mailbox: neither the spellings
// of one nor the addresses that one host has make more mails.
func TestT05_MailsWithCodesAreFew(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	c := d.calls()
	r := d.create(request.Order{Claims: []string{"email"}})
	refused := 0
	says := func(to, from string) {
		p := d.opens(r).agrees()
		if err := p.Give(t.Context(), p.env, p.id, p.session, to, request.Client{Address: from}); errors.Is(err, request.ErrTooMany) {
			refused++
		} else {
			d.ok(err)
		}
	}
	for i := range 8 {
		says(fmt.Sprintf("Victim+%d@example.com", i), fmt.Sprintf("192.0.2.%d", i))
	}
	if len(c.mails) != 6 || refused != 2 {
		t.Errorf("one mailbox: %d mails, %d refused", len(c.mails), refused)
	}
	c.mails, refused = nil, 0
	for i := range 33 {
		says(fmt.Sprintf("victim%d@example.com", i), fmt.Sprintf("2001:db8::%x", i+1))
	}
	if len(c.mails) != 30 || refused != 3 {
		t.Errorf("one host: %d mails, %d refused", len(c.mails), refused)
	}
}

// However many links, mailboxes and hosts somebody has: a hub is no machine for sending mails
// to others. Recoveries have codes of their own pot, and the log says it once.
func TestT05_T31_AnEnvironmentSendsNoMoreMailsADayThanItSays(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	c := d.calls()
	r := d.create(request.Order{Claims: []string{"email"}})
	d.ok(d.store.Tx(t.Context(), func(tx *store.Tx) error {
		e, err := tx.Environment(t.Context(), d.fixture.Env.ID)
		if err != nil {
			return err
		}
		if e.Microsite.MailsPerDay() != store.DefaultRequestMails {
			t.Errorf("%d mails a day", e.Microsite.MailsPerDay())
		}
		e.Microsite.RequestMails = 4
		return tx.UpdateEnvironment(t.Context(), e)
	}))
	refused := 0
	for i := range 7 {
		p := d.opens(r).agrees()
		if err := p.Give(t.Context(), p.env, p.id, p.session, fmt.Sprintf("victim@%d.example", i), request.Client{Address: fmt.Sprintf("192.0.2.%d", i)}); errors.Is(err, request.ErrTooMany) {
			refused++
		} else {
			d.ok(err)
		}
	}
	if len(c.mails) != 4 || refused != 3 {
		t.Errorf("%d mails, %d refused", len(c.mails), refused)
	}
	d.ok(d.store.Read(t.Context(), func(tx *store.Tx) error {
		org, err := tx.OrganisationOf(t.Context(), d.fixture.Env.ID)
		rows, err2 := tx.AuditRows(t.Context(), org, store.AuditFilter{Envs: []string{d.fixture.Env.ID}, Kinds: []string{"recovery_request_mails_spent"}, Count: 10})
		since, err3 := tx.RequestMailsFull(t.Context(), d.fixture.Env.ID)
		if len(rows) != 1 || since.IsZero() {
			t.Errorf("%d records, full since %s", len(rows), since)
		}
		return errors.Join(err, err2, err3)
	}))
}

// A template may say of which domains a mail address must be.
func TestAMailAddressIsOfADomainThatIsAskedFor(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	c := d.calls()
	r := d.create(request.Order{Scopes: []string{"nt:email"}, Domains: []string{"example.com", "example.org"}, MaxUses: 1})
	p := d.opens(r).agrees()
	if v := p.view(); v.Step != request.StepDetail || v.Detail != "email" || len(v.Domains) != 2 {
		t.Errorf("%+v", v)
	}
	for text, want := range map[string]error{"jo@example.net": request.ErrDomain, "jo@sub.example.com": request.ErrDomain, "jo@example.com.evil.test": request.ErrDomain, "jo": request.ErrDetail,
		"Jo <jo@example.com>": request.ErrDetail, "jo@example.com, x@example.net": request.ErrDetail} {
		if err := p.says(text); !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := p.says("jo@\u212Aexample.com"); !errors.Is(err, request.ErrDomain) {
		t.Errorf("a letter that only looks like another: %v", err)
	}
	if request.InDomains("jo@\u212Ayoto.example", []string{"kyoto.example"}) || !request.InDomains("jo@KYOTO.example", []string{"kyoto.example"}) {
		t.Error("a domain is another one")
	}
	d.ok(p.says("Jo@Example.org"))
	if len(c.mails) != 1 || c.mails[0].To != "Jo@Example.org" {
		t.Fatalf("%+v", c.mails)
	}
	d.ok(p.confirms(c.mails[0].Code.Reveal()))
	d.ok(p.share())
	if got := d.document(r).Properties; got.Email != "Jo@Example.org" || got.UnverifiedEmail != got.Email {
		t.Errorf("%+v", got)
	}
	many := 0
	for range 8 {
		p := d.opens(d.create(request.Order{Claims: []string{"email"}})).agrees()
		if err := p.says("victim@example.com"); errors.Is(err, request.ErrTooMany) {
			many++
		}
	}
	if many != 2 || len(c.mails) != 7 {
		t.Errorf("one address got %d mails, and %d were refused", len(c.mails)-1, many)
	}
}

// A number that cannot be reached says so, and the person gives another.
func TestACodeThatCannotBeSentSaysSo(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	c := d.calls()
	p := d.opens(d.create(request.Order{Claims: []string{"phone_number"}})).agrees()
	c.dead = true
	if err := p.says("+49 151 10000000"); !errors.Is(err, request.ErrSend) {
		t.Errorf("%v", err)
	}
	d.SMS = nil
	err := d.store.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := d.Create(t.Context(), tx, request.Order{Env: d.fixture.Env.ID, Origin: origin, Claims: []string{"phone_number"}, MaxUses: 1})
		return err
	})
	if !errors.Is(err, request.ErrChannel) {
		t.Errorf("asked where nobody sends messages: %v", err)
	}
}

// atlas knows one address.
type atlas struct{}

// Locate implements request.Locator.
func (atlas) Locate(a netip.Addr) (request.Location, bool) {
	yes := true
	return request.Location{City: "Berlin", Country: "DE", Latitude: 52.5, Longitude: 13.4, Business: &yes}, a == netip.MustParseAddr("192.0.2.7")
}

// Where somebody is, is told as far as their address and the operator's table say it, and
// only where it was asked for.
func TestWhereSomebodySharesIsToldWhereItWasAskedFor(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	d.Places = atlas{}
	kept := func(p person) string {
		t.Helper()
		u, err := store.Get(t.Context(), d.store, func(tx *store.Tx) (store.RequestUse, error) { return tx.RequestUse(t.Context(), p.env, p.id) })
		d.ok(err)
		return string(u.Private)
	}
	r := d.create(request.Order{Scopes: []string{"nt:location:ip"}, Claims: []string{"name"}, MaxUses: 1})
	p := d.opens(r)
	if text := kept(p); text != "" {
		t.Errorf("kept of somebody who only opened the link: %s", text)
	}
	p = p.proves()
	if text := kept(p); !strings.Contains(text, "192.0.2.7") {
		t.Errorf("kept of somebody who agreed: %s", text)
	}
	if v := p.view(); v.Step != request.StepShare || !slices.Contains(v.Claims, "ip_location") || v.Values["ip_location"] == nil {
		t.Errorf("before it is shared: %+v", v)
	}
	d.ok(p.share())
	got := d.document(r).Browser
	if got == nil || got.Address != "192.0.2.7" || got.Location == nil || got.Location.City != "Berlin" || got.Location.Latitude != 52.5 || !*got.Location.Business || got.Location.Residential != nil {
		t.Fatalf("%+v", got)
	}
	d.Places = nil
	r = d.create(request.Order{Claims: []string{"ip_location"}, MaxUses: 1})
	p = d.opens(r).agrees()
	d.ok(p.share())
	if got := d.document(r); got.Browser == nil || got.Browser.Address != "192.0.2.7" || got.Browser.Location != nil || got.Subject == "" {
		t.Errorf("without a table: %+v", got)
	}
	r = d.create(request.Order{Claims: []string{"name"}, MaxUses: 1})
	d.opens(r).shares()
	if got := d.document(r).Browser; got == nil || got.Address != "" || got.Location != nil {
		t.Errorf("nobody asked: %+v", got)
	}
	p = d.opens(d.create(request.Order{Claims: []string{"ip_location"}, MaxUses: 1}))
	d.ok(p.Reject(t.Context(), p.env, p.id, p.session, request.Client{}))
	u, err := store.Get(t.Context(), d.store, func(tx *store.Tx) (store.RequestUse, error) { return tx.RequestUse(t.Context(), p.env, p.id) })
	if err != nil || len(u.Private) > 0 {
		t.Errorf("what was declined is kept: %s %v", u.Private, err)
	}
}

// A template may ask for a new selfie: then a wallet does not do.
func TestANewSelfieIsAskedForWhereATemplateSaysSo(t *testing.T) {
	o := newOffice(t, true)
	p := o.opens(o.create(request.Order{Claims: []string{"name"}, Selfie: true, MaxUses: 1})).agrees()
	if v := p.view(); v.Method != policy.DocumentReview || len(v.Methods) != 1 {
		t.Errorf("%+v", v)
	}
	o.tx(func(tx *store.Tx) error {
		return review.WriteSettings(t.Context(), tx, o.fixture.Env.ID, review.Settings{})
	})
	p = o.opens(o.create(request.Order{Claims: []string{"name"}, Selfie: true, MaxUses: 1}))
	if err := p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}); !errors.Is(err, request.ErrMethods) {
		t.Errorf("no way to take one: %v", err)
	}
}

// A key of the least role has links mailed to whomever it names, and no mailbox is anybody's
// to fill, under whichever of its names.
func TestT31_OneMailboxIsSentSoManyLinksADay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		d.calls()
		sends := func(env, to string) error {
			return s.Tx(t.Context(), func(tx *store.Tx) error {
				_, err := d.Create(t.Context(), tx, request.Order{Env: env, Origin: "https://recover.test", Claims: []string{"name"}, MaxUses: 1, Mail: to})
				return err
			})
		}
		const most = 30
		for i := range most {
			d.ok(sends(d.fixture.Env.ID, []string{"ann@home.example", "ANN+x@home.example"}[i%2]))
		}
		if err := sends(d.fixture.Env.ID, "ann+y@home.example"); !errors.Is(err, request.ErrTooMany) {
			t.Errorf("one more: %v", err)
		}
		d.ok(sends(d.fixture.Env.ID, "ben@home.example"))
		d.ok(sends(storetest.Seed(t, s).Env.ID, "ann@home.example"))
	})
}
