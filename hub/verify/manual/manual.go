// Package manual is the method manual: staff who have ample proof of who somebody is say
// so, under a policy, for one recovery. Either they did before the recovery comes to it,
// or it waits for them and they match a number with the person. It keeps what staff said
// and takes it back. It knows no pages, and the agent of a strict account never counts it.
package manual

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Limits.
const (
	life      = 24 * time.Hour      // of a request: longer than any recovery waits
	numberTry = 3                   // numbers that one person types: one in thirty is guessed
	keep      = 90 * 24 * time.Hour // of what staff said; the audit log keeps the fact
	maxReason = 1000                // bytes
)

// Errors that pages tell apart.
var (
	ErrGone    = errors.New("manual: nobody waits for this any more")
	ErrNumber  = errors.New("manual: another number than the one that is shown")
	ErrTooMany = errors.New("manual: too many wrong numbers")
	ErrAnswer  = errors.New("manual: policy, checks or reason are missing")
	ErrMayNot  = errors.New("manual: this person may not decide about this account")
)

// Checklist is what staff may have seen; at least one of it.
var Checklist = []string{"in_person", "document_seen", "known_voice", "called_back", "manager_confirmed"}

// A Flow is told what staff decided, and takes it back.
type Flow interface {
	verify.Settler
	// Withdraw leads a recovery that was not sent to its agent back to proving. fn runs in
	// the same transaction; performed says that it was too late.
	Withdraw(ctx context.Context, env, recovery, method string, fn func(tx *store.Tx, performed bool) error) (performed bool, err error)
}

// A Message tells the owner of an account that staff verified them, or took it back.
type Message struct {
	Env, To, Name string
	By            string // of the staff
	Revoked       bool
	Origin        string // of the recovery domain; "" any
}

// A Revocation is told to the organisation's webhooks.
type Revocation struct {
	store.Manual
	Subject   string // of the account
	Performed bool
	Reason    string
}

// Outlets puts what is told into the outboxes, in the caller's transaction.
type Outlets interface {
	QueueManual(ctx context.Context, tx *store.Tx, m Message) error
	QueueRevocation(ctx context.Context, tx *store.Tx, r Revocation) error
	Wake()
}

// A Rules reads how proofs are accepted.
type Rules interface {
	// Methods returns those of a directory, and the groups of an account; none where it is
	// unknown.
	Methods(ctx context.Context, tx *store.Tx, env, directory, account string) (policy.Methods, []policy.Group, error)
	// Offered returns what an account may do, with the combinations that are accepted.
	Offered(ctx context.Context, tx *store.Tx, a store.Account) ([]Choice, error)
	// Sensitive reports whether one of the groups asks for more than the help desk.
	Sensitive(ctx context.Context, tx *store.Tx, env string, groups []policy.Group) (bool, error)
}

// A Choice is a policy under which somebody is verified: an operation, and a combination
// of methods that it accepts.
type Choice struct {
	Action  protocol.Action
	Methods policy.Combination
}

// ID names a choice in a form.
func (c Choice) ID() string {
	names := make([]string, len(c.Methods))
	for i, m := range c.Methods {
		names[i] = string(m)
	}
	return string(c.Action) + ":" + strings.Join(names, "+")
}

// Manuals is the verifier, and what the console calls. Flow may be set after New, before
// Run.
type Manuals struct {
	Store *store.Store
	Rules Rules
	Out   Outlets
	Log   *slog.Logger
	Flow  Flow

	wake chan struct{}
}

// New makes Manuals.
func New(s *store.Store, rules Rules, out Outlets, log *slog.Logger) *Manuals {
	return &Manuals{Store: s, Rules: rules, Out: out, Log: log, wake: make(chan struct{}, 1)}
}

