package directory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// company is what stands behind the tunnel: agents of one directory, scripted so that
// they fail where a test wants it. Bodies go through JSON, as they do in the tunnel.
type company struct {
	mu          sync.Mutex
	fingerprint string
	traits      protocol.Traits
	accounts    []protocol.Account
	changes     map[string]changes // by the state that a hub gives
	state       string             // given with the last page
	page        int                // accounts per page
	passes      map[string]*listing
	asked       []string // what was called, in order
	onPage      func(ctx context.Context, agent string, n int) error
}

// changes are what happened since a state.
type changes struct {
	accounts []protocol.Account
	deleted  []string
}

// listing is an open pass.
type listing struct {
	agent string
	rest  []protocol.Account
	gone  []string
	full  bool
	n     int
}

func newCompany(n int) *company {
	c := &company{fingerprint: "fp", traits: protocol.Traits{Name: "People", CanUnlock: true}, state: "s1", page: 20,
		passes: map[string]*listing{}, changes: map[string]changes{}}
	for i := range n {
		c.accounts = append(c.accounts, person(i))
	}
	return c
}

func person(i int) protocol.Account {
	return protocol.Account{ID: fmt.Sprintf("id-%04d", i), Name: fmt.Sprintf("Person %d", i), Identifiers: []string{fmt.Sprintf("P%d@example.com", i), fmt.Sprintf("p%d", i)},
		Groups: []protocol.Group{{ID: "g", Name: "Everybody"}, {ID: fmt.Sprint("g", i%3), Name: fmt.Sprint("Group ", i%3)}}}
}

func (c *company) Call(ctx context.Context, to directory.To, m protocol.Method, p protocol.Priority, req, resp any) error {
	answer, err := c.answer(ctx, to, m, p, req)
	if err != nil {
		return err
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, resp)
}

func (c *company) answer(ctx context.Context, to directory.To, m protocol.Method, p protocol.Priority, req any) (any, error) {
	if p != protocol.PrioritySync {
		return nil, protocol.Err(protocol.CodeBadRequest, "a synchronisation must not overtake recoveries")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m == protocol.MethodDescribe {
		return protocol.Description{Fingerprint: c.fingerprint, Kind: "ldap", Traits: c.traits}, nil
	}
	q := req.(protocol.ListRequest)
	c.asked = append(c.asked, to.Agent+"/"+q.Since)
	l := c.passes[q.Pass]
	switch {
	case q.Pass != "" && (l == nil || l.agent != to.Agent):
		return nil, protocol.Err(protocol.CodeNotBegun, "the pass is not open; begin a new one")
	case l == nil:
		l = c.open(to.Agent, q.Since)
		q.Pass = fmt.Sprint("pass", len(c.passes))
		c.passes[q.Pass] = l
	}
	l.n++
	if hook, n := c.onPage, l.n; hook != nil {
		c.mu.Unlock()
		err := hook(ctx, to.Agent, n)
		c.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
	page := protocol.ListPage{Pass: q.Pass, Fingerprint: c.fingerprint, Full: l.full, Total: len(l.rest), Accounts: l.rest[:min(c.page, len(l.rest))]}
	l.rest = l.rest[len(page.Accounts):]
	if len(page.Accounts) == 0 { // the page behind the last accounts, as the agent does it
		page.Done, page.State, page.Deleted = true, c.state, l.gone
	}
	return page, nil
}

func (c *company) open(agent, since string) *listing {
	if ch, ok := c.changes[since]; ok {
		return &listing{agent: agent, rest: ch.accounts, gone: ch.deleted}
	}
	return &listing{agent: agent, rest: append([]protocol.Account(nil), c.accounts...), full: true}
}

// set changes the company while nothing reads it.
func (c *company) set(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

// bench is one hub's side: a store, a directory in it, and what failed.
type bench struct {
	*directory.Directories
	storetest.Fixture
	store    *store.Store
	company  *company
	failures []directory.Failure
}

func newBench(t *testing.T, s *store.Store, c *company) *bench {
	t.Helper()
	b := &bench{store: s, company: c, Fixture: storetest.Seed(t, s)}
	local := coord.NewLocal()
	t.Cleanup(func() { _ = local.Close() })
	b.Directories = directory.Fast(directory.New(directory.Config{
		Store: s, Calls: c, Leases: local, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		OnError: func(_ context.Context, _ *store.Tx, f directory.Failure) error {
			b.failures = append(b.failures, f)
			return nil
		},
	}))
	return b
}

// each runs a test on both databases, with n people in the company.
func each(t *testing.T, n int, test func(t *testing.T, b *bench, c *company)) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCompany(n)
		test(t, newBench(t, s, c), c)
	})
}

func (b *bench) sync(t *testing.T) error {
	t.Helper()
	return b.Sync(t.Context(), b.Env.ID, b.Directory.ID)
}

func (b *bench) mustSync(t *testing.T) {
	t.Helper()
	if err := b.sync(t); err != nil {
		t.Fatal(err)
	}
}

// state returns the directory's row.
func (b *bench) state(t *testing.T) store.Directory {
	t.Helper()
	d, err := store.Get(t.Context(), b.store, func(tx *store.Tx) (store.Directory, error) {
		return tx.Directory(t.Context(), b.Env.ID, b.Directory.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// count counts rows of accounts by a condition.
func (b *bench) count(t *testing.T, condition string) (n int) {
	t.Helper()
	err := b.store.Read(t.Context(), func(tx *store.Tx) error {
		return tx.Row(t.Context(), []any{&n}, "SELECT count(*) FROM accounts WHERE directory = $1 AND "+condition, b.Directory.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// finds tells how many accounts an identifier gives.
func (b *bench) finds(t *testing.T, identifier string) int {
	t.Helper()
	all, err := b.Find(t.Context(), b.Env.ID, identifier)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// enrol makes agents of the directory known to the store.
func (b *bench) enrol(t *testing.T, n int) (ids []string) {
	t.Helper()
	for i := range n {
		err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
			hash := store.NewID()
			if _, err := tx.CreateTicket(t.Context(), b.Env.ID, b.Directory.ID, hash, time.Minute); err != nil {
				return err
			}
			a, err := tx.EnrolAgent(t.Context(), hash, store.Agent{NoiseKey: []byte(store.NewID()), SignKey: []byte("s")})
			if err != nil || i == 0 {
				ids = append(ids, a.ID)
				return err
			}
			ids = append(ids, a.ID)
			return tx.SetAgentState(t.Context(), b.Env.ID, a.ID, protocol.AgentActive, protocol.AgentPending)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not say %q", text, p)
		}
	}
}
