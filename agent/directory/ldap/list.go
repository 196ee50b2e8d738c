package ldap

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Rhythm and size of lists.
const (
	// overlap is read again by each incremental pass: clocks differ, replicas lag, and
	// an entry may change after a long pass has read it.
	overlap = 5 * time.Minute
	// fullEvery ends a chain of incremental passes, which see no deletions.
	fullEvery   = 24 * time.Hour
	defaultPage = 500
	maxPage     = 5000
)

// listState is where a pass ended.
type listState struct {
	Version int       `json:"v"`
	Mapping string    `json:"mapping"` // Config.sum
	Since   time.Time `json:"since"`   // everything older was listed
	Full    time.Time `json:"full"`    // when the last full pass began
}

const listVersion = 1

// A pass is one run over the accounts.
type pass struct {
	directory *Directory
	full      bool
	key       []byte // of birth dates
	began     time.Time
	newest    time.Time
	page      int
	rows      []protocol.Account
	yield     func(directory.Page) error
	given     bool // at least one page went out
}

// List implements directory.Reader. Accounts come without groups, which a policy asks
// for live (Get); deletions show only in a full pass, which comes at least daily.
func (d *Directory) List(ctx context.Context, since string, page int, yield func(directory.Page) error) (string, error) {
	if page <= 0 {
		page = defaultPage
	}
	p := &pass{directory: d, began: time.Now(), page: min(page, maxPage), yield: directory.While(ctx, yield)}
	d.mu.Lock()
	p.key = d.birthDateKey
	d.mu.Unlock()
	state, incremental := d.resume(since, p.began)
	p.full = !incremental
	filter := d.cfg.Filter
	if incremental {
		filter = ldapconn.And(filter, d.cfg.changedSince(state.Since))
	} else {
		state = listState{Version: listVersion, Mapping: d.cfg.sum(), Full: p.began}
	}
	if err := p.run(ctx, filter); err != nil {
		return "", err
	}
	if newest := earlier(p.newest, p.began); !newest.IsZero() {
		state.Since = later(state.Since, newest.Add(-overlap))
	}
	b, err := json.Marshal(state)
	return string(b), err
}

// resume reads the state of the last pass and reports whether this one may build
// on it.
func (d *Directory) resume(text string, now time.Time) (listState, bool) {
	var s listState
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	if dec.Decode(&s) != nil || dec.More() {
		return listState{}, false
	}
	age := now.Sub(s.Full)
	return s, s.Version == listVersion && s.Mapping == d.cfg.sum() && !s.Since.IsZero() && age >= 0 && age < fullEvery
}

// changedSince is the filter for entries that changed at t or later.
func (cfg Config) changedSince(t time.Time) string {
	stamp := t.UTC().Format("20060102150405")
	if cfg.ChangeAttribute == entryCSN {
		return "(" + entryCSN + ">=" + stamp + ".000000Z#000000#000#000000)"
	}
	return "(" + cfg.ChangeAttribute + ">=" + stamp + "Z)"
}

// run reads every branch on one stream and ends with what is left over. A pass always
// gives at least one page, so that an empty directory shows as empty.
func (p *pass) run(ctx context.Context, filter string) error {
	s, err := p.directory.pool.Stream(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	cfg := p.directory.cfg
	for _, base := range outermost(cfg.BaseDNs) {
		q := ldapconn.Query{Base: base, Filter: filter, Attributes: cfg.accountAttributes(), Page: p.page}
		if err := s.Search(ctx, q, p.row, p.flush); err != nil {
			return err
		}
	}
	if p.given {
		return nil
	}
	return p.yield(directory.Page{Full: p.full})
}

// row maps one entry.
func (p *pass) row(r *ldapconn.Row) error {
	a, ok := p.directory.cfg.account(r, p.key, p.began)
	if !ok {
		return nil
	}
	p.newest = later(p.newest, a.UpdatedAt)
	p.rows = append(p.rows, a)
	return nil
}

// flush gives a page away. The slice goes with it.
func (p *pass) flush() error {
	if len(p.rows) == 0 {
		return nil
	}
	rows := p.rows
	p.rows, p.given = make([]protocol.Account, 0, len(rows)), true
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
