package manual

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// An Actor is the person of the staff who decides, or a command.
type Actor struct {
	ID, Name, Role  string
	Address, Device string // of the browser
	System          string // "": a person
}

func (a Actor) principal() audit.Principal {
	return audit.Principal{OrgMember: a.ID, Role: a.Role, System: a.System}
}

// A Past is a verification by hand, as its list shows it.
type Past struct {
	store.Manual
	Choice Choice
	Seen   []string
	Reason string
	By     string
	Taken  string // why it was taken back
	Waits  bool   // a recovery may still count it
}

// A Sheet is what the page of an account shows.
type Sheet struct {
	Account store.Account
	Choices []Choice // under which this person may verify; none: they may not, or no policy asks for it
	May     bool
	Life    time.Duration
	Past    []Past
}

// Sheet returns what somebody may do about an account, and what was done.
func (m *Manuals) Sheet(ctx context.Context, env, account string, by Actor) (s Sheet, err error) {
	err = m.Store.Read(ctx, func(tx *store.Tx) error {
		s = Sheet{}
		if s.Account, err = tx.Account(ctx, env, account); err != nil {
			return err
		}
		methods, groups, err := m.Rules.Methods(ctx, tx, env, s.Account.Directory, s.Account.ImmutableID)
		if err != nil {
			return err
		}
		s.Life = methods.ByHandLife()
		if s.Past, err = m.past(ctx, tx, s.Account); err != nil {
			return err
		}
		c, err := m.circle(ctx, tx, env, s.Account.Directory, s.Account.ImmutableID, s.Account.Identifiers, groups)
		if err != nil {
			return err
		}
		if s.May = c.knows(by, tx.Now()); s.May {
			s.Choices, err = m.choices(ctx, tx, s.Account)
		}
		return err
	})
	return s, err
}

// knows reports whether the one who acts may decide, as the store knows them now.
func (c circle) knows(by Actor, now time.Time) bool {
	return by.ID != "" && slices.ContainsFunc(c.all, func(p store.Staff) bool { return p.ID == by.ID && c.may(p, now) })
}

// choices lists the combinations with this method among those that an account has.
func (m *Manuals) choices(ctx context.Context, tx *store.Tx, a store.Account) ([]Choice, error) {
	all, err := m.Rules.Offered(ctx, tx, a)
	return slices.DeleteFunc(all, func(c Choice) bool { return !slices.Contains(c.Methods, policy.Manual) }), err
}

func (m *Manuals) past(ctx context.Context, tx *store.Tx, a store.Account) (list []Past, err error) {
	all, err := tx.ManualsOf(ctx, a.Env, a.Directory, a.ImmutableID)
	for _, v := range all {
		s, err := saidIn(v)
		if err != nil {
			return nil, err
		}
		list = append(list, Past{Manual: v, Choice: parseChoice(s.Choice), Seen: s.Seen, Reason: s.Reason, By: s.By, Taken: s.Taken, Waits: v.Waits(tx.Now())})
	}
	return list, err
}

func parseChoice(id string) (c Choice) {
	action, names, _ := strings.Cut(id, ":")
	c.Action = protocol.Action(action)
	for name := range strings.SplitSeq(names, "+") {
		c.Methods = append(c.Methods, policy.Method(name))
	}
	return c
}

// A Word is what somebody says of a person.
type Word struct {
	Choice string   // id of one; not for a request that waits
	Number string   // of a request that waits
	Seen   []string // of Checklist
	Reason string
}

// check reports whether a word says enough.
func (w Word) check() error {
	known := len(w.Seen) > 0 && len(w.Seen) <= len(Checklist)
	for i, s := range w.Seen {
		known = known && slices.Contains(Checklist, s) && !slices.Contains(w.Seen[:i], s)
	}
	if !known || strings.TrimSpace(w.Reason) == "" || len(w.Reason) > maxReason {
		return ErrAnswer
	}
	return nil
}

// Verify takes somebody's word about an account before its recovery comes to that. The
// caller has made sure that the one who acts is there, with their passkey. Whether it
// counts is decided once more then, with the groups that the agent names.
func (m *Manuals) Verify(ctx context.Context, env, account string, w Word, by Actor) error {
	if err := w.check(); err != nil {
		return err
	}
	err := m.Store.Tx(ctx, func(tx *store.Tx) error {
		a, err := tx.Account(ctx, env, account)
		if err != nil {
			return err
		}
		methods, groups, err := m.Rules.Methods(ctx, tx, env, a.Directory, a.ImmutableID)
		if err != nil {
			return err
		}
		c, err := m.circle(ctx, tx, env, a.Directory, a.ImmutableID, a.Identifiers, groups)
		if err != nil {
			return err
		}
		if !c.knows(by, tx.Now()) {
			return ErrMayNot
		}
		all, err := m.choices(ctx, tx, a)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(c Choice) bool { return c.ID() == w.Choice }) {
			return ErrAnswer
		}
		v := store.Manual{Directory: a.Directory, Account: a.ImmutableID, Person: a.ID, EndsAt: tx.Now().Add(methods.ByHandLife())}
		return m.write(ctx, tx, env, v, w, a.Name, a.Identifiers, "", by)
	})
	if err == nil {
		m.Out.Wake()
	}
	return err
}