// details is what a request says; sealed in the store.
type details struct {
	Name     string          `json:"name"` // of the account
	Action   protocol.Action `json:"action"`
	Proven   []policy.Method `json:"proven"`
	Number   string          `json:"number"`
	Device   string          `json:"device"`
	Address  string          `json:"address"`
	AskedAt  time.Time       `json:"asked_at"`
	Origin   string          `json:"origin"`
	Person   string          `json:"person"` // row id of the account
	Recovery string          `json:"recovery"`
	Own      []string        `json:"own"` // addresses of the account: whoever has one of them is its owner
	Groups   []policy.Group  `json:"groups"`
}

// said is what staff said; sealed in the store.
type said struct {
	Choice string   `json:"choice"`
	Seen   []string `json:"seen"`
	Reason string   `json:"reason"`
	By     string   `json:"by"` // name of the staff
	Name   string   `json:"name"`
	Taken  string   `json:"taken,omitempty"` // why it was taken back
	Taker  string   `json:"taker,omitempty"`
}

// Method implements verify.Verifier.
func (*Manuals) Method() policy.Method { return policy.Manual }

// Usable implements verify.Verifier: somebody is there who may decide about the account.
func (m *Manuals) Usable(ctx context.Context, s verify.Subject) bool {
	var any bool
	err := m.Store.Read(ctx, func(tx *store.Tx) error {
		own, err := verify.Addresses(ctx, tx, s)
		if err != nil {
			return err
		}
		c, err := m.circle(ctx, tx, s.Env, s.Directory, s.Account, own, s.Groups)
		any = err == nil && slices.ContainsFunc(c.all, func(p store.Staff) bool { return c.may(p, tx.Now()) })
		return err
	})
	if err != nil {
		m.Log.WarnContext(ctx, "it cannot be read who verifies by hand", "directory", s.Directory, "error", err)
	}
	return any && s.Account != ""
}

// A circle is who may decide about one account.
type circle struct {
	env                string
	directory, account string
	own                []string
	all                []store.Staff // of the organisation
	least              string        // role that may
}

// circle works out who may decide: the help desk about an ordinary account,
// administrators about groups for which the environment asks more and about whoever
// vouches or works in the console, owners about owners (T17).
func (m *Manuals) circle(ctx context.Context, tx *store.Tx, env, directory, account string, own []string, groups []policy.Group) (circle, error) {
	c := circle{env: env, directory: directory, account: account, own: own, least: store.RoleUser}
	e, err := tx.Environment(ctx, env)
	if err != nil {
		return c, err
	}
	if c.all, err = tx.StaffList(ctx, e.Org); err != nil {
		return c, err
	}
	sensitive, err := m.Rules.Sensitive(ctx, tx, env, groups)
	if sensitive {
		c.least = store.RoleAdmin
	}
	for _, p := range c.all {
		if !p.Is(directory, account, own) {
			continue
		}
		if p.Role == store.RoleOwner {
			c.least = store.RoleOwner
		} else if !store.AtLeast(c.least, store.RoleAdmin) {
			c.least = store.RoleAdmin
		}
	}
	return c, err
}

// may reports whether somebody may decide: in their environments, and never the owner of
// the account.
func (c circle) may(p store.Staff, now time.Time) bool {
	return store.AtLeast(p.Role, c.least) && p.DecidesIn(c.env, now) && !p.Is(c.directory, c.account, c.own)
}

// asked is what the page of the person who waits is given.
type asked struct {
	Number string `json:"number"`
}

// Open implements verify.Verifier: it counts what staff said before, or asks them, or
// returns the request that is there.
func (m *Manuals) Open(ctx context.Context, s verify.Subject) (verify.Challenge, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(90))
	if err != nil {
		return verify.Challenge{}, err
	}
	number := fmt.Sprint(n.Int64() + 10)
	if s.Account == "" {
		return verify.Challenge{Text: store.NewID(), Ask: []byte(store.JSON(asked{number}))}, nil
	}
	c, err := store.Change(ctx, m.Store, func(tx *store.Tx) (verify.Challenge, error) { return m.open(ctx, tx, s, number) })
	if err == nil {
		m.poke()
	}
	return c, err
}

