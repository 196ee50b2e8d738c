package request

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
)

// A detail is a claim that no document says: the person gives it. Where it is an address,
// a code is sent there and typed here before it is shared.

// Claims that a person gives.
const (
	Phone         = "phone_number"
	PreferredName = "preferred_name"
)

// KeyPurpose is the purpose for which the store derives the keys of the codes' hashes.
const KeyPurpose = "postern/request/detail/v1"

// Limits of codes: each message costs money or stands in somebody's mailbox, and whoever
// has a link is a stranger.
const (
	detailLife   = 10 * time.Minute // of a code
	detailSends  = 5                // by one who answers
	detailTries  = 5                // of one code
	mailsPerDay  = 6                // to one mailbox, from one environment
	mailsPerHour = 30               // from one client, as of text messages: an office shares one address
	maxPreferred = 200              // of a name, in bytes
	maxMail      = 254              // RFC 5321, section 4.5.3.1.3
)

// Errors of details.
var (
	ErrDetail = errors.New("request: not what is asked for")
	ErrDomain = errors.New("request: a mail address of another domain is asked for")
	ErrCode   = errors.New("request: not the code that was sent")
	ErrSend   = errors.New("request: the code could not be sent")
)

// A CodeMessage carries a code to an address that somebody gave.
type CodeMessage struct {
	Env, To   string
	Use       string // by which messages are counted, besides addresses
	Client    string // address of the browser
	Language  string
	Origin    string
	Code      protocol.Secret
	Until     time.Time
	ForMailer bool // it is a mail address
}

// A pending is an address to which a code was sent.
type pending struct {
	Claim string    `json:"claim"`
	To    string    `json:"to"`
	Hash  string    `json:"hash"`
	Until time.Time `json:"until"`
	Wrong int       `json:"wrong,omitempty"`
}

// given lists the claims of a request that its person gives. What a directory says of an
// account is asked of nobody.
func given(r store.Request) (all []string) {
	for _, n := range r.Claims {
		if row, _ := claimByName(n); row.given() && (r.Exchange == "" || !row.matched) {
			all = append(all, n)
		}
	}
	return all
}

// missing lists what the person has not given yet.
func (f found) missing(r store.Request) []string {
	return slices.DeleteFunc(given(r), func(n string) bool { _, ok := f.Values[n]; return ok })
}

// needsProof reports whether a method must say something for this request: where nothing
// but details are asked for, nobody shows a document.
func needsProof(r store.Request) bool {
	return r.Exchange != "" || len(Provable(r.Claims)) > 0 || asksBound(r)
}

// ready refuses claims that cannot be asked for here now, in the transaction that makes a
// request; ErrChannel says why. Where somebody else waits they are left out instead.
func (q *Requests) ready(ctx context.Context, tx *store.Tx, r *store.Request) error {
	for _, n := range given(*r) {
		var err error
		switch {
		case n == Phone && q.SMS != nil:
			err = q.SMS.Ready(ctx, tx, r.Env)
		case n == Email && q.Mail != nil:
			err = q.Mail.Ready()
		case n != PreferredName:
			err = ErrChannel
		}
		switch {
		case err == nil:
		case r.Exchange != "" && errors.Is(err, ErrChannel):
			r.Claims = slices.DeleteFunc(r.Claims, func(c string) bool { return c == n })
		default:
			return fmt.Errorf("claims: %s: %w", n, err)
		}
	}
	return nil
}

