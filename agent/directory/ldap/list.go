package ldap

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Rhythm and size of lists.
const (
	// overlap is read again where changes are found by their time: clocks differ, replicas
	// lag, and an entry may change after a long pass has read it.
	overlap = 5 * time.Minute
	// fullEvery ends a chain of passes that list changes only.
	fullEvery   = 24 * time.Hour
	defaultPage = 500
	maxPage     = 5000
	smallPage   = 500 // the least that servers give by default
	// maxPageGroups ends a page early, so that it stays far below what the tunnel takes: a
	// membership is about a hundred bytes.
	maxPageGroups = 20000
	maxState      = 60 << 10 // of what the hub gives back
)

// listState is where a pass ended.
type listState struct {
	Version   int               `json:"v"`
	Mapping   string            `json:"mapping"` // Config.sum
	Since     time.Time         `json:"since"`   // everything older was listed
	Full      time.Time         `json:"full"`    // when the last full pass began
	Token     string            `json:"token,omitempty"`
	Cookies   map[string][]byte `json:"cookies,omitempty"` // by naming context, of RFC 4533; without them times are compared
	Witnesses []witness         `json:"seen,omitempty"`
}

const listVersion = 2

// A pass is one run over the accounts.
type pass struct {
	directory *Directory
	conn      *ldapconn.Conn
	server    server
	full      bool
	birthKey  []byte
	began     time.Time
	newest    time.Time
	latest    []witness
	page      int
	memory    *memory
	rows      []protocol.Account
	members   int // groups of the accounts in rows
	yield     func(directory.Page) error
	given     bool // at least one page went out
	small     bool // the server gives small pages only
}

// List implements directory.Reader. Accounts come with their groups, nested ones
// included. Where the server offers RFC 4533 a pass asks it what changed; elsewhere it
// compares times and all ids. A pass that cannot tell what was deleted, or who left a
// group, lists everything.
func (d *Directory) List(ctx context.Context, since string, page int, yield func(directory.Page) error) (string, error) {
	conn, err := d.pool.Fresh(ctx, "")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if page <= 0 {
		page = defaultPage
	}
	p := &pass{directory: d, conn: conn, began: time.Now(), page: min(page, maxPage), yield: directory.While(ctx, yield)}
	d.mu.Lock()
	p.birthKey = d.birthDateKey
	d.mu.Unlock()
	if p.server, err = d.server(ctx, conn); err != nil {
		return "", err
	}
	if since == "" {
		d.forget()
	}
	state, err := p.run(ctx, since)
	if err != nil {
		return "", err
	}
	if p.memory != nil && since != directory.Once {
		d.keep(p.memory)
	}
	b, err := json.Marshal(state)
	return string(b), err
}

// run lists changes where that is possible, and else everything.
func (p *pass) run(ctx context.Context, since string) (listState, error) {
	if state, ok := p.directory.resume(since, p.began); ok {
		p.memory = p.directory.take(state.Token)
		p.latest = state.Witnesses
		done, err := p.changes(ctx, &state)
		if err != nil {
			return state, err
		}
		if done {
			return p.leave(state), p.end()
		}
	}
	state := listState{Version: listVersion, Mapping: p.directory.cfg.sum(), Full: p.began}
	p.full, p.latest, p.newest = true, nil, time.Time{}
	var err error
	if state.Cookies, err = p.beginSync(ctx); err != nil {
		return state, err
	}
	p.memory = newMemory()
	if err := p.all(ctx); err != nil {
		return state, err
	}
	return p.leave(state), p.end()
}

// leave is what the next pass begins with.
func (p *pass) leave(state listState) listState {
	if newest := earlier(p.newest, p.began); !newest.IsZero() {
		state.Since = later(state.Since, newest.Add(-overlap))
	}
	state.Witnesses = p.latest
	if p.memory != nil {
		p.memory.token = rand.Text()
		state.Token = p.memory.token
	}
	return state
}

