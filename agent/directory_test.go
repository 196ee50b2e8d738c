package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// company is a small directory that really keeps its accounts, in a file, so that it
// outlives the process that changes it. It serves one process at a time.
type company struct {
	path string

	mu     sync.Mutex
	before func(directory.Change) // called when a change has arrived, before it is made
	after  func(directory.Change) error
	down   error    // answered to everything
	refuse error    // answered to changes, which are not made
	hold   func()   // called once by the next Facts
	lacks  []string // rights for account operations
}

// person is one account of the company. Writes is its change stamp.
type person struct {
	ID, Identifier, DN, Password string
	Mail, Phone                  []string
	Manager                      string
	Who                          directory.Person
	Groups                       []string
	Privileged                   string
	Self, Disabled, Locked       bool
	MustChange, NeverSignedIn    bool
	Writes                       int
	Attributes                   map[string][]string
	Policy                       directory.PasswordPolicy
}

// people is a company with somebody for every rule.
func people() map[string]*person {
	staff := map[string]*person{}
	for i := range 20 {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		staff[id] = &person{
			ID: id, Identifier: fmt.Sprintf("user%d@corp.example", i), DN: fmt.Sprintf("cn=User %d,ou=people,dc=corp,dc=example", i),
			Password: "old", Mail: []string{fmt.Sprintf("user%d@home.example", i)}, Groups: []string{"staff"}, Locked: true,
		}
	}
	at := func(i int) *person { return staff[accountID(i)] }
	at(10).Privileged = "member of Domain Admins"
	at(11).Self = true
	at(12).Disabled = true
	at(13).DN = "cn=User 13,ou=it,dc=corp,dc=example"
	at(14).Groups = []string{"backup operators"}
	at(15).Groups = []string{"finance"}
	at(16).Mail = nil
	at(15).Who = directory.Person{Name: "Kim Hatano", Given: "Kim", Family: "Hatano", BirthDate: "1988-02-29"}
	return staff
}

func accountID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

// firstProtected and lastProtected are the accounts that rulesOfTests refuse.
const firstProtected, lastProtected = 10, 16

func newCompany(t testing.TB) *company {
	t.Helper()
	c := &company{path: filepath.Join(t.TempDir(), "company.json")}
	if err := c.save(people()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *company) load() (map[string]*person, error) {
	text, err := os.ReadFile(c.path)
	if err != nil {
		return nil, err
	}
	all := map[string]*person{}
	return all, json.Unmarshal(text, &all)
}

func (c *company) save(all map[string]*person) error { return writeJSON(c.path, all) }

// person reads one account, for tests.
func (c *company) person(t testing.TB, id string) person {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.load()
	if err != nil {
		t.Fatal(err)
	}
	return *all[id]
}

// edit changes one account as an administrator would.
func (c *company) edit(t *testing.T, id string, f func(*person)) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.load()
	if err != nil {
		t.Fatal(err)
	}
	f(all[id])
	if err := c.save(all); err != nil {
		t.Fatal(err)
	}
}

// writes sums what was ever written.
func (c *company) writes(t testing.TB) int {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.load()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		n += p.Writes
	}
	return n
}

func (c *company) setDown(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = err
}

func (c *company) setRefuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = err
}

func (c *company) find(id string) (person, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return person{}, c.down
	}
	all, err := c.load()
	if err != nil {
		return person{}, err
	}
	p := all[strings.ToLower(id)]
	if p == nil {
		return person{}, protocol.Err(protocol.CodeAccountNotFound, "no account has this id")
	}
	return *p, nil
}

// Describe implements directory.Reader.
func (c *company) Describe(context.Context) (protocol.Description, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return protocol.Description{Fingerprint: "company", Kind: "test", Traits: protocol.Traits{
		Name: "Test", CanGetTemporaryPassword: true, CanUnlock: true, CanRemoveAllMFA: true, CanMustChange: true,
	}}, c.down
}

// List implements directory.Reader.
func (c *company) List(_ context.Context, _ string, page int, yield func(directory.Page) error) (string, error) {
	all, err := c.load()
	if err != nil {
		return "", err
	}
	var list []protocol.Account
	for _, p := range all {
		list = append(list, protocol.Account{ID: p.ID, Identifiers: []string{p.Identifier}, Name: p.DN})
	}
	slices.SortFunc(list, func(a, b protocol.Account) int { return strings.Compare(a.ID, b.ID) })
	for part := range slices.Chunk(list, page) {
		if err := yield(directory.Page{Full: true, Accounts: part, Total: len(list)}); err != nil {
			return "", err
		}
	}
	return "state-1", nil
}

