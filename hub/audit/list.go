package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// A Record is an event that was read back.
type Record struct {
	ID         string // ULID, also the cursor of the next page
	Time       time.Time
	Kind       Kind
	Org, Env   string
	Trace      string
	Account    string
	Person     string // by the name under which Erase erases what is personal; "": nobody
	Actor      Principal
	RemoteAddr string
	UserAgent  string
	Truncated  bool
	Detail     json.RawMessage
	Personal   map[string]string // what could be decrypted
	Erased     bool              // the person was erased
	Leaf       []byte            // exact bytes
	Index      int64             // in the log; set by FollowAll only
}

// List reads events of an organisation; see store.AuditFilter.
func List(ctx context.Context, tx *store.Tx, org string, f store.AuditFilter) ([]Record, error) {
	rows, err := tx.AuditRows(ctx, org, f)
	if err != nil {
		return nil, err
	}
	all, from := make([]Record, len(rows)), newReader(tx)
	for i, row := range rows {
		if all[i], err = from.read(ctx, row); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// A reader reads events in one transaction, and looks for each member once.
type reader struct {
	tx     *store.Tx
	emails map[member]string
}

// A member is somebody of an organisation's staff.
type member struct{ org, id string }

func newReader(tx *store.Tx) *reader { return &reader{tx, map[member]string{}} }

// email is a member's address as it is now. Somebody who is gone has none: no leaf keeps it.
func (from *reader) email(ctx context.Context, m member) (string, error) {
	if email, asked := from.emails[m]; asked || m.id == "" {
		return email, nil
	}
	who, err := from.tx.Staff(ctx, m.org, m.id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	from.emails[m] = who.Mail
	return who.Mail, nil
}

// read reads an event as it is written, with what is kept elsewhere.
func (from *reader) read(ctx context.Context, row store.AuditRow) (Record, error) {
	r, err := read(ctx, from.tx, row)
	if err != nil {
		return r, err
	}
	r.Actor.Email, err = from.email(ctx, member{r.Org, r.Actor.OrgMember})
	return r, err
}

func read(ctx context.Context, tx *store.Tx, row store.AuditRow) (Record, error) {
	var l leaf
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(row.Leaf), &l); err != nil {
		return Record{}, fmt.Errorf("audit: event %s: %w", row.ID, err)
	}
	if err := json.Unmarshal([]byte(row.Leaf), &members); err != nil {
		return Record{}, fmt.Errorf("audit: event %s: %w", row.ID, err)
	}
	r := Record{ID: l.ID, Time: l.Time, Kind: l.Kind, Org: l.Org, Env: l.Env, Trace: l.Trace, Account: l.Account, RemoteAddr: l.Remote,
		UserAgent: l.UserAgent, Truncated: l.Truncated, Detail: members[string(l.Kind)], Leaf: []byte(row.Leaf)}
	if l.Principal != nil {
		r.Actor = *l.Principal
	}
	if l.Personal == nil {
		return r, nil
	}
	r.Person = l.Personal.Person
	var err error
	r.Personal, r.Erased, err = l.Personal.decrypt(ctx, tx, l.Env, l.ID)
	if r.Personal[remoteMember] != "" || r.Personal[agentMember] != "" {
		r.RemoteAddr, r.UserAgent = r.Personal[remoteMember], r.Personal[agentMember]
		delete(r.Personal, remoteMember)
		delete(r.Personal, agentMember)
	}
	return r, err
}

// Wire returns the event as the public API shows it: with what could be decrypted, and
// without what only the log needs.
func (r Record) Wire() ([]byte, error) {
	l := leaf{ID: r.ID, Time: r.Time, Kind: r.Kind, Trace: r.Trace, Truncated: r.Truncated, Remote: r.RemoteAddr, UserAgent: r.UserAgent,
		Org: r.Org, Env: r.Env, Account: r.Account, Detail: r.Detail}
	if r.Actor != (Principal{}) {
		l.Principal = &r.Actor
	}
	b, err := l.encode()
	if err != nil || len(r.Personal) == 0 {
		return b, err
	}
	p, err := json.Marshal(r.Personal)
	if err != nil {
		return nil, err
	}
	b = append(b[:len(b)-1], `,"personal":`...)
	return append(append(b, p...), '}'), nil
}
