package directorytest

import (
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

const (
	reset       = "get_temporary_password"
	resetUnlock = "get_temporary_password,unlock"
	resetFull   = "get_temporary_password?must_change=true,unlock"
	unlock      = "unlock"
	removeMFA   = "remove_all_mfa"
)

func (f Fixture) dryRun(t *testing.T) {
	d := f.open(t)
	before := f.changes(t, f.Person)
	try := func(p Person, text string) error {
		return d.DryRun(within(t), p.ID, tasks(t, text))
	}
	wantCode(t, "reset", try(f.Person, reset), "")
	wantCode(t, "reset of an account that is not locked", try(f.Person, resetUnlock), "")
	wantCode(t, "reset of nobody", try(Person{ID: "00000000-0000-4000-8000-000000000000"}, reset), protocol.CodeAccountNotFound)
	wantCode(t, "an operation that the kind lacks", try(f.Person, "get_password_link"), protocol.CodeUnsupported)
	if f.Lock != nil {
		wantCode(t, "unlock of an account that is not locked", try(f.Person, unlock), protocol.CodeUnsupportedAccountState)
	}
	if f.Forbidden.ID != "" {
		wantCode(t, "reset without the right to", try(f.Forbidden, reset), protocol.CodePermissionDenied)
	}
	if f.MFA.ID == "" {
		wantCode(t, "mfa", try(f.Person, removeMFA), protocol.CodeUnsupported)
	}
	if after := f.changes(t, f.Person); after != before {
		t.Errorf("a dry run made %d changes", after-before)
	}
	f.signsIn(t, f.Person, f.Person.Password, "")
}

func (f Fixture) reset(t *testing.T) {
	d := f.open(t)
	p, before := f.Spares[0], f.changes(t, f.Spares[0])
	first, second := newPassword(), newPassword()
	f.perform(t, d, p, reset, first)
	f.signsIn(t, p, first, p.Password)
	f.perform(t, d, p, reset, second)
	f.signsIn(t, p, second, first)
	if got := f.changes(t, p) - before; f.Changes != nil && got != 2 {
		t.Errorf("two resets made %d changes in the server's log", got)
	}
	c := f.change(t, d, p, reset, newPassword())
	c.ID = "00000000-0000-4000-8000-000000000000"
	_, err := d.Perform(within(t), c)
	wantCode(t, "reset of nobody", err, protocol.CodeAccountNotFound)
	c = f.change(t, d, p, reset, "")
	_, err = d.Perform(within(t), c)
	wantCode(t, "reset without a password", err, protocol.CodeBadRequest)
	f.signsIn(t, p, second, "")
	if f.Forbidden.ID != "" {
		_, err := d.Perform(within(t), f.change(t, d, f.Forbidden, reset, newPassword()))
		wantCode(t, "reset without the right to", err, protocol.CodePermissionDenied)
	}
}

func (f Fixture) unlock(t *testing.T) {
	f.leavesOut(t, Lockout, f.Lock == nil)
	d := f.open(t)
	p, password := f.Spares[1], newPassword()
	f.perform(t, d, p, reset, password)
	lock := func() {
		t.Helper()
		f.Lock(t, p.DN)
		if got, err := d.Facts(within(t), p.ID); err != nil || !got.Locked || got.Disabled {
			t.Fatalf("after failed sign-ins: %+v, %v", got, err)
		}
		if f.SignIn(p.DN, password) == nil {
			t.Fatal("the account is not locked")
		}
	}
	lock()
	wantCode(t, "dry run", d.DryRun(within(t), p.ID, tasks(t, unlock)), "")
	f.perform(t, d, p, unlock, "")
	f.signsIn(t, p, password, "")
	if got, err := d.Facts(within(t), p.ID); err != nil || got.Locked {
		t.Errorf("after the unlock: %+v, %v", got, err)
	}
	lock()
	next := newPassword()
	f.perform(t, d, p, resetUnlock, next)
	f.signsIn(t, p, next, password)
}

func (f Fixture) mustChange(t *testing.T) {
	d := f.open(t)
	about, err := d.Describe(within(t))
	if err != nil {
		t.Fatal(err)
	}
	p, password := f.Spares[2], newPassword()
	if !about.Traits.CanMustChange {
		wantCode(t, "must change", d.DryRun(within(t), p.ID, tasks(t, resetFull)), protocol.CodeUnsupported)
		return
	}
	if r := f.perform(t, d, p, resetFull, password); !r.MustChange {
		t.Error("must change was asked for, is offered, and did not take effect")
	}
	f.signsIn(t, p, password, p.Password)
	next := newPassword()
	if r := f.perform(t, d, p, reset, next); r.MustChange && !f.ForcesMustChange {
		t.Error("must change was not asked for and took effect")
	}
	f.signsIn(t, p, next, password)
}

func (f Fixture) refusals(t *testing.T) {
	d := f.open(t)
	for _, r := range f.Refusals {
		before := f.changes(t, r.Person)
		_, err := d.Perform(within(t), f.change(t, d, r.Person, resetUnlock, r.Password))
		wantCode(t, r.Name, err, protocol.CodePasswordPolicy)
		if err != nil && !strings.Contains(err.Error(), r.Words) {
			t.Errorf("%s: %q does not say %q", r.Name, err, r.Words)
		}
		if err != nil && strings.Contains(err.Error(), r.Password) {
			t.Errorf("P15: %s: the message holds the password", r.Name)
		}
		if f.changes(t, r.Person) != before {
			t.Errorf("%s: the directory was changed", r.Name)
		}
	}
}

func (f Fixture) mfa(t *testing.T) {
	f.leavesOut(t, Authenticators, f.MFA.ID == "")
	d := f.open(t)
	if !f.HasMFA(t, f.MFA.DN) {
		t.Fatal("the account has no authenticator to begin with")
	}
	wantCode(t, "dry run", d.DryRun(within(t), f.MFA.ID, tasks(t, removeMFA)), "")
	f.perform(t, d, f.MFA, removeMFA, "")
	if f.HasMFA(t, f.MFA.DN) {
		t.Error("the authenticator is still there")
	}
	wantCode(t, "with nothing to remove", d.DryRun(within(t), f.MFA.ID, tasks(t, removeMFA)), protocol.CodeUnsupportedAccountState)
}

// injections are texts that mean something to a filter, a DN, a shell or a log.
var injections = []string{
	"*", "a*", ")(uid=*", "*)(objectClass=*", "x)(|(mail=*", `\2a`, `\`, "x\x00", "(", ")", "&", "|(a=b)",
	"uid=anna,ou=people,dc=corp,dc=example", "x; Add-ADGroupMember 'Domain Admins' eve", "$(id)", "`id`", "'", `"`, "<GUID=00000000-0000-4000-8000-000000000000>",
	"\r\nmail: x", "\xff\xfe", strings.Repeat("a", 70000), " ", "",
}

func (f Fixture) injection(t *testing.T) {
	d := f.open(t)
	before := f.changes(t, f.Person)
	for _, text := range injections {
		name := text[:min(len(text), 40)]
		for _, ref := range []protocol.Ref{{ID: text}, {Identifier: text}} {
			got, err := d.Get(within(t), ref)
			if len(got) != 0 || (err != nil && protocol.CodeOf(err) != protocol.CodeBadRequest) {
				t.Errorf("get %q: %d accounts, %v", name, len(got), err)
			}
		}
		if text != "" && text != "a" {
			if got, err := d.Groups(within(t), protocol.GroupsRequest{Prefix: text}); len(got) != 0 || (err != nil && protocol.CodeOf(err) != protocol.CodeBadRequest) {
				t.Errorf("groups %q: %d, %v", name, len(got), err)
			}
		}
		f.refusesID(t, d, text)
	}
	if f.changes(t, f.Person) != before {
		t.Error("something was changed")
	}
	f.signsIn(t, f.Person, f.Person.Password, "")
}

// refusesID checks that every method that takes an id finds nobody by a strange one.
func (f Fixture) refusesID(t *testing.T, d directory.Directory, id string) {
	t.Helper()
	_, facts := d.Facts(within(t), id)
	_, contacts := d.Contacts(within(t), id)
	_, stamp := d.Stamp(within(t), id, tasks(t, reset))
	_, perform := d.Perform(within(t), directory.Change{ID: id, Tasks: tasks(t, reset), Password: protocol.NewSecret(newPassword())})
	for what, err := range map[string]error{"facts": facts, "contacts": contacts, "stamp": stamp, "perform": perform, "dry run": d.DryRun(within(t), id, tasks(t, reset))} {
		if code := protocol.CodeOf(err); code != protocol.CodeBadRequest && code != protocol.CodeAccountNotFound {
			t.Errorf("%s of %q: %v", what, id[:min(len(id), 40)], err)
		}
	}
}