// write keeps a word, records it, and tells the owner.
func (m *Manuals) write(ctx context.Context, tx *store.Tx, env string, v store.Manual, w Word, name string, own []string, origin string, by Actor) error {
	s := said{Choice: w.Choice, Seen: w.Seen, Reason: strings.TrimSpace(w.Reason), By: by.Name, Name: name}
	v.Env, v.ID, v.Staff, v.Details = env, store.NewID(), by.ID, []byte(store.JSON(s))
	if err := tx.AddManual(ctx, &v); err != nil {
		return err
	}
	if err := m.tell(ctx, tx, own, Message{Env: env, Name: name, By: by.Name, Origin: origin}); err != nil {
		return err
	}
	return record(ctx, tx, audit.ManualVerified, v, s, by, map[string]any{"policy": s.Choice, "seen": s.Seen, "until": v.EndsAt.UTC().Format(time.RFC3339), "recovery": v.Recovery})
}

// maxTold bounds how many addresses of an owner hear of one decision.
const maxTold = 5

func (m *Manuals) tell(ctx context.Context, tx *store.Tx, own []string, message Message) error {
	var told []string
	for _, to := range own {
		if !strings.Contains(to, "@") || slices.ContainsFunc(told, func(t string) bool { return strings.EqualFold(t, to) }) || len(told) == maxTold {
			continue
		}
		told, message.To = append(told, to), to
		if err := m.Out.QueueManual(ctx, tx, message); err != nil {
			return err
		}
	}
	return nil
}

// A Request is a recovery that waits for staff.
type Request struct {
	Env, ID string
	Name    string // of the account
	Account string // its row id
	Action  protocol.Action
	Proven  []policy.Method
	Device  string
	Address string
	AskedAt time.Time
	Until   time.Time
	Tries   int // left to this person
}

// Waiting lists the recoveries of an environment that wait for this person, or for others
// like them.
func (m *Manuals) Waiting(ctx context.Context, env string, by Actor) (list []Request, err error) {
	err = m.Store.Read(ctx, func(tx *store.Tx) error {
		list = nil
		all, err := tx.OpenApprovals(ctx, env, string(policy.Manual))
		for _, row := range all {
			r, err := m.request(ctx, tx, row, by)
			if errors.Is(err, ErrMayNot) {
				continue
			}
			if err != nil {
				return err
			}
			list = append(list, r.Request)
		}
		return err
	})
	return list, err
}

// Request returns one of them; ErrMayNot to who may not decide, ErrGone if it waits no more.
func (m *Manuals) Request(ctx context.Context, env, id string, by Actor) (Request, error) {
	return store.Get(ctx, m.Store, func(tx *store.Tx) (Request, error) {
		r, err := m.waiting(ctx, tx, env, id, by)
		return r.Request, err
	})
}

// open is a request with what only this package knows.
type open struct {
	Request
	row store.Approval
	d   details
}

func (m *Manuals) waiting(ctx context.Context, tx *store.Tx, env, id string, by Actor) (open, error) {
	row, err := tx.Approval(ctx, env, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && (row.Kind != string(policy.Manual) || row.State != store.ApprovalOpen || !row.EndsAt.After(tx.Now())) {
		return open{}, ErrGone
	}
	if err != nil {
		return open{}, err
	}
	return m.request(ctx, tx, row, by)
}

func (m *Manuals) request(ctx context.Context, tx *store.Tx, row store.Approval, by Actor) (open, error) {
	d, err := detailsOf(row)
	if err != nil {
		return open{}, err
	}
	c, err := m.circle(ctx, tx, row.Env, row.Directory, row.Account, d.Own, d.Groups)
	if err != nil {
		return open{}, err
	}
	if !c.knows(by, tx.Now()) {
		return open{}, ErrMayNot
	}
	asks, err := tx.ApprovalAsks(ctx, row.Env, row.ID)
	left := numberTry
	for _, k := range asks {
		if k.Staff == by.ID {
			left = max(numberTry-k.Tries, 0)
		}
	}
	return open{Request{Env: row.Env, ID: row.ID, Name: d.Name, Account: d.Person, Action: d.Action, Proven: d.Proven, Device: d.Device, Address: d.Address,
		AskedAt: d.AskedAt, Until: row.EndsAt, Tries: left}, row, d}, err
}

// Decide takes somebody's word about a recovery that waits: the number that its person
// reads to them, counted before it is compared, what they saw and why. The caller has made
// sure that the one who acts is there, with their passkey.
func (m *Manuals) Decide(ctx context.Context, env, id string, w Word, by Actor) error {
	if err := w.check(); err != nil {
		return err
	}
	if err := m.try(ctx, env, id, w.Number, by); err != nil {
		return err
	}
	err := m.Store.Tx(ctx, func(tx *store.Tx) error {
		r, err := m.waiting(ctx, tx, env, id, by)
		if err != nil {
			return err
		}
		if err := tx.MoveApproval(ctx, env, id, store.ApprovalOpen, store.ApprovalAccepted); err != nil {
			return err
		}
		w.Choice = Choice{r.d.Action, append(slices.Clone(policy.Combination(r.d.Proven)), policy.Manual)}.ID()
		v := store.Manual{Directory: r.row.Directory, Account: r.row.Account, Person: r.d.Person, Recovery: r.d.Recovery, EndsAt: r.row.EndsAt, UsedAt: tx.Now()}
		return m.write(ctx, tx, env, v, w, r.d.Name, r.d.Own, r.d.Origin, by)
	})
	return m.decided(ctx, env, id, err)
}

// try counts a number, and compares it then.
func (m *Manuals) try(ctx context.Context, env, id, number string, by Actor) error {
	var r open
	err := m.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if r, err = m.waiting(ctx, tx, env, id, by); err != nil {
			return err
		}
		err = tx.AddApprovalAsk(ctx, env, id, by.ID, store.HashToken(store.NewToken()))
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
		err = tx.TryApproval(ctx, env, id, by.ID, numberTry)
		if errors.Is(err, store.ErrConflict) {
			return ErrTooMany
		}
		return err
	})
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(strings.TrimSpace(number)), []byte(r.d.Number)) != 1 {
		return ErrNumber
	}
	return nil
}

