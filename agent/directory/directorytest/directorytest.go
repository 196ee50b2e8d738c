// Package directorytest is the conformance suite of the directory kinds: what each of
// them must do on its real server, with real sign-ins as proof. It knows no kind.
package directorytest

import (
	"context"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// patience bounds one test of the suite; a busy machine takes a second for most.
const patience = time.Minute

// A Fixture is a real server with a company in it, and how to look at it from outside
// of the kind under test. The suite changes the accounts that it is given and leaves
// them usable. What the server cannot show stands in Lacks: a member that is zero for any
// other reason fails the suite.
type Fixture struct {
	// Open opens the kind. The suite closes it with the test.
	Open func(t *testing.T, at Target) directory.Directory
	// Addr is host:port of the server's LDAPS, for a Target and for a testenv.Cutter.
	Addr   string
	CAFile string

	// SignIn tries a password with a client that owes nothing to the kind. An account
	// that must change its password counts as accepted.
	SignIn func(dn, password string) error
	// Lock locks an account by failed sign-ins. nil: the server locks nothing.
	Lock func(t *testing.T, dn string)
	// Changes counts the successful writes to an entry in the server's own log.
	Changes func(t *testing.T, dn string) int
	// Meddle sets an account's password as another administrator would.
	Meddle func(t *testing.T, dn, password string)
	// Touch changes something that List shows, as another administrator would.
	Touch func(t *testing.T, dn string)

	// Hands change the directory as other administrators do; nil: nobody does.
	Hands *Hands
	// Restorable starts a server that can be put back to an older copy; nil: there is none.
	Restorable func(t *testing.T) Restorable

	// Lacks names what the server or the kind does not have, and the suite leaves out.
	Lacks []Part

	People int // accounts in all; 0 if not known

	Person    Person   // ordinary, with contacts and a group
	Spares    []Person // ordinary; at least four, for tests that run beside one another
	Disabled  Person   // switched off by an administrator
	Chief     Person   // a built-in administrator, by direct membership or mark
	Deputy    Person   // one through a nested group
	Forbidden Person   // readable, but the agent has no right to reset it
	Ambiguous string   // an identifier of exactly two accounts

	Contacts  protocol.Contacts // of Person
	Group     string            // name of a group of Person, and of no other that begins with it
	Nested    string            // name of a group that Deputy is in only through another one
	MinLength int               // of the policy that applies to Person
	MFA       Person            // has an authenticator that the kind can remove
	HasMFA    func(t *testing.T, dn string) bool
	Refusals  []Refusal
	// ForcesMustChange says that the server asks for a new password after every reset.
	ForcesMustChange bool
}

// A Part is something that not every server has.
type Part string

// What a server may lack.
const (
	Lockout        Part = "lockout"          // it locks nobody after failed sign-ins
	Authenticators Part = "authenticators"   // it holds none
	Increments     Part = "incremental list" // the kind lists everything each time
	Others         Part = "other hands"      // nobody else changes it
	Backup         Part = "backup"           // it is never put back to an older copy
)

// leavesOut skips a test of what the server lacks, and fails one whose fixture is
// missing without a word, or is there in spite of it.
func (f Fixture) leavesOut(t *testing.T, part Part, missing bool) {
	t.Helper()
	switch said := slices.Contains(f.Lacks, part); {
	case missing && !said:
		t.Fatalf("the fixture has nothing for %q, and does not say that the server lacks it", part)
	case missing:
		t.Skipf("this server lacks: %s", part)
	case said:
		t.Errorf("the fixture says that the server lacks %q, and has it", part)
	}
}

// A Target is where and how to open the kind.
type Target struct {
	Addr     string // host:port of LDAPS
	CAFile   string // authority behind its certificate
	Password string // of the agent's account; empty for the right one
}

// A Person is an account of the company.
type Person struct {
	ID         string // immutable id, canonical
	DN         string
	Identifier string // one of its identifiers
	Name       string
	Password   string // before the suite; empty where nobody needs it
}

// A Refusal is a password that the policy of an account refuses, and part of the
// plain words for it.
type Refusal struct {
	Name     string
	Person   Person
	Password string
	Words    string
}

// Run runs the suite.
func Run(t *testing.T, f Fixture) {
	t.Run("describe", f.describe)
	t.Run("list", f.list)
	t.Run("incremental list", f.incremental)
	t.Run("somebody else's changes", f.someoneElse)
	t.Run("restored from a backup", f.restored)
	t.Run("get", f.get)
	t.Run("groups", f.groups)
	t.Run("contacts", f.contacts)
	t.Run("person", f.person)
	t.Run("facts", f.facts)
	t.Run("dry run", f.dryRun)
	t.Run("reset", f.reset)
	t.Run("unlock", f.unlock)
	t.Run("must change", f.mustChange)
	t.Run("refused passwords", f.refusals)
	t.Run("mfa", f.mfa)
	t.Run("P27_injection", f.injection)
	t.Run("dropped connections", f.dropped)
	t.Run("T14_settle", f.settle)
	t.Run("concurrency", f.concurrency)
}

// open opens the kind at the real server.
func (f Fixture) open(t *testing.T) directory.Directory {
	t.Helper()
	return f.openAt(t, Target{Addr: f.Addr, CAFile: f.CAFile})
}

func (f Fixture) openAt(t *testing.T, at Target) directory.Directory {
	t.Helper()
	d := f.Open(t, at)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// behind opens the kind behind a proxy that can cut connections.
func (f Fixture) behind(t *testing.T) (directory.Directory, *testenv.Cutter) {
	t.Helper()
	c := testenv.NewCutter(t, f.Addr)
	return f.openAt(t, Target{Addr: c.Addr, CAFile: c.CAFile}), c
}

// within bounds one test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// tasks reads a canonical text.
func tasks(t *testing.T, text string) []protocol.Task {
	t.Helper()
	list, err := protocol.ParseTasks(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// newPassword makes one that every policy of a test server takes.
// newPassword makes a password of letters of which no three stand together in the name of
// anybody here: directories refuse what has a part of it.
func newPassword() string {
	letters := []byte(rand.Text())
	for i, c := range letters {
		letters[i] = "bdfghjkqtvwxz"[c%13]
	}
	return "Aa9-" + string(letters)
}

// wantCode fails the test unless err is a protocol error with the code.
func wantCode(t *testing.T, what string, err error, want protocol.Code) {
	t.Helper()
	if got := protocol.CodeOf(err); got != want {
		t.Errorf("%s: %v; want %q", what, err, want)
	}
}

// signsIn fails the test unless exactly the new password is accepted.
func (f Fixture) signsIn(t *testing.T, p Person, now, before string) {
	t.Helper()
	if err := f.SignIn(p.DN, now); err != nil {
		t.Errorf("%s: the password does not work: %v", p.DN, err)
	}
	if before != "" && f.SignIn(p.DN, before) == nil {
		t.Errorf("%s: the old password still works", p.DN)
	}
}

// change makes a Change with its stamp.
func (f Fixture) change(t *testing.T, d directory.Directory, p Person, text, password string) directory.Change {
	t.Helper()
	c := directory.Change{ID: p.ID, Tasks: tasks(t, text), Password: protocol.NewSecret(password)}
	stamp, err := d.Stamp(within(t), p.ID, c.Tasks)
	if err != nil {
		t.Fatalf("stamp of %s: %v", p.DN, err)
	}
	if stamp == "" {
		t.Fatalf("stamp of %s is empty", p.DN)
	}
	c.Stamp = stamp
	return c
}

// perform makes a change that must succeed.
func (f Fixture) perform(t *testing.T, d directory.Directory, p Person, text, password string) directory.Result {
	t.Helper()
	r, err := d.Perform(within(t), f.change(t, d, p, text, password))
	if err != nil {
		t.Fatalf("%s of %s: %v", text, p.DN, err)
	}
	if !r.Secret.Empty() {
		t.Errorf("%s of %s: the directory made a secret of its own", text, p.DN)
	}
	return r
}

// changes counts writes, 0 where the server keeps no log of them.
func (f Fixture) changes(t *testing.T, p Person) int {
	t.Helper()
	if f.Changes == nil {
		return 0
	}
	return f.Changes(t, p.DN)
}