// Give takes a detail that a page asks for. A code is sent where it is an address; the
// name by which somebody wants to be called is taken as it is. Errors: ErrDetail for what
// is no such thing, ErrDomain, ErrTooMany, ErrSend, ErrStep.
func (q *Requests) Give(ctx context.Context, env, id, session, typed string, by Client) error {
	u, r, f, err := q.detailed(ctx, env, id, session)
	if err != nil {
		return err
	}
	asked := f.missing(r)
	if len(asked) == 0 {
		return ErrStep
	}
	if asked[0] == PreferredName {
		name, ok := preferred(typed)
		if !ok {
			return ErrDetail
		}
		f.Values[PreferredName] = name
		return q.keepDetail(ctx, u, f, eventPreferredName)
	}
	p := pending{Claim: asked[0], Until: q.Now().Add(detailLife)}
	if p.To, err = q.address(ctx, r, p.Claim, typed); err != nil {
		return err
	}
	if f.Sends >= detailSends {
		return ErrTooMany
	}
	if ok, err := q.Buckets.Take(ctx, "request detail:"+env+":"+policy.Client(by.Address), opensAtOnce, opensEvery); err != nil || !ok {
		return errors.Join(err, ErrTooMany)
	}
	code := verify.NewCode()
	p.Hash = verify.Keyed(q.keys()[0], place(u, p), code)
	event := detailEvents[p.Claim].added
	if f.Pending != nil && f.Pending.To == p.To {
		event = detailEvents[p.Claim].resent
	}
	f.Pending, f.Sends = &p, f.Sends+1
	if err := q.keepDetail(ctx, u, f, event); err != nil {
		return err
	}
	return q.sendCode(ctx, CodeMessage{Env: env, To: p.To, Use: u.ID, Client: by.Address, Language: u.Language, Origin: r.Origin, Code: protocol.NewSecret(code), Until: p.Until, ForMailer: p.Claim == Email})
}

// detailEvents are what webhooks hear of an address.
var detailEvents = map[string]struct{ added, resent, verified string }{
	Phone: {"vault_phone_added", "vault_phone_resent", "vault_phone_verified"},
	Email: {"vault_email_added", "vault_email_resent", "vault_email_verified"},
}

// sendCode sends one code.
func (q *Requests) sendCode(ctx context.Context, m CodeMessage) (err error) {
	if m.ForMailer {
		if err = q.countMail(ctx, m); err == nil {
			err = q.Mail.SendCode(ctx, m)
		}
	} else {
		err = q.SMS.SendCode(ctx, m)
	}
	if err == nil || errors.Is(err, ErrTooMany) {
		return err
	}
	q.Log.WarnContext(ctx, "a code for an address of somebody who answers a request was not sent", "request_use", m.Use, "error", err)
	return ErrSend
}