// Deny says that it is not the account's owner who asks.
func (m *Manuals) Deny(ctx context.Context, env, id, reason string, by Actor) error {
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > maxReason {
		return ErrAnswer
	}
	err := m.Store.Tx(ctx, func(tx *store.Tx) error {
		r, err := m.waiting(ctx, tx, env, id, by)
		if err != nil {
			return err
		}
		v := store.Manual{Env: env, ID: id, Person: r.d.Person}
		return errors.Join(tx.MoveApproval(ctx, env, id, store.ApprovalOpen, store.ApprovalDenied),
			record(ctx, tx, audit.ManualDenied, v, said{Name: r.d.Name, Reason: reason}, by, map[string]any{"recovery": r.d.Recovery}))
	})
	return m.decided(ctx, env, id, err)
}

// decided tells the flow.
func (m *Manuals) decided(ctx context.Context, env, id string, err error) error {
	if errors.Is(err, store.ErrConflict) {
		return ErrGone
	}
	if err == nil {
		m.Out.Wake()
		m.settle(ctx, env, id)
	}
	return err
}

// Past returns what was said of an account.
func (m *Manuals) Past(ctx context.Context, tx *store.Tx, a store.Account) ([]Past, error) {
	return m.past(ctx, tx, a)
}

// Revoke takes a verification back, once, with a reason. A recovery that counts it and was
// not sent to its agent loses it in the same transaction; of one that was, webhooks and
// the log tell. ErrGone says that it was taken back before.
func (m *Manuals) Revoke(ctx context.Context, env, id, reason string, by Actor) error {
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > maxReason {
		return ErrAnswer
	}
	v, err := store.Get(ctx, m.Store, func(tx *store.Tx) (store.Manual, error) { return tx.Manual(ctx, env, id) })
	if err != nil {
		return err
	}
	write := func(tx *store.Tx, performed bool) error { return m.revoke(ctx, tx, v, reason, performed, by) }
	for {
		if v.Recovery == "" {
			err = m.Store.Tx(ctx, func(tx *store.Tx) error { return write(tx, false) })
		} else {
			_, err = m.Flow.Withdraw(ctx, env, v.Recovery, string(policy.Manual), write)
		}
		if !errors.Is(err, errClaimed) {
			break
		}
		if v, err = store.Get(ctx, m.Store, func(tx *store.Tx) (store.Manual, error) { return tx.Manual(ctx, env, id) }); err != nil {
			return err
		}
	}
	if err == nil {
		m.Out.Wake()
	}
	return err
}

// errClaimed says that a recovery took the verification between two looks.
var errClaimed = errors.New("manual: a recovery has it now")

func (m *Manuals) revoke(ctx context.Context, tx *store.Tx, v store.Manual, reason string, performed bool, by Actor) error {
	now, err := tx.Manual(ctx, v.Env, v.ID)
	switch {
	case err != nil:
		return err
	case !now.RevokedAt.IsZero():
		return ErrGone
	case now.Recovery != v.Recovery:
		return errClaimed
	}
	s, err := saidIn(now)
	if err != nil {
		return err
	}
	s.Taken, s.Taker = reason, by.Name
	if err := tx.RevokeManual(ctx, v.Env, v.ID, by.ID, []byte(store.JSON(s))); err != nil {
		return err
	}
	var own []string
	r := Revocation{Manual: now, Performed: performed, Reason: reason}
	a, err := tx.Account(ctx, v.Env, v.Person)
	if err == nil {
		own, r.Subject = a.Identifiers, a.Subject
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return errors.Join(m.tell(ctx, tx, own, Message{Env: v.Env, Name: s.Name, By: by.Name, Revoked: true}), m.Out.QueueRevocation(ctx, tx, r),
		record(ctx, tx, audit.ManualRevoked, now, s, by, map[string]any{"recovery": now.Recovery, "performed": performed}))
}
