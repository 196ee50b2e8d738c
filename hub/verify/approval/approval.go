// Package approval is the method approval: people whom the organisation named, and the
// account's own manager, vouch for somebody who has proven something already. Each signs
// with a passkey over exactly what they approve, for the agent to check again. It knows
// no pages and sends no mail itself.
package approval

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Limits of a request.
const (
	life       = 24 * time.Hour // longer than any recovery waits
	maxAsked   = 10             // people who are asked at once
	numberTry  = 3              // numbers that one person types: one in thirty is guessed
	maxOpen    = 5              // requests that wait for one person: more are not read with care
	maxPerHour = 10             // requests that one person is sent
	maxOfOne   = 4              // of those, about one account: nobody uses them up for the others
	maxAnew    = 3              // requests of one recovery, each in place of the one before: nobody sends mails by beginning anew
)

// Errors that pages tell apart.
var (
	ErrGone     = errors.New("approval: nobody waits for this any more")
	ErrReplaced = errors.New("approval: another request was made in place of this one")
	ErrNumber   = errors.New("approval: another number than the one that is shown")
	ErrTooMany  = errors.New("approval: too many wrong numbers")
	ErrSpoken   = errors.New("approval: the person has not been spoken to")
	ErrKey      = errors.New("approval: not signed by a passkey of this person that counts")
)

// A Message asks one person to vouch, or tells of an alarm.
type Message struct {
	Env, To, Name string
	Alarm         bool
	Account       string // name; of an alarm
	By            string // who raised it
	Origin        string
	Token         protocol.Secret // of the link; it stands in the fragment
	Until         time.Time
}

// Messages puts mails into the outbox.
type Messages interface {
	// QueueApproval puts a mail into the outbox in the caller's transaction.
	QueueApproval(ctx context.Context, tx *store.Tx, m Message) error
	// Wake hastens the sending of what has committed.
	Wake()
}

// Rules reads whom a directory asks.
type Rules func(ctx context.Context, tx *store.Tx, env, directory string) (policy.Methods, error)

// Approvals is the verifier, and what the pages of approvers call. Flow may be set after
// New, before Run.
type Approvals struct {
	Store *store.Store
	Mail  Messages
	Rules Rules
	Log   *slog.Logger
	Flow  verify.Settler
}

// details is what a request says; sealed in the store.
type details struct {
	Name      string           `json:"name"` // of the account
	Action    protocol.Action  `json:"action"`
	Operation string           `json:"operation"`
	Context   protocol.Context `json:"context"`
	Number    string           `json:"number"`
	Device    string           `json:"device"`
	Address   string           `json:"address"`
	AskedAt   time.Time        `json:"asked_at"`
	Origin    string           `json:"origin"`
	RPID      string           `json:"rp_id"`
	Person    string           `json:"person"` // row id of the account
	Recovery  string           `json:"recovery"`
	Own       []string         `json:"own"` // addresses of the account: whoever has one of them is its owner
	Manager   string           `json:"manager"`
}

// Method implements verify.Verifier.
func (*Approvals) Method() policy.Method { return policy.Approval }

// Usable implements verify.Verifier: enough people were asked, or can be now. The first of
// them to decide decide.
func (a *Approvals) Usable(ctx context.Context, s verify.Subject) bool {
	enough, err := store.Get(ctx, a.Store, func(tx *store.Tx) (bool, error) {
		was, err := askedBefore(ctx, tx, s)
		if err != nil || was.serves {
			return was.serves, err
		}
		_, _, err = a.callable(ctx, tx, s)
		return err == nil, err
	})
	if nobodyLeft(err) {
		return false
	}
	if err != nil {
		a.Log.WarnContext(ctx, "it cannot be read who may vouch", "directory", s.Directory, "error", err)
	}
	return enough && err == nil && s.Account != ""
}

// Why nobody is asked.
var (
	errTooFew  = errors.New("approval: fewer people can be asked than must agree")
	errAnew    = errors.New("approval: people were asked too often for one recovery")
	errDenied  = errors.New("approval: somebody said no to this person")
	errUnbound = errors.New("approval: asked before there is a context")
)

// nobodyLeft reports whether an error says that this person can ask nobody.
func nobodyLeft(err error) bool {
	return errors.Is(err, errTooFew) || errors.Is(err, errAnew) || errors.Is(err, errDenied)
}

// callable is people if they can be asked now; errTooFew or errAnew says why not.
func (a *Approvals) callable(ctx context.Context, tx *store.Tx, s verify.Subject) ([]store.Staff, policy.People, error) {
	n, err := tx.CountApprovals(ctx, s.Env, s.Verification, string(policy.Approval))
	if err == nil && n >= maxAnew {
		err = errAnew
	}
	if err != nil {
		return nil, policy.People{}, err
	}
	people, rule, err := a.people(ctx, tx, s)
	if err == nil && len(people) < rule.Count {
		err = fmt.Errorf("%w: %d of %d", errTooFew, len(people), rule.Count)
	}
	return people, rule, err
}

