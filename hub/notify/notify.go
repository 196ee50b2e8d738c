package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// codeTimeout bounds the sending of a code: a person waits for it.
const codeTimeout = 20 * time.Second

// Config is what New needs.
type Config struct {
	Store *store.Store
	Route Route
	Node  string           // name of this machine
	Log   *slog.Logger     // nil: slog.Default()
	Now   func() time.Time // nil: time.Now
}

// A Notifier sends mail. It is safe for use by many goroutines.
type Notifier struct {
	store *store.Store
	node  string
	log   *slog.Logger
	now   func() time.Time
	route atomic.Pointer[route] // nil: no mail server
	wake  chan struct{}
}

// New makes a Notifier. The caller runs Run, which sends what is queued.
func New(c Config) (*Notifier, error) {
	if c.Store == nil {
		return nil, errors.New("notify: no store")
	}
	n := &Notifier{store: c.Store, node: c.Node, log: c.Log, now: c.Now, wake: make(chan struct{}, 1)}
	if n.log == nil {
		n.log = slog.Default()
	}
	if n.now == nil {
		n.now = time.Now
	}
	return n, n.SetRoute(c.Route)
}

// SetRoute changes the mail server for what is sent from now on.
func (n *Notifier) SetRoute(r Route) error {
	checked, err := r.check()
	if err == nil {
		n.route.Store(checked)
	}
	return err
}

// Usable reports whether there is a mail server to send by.
func (n *Notifier) Usable() bool { return n.route.Load() != nil }

// A Code is a mail with a code.
type Code struct {
	Env      string
	To       []string // as the directory gives them
	Enroll   bool     // the person sets an account up instead of getting it back
	Confirm  bool     // the address is confirmed, to get an account back later
	Asked    bool     // the address is confirmed, to be told to the company that asks for it
	Language string   // BCP 47
	Origin   string   // of the recovery site, "https://recover.example.com"
	Code     protocol.Secret
	Until    time.Time // when the code ends
}

// SendCode sends a code to each address, now, and returns nil if the mail server took
// at least one of the mails. It returns within 20 seconds.
func (n *Notifier) SendCode(ctx context.Context, c Code) error {
	r := n.route.Load()
	if r == nil {
		return ErrNoRoute
	}
	asking := ctx
	ctx, cancel := context.WithTimeout(ctx, codeTimeout)
	defer cancel()
	place, err := n.place(ctx, c.Env, c.Origin, c.Language)
	if err != nil {
		return err
	}
	var parcels []parcel
	for _, to := range c.To {
		if deliverable(to) {
			parcels = append(parcels, parcel{codeLetter(place, to, c), store.NewID()})
		}
	}
	errs := r.send(ctx, n.now(), parcels...)
	if len(errs) == 0 {
		return ErrNoAddress
	}
	n.note(asking, tries(c.Env, errs)...)
	if slices.Contains(errs, nil) {
		return nil
	}
	return fmt.Errorf("notify: code: %w", errors.Join(errs...))
}

func codeLetter(p place, to string, c Code) letter {
	key := "mail.code.body.recover"
	switch {
	case c.Confirm:
		key = "mail.code.body.confirm"
	case c.Asked:
		key = "mail.code.body.asked"
	case c.Enroll:
		key = "mail.code.body.enroll"
	}
	args := []any{"company", p.company, "site", p.host, "code", c.Code.Reveal(), "until", c.Until.UTC()}
	return newLetter(p.language, to, p.language.Text("mail.code.subject", "company", p.company), p.language.Text(key, args...))
}

// ErrNoDomain says that a mail could name no recovery site.
var ErrNoDomain = errors.New("notify: no proven domain")

// ErrNoAddress says that none of the addresses can be sent to.
var ErrNoAddress = errors.New("notify: the account has no address to send to")

// A Notice tells the owner of an account what was done to it.
type Notice struct {
	Env      string
	Contacts protocol.Contacts // read live from the directory: the only source of recipients
	Action   protocol.Action
	Unknown  bool   // nobody knows yet whether it was done
	Trial    bool   // it was evaluated, and nothing was changed
	Disowned bool   // nothing was done: somebody was made to take it over, and said so
	Account  string // name
	At       time.Time
	Client   string // IP address of the browser
	Device   string // its User-Agent
	Language string // BCP 47; that of Contacts wins
	Origin   string // of the recovery site
	Token    protocol.Secret
	Until    time.Time // how long the token works
}

