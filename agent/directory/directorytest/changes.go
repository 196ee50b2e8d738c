package directorytest

import (
	"slices"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// Hands are what another administrator does to a directory.
type Hands struct {
	// Add makes an ordinary account that the kind lists.
	Add func(t *testing.T, login string) Person
	// Delete removes an entry.
	Delete func(t *testing.T, dn string)
	// Rename gives an account another name, also as what its Name is read from, and
	// returns the account as it is now.
	Rename func(t *testing.T, p Person, name string) Person
	// Leave moves an account out of what the kind lists; nil if there is no such place.
	Leave func(t *testing.T, p Person) Person
	// Group makes a group with members (DNs) and returns its DN.
	Group func(t *testing.T, name string, members ...string) string
	// Member puts an entry into a group or takes it out.
	Member func(t *testing.T, group, dn string, in bool)
	// RenameGroup gives a group another name and returns its DN.
	RenameGroup func(t *testing.T, group, name string) string
}

// A Restorable is a server of the suite's own that is put back to an older copy.
type Restorable struct {
	Open func(t *testing.T) directory.Directory
	Add  func(t *testing.T, login string) Person
	// Touch changes something that List shows; each call is another change.
	Touch func(t *testing.T, dn string)
	// Keep copies what the server has, Back puts it back to that copy.
	Keep, Back func(t *testing.T)
}

// follow is a directory of which the hub has everything.
type follow struct {
	f     Fixture
	d     directory.Directory
	state string
}

// next is the next pass. What it says is gone is what the hub takes away.
func (h *follow) next(t *testing.T, had map[string]protocol.Account) (l listed, gone []string) {
	t.Helper()
	l = h.f.pass(t, h.d, h.state)
	h.state = l.state
	full := false
	for _, p := range l.pages {
		gone, full = append(gone, p.Deleted...), p.Full
	}
	if full {
		for id := range had {
			if _, still := l.accounts[id]; !still {
				gone = append(gone, id)
			}
		}
	}
	return l, gone
}

// someoneElse: what somebody else does to the directory shows in the next pass, whether it
// lists changes or everything.
func (f Fixture) someoneElse(t *testing.T) {
	f.leavesOut(t, Others, f.Hands == nil)
	d := f.open(t)
	full := f.pass(t, d, "")
	h := &follow{f: f, d: d, state: full.state}
	if l, gone := h.next(t, full.accounts); len(l.accounts) > 0 && !l.pages[0].Full || len(gone) > 0 {
		t.Errorf("nothing changed, but %d accounts came, and %v are gone", len(l.accounts), gone)
	}
	t.Run("accounts", func(t *testing.T) { f.accountChanges(t, h) })
	t.Run("groups", func(t *testing.T) { f.groupChanges(t, h) })
}

func (f Fixture) accountChanges(t *testing.T, h *follow) {
	one, two := f.Hands.Add(t, "s.one"), f.Hands.Add(t, "s.two")
	l, gone := h.next(t, nil)
	f.matches(t, l.accounts[one.ID], one)
	f.matches(t, l.accounts[two.ID], two)
	if len(gone) > 0 {
		t.Errorf("two were added, but %v are gone", gone)
	}
	had := map[string]protocol.Account{one.ID: {}, two.ID: {}}
	one = f.Hands.Rename(t, one, "Another Name")
	l, gone = h.next(t, had)
	f.matches(t, l.accounts[one.ID], one) // by the same id
	if len(gone) > 0 {
		t.Errorf("one was renamed, but %v are gone", gone)
	}
	f.Hands.Delete(t, two.DN)
	l, gone = h.next(t, had)
	if _, listed := l.accounts[two.ID]; listed || !slices.Equal(gone, []string{two.ID}) {
		t.Errorf("%s was deleted, but listed is %v, gone are %v", two.ID, listed, gone)
	}
	delete(had, two.ID)
	if f.Hands.Leave != nil {
		one = f.Hands.Leave(t, one)
		l, gone = h.next(t, had)
		if _, listed := l.accounts[one.ID]; listed || !slices.Equal(gone, []string{one.ID}) {
			t.Errorf("%s left, but listed is %v, gone are %v", one.ID, listed, gone)
		}
	}
	f.Hands.Delete(t, one.DN)
	h.next(t, nil)
}

func (f Fixture) groupChanges(t *testing.T, h *follow) {
	p := f.Hands.Add(t, "s.member")
	defer f.Hands.Delete(t, p.DN)
	inner := f.Hands.Group(t, "S-Inner", p.DN)
	outer := f.Hands.Group(t, "S-Outer", f.Spares[0].DN)
	defer func() { f.Hands.Delete(t, inner); f.Hands.Delete(t, outer) }()
	check := func(what string, want ...string) {
		t.Helper()
		l, _ := h.next(t, nil)
		a, listed := l.accounts[p.ID]
		if !listed {
			t.Errorf("%s: the member was not listed anew", what)
			return
		}
		for name, in := range map[string]bool{"S-Inner": false, "S-Outer": false, "S-Other": false} {
			in = slices.Contains(want, name)
			if got := slices.ContainsFunc(a.Groups, func(g protocol.Group) bool { return g.Name == name }); got != in {
				t.Errorf("%s: listed in %s is %v, want %v", what, name, got, in)
			}
		}
	}
	check("a group was made", "S-Inner")
	f.Hands.Member(t, outer, inner, true)
	check("the group joined another", "S-Inner", "S-Outer")
	outer = f.Hands.RenameGroup(t, outer, "S-Other")
	check("the outer group was renamed", "S-Inner", "S-Other")
	f.Hands.Member(t, inner, p.DN, false)
	check("the member left")
}

// restored: a directory that is put back to an older copy is noticed, also once it has
// caught up with its numbers: everything is read again, and nothing is called deleted
// that is there.
func (f Fixture) restored(t *testing.T) {
	f.leavesOut(t, Backup, f.Restorable == nil)
	r := f.Restorable(t)
	for _, caughtUp := range []bool{false, true} {
		d := r.Open(t)
		name := "early"
		if caughtUp {
			name = "late"
		}
		old := r.Add(t, "r.old."+name)
		r.Keep(t)
		since := r.Add(t, "r.new."+name)
		r.Touch(t, old.DN)
		before := f.pass(t, d, "")
		before = f.pass(t, d, before.state) // as it is between two passes
		r.Back(t)
		for range 20 * map[bool]int{true: 1}[caughtUp] {
			r.Touch(t, old.DN)
		}
		if caughtUp {
			r.Add(t, "r.later")
		}
		after := f.pass(t, r.Open(t), before.state)
		for _, p := range after.pages {
			if !p.Full || len(p.Deleted) > 0 {
				t.Errorf("%s: a page with full=%v, deleted=%v after the restore", name, p.Full, p.Deleted)
			}
		}
		if _, listed := after.accounts[since.ID]; listed {
			t.Errorf("%s: who is not in the copy was listed", name)
		}
		if _, listed := after.accounts[old.ID]; !listed {
			t.Errorf("%s: who is in the copy was not listed", name)
		}
		if next := f.pass(t, d, after.state); next.pages[0].Full {
			t.Errorf("%s: the pass after that is full again", name)
		}
	}
}
