package ad

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// maxPage is MaxPageSize of a controller's default query policy.
const maxPage = 1000

// maxPageGroups ends a page early, so that it stays far below what the tunnel takes: a
// membership is about a hundred bytes.
const maxPageGroups = 20000

// sweepEvery is how long passes may list changes only. Changes miss what was deleted
// where the agent may not see deletions.
const sweepEvery = 24 * time.Hour

// maxMarks bounds the controllers whose marks are kept: an agent that fails over and
// comes back goes on where it was.
const maxMarks = 8

// maxState bounds the state that the hub gives back, and what is given to it.
const maxState = 60 << 10

// A state is what a finished pass leaves.
type state struct {
	Version int    `json:"v"`
	Full    int64  `json:"full"`  // Unix time of the last full pass
	Scope   string `json:"scope"` // bases and filter: another choice begins anew
	Marks   []mark `json:"marks"` // the newest first, one of each controller
}

const stateVersion = 2

// A mark is what one controller had when a pass began there.
type mark struct {
	DC        string    `json:"dc"`               // invocationId: numbers of another controller mean nothing here
	USN       uint64    `json:"usn"`              // highestCommittedUSN
	Cookie    []byte    `json:"cookie,omitempty"` // of DirSync; empty where the controller refuses it
	Witnesses []witness `json:"seen,omitempty"`
}

// A pass is one listing on one connection: paging cookies belong to it.
type pass struct {
	d      *Directory
	c      *ldapconn.Conn
	dom    domain
	size   int
	full   bool
	page   []protocol.Account
	member int // groups of the accounts in page
	yield  func(directory.Page) error
	seen   map[string]bool // ids listed, in a pass of changes
	groups *memberships    // nil where they are asked for account by account, or not at all
	bare   []*ldap.Entry   // accounts whose groups are still to be asked for
}

// List implements directory.Reader.
func (d *Directory) List(ctx context.Context, since string, page int, yield func(directory.Page) error) (string, error) {
	c, err := d.pool.Fresh(ctx, "")
	if err != nil {
		return "", err
	}
	defer c.Close()
	dom, err := readDomain(ctx, c)
	if err != nil {
		return "", err
	}
	p := &pass{d: d, c: c, dom: dom, size: min(max(page, 1), maxPage), yield: directory.While(ctx, yield)}
	s := d.readState(since, dom, time.Now())
	next, err := p.run(ctx, &s)
	if err != nil {
		return "", err
	}
	return s.with(next), nil
}

// run lists changes where that is possible, and else everything.
func (p *pass) run(ctx context.Context, s *state) (mark, error) {
	next := mark{DC: p.dom.dc, USN: p.dom.usn}
	var err error
	if next.Witnesses, err = p.witnesses(ctx); err != nil {
		return next, err
	}
	old, known := s.mark(p.dom.dc)
	if known {
		goOn, err := p.continues(ctx, old)
		if err != nil {
			return next, err
		}
		if !goOn {
			p.d.log.Warn("the controller was restored from an older backup: everything is read anew", "server", p.c.Server())
			known = false
		}
	}
	if known {
		done, err := p.changes(ctx, old, &next)
		if err != nil || done {
			return next, err
		}
	}
	s.Full, p.full = time.Now().Unix(), true
	return next, p.all(ctx, &next)
}

// all lists every account. The cookie for the next pass comes first, so that nothing is
// missed that changes meanwhile.
func (p *pass) all(ctx context.Context, next *mark) error {
	var err error
	if next.Cookie, err = p.beginDirSync(ctx); err != nil {
		return err
	}
	if p.d.cfg.lists() {
		if p.groups, err = readMemberships(ctx, p.c, p.dom); err != nil {
			return err
		}
	}
	if err := p.list(ctx, p.d.filter); err != nil {
		return err
	}
	return p.flush(nil)
}

// readState reads the state of a former pass; it is empty if changes since then cannot
// be told.
func (d *Directory) readState(since string, dom domain, now time.Time) state {
	fresh := state{Version: stateVersion, Full: now.Unix(), Scope: d.scope(dom)}
	var s state
	if since == "" || len(since) > maxState || json.Unmarshal([]byte(since), &s) != nil {
		return fresh
	}
	age := now.Sub(time.Unix(s.Full, 0))
	if s.Version != stateVersion || s.Scope != fresh.Scope || age < 0 || age >= sweepEvery || len(s.Marks) > maxMarks {
		return fresh
	}
	return s
}

// mark finds the mark of a controller.
func (s *state) mark(dc string) (mark, bool) {
	i := slices.IndexFunc(s.Marks, func(m mark) bool { return m.DC == dc })
	if i < 0 {
		return mark{}, false
	}
	return s.Marks[i], true
}

// with is the text of the state after a pass that left m.
func (s *state) with(m mark) string {
	others := slices.DeleteFunc(slices.Clone(s.Marks), func(o mark) bool { return o.DC == m.DC })
	s.Marks = append([]mark{m}, others[:min(len(others), maxMarks-1)]...)
	for {
		b, err := json.Marshal(s)
		if err != nil || len(b) <= maxState {
			return string(b) // numbers, texts and bytes: Marshal cannot fail
		}
		if len(s.Marks) > 1 {
			s.Marks = s.Marks[:len(s.Marks)-1]
			continue
		}
		s.Marks = nil // the next pass lists everything
	}
}

// scope is what decides which accounts are listed and what is said of them.
func (d *Directory) scope(dom domain) string {
	b, _ := json.Marshal([]any{d.bases(dom), d.filter, d.cfg.BirthDateAttribute, d.cfg.Groups, d.key.Load() != nil}) // cannot fail
	return string(b)
}

// list pages through the accounts of every base that pass a filter.
func (p *pass) list(ctx context.Context, filter string) error {
	for _, base := range p.d.bases(p.dom) {
		r := ldapconn.Request(base, ldap.ScopeWholeSubtree, 0, filter, p.d.attributes("memberOf", "objectSid", "primaryGroupID")...)
		if err := p.c.Pages(ctx, r, p.size, p.add); err != nil {
			return err
		}
	}
	return nil
}

// add takes one entry. Without memberships at hand it is put aside, for questions of its
// own.
func (p *pass) add(e *ldap.Entry) error {
	if p.groups == nil && p.d.cfg.lists() {
		p.bare = append(p.bare, e)
		return nil
	}
	a, err := p.d.account(e)
	if err != nil {
		return err
	}
	if p.groups != nil {
		a.Groups = p.groups.of(e)
	}
	return p.put(a)
}

// put adds an account to the page.
func (p *pass) put(a protocol.Account) error {
	if p.seen != nil {
		if p.seen[a.ID] {
			return nil
		}
		p.seen[a.ID] = true
	}
	p.page, p.member = append(p.page, a), p.member+len(a.Groups)
	if len(p.page) < p.size && p.member < maxPageGroups {
		return nil
	}
	return p.flush(nil)
}

// flush gives what was gathered to the caller. A finished pass gives at least one page,
// so that the caller learns whether it was full.
func (p *pass) flush(deleted []string) error {
	page := directory.Page{Full: p.full, Accounts: p.page, Deleted: deleted}
	p.page, p.member = nil, 0
	return p.yield(page)
}