// people lists who may be asked about the subject: named by the directory's settings or
// the account's manager, with a passkey of this recovery domain, not the subject, not
// suspended, not flooded, and nobody twice (T7).
func (a *Approvals) people(ctx context.Context, tx *store.Tx, s verify.Subject) ([]store.Staff, policy.People, error) {
	methods, err := a.Rules(ctx, tx, s.Env, s.Directory)
	if err != nil {
		return nil, policy.People{}, err
	}
	rule := methods.Vouchers()
	own, err := verify.Addresses(ctx, tx, s)
	if err != nil {
		return nil, rule, err
	}
	e, err := tx.Environment(ctx, s.Env)
	if err != nil {
		return nil, rule, err
	}
	all, err := tx.StaffList(ctx, e.Org)
	if err != nil {
		return nil, rule, err
	}
	about := about{s.Env, s.Directory, s.Account, s.Contacts.Manager, own, rule}
	var people []store.Staff
	for _, p := range all {
		if len(people) == maxAsked {
			break
		}
		if !about.stands(p, tx.Now()) || samePerson(people, p) {
			continue
		}
		ok, err := reachable(ctx, tx, s, p)
		if err != nil {
			return nil, rule, err
		}
		if ok {
			people = append(people, p)
		}
	}
	return people, rule, nil
}

// about is the account for whose owner people vouch, and the rule that names them.
type about struct {
	env, directory, account string
	manager                 string
	own                     []string // addresses of the account
	rule                    policy.People
}

// stands reports whether a person may vouch for the account's owner now: the rule names
// them, they are of the environment and not suspended, and they are not the owner.
func (a about) stands(p store.Staff, now time.Time) bool {
	return a.rule.Names(p.Mail, a.manager) && p.Reaches(a.env) && !p.Suspended(now) && !p.Is(a.directory, a.account, a.own)
}

// samePerson reports whether p's own account is that of one of the others: persons are
// counted, not rows.
func samePerson(people []store.Staff, p store.Staff) bool {
	return p.Account != "" && slices.ContainsFunc(people, func(o store.Staff) bool { return o.Is(p.Directory, p.Account, nil) })
}

// reachable reports whether a person has a key that counts, and no more requests than
// somebody reads with care.
func reachable(ctx context.Context, tx *store.Tx, s verify.Subject, p store.Staff) (bool, error) {
	keys, err := keysOf(ctx, tx, p, s.RPID)
	if err != nil || len(keys) == 0 {
		return false, err
	}
	since := tx.Now().Add(-time.Hour)
	open, sent, err := tx.AskedOf(ctx, s.Env, p.ID, s.Verification, since)
	if err != nil || open >= maxOpen || sent >= maxPerHour {
		return false, err
	}
	about, err := tx.SentAbout(ctx, s.Env, p.ID, s.Directory, s.Account, since)
	return about < maxOfOne, err
}

// keysOf lists the passkeys of a person that count at a relying party.
func keysOf(ctx context.Context, tx *store.Tx, p store.Staff, rp string) (list []evidence.Credential, err error) {
	all, err := tx.StaffKeys(ctx, p.Org, p.ID)
	for _, k := range all {
		if k.RP != rp || k.ActiveAt.After(tx.Now()) {
			continue
		}
		var c evidence.Credential
		if err := json.Unmarshal(k.Secret, &c); err != nil {
			return nil, fmt.Errorf("approval: a passkey cannot be read: %w", err)
		}
		list = append(list, c)
	}
	return list, err
}

// asked is what the page of the person who waits is given.
type asked struct {
	Number string `json:"number"`
}

// A before is the request that stands for a verification; the zero one says that none does.
type before struct {
	row    store.Approval
	d      details
	serves bool // nobody is asked in its place
}

// askedBefore finds the request that stands. One about another context serves no more: what
// people agree to there is for a recovery that went on. Who said no said it to the person,
// whether the verification was told or not: errDenied.
func askedBefore(ctx context.Context, tx *store.Tx, s verify.Subject) (b before, err error) {
	row, err := tx.ApprovalOf(ctx, s.Env, s.Verification, string(policy.Approval))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return b, nil
	case err != nil:
		return b, err
	case row.State == store.ApprovalDenied:
		return b, errDenied
	case !verify.Stands(row, tx.Now()):
		return b, nil
	}
	b.row = row
	b.d, err = detailsOf(row)
	b.serves = err == nil && b.d.Context == s.Context
	return b, err
}