func (m *Manuals) open(ctx context.Context, tx *store.Tx, s verify.Subject, number string) (verify.Challenge, error) {
	old, err := tx.ApprovalOf(ctx, s.Env, s.Verification, string(policy.Manual))
	if err == nil && verify.Stands(old, tx.Now()) {
		d, err := detailsOf(old)
		return verify.Challenge{Text: old.ID, Case: old.ID, Ask: []byte(store.JSON(asked{d.Number}))}, err
	} else if err != nil && !errors.Is(err, store.ErrNotFound) {
		return verify.Challenge{}, err
	}
	own, err := verify.Addresses(ctx, tx, s)
	if err != nil {
		return verify.Challenge{}, err
	}
	v, err := tx.Verification(ctx, s.Env, s.Verification)
	if err != nil {
		return verify.Challenge{}, err
	}
	d := details{Name: s.Name, Action: s.Action, Proven: s.Proven, Number: number, Device: s.Device, Address: s.Address, AskedAt: s.AskedAt, Origin: s.Origin,
		Person: s.Person, Recovery: v.Recovery, Own: own, Groups: s.Groups}
	row := store.Approval{Env: s.Env, ID: store.NewID(), Verification: s.Verification, Kind: string(policy.Manual), Directory: s.Directory, Account: s.Account,
		People: 1, Details: []byte(store.JSON(d)), EndsAt: s.Until}
	if limit := tx.Now().Add(life); row.EndsAt.After(limit) {
		row.EndsAt = limit
	}
	if err := tx.AddApproval(ctx, &row); err != nil {
		return verify.Challenge{}, err
	}
	return verify.Challenge{Text: row.ID, Case: row.ID, Ask: []byte(store.JSON(asked{number}))}, m.count(ctx, tx, row, d)
}

// count gives a recovery what staff said before it came to that, if the policy under which
// they said it is still accepted and everything before it is proven.
func (m *Manuals) count(ctx context.Context, tx *store.Tx, row store.Approval, d details) error {
	all, err := tx.ManualsOf(ctx, row.Env, row.Directory, row.Account)
	if err != nil {
		return err
	}
	for _, v := range all {
		if !v.Waits(tx.Now()) {
			continue
		}
		fits, err := m.fits(ctx, tx, row, d, v)
		if err != nil {
			return err
		}
		if !fits {
			continue
		}
		if err := tx.ClaimManual(ctx, row.Env, v.ID, d.Recovery); err != nil {
			return err
		}
		return tx.MoveApproval(ctx, row.Env, row.ID, store.ApprovalOpen, store.ApprovalAccepted)
	}
	return nil
}

// fits reports whether what somebody said is for this recovery, and whether they may
// still say it. It decides: when they said it, groups that only the agent knows were
// unknown; now the recovery has them.
func (m *Manuals) fits(ctx context.Context, tx *store.Tx, row store.Approval, d details, v store.Manual) (bool, error) {
	s, err := saidIn(v)
	if err != nil {
		return false, err
	}
	methods, groups, err := m.Rules.Methods(ctx, tx, row.Env, row.Directory, row.Account)
	if err != nil {
		return false, err
	}
	groups = slices.Concat(groups, d.Groups)
	accepted := methods.For(d.Action, groups)
	i := slices.IndexFunc(accepted, func(c policy.Combination) bool { return Choice{d.Action, c}.ID() == s.Choice })
	if i < 0 {
		return false, nil
	}
	before := accepted[i][:max(slices.Index(accepted[i], policy.Manual), 0)]
	if len(before.Without(d.Proven)) > 0 {
		return false, nil
	}
	c, err := m.circle(ctx, tx, row.Env, row.Directory, row.Account, d.Own, groups)
	return slices.ContainsFunc(c.all, func(p store.Staff) bool { return p.ID == v.Staff && c.may(p, tx.Now()) }), err
}

