package request

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// States of a use.
const (
	useAsked    = "asked"    // shown who asks for what
	useChoosing = "choosing" // consented; there is more than one way to prove it
	useProving  = "proving"  // a challenge is open
	useWaiting  = "waiting"  // handed in; people look at it
	useDeclined = "declined" // they said no; the person may appeal, once
	useRefused  = "refused"  // and that is final, and there is no other way
	useFound    = "found"    // proven; the person sees what would be shared
	useShared   = "shared"
	useRejected = "rejected"
	useRevoked  = "revoked"
	useReturned = "returned" // to another identity provider, which sent the person
)

// A Client is the browser of a person.
type Client struct{ Address, UserAgent string }

// A Step is what the person is asked now.
type Step string

// Steps of a person.
const (
	StepConsent  Step = "consent"
	StepMethod   Step = "method"
	StepProve    Step = "prove"
	StepWait     Step = "wait"     // other people decide
	StepDeclined Step = "declined" // they said no
	StepRefused  Step = "refused"
	StepDetail   Step = "detail" // the person says something, and confirms it
	StepShare    Step = "share"
	StepShared   Step = "shared"
	StepRejected Step = "rejected"
	StepRevoked  Step = "revoked"
	StepReturned Step = "returned"
	StepEnded    Step = "ended"
)

var steps = map[string]Step{useAsked: StepConsent, useChoosing: StepMethod, useProving: StepProve, useWaiting: StepWait, useDeclined: StepDeclined, useRefused: StepRefused, useFound: StepShare, useShared: StepShared, useRejected: StepRejected, useRevoked: StepRevoked, useReturned: StepReturned}

// A View is what a page shows of a use.
type View struct {
	ID        string
	Step      Step
	Claims    []string // that can be shared
	Values    map[string]any
	Methods   []policy.Method // that may be chosen
	Method    policy.Method   // that is asked for
	Form      policy.Form
	Ask       json.RawMessage
	Case      string // what people look at
	Since     time.Time
	Texts     Texts
	Language  string
	ShareLife time.Duration // 0: until it is taken back
	Exchange  bool          // another identity provider waits for it
	Keeps     bool          // and the organisation is answered as well
	Badge     bool          // a photo for a badge is asked for as well, see Badge
	Detail    string        // claim that the person gives now
	Sent      string        // address to which a code for it was sent; "": none
	Domains   []string      // of which a mail address must be; nil: any
	ExpiresAt time.Time
}

// detail makes it the view of what the person has to give yet, if anything.
func (v *View) detail(f found, r store.Request) {
	missing := f.missing(r)
	if len(missing) == 0 {
		return
	}
	v.Step, v.Detail, v.Domains = StepDetail, missing[0], r.MailDomains
	if f.Pending != nil && f.Pending.Claim == missing[0] {
		v.Sent = f.Pending.To
	}
}

// found is what a use keeps sealed between proof and consent.
type found struct {
	Values   map[string]any `json:"values"`
	Identity string         `json:"identity"`
	Case     string         `json:"case,omitempty"`    // that has the selfie which is shared
	Face     string         `json:"face,omitempty"`    // that has a selfie which an account's photo may be compared with
	Pending  *pending       `json:"pending,omitempty"` // an address that is being confirmed
	Sends    int            `json:"sends,omitempty"`   // of codes
	Holder   *holder        `json:"holder,omitempty"`  // whoever waits compares it with accounts

	selfie []byte // of Case, where it was read before the transaction
}

// holder is what an account is compared with.
type holder struct {
	Given     string `json:"given"`
	Family    string `json:"family"`
	BirthDate string `json:"birth_date,omitempty"`
}

// foundOf is what a proof says, with what a use kept before it.
func foundOf(u store.RequestUse, r store.Request, c evidence.Claims, now time.Time) (found, error) {
	f := found{Values: values(r.Claims, c, now), Identity: identity(c)}
	if len(u.Private) > 0 {
		before, err := foundIn(u)
		if err != nil {
			return f, err
		}
		for n, v := range before.Values {
			if row, _ := claimByName(n); row.seen() || row.given() {
				f.Values[n] = v
			}
		}
		f.Sends = before.Sends
	}
	if r.Keeps {
		f.Holder = &holder{c.Given, c.Family, c.BirthDate}
	}
	return f, nil
}

// answers reports whether a proof says anything of what is asked for.
func (f found) answers(r store.Request) bool {
	if slices.ContainsFunc(Provable(r.Claims), func(n string) bool { return f.Values[n] != nil }) {
		return true
	}
	if asksBound(r) && f.Values[Account] != nil {
		return true
	}
	return r.Keeps && len(Provable(r.Claims)) == 0 && f.Holder != nil && f.Holder.Given+f.Holder.Family != ""
}