// resume reads the state of the last pass and reports whether this one may build
// on it.
func (d *Directory) resume(text string, now time.Time) (listState, bool) {
	var s listState
	if len(text) > maxState {
		return s, false
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	if dec.Decode(&s) != nil || dec.More() {
		return listState{}, false
	}
	age := now.Sub(s.Full)
	return s, s.Version == listVersion && s.Mapping == d.cfg.sum() && age >= 0 && age < fullEvery
}

// changedSince is the filter for entries that changed at t or later.
func (cfg Config) changedSince(t time.Time) string {
	stamp := t.UTC().Format("20060102150405")
	if cfg.ChangeAttribute == entryCSN {
		return "(" + entryCSN + ">=" + stamp + ".000000Z#000000#000#000000)"
	}
	return "(" + cfg.ChangeAttribute + ">=" + stamp + "Z)"
}

// all reads every group and every branch on one stream.
func (p *pass) all(ctx context.Context) error {
	s, err := p.directory.pool.Stream(ctx, p.conn.Server())
	if err != nil {
		return err
	}
	defer s.Close()
	if p.memory.groups, err = p.readMembership(ctx, s); err != nil {
		return err
	}
	cfg := p.directory.cfg
	for _, base := range outermost(cfg.BaseDNs) {
		q := ldapconn.Query{Base: base, Filter: cfg.Filter, Attributes: cfg.listAttributes()}
		err := p.read(ctx, s, q, func(r *ldapconn.Row) error { _, err := p.put(r, r.DN); return err }, p.flush)
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads a query in large pages: each costs the server another beginning. Where a
// limit does not let it, in small ones, from the beginning: what has come then comes twice.
func (p *pass) read(ctx context.Context, s *ldapconn.Stream, q ldapconn.Query, each func(*ldapconn.Row) error, page func() error) error {
	q.Page = maxPage
	if p.small {
		q.Page = smallPage
	}
	err := s.Search(ctx, q, each, page)
	if p.small || !limits(err) {
		return err
	}
	p.small = true
	p.directory.log.Info("the server does not give large pages; smaller ones are asked for", "server", p.conn.Server(), "error", err)
	return p.read(ctx, s, q, each, page)
}

// limits holds for the answers of servers that refuse a page for its size.
func limits(err error) bool {
	return slices.ContainsFunc([]uint16{
		ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultUnwillingToPerform,
	}, func(code uint16) bool { return ldapconn.IsCode(err, code) })
}

// end gives what is left over. A pass always gives at least one page, so that an empty
// directory shows as empty.
func (p *pass) end(deleted ...string) error {
	if err := p.flush(); err != nil {
		return err
	}
	if p.given && len(deleted) == 0 {
		return nil
	}
	p.given = true
	return p.yield(directory.Page{Full: p.full, Deleted: deleted})
}

// listAttributes are what put reads.
func (cfg Config) listAttributes() []string {
	names := append(cfg.accountAttributes(), cfg.groupAttributes()...)
	if u := cfg.uuidAttribute(); !strings.EqualFold(u, cfg.IDAttribute) {
		names = append(names, u)
	}
	return names
}

// put maps one entry and gives it, unless the hub has it just so. It returns its key, and
// false for what is no account.
func (p *pass) put(s source, dn string) (k key, err error) {
	cfg := p.directory.cfg
	a, ok := cfg.account(s, p.birthKey, p.began)
	if !ok {
		return k, nil
	}
	k = cfg.keyOf(s, a.ID)
	handle, direct := cfg.membershipOf(s, dn)
	if cfg.Groups != GroupsNone {
		a.Groups = p.memory.groups.groupsOf(handle, direct)
	}
	p.newest = later(p.newest, a.UpdatedAt)
	p.see(k, first(s, cfg.ChangeAttribute))
	same, ok := p.memory.accounts.put(k, known{handle: handle, sum: sumOf(a)})
	if !ok {
		return k, protocol.Err(protocol.CodeConfiguration, "there are more accounts than an agent remembers; narrow base_dns")
	}
	if same {
		return k, nil
	}
	if !cfg.isUUID() {
		p.memory.ids[k] = strings.Clone(a.ID)
	}
	p.rows, p.members = append(p.rows, a), p.members+len(a.Groups)
	if p.members >= maxPageGroups || len(p.rows) >= p.page {
		return k, p.flush()
	}
	return k, nil
}

// membershipOf is what groups name an account by, and the groups that it names itself.
func (cfg Config) membershipOf(s source, dn string) (handle uint64, direct []uint64) {
	switch cfg.Groups {
	case GroupsMemberUID:
		return handleOf(first(s, cfg.LoginAttribute)), nil
	case GroupsMemberOf:
		for _, v := range s.Values(cfg.MemberOfAttribute) {
			direct = append(direct, handleOf(v))
		}
	}
	return handleOf(dn), direct
}

// flush gives a page away. The slice goes with it.
func (p *pass) flush() error {
	if len(p.rows) == 0 {
		return nil
	}
	rows := p.rows
	p.rows, p.members, p.given = make([]protocol.Account, 0, len(rows)), 0, true
	return p.yield(directory.Page{Full: p.full, Accounts: rows})
}

// outermost leaves out branches that lie within others, whose accounts would come twice.
func outermost(bases []string) []string {
	var out []string
	for i, dn := range bases {
		inside := false
		for j, other := range bases {
			if i != j && ldapconn.Within(dn, other) && (!ldapconn.SameDN(dn, other) || j < i) {
				inside = true
			}
		}
		if !inside {
			out = append(out, dn)
		}
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
