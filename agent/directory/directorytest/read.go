package directorytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// smallPage makes the suite's lists take several pages.
const smallPage = 3

func (f Fixture) describe(t *testing.T) {
	one, err := f.open(t).Describe(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if one.Kind == "" || one.Fingerprint == "" || one.Traits.Name == "" {
		t.Errorf("kind, fingerprint and name may not be empty: %+v", one)
	}
	if !one.Traits.CanGetTemporaryPassword || one.Traits.CanUnlock != (f.Lock != nil) {
		t.Errorf("traits: %+v", one.Traits)
	}
	if one.Traits.CanRemoveAllMFA != (f.MFA != Person{}) {
		t.Errorf("can_remove_all_mfa is %v", one.Traits.CanRemoveAllMFA)
	}
	two, err := f.open(t).Describe(within(t))
	if err != nil || one != two {
		t.Errorf("the same directory describes itself as %+v, %v", two, err)
	}
	_, err = f.openAt(t, Target{Addr: f.Addr, CAFile: f.CAFile, Password: "not the agent's password"}).Describe(within(t))
	wantCode(t, "a wrong password of the agent's account", err, protocol.CodeServiceAuthentication)
}

// listed is one pass over a directory.
type listed struct {
	accounts map[string]protocol.Account
	pages    []directory.Page
	state    string
}

func (f Fixture) pass(t *testing.T, d directory.Directory, since string) listed {
	t.Helper()
	l := listed{accounts: map[string]protocol.Account{}}
	var err error
	l.state, err = d.List(within(t), since, smallPage, func(p directory.Page) error {
		l.pages = append(l.pages, directory.Page{Full: p.Full, Total: p.Total, Deleted: p.Deleted})
		for _, a := range p.Accounts {
			if _, twice := l.accounts[a.ID]; twice {
				t.Errorf("%s is listed twice", a.ID)
			}
			l.accounts[a.ID] = a
		}
		return nil
	})
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	return l
}

func (f Fixture) list(t *testing.T) {
	d := f.open(t)
	l := f.pass(t, d, "")
	if len(l.pages) < 2 || l.state == "" {
		t.Errorf("%d pages for %d accounts, state %q", len(l.pages), len(l.accounts), l.state)
	}
	for _, p := range l.pages {
		if !p.Full || len(p.Deleted) > 0 {
			t.Errorf("a page of a full pass says full=%v, deleted=%v", p.Full, p.Deleted)
		}
	}
	if f.People > 0 && len(l.accounts) != f.People {
		t.Errorf("%d accounts, want %d", len(l.accounts), f.People)
	}
	for _, p := range f.known() {
		f.matches(t, l.accounts[p.ID], p)
	}
	if !l.accounts[f.Disabled.ID].Disabled && f.Disabled.ID != "" {
		t.Error("the disabled account is not marked")
	}
	stop := errors.New("enough")
	if _, err := d.List(within(t), "", smallPage, func(directory.Page) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of yield became %v", err)
	}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	if _, err := d.List(ctx, "", smallPage, func(directory.Page) error { cancel(); return nil }); err == nil {
		t.Error("a cancelled pass ended well")
	}
	_ = f.pass(t, d, "") // and the directory still works
}

// known are the people that the fixture names.
func (f Fixture) known() []Person {
	var all []Person
	for _, p := range append([]Person{f.Person, f.Disabled, f.Chief, f.Deputy, f.Forbidden, f.MFA}, f.Spares...) {
		if p.ID != "" && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// matches compares an account with what the fixture says of it.
func (f Fixture) matches(t *testing.T, a protocol.Account, p Person) {
	t.Helper()
	if a.ID != p.ID || a.Name != p.Name || !slices.ContainsFunc(a.Identifiers, func(s string) bool { return strings.EqualFold(s, p.Identifier) }) {
		t.Errorf("%s is given as %+v", p.DN, a)
	}
	for _, id := range a.Identifiers {
		if id == "" || strings.IndexFunc(id, unicode.IsControl) >= 0 {
			t.Errorf("%s: identifier %q", p.DN, id)
		}
		for _, private := range f.Contacts.Mail {
			if strings.EqualFold(id, private) && p.ID == f.Person.ID {
				t.Errorf("the private address %s left the directory in a list", private)
			}
		}
	}
}

func (f Fixture) incremental(t *testing.T) {
	d := f.open(t)
	traits, err := d.Describe(within(t))
	if err != nil {
		t.Fatal(err)
	}
	f.leavesOut(t, Increments, !traits.Traits.CanUpdateAccountsList || f.Touch == nil)
	full := f.pass(t, d, "")
	f.Touch(t, f.Person.DN)
	next := f.pass(t, d, full.state)
	for _, p := range next.pages {
		if p.Full {
			t.Fatal("an incremental pass says that it is full")
		}
	}
	if _, ok := next.accounts[f.Person.ID]; !ok {
		t.Error("a changed account is missing")
	}
	for _, state := range []string{"nonsense", "{}", full.state + "x"} {
		if l := f.pass(t, d, state); len(l.pages) == 0 || !l.pages[0].Full || len(l.accounts) != len(full.accounts) {
			t.Errorf("the state %q does not give a full pass", state)
		}
	}
}

func (f Fixture) get(t *testing.T) {
	d := f.open(t)
	for _, p := range f.known() {
		for _, ref := range []protocol.Ref{{ID: p.ID}, {Identifier: p.Identifier}, {ID: strings.ToUpper(p.ID)}} {
			got, err := d.Get(within(t), ref)
			if err != nil || len(got) != 1 {
				t.Errorf("%+v: %d accounts, %v", ref, len(got), err)
				continue
			}
			f.matches(t, got[0], p)
		}
	}
	if f.Ambiguous != "" {
		if got, err := d.Get(within(t), protocol.Ref{Identifier: f.Ambiguous}); err != nil || len(got) != 2 {
			t.Errorf("an ambiguous identifier gives %d accounts, %v", len(got), err)
		}
	}
	for _, ref := range []protocol.Ref{{Identifier: "nobody@corp.example"}, {ID: "00000000-0000-4000-8000-000000000000"}} {
		if got, err := d.Get(within(t), ref); err != nil || len(got) != 0 {
			t.Errorf("%+v: %d accounts, %v", ref, len(got), err)
		}
	}
	_, err := d.Get(within(t), protocol.Ref{})
	wantCode(t, "an empty ref", err, protocol.CodeBadRequest)
	f.groupsOf(t, d, f.Person, f.Group)
	f.groupsOf(t, d, f.Deputy, f.Nested)
}

// groupsOf checks that an account comes with a group, nested ones included.
func (f Fixture) groupsOf(t *testing.T, d directory.Directory, p Person, want string) {
	t.Helper()
	if p.ID == "" || want == "" {
		return
	}
	got, err := d.Get(within(t), protocol.Ref{ID: p.ID})
	if err != nil || len(got) != 1 {
		t.Fatalf("%s: %d accounts, %v", p.DN, len(got), err)
	}
	for _, g := range got[0].Groups {
		if g.Name == want && g.ID != "" {
			return
		}
	}
	t.Errorf("%s: no group %q among %+v", p.DN, want, got[0].Groups)
}

func (f Fixture) groups(t *testing.T) {
	d := f.open(t)
	got, err := d.Groups(within(t), protocol.GroupsRequest{Prefix: f.Group})
	if err != nil || len(got) != 1 || got[0].Name != f.Group || got[0].ID == "" {
		t.Errorf("groups that begin with %q: %+v, %v", f.Group, got, err)
	}
	all, err := d.Groups(within(t), protocol.GroupsRequest{})
	if err != nil || len(all) < 2 {
		t.Errorf("all groups: %+v, %v", all, err)
	}
	if one, err := d.Groups(within(t), protocol.GroupsRequest{Max: 1}); err != nil || len(one) != 1 {
		t.Errorf("at most one group: %+v, %v", one, err)
	}
	if none, err := d.Groups(within(t), protocol.GroupsRequest{Prefix: "no such group"}); err != nil || len(none) != 0 {
		t.Errorf("no group: %+v, %v", none, err)
	}
}

func (f Fixture) contacts(t *testing.T) {
	d := f.open(t)
	got, err := d.Contacts(within(t), f.Person.ID)
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2][]string{
		"mail": {got.Mail, f.Contacts.Mail}, "primary": {got.Primary, f.Contacts.Primary}, "phone": {got.Phone, f.Contacts.Phone},
		"manager": {{got.Manager}, {f.Contacts.Manager}}, "language": {{got.Language}, {f.Contacts.Language}},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
		}
	}
	_, err = d.Contacts(within(t), "00000000-0000-4000-8000-000000000000")
	wantCode(t, "contacts of nobody", err, protocol.CodeAccountNotFound)
}

// person: what a directory says of who an account belongs to is what it lists, and for
// the agent alone it says the birth date in clear, of which it lists the keyed hash.
func (f Fixture) person(t *testing.T) {
	d := f.open(t)
	p, ok := d.(directory.Personal)
	if !ok {
		t.Fatal("the directory says nothing of people")
	}
	key := []byte("the directory's birth-date key")
	if keyed, ok := d.(directory.Keyed); ok {
		keyed.UseBirthDateKey(key)
	}
	listed, err := d.Get(within(t), protocol.Ref{ID: f.Person.ID})
	if err != nil || len(listed) != 1 {
		t.Fatalf("%+v, %v", listed, err)
	}
	got, err := p.Person(within(t), f.Person.ID)
	if err != nil || got.Name != listed[0].Name || got.Name == "" || !strings.Contains(got.Name, got.Family) {
		t.Errorf("person = %+v, %v; listed as %q", got, err, listed[0].Name)
	}
	if (got.BirthDate == "") != (listed[0].BirthDate == "") {
		t.Errorf("birth date %q, listed as %q", got.BirthDate, listed[0].BirthDate)
	}
	if _, err := time.Parse(time.DateOnly, got.BirthDate); got.BirthDate != "" && err != nil {
		t.Errorf("birth date %q", got.BirthDate)
	}
	_, err = p.Person(within(t), "00000000-0000-4000-8000-000000000000")
	wantCode(t, "person of nobody", err, protocol.CodeAccountNotFound)
}

func (f Fixture) facts(t *testing.T) {
	d := f.open(t)
	facts := func(p Person) directory.Facts {
		t.Helper()
		got, err := d.Facts(within(t), p.ID)
		if err != nil {
			t.Fatalf("facts of %s: %v", p.DN, err)
		}
		if got.ID != p.ID || !strings.EqualFold(got.DN, p.DN) {
			t.Errorf("facts of %s are of %s, %s", p.DN, got.ID, got.DN)
		}
		return got
	}
	if got := facts(f.Person); got.Disabled || got.Locked || got.Privileged != "" || got.Self || !slices.Contains(got.Groups, f.Group) || got.Policy.MinLength != f.MinLength {
		t.Errorf("an ordinary person: %+v", got)
	}
	if f.Disabled.ID != "" && !facts(f.Disabled).Disabled {
		t.Error("the disabled account is not told")
	}
	for _, p := range []Person{f.Chief, f.Deputy} {
		if p.ID != "" && facts(p).Privileged == "" {
			t.Errorf("%s is not known as an administrator", p.DN)
		}
	}
	if f.Nested != "" && !slices.Contains(facts(f.Deputy).Groups, f.Nested) {
		t.Errorf("the nested group %q is missing", f.Nested)
	}
	_, err := d.Facts(within(t), "00000000-0000-4000-8000-000000000000")
	wantCode(t, "facts of nobody", err, protocol.CodeAccountNotFound)
}