// Get implements directory.Reader.
func (c *company) Get(_ context.Context, ref protocol.Ref) ([]protocol.Account, error) {
	all, err := c.load()
	if err != nil {
		return nil, err
	}
	var list []protocol.Account
	for _, p := range all {
		if p.ID == ref.ID || p.Identifier == ref.Identifier {
			list = append(list, protocol.Account{ID: p.ID, Identifiers: []string{p.Identifier}})
		}
	}
	return list, nil
}

// Groups implements directory.Reader.
func (c *company) Groups(_ context.Context, q protocol.GroupsRequest) ([]protocol.Group, error) {
	var list []protocol.Group
	for _, name := range []string{"backup operators", "finance", "staff"} {
		if strings.HasPrefix(name, strings.ToLower(q.Prefix)) && len(list) < q.Max {
			list = append(list, protocol.Group{ID: name, Name: name})
		}
	}
	return list, nil
}

// Contacts implements directory.Reader.
func (c *company) Contacts(_ context.Context, id string) (protocol.Contacts, error) {
	p, err := c.find(id)
	return protocol.Contacts{Mail: p.Mail, Phone: p.Phone, Primary: []string{p.Identifier}, Manager: p.Manager}, err
}

// Photo implements directory.Photographed: everybody but the second one has a picture.
func (c *company) Photo(_ context.Context, id string) ([]byte, error) {
	if _, err := c.find(id); err != nil || id == accountID(2) {
		return nil, err
	}
	return []byte("picture of " + id), nil
}

// Person implements directory.Personal.
func (c *company) Person(_ context.Context, id string) (directory.Person, error) {
	p, err := c.find(id)
	return p.Who, err
}

// Facts implements directory.Writer.
func (c *company) Facts(_ context.Context, id string) (directory.Facts, error) {
	c.mu.Lock()
	hold := c.hold
	c.hold = nil
	c.mu.Unlock()
	if hold != nil {
		hold()
	}
	p, err := c.find(id)
	return directory.Facts{
		ID: p.ID, DN: p.DN, Disabled: p.Disabled, Locked: p.Locked, Privileged: p.Privileged, Self: p.Self, Groups: p.Groups, Policy: p.Policy, NeverSignedIn: p.NeverSignedIn,
	}, err
}

// DryRun implements directory.Writer.
func (c *company) DryRun(_ context.Context, id string, tasks []protocol.Task) error {
	p, err := c.find(id)
	if err == nil && !p.Locked && len(tasks) == 1 && tasks[0].Operation == protocol.Unlock {
		return protocol.Err(protocol.CodeUnsupportedAccountState, "the account is not locked")
	}
	return err
}

// Stamp implements directory.Writer.
func (c *company) Stamp(_ context.Context, id string, _ []protocol.Task) (string, error) {
	p, err := c.find(id)
	return fmt.Sprint(p.Writes), err
}

// Perform implements directory.Writer.
func (c *company) Perform(ctx context.Context, ch directory.Change) (directory.Result, error) {
	plan, err := directory.PlanOf(ch.Tasks)
	if err != nil {
		return directory.Result{}, err
	}
	if c.before != nil {
		c.before(ch)
	}
	if err := c.write(ch, plan); err != nil {
		return directory.Result{}, err
	}
	if c.after != nil {
		if err := c.after(ch); err != nil {
			return directory.Result{}, err
		}
	}
	return directory.Result{MustChange: plan.MustChange}, ctx.Err()
}

func (c *company) write(ch directory.Change, plan directory.Plan) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(c.down, c.refuse); err != nil {
		return err
	}
	all, err := c.load()
	if err != nil {
		return err
	}
	p := all[ch.ID]
	if plan.Reset {
		if ch.Password.Empty() {
			return errors.New("a reset without a password")
		}
		p.Password, p.MustChange = ch.Password.Reveal(), plan.MustChange
	}
	if plan.Unlock {
		p.Locked = false
	}
	p.Writes++
	return c.save(all)
}

// Settle implements directory.Writer.
func (c *company) Settle(_ context.Context, ch directory.Change) (protocol.State, error) {
	p, err := c.find(ch.ID)
	if err != nil {
		return "", err
	}
	var before int
	if _, err := fmt.Sscan(ch.Stamp, &before); err != nil {
		return "", err
	}
	switch p.Writes {
	case before:
		return protocol.Unchanged, nil
	case before + 1:
		return protocol.Done, nil
	}
	return protocol.Unknown, nil
}

// Close implements directory.Directory.
func (c *company) Close() error { return nil }
