package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

const site = "recover.example.com"

// A bench is an environment with a recovery site and a mail server.
type bench struct {
	store *store.Store
	mail  *mailbox.Server
	env   string
	ahead atomic.Int64 // milliseconds of the clock
	log   bytes.Buffer
	mu    sync.Mutex // guards log
}

func (b *bench) clock() time.Time {
	return time.Now().Add(time.Duration(b.ahead.Load()) * time.Millisecond)
}

// Write implements io.Writer for the log.
func (b *bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func newBench(t *testing.T, c store.Config, m mailbox.Config) *bench {
	t.Helper()
	b := &bench{mail: testenv.StartSMTP(t, m)}
	c.Now = b.clock
	b.store = storetest.Open(t, c)
	b.env = storetest.Seed(t, b.store).Env.ID
	b.domain(t, site)
	return b
}

func (b *bench) domain(t *testing.T, name string) {
	t.Helper()
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.AddDomain(t.Context(), b.env, name); err != nil {
			return err
		}
		return tx.DomainProven(t.Context(), b.env, name)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) notifier(t *testing.T, change ...func(*Route)) *Notifier {
	t.Helper()
	r := Route{Host: b.mail.Addr(), From: "Postern <no-reply@example.com>", TLS: Off}
	for _, f := range change {
		f(&r)
	}
	n, err := New(Config{Store: b.store, Route: r, Now: b.clock, Log: slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (b *bench) code() Code {
	return Code{Env: b.env, To: []string{"anna@home.example"}, Language: "de", Origin: "https://" + site,
		Code: protocol.NewSecret("48151623"), Until: time.Date(2031, 1, 2, 3, 4, 0, 0, time.UTC)}
}

func (b *bench) notice() Notice {
	return Notice{
		Env: b.env, Action: protocol.ActionPassword, Account: "Anna Berg", At: time.Date(2031, 1, 2, 3, 4, 0, 0, time.UTC), Client: "192.0.2.7",
		Device: "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0", Origin: "https://" + site, Token: protocol.NewSecret("canary+token/1"),
		Until:    time.Date(2031, 1, 3, 3, 4, 0, 0, time.UTC),
		Contacts: protocol.Contacts{Primary: []string{"anna@corp.example"}, Mail: []string{"anna@home.example", "ANNA@corp.example"}},
	}
}

func (b *bench) queue(t *testing.T, n *Notifier, notice Notice) error {
	t.Helper()
	return b.store.Tx(t.Context(), func(tx *store.Tx) error { return n.Queue(t.Context(), tx, notice) })
}

func (b *bench) waiting(t *testing.T) int {
	t.Helper()
	n, err := store.Get(t.Context(), b.store, func(tx *store.Tx) (int, error) { return tx.WaitingMails(t.Context(), b.env) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestACodeArrivesAtOnceInTheReadersLanguage(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	if err := b.notifier(t).SendCode(t.Context(), b.code()); err != nil {
		t.Fatal(err)
	}
	all := b.mail.Messages()
	if len(all) != 1 {
		t.Fatalf("%d mails", len(all))
	}
	m := all[0]
	if m.Subject != "Ihr Code für Example" || !strings.Contains(m.Text, "    48151623\r\n") || !strings.Contains(m.Text, site) || !strings.Contains(m.HTML, ">48151623</p>") {
		t.Errorf("subject %q, text %q, html %q", m.Subject, m.Text, m.HTML)
	}
	for k, want := range map[string]string{
		"From": `"Postern" <no-reply@example.com>`, "To": "<anna@home.example>", "Auto-Submitted": "auto-generated", "Content-Language": "de", "Mime-Version": "1.0",
	} {
		if got := m.Header[k]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	if m.Header["Message-Id"] == nil || m.Header["Date"] == nil {
		t.Errorf("headers = %v", m.Header)
	}
	if strings.Contains(m.Subject, "48151623") {
		t.Error("the code stands in the subject, which locked screens show")
	}
	if strings.Contains(b.log.String(), "48151623") || strings.Contains(b.log.String(), "anna@") {
		t.Errorf("the log holds the code or the address: %s", b.log.String())
	}
}

func TestACodeIsSentWhenOneAddressIsTaken(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{Judge: func(_ string, to []string) (int, string) {
		if strings.HasPrefix(to[0], "gone") {
			return 550, "no such mailbox " + to[0]
		}
		return 0, ""
	}})
	n, c := b.notifier(t), b.code()
	c.To = []string{"gone@home.example", "anna@home.example"}
	if err := n.SendCode(t.Context(), c); err != nil || len(b.mail.Messages()) != 1 {
		t.Errorf("%d mails, %v", len(b.mail.Messages()), err)
	}
	c.To = c.To[:1]
	if err := n.SendCode(t.Context(), c); !errors.Is(err, ErrRefused) {
		t.Errorf("only a refused address: %v", err)
	}
	c.To = []string{"", "x", "a@b\r\nBcc: evil@example.com"}
	if err := n.SendCode(t.Context(), c); !errors.Is(err, ErrNoAddress) {
		t.Errorf("no address at all: %v", err)
	}
	if err := n.SetRoute(Route{}); err != nil || n.Usable() {
		t.Fatal(err)
	}
	if err := n.SendCode(t.Context(), b.code()); !errors.Is(err, ErrNoRoute) {
		t.Errorf("without a mail server: %v", err)
	}
}

func TestASilentMailServerDoesNotHoldACodeForever(t *testing.T) {
	held := make(chan struct{})
	b := newBench(t, storetest.SQLite(t), mailbox.Config{Judge: func(string, []string) (int, string) { <-held; return 0, "" }})
	defer close(held)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := b.notifier(t).SendCode(ctx, b.code()); err == nil || time.Since(start) > 10*time.Second {
		t.Errorf("ended after %s with %v", time.Since(start), err)
	}
}

func TestP08_NoticesGoToTheDirectorysAddressesOnly(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	n, notice := b.notifier(t), b.notice()
	notice.Contacts.Mail = append(notice.Contacts.Mail, "anna@home.example,evil@example.com", "x@y\nBcc: evil@example.com", "Anna <evil2@example.com>", "@", "a@b@c", "two words@x")
	if err := b.queue(t, n, notice); err != nil {
		t.Fatal(err)
	}
	if err := n.sendDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	var to []string
	for _, m := range b.mail.Messages() {
		to = append(to, m.To...)
		if len(m.To) != 1 || strings.Contains(string(m.Raw), "evil") {
			t.Errorf("to %v: %s", m.To, m.Raw)
		}
	}
	if len(to) != 2 || !strings.Contains(strings.Join(to, " "), "anna@corp.example") || !strings.Contains(strings.Join(to, " "), "anna@home.example") {
		t.Errorf("recipients = %v", to)
	}
	notice.Contacts = protocol.Contacts{Mail: []string{"x"}}
	if err := b.queue(t, n, notice); !errors.Is(err, ErrNoAddress) || b.waiting(t) != 0 {
		t.Errorf("T34: without an address: %v, %d waiting", err, b.waiting(t))
	}
}

func TestT31_TheNoticeNamesWhatHappenedAndHowToObject(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	n := b.notifier(t)
	for action, subject := range map[protocol.Action]string{
		protocol.ActionPassword: "Your password at Example was reset", protocol.ActionUnlock: "Your account at Example was unlocked",
		protocol.ActionMFA: "Your authenticators at Example were removed", protocol.ActionAccessPass: "An access pass for your account at Example was made",
	} {
		notice := b.notice()
		notice.Action, notice.Contacts.Mail = action, nil
		if err := b.queue(t, n, notice); err != nil {
			t.Fatal(err)
		}
		if err := n.sendDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := b.mail.Messages()[0]
		const link = "https://" + site + "/not-me?token=canary%2Btoken%2F1"
		for _, want := range []string{"Anna Berg", "192.0.2.7", "Firefox, Windows", "2031", link} {
			if !strings.Contains(m.Text, want) {
				t.Errorf("%s: the text lacks %q: %s", action, want, m.Text)
			}
		}
		if m.Subject != subject || !strings.Contains(m.HTML, `<a href="`+link+`">`) {
			t.Errorf("%s: subject %q, html %s", action, m.Subject, m.HTML)
		}
	}
	disowned := b.notice()
	disowned.Disowned, disowned.Contacts.Language = true, "en"
	if err := b.queue(t, n, disowned); err != nil {
		t.Fatal(err)
	}
	if err := n.sendDue(t.Context()); err != nil || !strings.Contains(b.mail.Messages()[0].Text, "nothing was changed") {
		t.Errorf("a disowned recovery: %q, %v", b.mail.Messages()[0].Text, err)
	}
	unknown := b.notice()
	unknown.Unknown, unknown.Contacts.Language = true, "de"
	if err := b.queue(t, n, unknown); err != nil {
		t.Fatal(err)
	}
	if err := n.sendDue(t.Context()); err != nil || b.mail.Messages()[0].Subject != "Ihr Konto bei Example wurde möglicherweise geändert" {
		t.Errorf("an unknown outcome: %q, %v", b.mail.Messages()[0].Subject, err)
	}
	if strings.Contains(b.log.String(), "canary") || strings.Contains(b.log.String(), "anna@") {
		t.Errorf("the log holds the token or an address: %s", b.log.String())
	}
}

func TestP05_LinksLeadToStoredDomainsOnly(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	b.domain(t, "acme.localhost")
	b.domain(t, "second.example.com")
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error { // registered, but not proven
		_, err := tx.AddDomain(t.Context(), b.env, "aaa.example.com")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n := b.notifier(t)
	for origin, want := range map[string]string{
		"https://second.example.com":      "https://second.example.com/",
		"https://second.example.com:8443": "https://second.example.com:8443/",
		"http://acme.localhost:8080":      "http://acme.localhost:8080/",
		"http://second.example.com":       "https://acme.localhost/",
		"https://evil.example":            "https://acme.localhost/",
		"https://aaa.example.com":         "https://acme.localhost/",
		"https://second.example.com@evil": "https://acme.localhost/",
		"javascript:alert(1)":             "https://acme.localhost/",
		"":                                "https://acme.localhost/",
	} {
		p, err := n.place(t.Context(), b.env, origin, "en")
		if got := p.link(protocol.NewSecret("t")); err != nil || got != want+"not-me?token=t" {
			t.Errorf("%q leads to %q, %v", origin, got, err)
		}
	}
	other := storetest.Seed(t, b.store).Env.ID
	if _, err := n.place(t.Context(), other, "https://second.example.com", "en"); err == nil {
		t.Error("another environment's domain was used")
	}
}

func TestTheOutboxLosesNothing(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		var full atomic.Bool
		b := newBench(t, c, mailbox.Config{Judge: func(string, []string) (int, string) {
			if full.Load() {
				return 452, "full"
			}
			return 0, ""
		}})
		n := b.notifier(t)
		full.Store(true)
		if err := b.queue(t, n, b.notice()); err != nil {
			t.Fatal(err)
		}
		if err := n.sendDue(t.Context()); err != nil || b.waiting(t) != 2 {
			t.Fatalf("a full mail server: %d waiting, %v", b.waiting(t), err)
		}
		full.Store(false)
		if err := n.sendDue(t.Context()); err != nil || b.waiting(t) != 2 {
			t.Fatalf("before the retry is due: %d waiting, %v", b.waiting(t), err)
		}
		b.ahead.Add(2 * firstRetry.Milliseconds())
		claimed, err := store.Change(t.Context(), b.store, func(tx *store.Tx) ([]store.Mail, error) { // by a node that dies now
			return tx.ClaimMails(t.Context(), 1, b.clock().Add(claimFor))
		})
		if err != nil || len(claimed) != 1 {
			t.Fatal(claimed, err)
		}
		other := b.notifier(t)
		if err := other.sendDue(t.Context()); err != nil || b.waiting(t) != 1 {
			t.Errorf("the dead node's mail: %d waiting, %v", b.waiting(t), err)
		}
		b.ahead.Add(2 * claimFor.Milliseconds())
		if err := other.sendDue(t.Context()); err != nil || b.waiting(t) != 0 || len(b.mail.Messages()) != 2 {
			t.Errorf("after the claim lapsed: %d waiting, %d sent, %v", b.waiting(t), len(b.mail.Messages()), err)
		}
	})
}

// Somebody changed one of two mails in the database: it is given up, which the log of the
// environment says, and the other goes.
func TestAMailThatWasChangedInTheDatabaseIsSetAside(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newBench(t, c, mailbox.Config{})
		n := b.notifier(t)
		if err := b.queue(t, n, b.notice()); err != nil {
			t.Fatal(err)
		}
		b.spoil(t, "body || 'AAAA'")
		if err := n.sendDue(t.Context()); err != nil || b.waiting(t) != 0 || len(b.mail.Messages()) != 1 {
			t.Errorf("%d waiting, %d sent, %v", b.waiting(t), len(b.mail.Messages()), err)
		}
		if said, last := b.records(t, audit.MessageUnread); said != 1 || !strings.Contains(last, "does not open in its place: mails.body") {
			t.Errorf("said %d times: %s", said, last)
		}
		b.said(t, 0, 0) // the mail server has no part in it
	})
}

// During a rotation a node may meet a mail under a key that it learns of a moment later.
func TestAMailWhoseKeyIsMissingIsGivenUpAfterThreeTries(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	n := b.notifier(t)
	if err := b.queue(t, n, b.notice()); err != nil {
		t.Fatal(err)
	}
	b.spoil(t, "'0' || body")
	for try := range unreadTries {
		if got, _ := b.records(t, audit.MessageUnread); got != 0 || (b.waiting(t) == 0) {
			t.Errorf("before try %d: said %d times, %d waiting", try+1, got, b.waiting(t))
		}
		if err := n.sendDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.ahead.Add(lastRetry.Milliseconds())
	}
	if said, last := b.records(t, audit.MessageUnread); said != 1 || b.waiting(t) != 0 || !strings.Contains(last, "which this node does not have") {
		t.Errorf("said %d times, %d waiting: %s", said, b.waiting(t), last)
	}
}

// spoil changes one mail that waits.
func (b *bench) spoil(t *testing.T, to string) {
	t.Helper()
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.Must(t.Context(), "UPDATE mails SET body = "+to+" WHERE id = (SELECT MIN(id) FROM mails)")
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestARefusedMailIsNotTriedAgain(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{Judge: func(string, []string) (int, string) { return 554, "no anna@corp.example here" }})
	n := b.notifier(t)
	if err := b.queue(t, n, b.notice()); err != nil {
		t.Fatal(err)
	}
	if err := n.sendDue(t.Context()); err != nil || b.waiting(t) != 0 {
		t.Errorf("%d waiting, %v", b.waiting(t), err)
	}
	if log := b.log.String(); !strings.Contains(log, "mail given up") || strings.Contains(log, "anna@") {
		t.Errorf("log = %s", log)
	}
}

func TestRunSendsWhatIsQueuedAndEndsWithItsContext(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	n := b.notifier(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(running) }()
	if err := b.queue(t, n, b.notice()); err != nil {
		t.Fatal(err)
	}
	n.Wake()
	if _, err := b.mail.Wait(ctx, func(m mailbox.Message) bool { return m.To[0] == "anna@home.example" }); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestEncryptedRoutes(t *testing.T) {
	ca, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	server := &tls.Config{Certificates: []tls.Certificate{pair}}
	for name, c := range map[string]struct {
		server mailbox.Config
		route  func(*Route)
		fails  bool
	}{
		"starttls":            {mailbox.Config{TLS: server, User: "hub", Password: "right"}, func(r *Route) { r.TLS = "" }, false},
		"implicit":            {mailbox.Config{TLS: server, Implicit: true, User: "hub", Password: "right"}, func(r *Route) { r.TLS = Implicit }, false},
		"login only":          {mailbox.Config{TLS: server, User: "hub", Password: "right", Auth: "LOGIN"}, func(r *Route) { r.TLS = StartTLS }, false},
		"wrong password":      {mailbox.Config{TLS: server, User: "hub", Password: "other"}, func(r *Route) { r.TLS = StartTLS }, true},
		"starttls stripped":   {mailbox.Config{User: "hub", Password: "right"}, func(r *Route) { r.TLS = StartTLS }, true},
		"untrusted authority": {mailbox.Config{TLS: server, User: "hub", Password: "right"}, func(r *Route) { r.TLS, r.Roots = StartTLS, x509.NewCertPool() }, true},
	} {
		b := newBench(t, storetest.SQLite(t), c.server)
		n := b.notifier(t, func(r *Route) { r.User, r.Password, r.Roots = "hub", protocol.NewSecret("right"), roots; c.route(r) })
		err := n.SendCode(t.Context(), b.code())
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		if all := b.mail.Messages(); !c.fails && (len(all) != 1 || !all[0].TLS || !all[0].SignedIn) {
			t.Errorf("%s: mails %+v", name, all)
		}
		if err != nil && strings.Contains(err.Error(), "right") {
			t.Errorf("%s: the error holds the password: %v", name, err)
		}
	}
}

func TestRoutesAreChecked(t *testing.T) {
	for name, r := range map[string]Route{
		"no port":      {Host: "mail.example.com", From: "a@b.example"},
		"no sender":    {Host: "mail.example.com:587"},
		"bad sender":   {Host: "mail.example.com:587", From: "a@b.example\r\nBcc: x@y.example"},
		"plain abroad": {Host: "mail.example.com:25", From: "a@b.example", TLS: Off},
		"unknown tls":  {Host: "mail.example.com:25", From: "a@b.example", TLS: "yes"},
	} {
		if _, err := r.check(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestHeadersCannotBeBrokenOutOf(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		e, err := tx.Environment(t.Context(), b.env)
		if err != nil {
			return err
		}
		e.PublicName = "Größe & <b>Söhne</b>\r\nBcc: evil@example.com\r\n\r\nbody"
		return tx.UpdateEnvironment(t.Context(), e)
	})
	if err != nil {
		t.Fatal(err)
	}
	n, notice := b.notifier(t), b.notice()
	notice.Account = "Anna <b>x</b>\r\n\r\nhttps://evil.example/"
	notice.Contacts = protocol.Contacts{Primary: []string{"jürgen@corp.example"}}
	if err := b.queue(t, n, notice); err != nil {
		t.Fatal(err)
	}
	if err := n.sendDue(t.Context()); err != nil || len(b.mail.Messages()) != 1 {
		t.Fatal(err, len(b.mail.Messages()))
	}
	m := b.mail.Messages()[0]
	if m.Header["Bcc"] != nil || len(m.Header["Subject"]) != 1 || !strings.Contains(m.Subject, "Größe & <b>Söhne</b> Bcc:") || strings.ContainsAny(m.Subject, "\r\n") {
		t.Errorf("subject %q, headers %v", m.Subject, m.Header)
	}
	if strings.Contains(m.HTML, "<b>") || strings.Contains(m.HTML, `href="https://evil`) || !strings.Contains(m.HTML, "&lt;b&gt;") {
		t.Errorf("html %s", m.HTML)
	}
	if m.To[0] != "jürgen@corp.example" {
		t.Errorf("to %v", m.To)
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("anna@example.com")
	f.Add("a@b\r\nBcc: c@d")
	f.Fuzz(func(t *testing.T, addr string) {
		if deliverable(addr) && (strings.ContainsAny(addr, "\r\n\x00<>, ") || strings.Count(addr, "@") != 1) {
			t.Errorf("%q is taken for an address", addr)
		}
	})
}
