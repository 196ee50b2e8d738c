// Package audit writes and reads the audit log. An event is a row with its exact bytes
// (the leaf), written in the transaction that does what it tells of. What a leaf says of
// a person is encrypted under a key of that person, so that erasing the key erases the
// person and leaves every leaf as it was. A Log makes a Merkle tree of the leaves, with
// signed checkpoints and proofs. It knows no HTTP and decides nothing.
package audit

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/auditlog"
)

// An Event is something that happened.
type Event struct {
	Org        string // empty: the environment's
	Env        string // empty: it concerns the organisation
	Kind       Kind
	Time       time.Time // zero: now
	Actor      Principal
	Account    string            // row id of the account that it concerns; its personal members are under that account's key
	Person     string            // somebody without an account, by what their environment calls them; as Account for the personal members
	Trace      string            // of the request or recovery; with no Account, names the person of the personal members
	RemoteAddr string            // of whoever acted; kept as a personal member if there is an Account
	UserAgent  string            // as RemoteAddr
	Detail     any               // JSON object with what happened, without personal data or secrets; nil: {}
	Personal   map[string]string // what erasing the person erases
}

// A Principal is who acted.
type Principal struct {
	Role      string `json:"role,omitempty"`
	OrgMember string `json:"org_member,omitempty"`
	Email     string `json:"org_member_email,omitempty"` // of the member as they are now; set by reading only, no leaf bears it
	APIKey    string `json:"api_key,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Agent     string `json:"agent,omitempty"`  // ours: an agent did it
	System    string `json:"system,omitempty"` // ours: the hub itself did it: "schedule", "resolver"
}

// Limits of a leaf. The public log stream carries at most 32 KiB per event.
const (
	maxLeaf     = auditlog.MaxLeaf
	maxPersonal = 1 << 10 // of one personal member, and of what a client says of itself; longer ones are cut
)

// leaf is the written form of an event, in this order. The detail stands in a member
// named like the kind.
type leaf struct {
	ID        string          `json:"id"`
	Time      time.Time       `json:"time"`
	Kind      Kind            `json:"kind"`
	Trace     string          `json:"trace"`
	Truncated bool            `json:"truncated,omitempty"`
	Remote    string          `json:"remote_addr,omitempty"`
	UserAgent string          `json:"user_agent,omitempty"`
	Org       string          `json:"org"`
	Env       string          `json:"env,omitempty"`
	Principal *Principal      `json:"principal,omitempty"`
	Account   string          `json:"account,omitempty"`
	Personal  *personal       `json:"personal,omitempty"`
	Detail    json.RawMessage `json:"-"`
}

// Append writes an event in the caller's transaction, so that it is there exactly if
// what it tells of is.
func Append(ctx context.Context, tx *store.Tx, e Event) error {
	_, err := AppendRow(ctx, tx, e)
	return err
}

// Write appends an event that is all there is to write. It returns when the event is
// durable; nobody sees it before. Callers at once share one call of the disk.
func Write(ctx context.Context, s *store.Store, e Event) error {
	return s.Record(ctx, func(tx *store.Tx) error { return Append(ctx, tx, e) })
}

// AppendRow is Append, and returns the id of the row.
func AppendRow(ctx context.Context, tx *store.Tx, e Event) (id string, err error) {
	if !known[e.Kind] {
		return "", fmt.Errorf("audit: kind %q is not in the table of kinds", e.Kind)
	}
	l, err := e.leaf(ctx, tx)
	if err != nil {
		return "", fmt.Errorf("audit: %s: %w", e.Kind, err)
	}
	b, err := l.bytes()
	if err != nil {
		return "", fmt.Errorf("audit: %s: %w", e.Kind, err)
	}
	return l.ID, tx.AppendAudit(ctx, store.AuditRow{
		ID: l.ID, Org: l.Org, Env: l.Env, Kind: string(l.Kind), Account: l.Account, Trace: l.Trace, Time: l.Time, Leaf: string(b),
	})
}

func (e Event) leaf(ctx context.Context, tx *store.Tx) (l leaf, err error) {
	at := e.Time
	if at.IsZero() {
		at = tx.Now()
	}
	l = leaf{ID: newULID(at), Time: at.UTC().Truncate(time.Millisecond), Kind: e.Kind, Trace: e.Trace, Remote: cut(e.RemoteAddr), UserAgent: cut(e.UserAgent),
		Org: e.Org, Env: e.Env, Account: e.Account}
	e.Actor.Email = "" // it would outlive the member
	if e.Actor != (Principal{}) {
		l.Principal = &e.Actor
	}
	if l.Org == "" {
		if l.Org, err = tx.OrganisationOf(ctx, e.Env); err != nil {
			return l, fmt.Errorf("environment %q: %w", e.Env, err)
		}
	}
	if l.Detail, err = detail(e.Detail); err != nil {
		return l, err
	}
	members := e.personal()
	if e.Account != "" || e.Person != "" {
		l.Remote, l.UserAgent = "", ""
	}
	if len(members) > 0 {
		l.Personal, err = encrypt(ctx, tx, e.Env, e.person(l.ID), l.ID, members)
	}
	return l, err
}

// person names whose key encrypts the personal members.
func (e Event) person(id string) string {
	switch {
	case e.Account != "":
		return e.Account
	case e.Person != "":
		return e.Person
	case e.Trace != "":
		return ByTrace(e.Trace)
	}
	return "event:" + id
}

// personal returns the personal members, the client's among them where the event
// concerns somebody: then the client is that person, or somebody who claims to be.
func (e Event) personal() map[string]string {
	if len(e.Personal) == 0 && e.Account == "" && e.Person == "" {
		return nil
	}
	all := map[string]string{}
	for k, v := range e.Personal {
		all[k] = v
	}
	if e.Account != "" || e.Person != "" {
		all[remoteMember], all[agentMember] = e.RemoteAddr, e.UserAgent
	}
	for k, v := range all {
		if v == "" {
			delete(all, k)
			continue
		}
		all[k] = cut(v)
	}
	return all
}

func cut(v string) string { return v[:min(len(v), maxPersonal)] }

// detail returns the JSON object of an event. Anything else is a mistake in the program.
func detail(v any) (json.RawMessage, error) {
	if v == nil {
		return json.RawMessage("{}"), nil
	}
	if texts, ok := v.(map[string]string); ok && texts != nil {
		return appendTexts(nil, texts), nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || b[0] != '{' {
		return nil, fmt.Errorf("the detail is %T, not an object", v)
	}
	return b, nil
}

// bytes returns the exact bytes of the leaf. A detail that is too long is left out. What
// is too long without it could not be proven to anybody, and is a mistake in the program.
func (l leaf) bytes() ([]byte, error) {
	b, err := l.encode()
	if err == nil && len(b) > maxLeaf {
		l.Truncated, l.Detail = true, json.RawMessage("{}")
		b, err = l.encode()
	}
	if err == nil && len(b) > maxLeaf {
		err = fmt.Errorf("%d bytes without the detail, at most %d", len(b), maxLeaf)
	}
	return b, err
}

// crockford is the alphabet of ULIDs.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// newULID returns an id that sorts by time: 48 bits of milliseconds, 20 of nanoseconds
// within the millisecond, so that events of one transaction keep their order, and 60
// random ones.
func newULID(at time.Time) string {
	var b [18]byte // the first two bytes stay zero
	_, _ = rand.Read(b[8:])
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli()))
	ns := uint32(at.Nanosecond() % int(time.Millisecond))
	b[8], b[9], b[10] = byte(ns>>12), byte(ns>>4), byte(ns<<4)|b[10]&0x0f
	return encodeULID([16]byte(b[2:]))
}

// FirstID is the least id that an event of a time can have.
func FirstID(at time.Time) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(at.UnixMilli(), 0)))
	return encodeULID([16]byte(append(b[2:], make([]byte, 10)...)))
}

// encodeULID writes 128 bits as 26 characters of five bits, with two zero bits before them.
func encodeULID(b [16]byte) string {
	var wide [17]byte
	for i := range b {
		wide[i] |= b[i] >> 2
		wide[i+1] |= b[i] << 6
	}
	return crockford.EncodeToString(wide[:])[:26]
}
