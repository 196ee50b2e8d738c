package directorytest

import (
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// An Actor is a kind that does what administrators ask beside recovery.
type Actor interface {
	directory.Directory
	directory.Actor
	directory.Setter
}

// Acts is what RunActs needs of a real server. The people stay as they were, except the
// Leaver, who is gone afterwards.
type Acts struct {
	Actor
	Person, Leaver Person
	Group          string // no group of Person, with at least one other member
	Powerful       string // makes administrators of its members, through another group
	// SignIn tries a password with a client that owes nothing to the kind.
	SignIn func(dn, password string) error
	// MustChange reports whether the server asks for a new password at the next sign-in;
	// nil: the server cannot be asked for that.
	MustChange func(t *testing.T, dn string) bool
	// Single is an attribute of one value, Many one of several, Phone one that takes no
	// letters ("": the server checks none), Own one that the file maps to signing in or
	// what an account is, and Evidence one that recoveries go by.
	Single, Many, Phone, Own, Evidence string
	// NoSchema is why the server shows no schema; "": it does.
	NoSchema string
	// Values reads an attribute with a client that owes nothing to the kind.
	Values func(t *testing.T, dn, attribute string) []string
}

// act is one account operation.
func act(t *testing.T, o protocol.Operation, value string) protocol.Task {
	t.Helper()
	row, known := protocol.ActByName(o)
	task, fits := row.Task(value)
	if !known || !fits {
		t.Fatalf("%s %q is no account operation", o, value)
	}
	return task
}

// RunActs runs every account operation once on a real server, each with its dry run
// before and after.
func RunActs(t *testing.T, a Acts) {
	t.Run("disable and enable", a.switched)
	t.Run("must change", a.mustChange)
	t.Run("groups", a.groups)
	t.Run("groups that are not there or too much", a.strangeGroups)
	t.Run("attributes", a.set)
	t.Run("values that a directory refuses", a.refusedValues)
	t.Run("attributes that are none", a.strangeAttributes)
	t.Run("delete", a.remove)
	t.Run("P27_injection", a.injection)
}

// carried foresees a change, makes it, and foresees none any more.
func (a Acts) carried(t *testing.T, p Person, o protocol.Operation, value string, want protocol.Difference) {
	t.Helper()
	task := act(t, o, value)
	seen, err := a.Foresee(within(t), p.ID, task)
	if err != nil || len(seen.Changes) != 1 || seen.Changes[0] != want {
		t.Fatalf("foresee %s: %+v, %v; want %+v", o, seen, err, want)
	}
	if again, err := a.Foresee(within(t), p.ID, task); err != nil || len(again.Changes) != 1 {
		t.Fatalf("foreseeing %s changed something: %+v, %v", o, again, err)
	}
	if err := a.Act(within(t), p.ID, task); err != nil {
		t.Fatalf("%s: %v", o, err)
	}
	if o == protocol.DeleteAccount {
		return
	}
	if seen, err = a.Foresee(within(t), p.ID, task); err != nil || len(seen.Changes) != 0 {
		t.Errorf("after %s: %+v, %v", o, seen, err)
	}
	if err := a.Act(within(t), p.ID, task); err != nil {
		t.Errorf("%s of what is so already: %v", o, err)
	}
}

func (a Acts) switched(t *testing.T) {
	p := a.Person
	a.carried(t, p, protocol.Disable, "", protocol.Difference{What: protocol.WhatEnabled, Before: "true", After: "false"})
	if a.SignIn(p.DN, p.Password) == nil {
		t.Error("a disabled account signs in")
	}
	if f, err := a.Facts(within(t), p.ID); err != nil || !f.Disabled {
		t.Errorf("facts of a disabled account: %+v, %v", f, err)
	}
	a.carried(t, p, protocol.Enable, "", protocol.Difference{What: protocol.WhatEnabled, Before: "false", After: "true"})
	if err := a.SignIn(p.DN, p.Password); err != nil {
		t.Errorf("an enabled account does not sign in: %v", err)
	}
	if f, err := a.Facts(within(t), p.ID); err != nil || f.Disabled {
		t.Errorf("facts of an enabled account: %+v, %v", f, err)
	}
}

func (a Acts) mustChange(t *testing.T) {
	task := act(t, protocol.SetMustChange, "")
	if a.MustChange == nil {
		_, err := a.Foresee(within(t), a.Person.ID, task)
		wantCode(t, "must change where nothing asks for it", err, protocol.CodeUnsupported)
		return
	}
	if a.MustChange(t, a.Person.DN) {
		t.Fatal("the server asks for a new password to begin with")
	}
	a.carried(t, a.Person, protocol.SetMustChange, "", protocol.Difference{What: protocol.WhatMustChange, Before: "false", After: "true"})
	if !a.MustChange(t, a.Person.DN) {
		t.Error("the server does not ask for a new password")
	}
}

func (a Acts) in(t *testing.T, p Person, group string) bool {
	t.Helper()
	found, err := a.Get(within(t), protocol.Ref{ID: p.ID})
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	for _, g := range found[0].Groups {
		if g.Name == group {
			return true
		}
	}
	return false
}

func (a Acts) groups(t *testing.T) {
	a.carried(t, a.Person, protocol.AddToGroup, a.Group, protocol.Difference{What: protocol.WhatGroup, After: a.Group})
	if !a.in(t, a.Person, a.Group) {
		t.Error("the account is not in the group")
	}
	seen, err := a.Foresee(within(t), a.Person.ID, act(t, protocol.RemoveFromGroup, a.Group))
	if err != nil || seen.Group == nil || seen.Group.Name != a.Group || seen.Group.DN == "" || seen.Group.ID == "" || seen.Group.Privileged != "" {
		t.Fatalf("the group of a dry run: %+v, %v", seen.Group, err)
	}
	a.carried(t, a.Person, protocol.RemoveFromGroup, seen.Group.ID, protocol.Difference{What: protocol.WhatGroup, Before: a.Group})
	if a.in(t, a.Person, a.Group) {
		t.Error("the account is still in the group")
	}
}

func (a Acts) strangeGroups(t *testing.T) {
	for _, name := range []string{"No such group", "*", ")(cn=*", "00000000-0000-4000-8000-000000000000"} {
		_, err := a.Foresee(within(t), a.Person.ID, act(t, protocol.AddToGroup, name))
		wantCode(t, name, err, protocol.CodeBadRequest)
	}
	seen, err := a.Foresee(within(t), a.Person.ID, act(t, protocol.AddToGroup, a.Powerful))
	if err == nil && (seen.Group == nil || seen.Group.Privileged == "") {
		t.Errorf("P02: a group that makes administrators is not known as one: %+v", seen.Group)
	}
	if err != nil && protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("a group that makes administrators: %v", err)
	}
}

func (a Acts) remove(t *testing.T) {
	a.carried(t, a.Leaver, protocol.DeleteAccount, "", protocol.Difference{What: protocol.WhatAccount, Before: a.Leaver.DN})
	_, err := a.Foresee(within(t), a.Leaver.ID, act(t, protocol.DeleteAccount, ""))
	wantCode(t, "delete of what is gone", err, protocol.CodeAccountNotFound)
	if a.SignIn(a.Leaver.DN, a.Leaver.Password) == nil {
		t.Error("a deleted account signs in")
	}
}

func (a Acts) injection(t *testing.T) {
	for _, text := range injections {
		_, err := a.Foresee(within(t), text, act(t, protocol.Disable, ""))
		if code := protocol.CodeOf(err); code != protocol.CodeBadRequest && code != protocol.CodeAccountNotFound {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}