// Open implements verify.Verifier: it asks people, or returns the request that is there.
func (a *Approvals) Open(ctx context.Context, s verify.Subject) (verify.Challenge, error) {
	number, err := newNumber()
	if err != nil {
		return verify.Challenge{}, err
	}
	if s.Account == "" { // nobody is asked about nobody
		return verify.Challenge{Text: store.NewID(), Ask: mustJSON(asked{number})}, nil
	}
	if s.Context == (protocol.Context{}) {
		return verify.Challenge{}, errUnbound
	}
	c, err := store.Change(ctx, a.Store, func(tx *store.Tx) (verify.Challenge, error) { return a.open(ctx, tx, s, number) })
	if err == nil {
		a.Mail.Wake()
	}
	return c, err
}

func (a *Approvals) open(ctx context.Context, tx *store.Tx, s verify.Subject, number string) (verify.Challenge, error) {
	was, err := askedBefore(ctx, tx, s)
	if err != nil || was.serves {
		return challengeOf(was.row.ID, was.d.Number), err
	}
	people, rule, err := a.callable(ctx, tx, s)
	if err != nil {
		return verify.Challenge{}, err
	}
	own, err := verify.Addresses(ctx, tx, s)
	if err != nil {
		return verify.Challenge{}, err
	}
	d := details{Name: s.Name, Action: s.Action, Operation: s.Operation, Context: s.Context, Number: number, Device: s.Device, Address: s.Address,
		AskedAt: s.AskedAt, Origin: s.Origin, RPID: s.RPID, Person: s.Person, Recovery: s.Recovery, Own: own, Manager: s.Contacts.Manager}
	row := store.Approval{Env: s.Env, ID: store.NewID(), Verification: s.Verification, Kind: string(policy.Approval), Directory: s.Directory,
		Account: s.Account, People: rule.Count, Details: mustJSON(d), EndsAt: earlier(s.Until, tx.Now().Add(life))}
	if was.row.ID != "" {
		if err := replace(ctx, tx, was, row.ID); err != nil {
			return verify.Challenge{}, err
		}
	}
	return challengeOf(row.ID, number), a.askAll(ctx, tx, row, d, people)
}

func challengeOf(id, number string) verify.Challenge {
	return verify.Challenge{Text: id, Case: id, Ask: mustJSON(asked{number})}
}

// replace ends a request in whose place another one is made, so that nobody agrees to what
// nobody waits for; what some of them agreed to already is void.
func replace(ctx context.Context, tx *store.Tx, was before, by string) error {
	if err := tx.ReplaceApproval(ctx, was.row.Env, was.row.ID); err != nil {
		return err
	}
	asks, err := tx.ApprovalAsks(ctx, was.row.Env, was.row.ID)
	if err != nil {
		return err
	}
	void := []string{}
	for _, k := range asks {
		if k.State == store.AskApproved {
			void = append(void, k.Staff)
		}
	}
	return audit.Append(ctx, tx, audit.Event{Env: was.row.Env, Kind: audit.ApprovalReplaced, Account: was.d.Person, Trace: was.row.ID,
		Detail: map[string]any{"approval": was.row.ID, "replaced_by": by, "void_approvers": void}})
}

// askAll keeps a request and sends everybody the link to their part.
func (a *Approvals) askAll(ctx context.Context, tx *store.Tx, row store.Approval, d details, people []store.Staff) error {
	if err := tx.AddApproval(ctx, &row); err != nil {
		return err
	}
	for _, p := range people {
		if err := a.ask(ctx, tx, row, d, p); err != nil {
			return err
		}
	}
	return nil
}

// ask sends one person the link to their part.
func (a *Approvals) ask(ctx context.Context, tx *store.Tx, row store.Approval, d details, p store.Staff) error {
	token := store.NewToken()
	if err := tx.AddApprovalAsk(ctx, row.Env, row.ID, p.ID, store.HashToken(token)); err != nil {
		return err
	}
	err := a.Mail.QueueApproval(ctx, tx, Message{Env: row.Env, To: p.Mail, Name: p.Name, Origin: d.Origin, Token: protocol.NewSecret(token), Until: row.EndsAt})
	if err != nil {
		return err
	}
	return audit.Append(ctx, tx, audit.Event{Env: row.Env, Kind: audit.ApprovalAsked, Account: d.Person, Trace: row.ID,
		Detail: map[string]any{"approval": row.ID, "approver": p.ID, "people": row.People, "until": row.EndsAt.UTC().Format(time.RFC3339)}})
}

// Check implements verify.Verifier. The person who waits has nothing to answer with.
func (a *Approvals) Check(context.Context, verify.Subject, string, string) (verify.Verdict, error) {
	return verify.Verdict{Reason: "other people decide"}, nil
}

// newNumber returns two digits that whoever asks tells whom they ask.
func newNumber() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(90))
	if err != nil {
		return "", err
	}
	return fmt.Sprint(n.Int64() + 10), nil
}

func detailsOf(row store.Approval) (d details, err error) {
	if err := json.Unmarshal(row.Details, &d); err != nil {
		return d, fmt.Errorf("approval: a request cannot be read: %w", err)
	}
	return d, nil
}

func mustJSON(v any) []byte { return []byte(store.JSON(v)) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