// Open begins a use for whoever has the link. ErrGone says no more than that.
func (q *Requests) Open(ctx context.Context, env, ticket, lang string, by Client) (id, session string, err error) {
	if ok, err := q.Buckets.Take(ctx, "request:"+env+":"+policy.Client(by.Address), opensAtOnce, opensEvery); err != nil {
		return "", "", err
	} else if !ok {
		return "", "", ErrTooMany
	}
	id = NewUse()
	if session, err = q.open(ctx, env, ticket, id, lang, by); err != nil {
		id = ""
	}
	return id, session, err
}

// NewUse returns the id of a use that is yet to be.
func NewUse() string {
	var part [protocol.RandomPart]byte
	_, _ = rand.Read(part[:]) // never fails
	return protocol.RecoveryID(part[:], nil)
}

// open is Open for a use of an id, however many there are.
func (q *Requests) open(ctx context.Context, env, ticket, use, lang string, by Client) (session string, err error) {
	session = store.NewToken()
	u := store.RequestUse{Env: env, ID: use, Session: store.HashToken(session), State: useAsked, Language: lang, ExpiresAt: q.Now().Add(useLife)}
	err = q.Store.Tx(ctx, func(tx *store.Tx) error {
		r, err := tx.RequestByTicket(ctx, env, ticket)
		if err != nil {
			return err
		}
		if !opens(r, q.Now()) {
			return ErrGone
		}
		u.Request = r.ID
		if err := tx.AddRequestUse(ctx, &u); err != nil {
			return err
		}
		if r.State != Pending {
			return nil
		}
		r.State, r.Progress = InProgress, linkOpened
		if err := tx.SaveRequest(ctx, &r); err != nil {
			return err
		}
		if err := audit.Append(ctx, tx, q.event(r, u, audit.RequestLinkOpened, by, nil)); err != nil {
			return err
		}
		return q.tell(ctx, tx, r, eventLinkOpened)
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrGone
	}
	return session, err
}

// own returns the use of a session with its request.
func own(ctx context.Context, tx *store.Tx, env, id, session string) (u store.RequestUse, r store.Request, err error) {
	if u, err = tx.RequestUse(ctx, env, id); err == nil && subtle.ConstantTimeCompare([]byte(u.Session), []byte(store.HashToken(session))) != 1 {
		err = store.ErrNotFound
	}
	if errors.Is(err, store.ErrNotFound) {
		return u, r, ErrNotFound
	}
	if err == nil {
		r, err = tx.Request(ctx, env, u.Request)
	}
	return u, r, err
}

// live reports whether a use may go on.
func (q *Requests) live(u store.RequestUse, r store.Request) bool {
	if !u.ExpiresAt.After(q.Now()) {
		return false
	}
	switch r.State {
	case RejectedUnusable, Appealed: // opens for nobody else
		r.State = InProgress
	case RejectedFraud: // is over, but for the appeal
		if u.State == useDeclined {
			r.State = InProgress
		}
	}
	return opens(r, q.Now())
}

// View returns what the session sees.
func (q *Requests) View(ctx context.Context, env, id, session string) (View, error) {
	var u store.RequestUse
	var r store.Request
	v, err := store.Get(ctx, q.Store, func(tx *store.Tx) (v View, err error) {
		if u, r, err = own(ctx, tx, env, id, session); err != nil {
			return v, err
		}
		v = View{ID: u.ID, Step: steps[u.State], Claims: shown(r), Method: policy.Method(u.Method), Language: u.Language, ShareLife: r.ShareLife, Exchange: r.Exchange != "", Keeps: r.Keeps, Badge: asksPicture(r), ExpiresAt: u.ExpiresAt}
		if v.Texts, err = textsOf(ctx, tx, r); err != nil {
			return v, err
		}
		switch {
		case v.Step == StepShared || v.Step == StepRejected || v.Step == StepRevoked || v.Step == StepRefused || v.Step == StepReturned:
		case !q.live(u, r):
			v.Step = StepEnded
		case v.Step == StepProve || v.Step == StepWait || v.Step == StepDeclined:
			c, err := tx.Code(ctx, env, u.ID)
			row, _ := policy.MethodByName(v.Method)
			v.Form, v.Ask, v.Case, v.Since = row.Form, json.RawMessage(c.Ask), c.Case, c.SentAt
			return v, err
		case v.Step == StepShare:
			f, err := foundIn(u)
			v.Values = f.Values
			v.detail(f, r)
			return v, err
		}
		return v, nil
	})
	if err == nil && (v.Step == StepMethod || v.Step == StepProve) {
		v.Methods = methods(q.usable(ctx, q.subject(u, r), r))
	}
	return v, err
}

// Texts are the organisation's own words, from the template by which a request was made;
// "" where it has none, or the template is gone.
type Texts struct {
	Headline string `json:"headline"`
	Accept   string `json:"accept_text"`
	Accepted string `json:"accepted_text"`
}

func textsOf(ctx context.Context, tx *store.Tx, r store.Request) (t Texts, err error) {
	if r.Template == "" {
		return t, nil
	}
	all, err := tx.Templates(ctx, r.Env)
	i := slices.IndexFunc(all, func(t store.Template) bool { return t.Name == r.Template })
	if err != nil || i < 0 {
		return t, err
	}
	return t, json.Unmarshal(all[i].Body, &t)
}

func foundIn(u store.RequestUse) (f found, err error) {
	if err = json.Unmarshal(u.Private, &f); err != nil {
		err = fmt.Errorf("request: a use cannot be read: %w", err)
	}
	return f, err
}

// subject is whoever opened the link: nobody that this hub knows.
func (q *Requests) subject(u store.RequestUse, r store.Request) verify.Subject {
	m := protocol.Members{Recovery: u.ID, Operation: string(protocol.Verify), NotAfter: u.ExpiresAt.Unix()}
	s := verify.Subject{Env: u.Env, Recovery: u.ID, Verification: u.ID, Operation: m.Operation, Context: m.Context(), Language: u.Language, Origin: r.Origin, Until: u.ExpiresAt, Meant: r.Account,
		Home: slices.Contains(r.Claims, Address)}
	if o, err := url.Parse(r.Origin); err == nil {
		s.RPID = o.Hostname()
	}
	return s
}

// read returns a use and its request outside of a transaction.
func (q *Requests) read(ctx context.Context, env, id, session string) (u store.RequestUse, r store.Request, err error) {
	err = q.Store.Read(ctx, func(tx *store.Tx) error {
		u, r, err = own(ctx, tx, env, id, session)
		return err
	})
	if err == nil && !q.live(u, r) {
		err = ErrStep
	}
	return u, r, err
}

// step changes a use in one transaction. fn works on a copy, so that it may run again.
func (q *Requests) step(ctx context.Context, u *store.RequestUse, fn func(tx *store.Tx) error) error {
	before := *u
	err := q.Store.Tx(ctx, func(tx *store.Tx) error {
		*u = before
		if err := fn(tx); err != nil {
			return err
		}
		return tx.SaveRequestUse(ctx, u)
	})
	if errors.Is(err, store.ErrConflict) {
		return ErrStep
	}
	return err
}

// order of progress: a request used by several people shows the furthest.
var order = map[string]int{created: 0, linkOpened: 1, appOpened: 2, idScanned: 3, faceScanned: 4, consentGiven: 5}

// progress moves a request on, and tells of what one of its people did.
func (q *Requests) progress(ctx context.Context, tx *store.Tx, u *store.RequestUse, to, event string) error {
	r, err := tx.Request(ctx, u.Env, u.Request)
	if err != nil {
		return err
	}
	if order[r.Progress] < order[to] {
		r.Progress = to
		if err := tx.SaveRequest(ctx, &r); err != nil {
			return err
		}
	}
	return q.tell(ctx, tx, r, event)
}

// identity is what makes two proofs those of one person: an account at a provider, or
// the number of a document. A document without a number is nobody else's: names and
// dates may be shared by strangers, and one must not pass for the other. Where people
// read the document the country is all that is known of its issuer, and a passport and
// the licences of its states may bear one number: its kind, the birth date and the name
// part them.
func identity(c evidence.Claims) string {
	switch {
	case c.Subject != "":
		return "account\x00" + c.Issuer + "\x00" + c.Subject
	case c.Document != "" && c.Type == evidence.TypeReview:
		return strings.Join([]string{"read", c.Issuer, c.DocType, c.Document, c.BirthDate, folded(cmp.Or(c.Family, c.Given))}, "\x00")
	case c.Document != "":
		return "document\x00" + c.Issuer + "\x00" + c.Document
	}
	return once()
}

// once is the identity of somebody whom nothing tells from others.
func once() string { return "once\x00" + store.NewToken() }

// folded brings a name to one case, one composition and one kind of space.
func folded(name string) string {
	return strings.Join(strings.Fields(norm.NFKC.String(strings.ToLower(norm.NFKC.String(name)))), " ")
}