// Queue puts a notice for every address of the owner into the outbox, in the caller's
// transaction: what was done and that it will be told are one. After that has committed,
// Wake hastens the sending. Without an address that can be sent to it is ErrNoAddress,
// and nothing was written.
func (n *Notifier) Queue(ctx context.Context, tx *store.Tx, notice Notice) error {
	return n.queue(ctx, tx, notice.Env, notice.Origin, notice.Language, notice.Contacts, func(p place, to string) letter { return noticeLetter(p, to, notice) })
}

// queue puts a letter for every address of an owner into the outbox.
func (n *Notifier) queue(ctx context.Context, tx *store.Tx, env, origin, wish string, c protocol.Contacts, write func(p place, to string) letter) error {
	to := recipients(c)
	if len(to) == 0 {
		return ErrNoAddress
	}
	language := c.Language
	if !locale.Known(language) {
		language = wish
	}
	p, err := placeOf(ctx, tx, env, origin, language)
	if err != nil {
		return err
	}
	for _, addr := range to {
		body, err := json.Marshal(write(p, addr))
		if err != nil {
			return err
		}
		if err := tx.AddMail(ctx, env, body, n.now().Add(keepTrying)); err != nil {
			return err
		}
	}
	return nil
}

// maxRecipients bounds the addresses of one owner.
const maxRecipients = 10

// recipients are the owner's addresses, those of the account and the others, each once.
func recipients(c protocol.Contacts) []string {
	var to []string
	for _, a := range slices.Concat(c.Primary, c.Mail) {
		known := slices.ContainsFunc(to, func(o string) bool { return strings.EqualFold(o, a) })
		if deliverable(a) && !known && len(to) < maxRecipients {
			to = append(to, a)
		}
	}
	return to
}

func noticeLetter(p place, to string, n Notice) letter {
	about := string(n.Action)
	switch {
	case n.Disowned:
		about = "disowned"
	case n.Unknown:
		about = "unknown"
	}
	l := p.language
	subject := l.Text("mail.notice.subject."+about, "company", p.company)
	what := l.Text("mail.notice.what."+about, "account", oneLine(n.Account), "company", p.company)
	if n.Trial {
		subject = l.Text("mail.notice.trial.subject", "company", p.company)
		what = l.Text("mail.notice.trial.what", "account", oneLine(n.Account), "action", l.Text("trial.action."+string(n.Action)))
	}
	body := l.Text("mail.notice.body", "what", what, "at", n.At.UTC(), "device", l.Device(n.Device), "address", oneLine(n.Client),
		"site", p.host, "company", p.company, "link", p.link(n.Token), "until", n.Until.UTC())
	return newLetter(l, to, subject, body)
}

// A place is where a recovery takes place, as stored records say.
type place struct {
	company  string
	host     string
	origin   string
	language *locale.Language
}

func (n *Notifier) place(ctx context.Context, env, origin, language string) (p place, err error) {
	err = n.store.Read(ctx, func(tx *store.Tx) (err error) {
		p, err = placeOf(ctx, tx, env, origin, language)
		return err
	})
	return p, err
}

// placeOf looks an origin up among the environment's domains. One that is not there, or
// not any more, is replaced by one that is: no link ever leads elsewhere (P5). With
// ErrNoDomain it returns what else a mail says of the environment.
func placeOf(ctx context.Context, tx *store.Tx, env, origin, language string) (place, error) {
	e, err := tx.Environment(ctx, env)
	if err != nil {
		return place{}, err
	}
	p := place{company: oneLine(e.PublicName), language: locale.Choose(e.Microsite.Languages, language)}
	domains, err := tx.Domains(ctx, env)
	if err != nil {
		return place{}, err
	}
	domains = slices.DeleteFunc(domains, func(d store.Domain) bool { return d.Proven.IsZero() })
	if len(domains) == 0 {
		return p, fmt.Errorf("%w: environment %s", ErrNoDomain, env)
	}
	p.host, p.origin = domains[0].Name, "https://"+domains[0].Name
	u, err := url.Parse(origin)
	known := err == nil && slices.ContainsFunc(domains, func(d store.Domain) bool { return d.Name == u.Hostname() })
	local := known && (u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost"))
	if known && (u.Scheme == "https" || local && u.Scheme == "http") {
		p.host, p.origin = u.Hostname(), u.Scheme+"://"+u.Host
	}
	return p, nil
}

// objectionPath is the page "this was not me" of the recovery site.
const objectionPath = "/not-me"

// link is the address of the page "this was not me". Opening it changes nothing; the
// page has a button (T31).
func (p place) link(token protocol.Secret) string {
	return p.origin + objectionPath + "?" + url.Values{"token": {token.Reveal()}}.Encode()
}

// Wake makes Run look at the outbox now.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default: // it will look anyway
	}
}