// countMail counts a mail before it goes; text messages are counted by who sends them.
func (q *Requests) countMail(ctx context.Context, m CodeMessage) error {
	key := q.keys()[0]
	limits := []struct {
		subject string
		most    int
		window  time.Duration
	}{
		{"request-mail:" + verify.Keyed(key, "mail", mailbox(m.To)), mailsPerDay, 24 * time.Hour},
		{"request-client:" + verify.Keyed(key, "client", policy.Client(m.Client)), mailsPerHour, time.Hour},
	}
	full := false
	err := q.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		first := false
		if full, first, err = tx.CountRequestMail(ctx, m.Env); err != nil || full {
			if first {
				err = audit.Append(ctx, tx, audit.Event{Env: m.Env, Kind: audit.RequestMailsSpent, Actor: audit.Principal{System: "limit"}})
			}
			return err
		}
		for _, l := range limits {
			n, _, err := tx.CodeSends(ctx, m.Env, l.subject, tx.Now().Add(-l.window))
			if err == nil && n >= l.most {
				err = ErrTooMany
			}
			if err == nil {
				err = tx.AddCodeSend(ctx, m.Env, l.subject)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && full {
		q.Log.WarnContext(ctx, "an environment sends no more mails to people who answer requests today", "env", m.Env)
		err = ErrTooMany
	}
	return err
}

// mailbox names where mail to an address lands, as far as it says so: whatever stands
// behind a plus, most servers put it into the same one.
func mailbox(address string) string {
	local, domain, _ := strings.Cut(strings.ToLower(address), "@")
	name, _, _ := strings.Cut(local, "+")
	return name + "@" + domain
}

// ConfirmDetail takes the code that was sent. ErrCode counts a try; after the last the code
// is no good any more, and another one may be sent.
func (q *Requests) ConfirmDetail(ctx context.Context, env, id, session, typed string) error {
	u, _, f, err := q.detailed(ctx, env, id, session)
	if err != nil {
		return err
	}
	if f.Pending == nil {
		return ErrStep
	}
	p := *f.Pending
	code := verify.CleanCode(typed)
	if code == "" || !q.Now().Before(p.Until) || !verify.KeyedIs(p.Hash, q.keys(), place(u, p), code) {
		if p.Wrong++; p.Wrong >= detailTries {
			p.Hash = "" // which no code equals
		}
		f.Pending = &p
		if err := q.keepDetail(ctx, u, f, ""); err != nil {
			return err // another guess was counted, not this one: it hears nothing of the code
		}
		return ErrCode
	}
	f.Values[p.Claim], f.Pending = p.To, nil
	if f.Identity == "" {
		f.Identity = p.Claim + "\x00" + strings.ToLower(p.To)
	}
	return q.keepDetail(ctx, u, f, detailEvents[p.Claim].verified)
}

// ForgetDetail lets the person give another address.
func (q *Requests) ForgetDetail(ctx context.Context, env, id, session string) error {
	u, _, f, err := q.detailed(ctx, env, id, session)
	if err != nil {
		return err
	}
	f.Pending = nil
	return q.keepDetail(ctx, u, f, "")
}

// detailed returns a use that waits for details.
func (q *Requests) detailed(ctx context.Context, env, id, session string) (u store.RequestUse, r store.Request, f found, err error) {
	if u, r, err = q.read(ctx, env, id, session); err != nil {
		return u, r, f, err
	}
	if u.State != useFound {
		return u, r, f, ErrStep
	}
	f, err = foundIn(u)
	return u, r, f, err
}

// keepDetail is the one compare-and-set of a use that waits for details; event is told,
// "" none.
func (q *Requests) keepDetail(ctx context.Context, u store.RequestUse, f found, event string) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return q.step(ctx, &u, func(tx *store.Tx) error {
		u.Private = b
		if event == "" {
			return nil
		}
		r, err := tx.Request(ctx, u.Env, u.Request)
		if err != nil {
			return err
		}
		return q.tell(ctx, tx, r, event)
	})
}

// address reads what was typed as an address to which a code can go.
func (q *Requests) address(ctx context.Context, r store.Request, claim, typed string) (to string, err error) {
	if claim == Phone {
		to, err = store.Get(ctx, q.Store, func(tx *store.Tx) (string, error) {
			return q.SMS.Takes(ctx, tx, r.Env, strings.TrimSpace(typed), false)
		})
		if errors.Is(err, ErrAddress) {
			err = ErrDetail
		}
		return to, err
	}
	if typed, err = plainMail(typed); err != nil {
		return "", err
	}
	if !InDomains(typed, r.MailDomains) {
		return "", ErrDomain
	}
	return typed, nil
}

// plainMail returns what is a mail address and nothing else; ErrDetail for all else.
func plainMail(typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	a, err := mail.ParseAddress("<" + typed + ">")
	if err != nil || a.Address != typed || len(typed) > maxMail || strings.ContainsAny(typed, "\"\\ ") {
		return "", ErrDetail
	}
	return typed, nil
}

// InDomains reports whether a mail address is of one of some domains, or there are none.
func InDomains(address string, domains []string) bool {
	_, domain, _ := strings.Cut(address, "@")
	return len(domains) == 0 || slices.ContainsFunc(domains, func(d string) bool { return d == domain || isASCII(domain) && strings.EqualFold(d, domain) })
}

// isASCII reports whether case is all that folding changes: other letters, as the sign of
// Kelvin, are folded to those of another domain.
func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

// preferred reads a name.
func preferred(typed string) (string, bool) {
	name := strings.Join(strings.Fields(typed), " ")
	return name, name != "" && len(name) <= maxPreferred && !strings.ContainsFunc(name, unicode.IsControl)
}

// place is what a code is good for.
func place(u store.RequestUse, p pending) string { return u.ID + "\x00" + p.Claim + "\x00" + p.To }

func (q *Requests) keys() [][]byte { return q.Store.DeriveKeys(KeyPurpose) }