// Check implements verify.Verifier. The person who waits has nothing to answer with.
func (*Manuals) Check(context.Context, verify.Subject, string, string) (verify.Verdict, error) {
	return verify.Verdict{Reason: "staff decide"}, nil
}

// Timing of upkeep.
const (
	upkeepEvery = 20 * time.Second
	soon        = 500 * time.Millisecond // while a page begins to wait for what was said before
	soonTries   = 20
)

// Run tells verifications what could not be told at once, and closes what is too old,
// until ctx ends.
func (m *Manuals) Run(ctx context.Context) error {
	tick, quick := time.NewTicker(upkeepEvery), time.NewTicker(soon)
	defer tick.Stop()
	defer quick.Stop()
	tries := 0
	for {
		m.Upkeep(ctx)
		tries--
		wait := quick.C
		if tries <= 0 {
			wait = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
			tries = soonTries
		case <-wait:
		case <-tick.C:
			if err := m.Store.Tx(ctx, func(tx *store.Tx) error { return tx.PurgeManuals(ctx, tx.Now().Add(-keep)) }); err != nil && ctx.Err() == nil {
				m.Log.WarnContext(ctx, "old manual verifications cannot be deleted", "error", err)
			}
		}
	}
}

func (m *Manuals) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Upkeep does what Run does, once.
func (m *Manuals) Upkeep(ctx context.Context) {
	if err := m.decisions().Upkeep(ctx); err != nil && ctx.Err() == nil {
		m.Log.WarnContext(ctx, "upkeep of manual verifications failed", "error", err)
	}
}

// settle tells the verification about a request that is decided. What fails is tried
// again by Run.
func (m *Manuals) settle(ctx context.Context, env, id string) { m.decisions().Settle(ctx, env, id) }

func (m *Manuals) decisions() verify.Decisions {
	return verify.Decisions{Store: m.Store, Flow: m.Flow, Log: m.Log, Method: policy.Manual, Verdict: verdict, Kept: kept}
}

// kept notes that what staff said counted.
func kept(ctx context.Context, tx *store.Tx, row store.Approval) error {
	d, err := detailsOf(row)
	if err != nil {
		return err
	}
	return tx.ManualSettled(ctx, row.Env, d.Recovery)
}

// verdict is what staff decided; what was taken back since is a no.
func verdict(ctx context.Context, tx *store.Tx, row store.Approval) (verify.Verdict, error) {
	d, err := detailsOf(row)
	if err != nil {
		return verify.Verdict{}, err
	}
	if row.State != store.ApprovalAccepted {
		return verify.Verdict{Reason: row.State}, nil
	}
	_, err = tx.ManualFor(ctx, row.Env, d.Recovery)
	if errors.Is(err, store.ErrNotFound) {
		return verify.Verdict{Reason: "taken back"}, nil
	}
	return verify.Attested(err == nil, evidence.TypeManual), err
}

func detailsOf(row store.Approval) (d details, err error) {
	if err := json.Unmarshal(row.Details, &d); err != nil {
		return d, fmt.Errorf("manual: a request cannot be read: %w", err)
	}
	return d, nil
}

func saidIn(v store.Manual) (s said, err error) {
	if err := json.Unmarshal(v.Details, &s); err != nil {
		return s, fmt.Errorf("manual: what was said cannot be read: %w", err)
	}
	return s, nil
}

// record writes to the audit log, with both names under the person's key.
func record(ctx context.Context, tx *store.Tx, kind audit.Kind, v store.Manual, s said, by Actor, detail map[string]any) error {
	detail["manual_verification"], detail["staff"] = v.ID, by.ID
	return audit.Append(ctx, tx, audit.Event{Env: v.Env, Kind: kind, Account: v.Person, Trace: v.ID, RemoteAddr: by.Address, UserAgent: by.Device,
		Actor: by.principal(), Detail: detail, Personal: map[string]string{"account": s.Name, "staff": by.Name, "reason": s.Reason, "taken_back": s.Taken}})
}
