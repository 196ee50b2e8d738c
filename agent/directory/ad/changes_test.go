package ad

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// listing is what one pass says.
type listing struct {
	accounts map[string]protocol.Account
	gone     []string
	full     bool
	state    string
}

func listSince(t *testing.T, d *Directory, since string) listing {
	t.Helper()
	l := listing{accounts: map[string]protocol.Account{}}
	var err error
	l.state, err = d.List(t.Context(), since, 100, func(p directory.Page) error {
		for _, a := range p.Accounts {
			l.accounts[a.ID] = a
		}
		l.gone, l.full = append(l.gone, p.Deleted...), p.Full
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(l.gone)
	return l
}

// changedTo fails the test unless a pass lists changes alone, and exactly these.
func (l listing) changedTo(t *testing.T, what string, listed, gone []string) {
	t.Helper()
	var got []string
	for id := range l.accounts {
		got = append(got, id)
	}
	slices.Sort(got)
	slices.Sort(listed)
	slices.Sort(gone)
	if l.full || !slices.Equal(got, listed) || !slices.Equal(l.gone, gone) {
		t.Errorf("%s: full %v, listed %v, gone %v; want %v, %v", what, l.full, got, l.gone, listed, gone)
	}
}

// edit changes a part of a state.
func edit(t *testing.T, text string, f func(*state)) string {
	t.Helper()
	var s state
	if err := json.Unmarshal([]byte(text), &s); err != nil || len(s.Marks) == 0 {
		t.Fatal(text, err)
	}
	f(&s)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func unit(t *testing.T, c *ldap.Conn, dn string) {
	t.Helper()
	add := ldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", []string{"organizationalUnit"})
	if err := c.Add(add); err != nil {
		t.Fatal(err)
	}
}

func TestDirSyncTellsOfUnitsGroupsAndFilters(t *testing.T) {
	s, d := open(t, func(c *Config) {
		c.BaseDNs = []string{testenv.SambaStaff}
		c.Filter = "(!(|(description=hidden)(carLicense:caseIgnoreMatch:=x)))"
	})
	admin := s.Admin(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h := hands(s)
	unit(t, admin, "OU=Wanderers,"+testenv.SambaStaff)
	raw := func(login string) string {
		t.Helper()
		_, b := s.AddPerson(t, "OU=Wanderers,"+testenv.SambaStaff, login, testenv.SambaEmployeePassword, nil)
		id, err := guidText(b)
		must(err)
		return id
	}
	one, two := raw("w.one"), raw("w.two")
	outsider, _ := s.AddPerson(t, testenv.SambaPartners, "w.out", testenv.SambaEmployeePassword, nil)
	group := h.Group(t, "W-Group", "CN=w.one,OU=Wanderers,"+testenv.SambaStaff, outsider)
	l := listSince(t, d, "")

	s.Set(t, "CN=w.one,OU=Wanderers,"+testenv.SambaStaff, map[string][]string{"telephoneNumber": {"1"}})
	s.Lock(t, "w.one@corp.example")
	l = listSince(t, d, l.state)
	l.changedTo(t, "something that is not listed", nil, nil)

	must(admin.ModifyDN(ldap.NewModifyDNRequest("OU=Wanderers,"+testenv.SambaStaff, "OU=Nomads", true, "")))
	l = listSince(t, d, l.state)
	l.changedTo(t, "a unit was renamed", []string{one, two}, nil)

	must(admin.ModifyDN(ldap.NewModifyDNRequest("OU=Nomads,"+testenv.SambaStaff, "OU=Nomads", true, testenv.SambaPartners)))
	l = listSince(t, d, l.state)
	l.changedTo(t, "a unit left", nil, []string{one, two})

	must(admin.ModifyDN(ldap.NewModifyDNRequest("OU=Nomads,"+testenv.SambaPartners, "OU=Nomads", true, testenv.SambaStaff)))
	s.Set(t, "CN=w.two,OU=Nomads,"+testenv.SambaStaff, map[string][]string{"description": {"hidden"}})
	l = listSince(t, d, l.state)
	l.changedTo(t, "a unit came back, one of it out of the filter", []string{one}, []string{two})

	s.Set(t, "CN=w.two,OU=Nomads,"+testenv.SambaStaff, map[string][]string{"description": nil})
	l = listSince(t, d, l.state)
	l.changedTo(t, "an attribute of the filter was removed", []string{two}, nil)

	h.Member(t, group, "CN=w.two,OU=Nomads,"+testenv.SambaStaff, true)
	h.Member(t, group, "CN=w.one,OU=Nomads,"+testenv.SambaStaff, false)
	l = listSince(t, d, l.state)
	l.changedTo(t, "one joined, one left", []string{one, two}, nil)
	if len(l.accounts[two].Groups) != len(l.accounts[one].Groups)+1 {
		t.Errorf("groups of who joined: %v; of who left: %v", l.accounts[two].Groups, l.accounts[one].Groups)
	}

	h.Delete(t, "CN=w.two,OU=Nomads,"+testenv.SambaStaff)
	l = listSince(t, d, l.state)
	l.changedTo(t, "a person was deleted", nil, []string{two})

	h.Delete(t, group)
	if l = listSince(t, d, l.state); !l.full {
		t.Error("a deleted group: nobody tells who was in it, so the pass must be full")
	}
}

// What a pass lists of an account's groups is what a look-up says.
func TestListedGroupsAreThoseOfALookUp(t *testing.T) {
	_, d := open(t)
	l := listSince(t, d, "")
	if !l.full || len(l.accounts) < 14 {
		t.Fatalf("full %v, %d accounts", l.full, len(l.accounts))
	}
	for id, a := range l.accounts {
		got, err := d.Get(t.Context(), protocol.Ref{ID: id})
		if err != nil || len(got) != 1 || !slices.Equal(got[0].Groups, a.Groups) || len(a.Groups) == 0 {
			t.Errorf("%s: listed in %v, looked up in %v, %v", a.Name, a.Groups, got, err)
		}
	}
	_, d = open(t, func(c *Config) { c.Groups = groupsNone })
	for _, a := range listSince(t, d, "").accounts {
		if len(a.Groups) > 0 {
			t.Errorf(`%s has groups although the file says "none"`, a.Name)
		}
	}
}

// Where a controller refuses DirSync, or its cookie, there are other ways.
func TestWithoutDirSyncNothingIsLost(t *testing.T) {
	s, d := open(t, func(c *Config) { c.BaseDNs = []string{testenv.SambaStaff} })
	h := hands(s)
	h.Group(t, "N-Group", "CN=Anna Berg,"+testenv.SambaStaff)
	leaver, mover := h.Add(t, "n.leaver"), h.Add(t, "n.mover")
	l := listSince(t, d, "")
	if again := listSince(t, d, edit(t, l.state, func(s *state) { s.Marks[0].Cookie = []byte("no cookie") })); !again.full {
		t.Error("a broken cookie does not lead to a full pass")
	}
	byNumber := func() { l.state = edit(t, l.state, func(s *state) { s.Marks[0].Cookie = nil }) }
	byNumber()
	l = listSince(t, d, l.state)
	l.changedTo(t, "nothing changed", nil, nil)
	h.Delete(t, leaver.DN)
	if err := s.Admin(t).ModifyDN(ldap.NewModifyDNRequest(mover.DN, "CN=n.mover", true, testenv.SambaPartners)); err != nil {
		t.Fatal(err)
	}
	joiner := h.Add(t, "n.joiner")
	h.Member(t, "CN=N-Group,"+testenv.SambaStaff, joiner.DN, true)
	byNumber()
	l = listSince(t, d, l.state)
	anna := idOf(t, d, "anna.berg") // in the group that changed
	l.changedTo(t, "by numbers", []string{joiner.ID, anna}, []string{leaver.ID, mover.ID})
	if !slices.ContainsFunc(l.accounts[joiner.ID].Groups, func(g protocol.Group) bool { return g.Name == "N-Group" }) {
		t.Errorf("groups = %v", l.accounts[joiner.ID].Groups)
	}
	h.Delete(t, "CN=N-Group,"+testenv.SambaStaff)
	h.Delete(t, joiner.DN)
	h.Delete(t, "CN=n.mover,"+testenv.SambaPartners)
}

func TestStatesOfOthersBeginAnew(t *testing.T) {
	_, d := open(t)
	l := listSince(t, d, "")
	for name, f := range map[string]func(*state){
		"an older version":    func(s *state) { s.Version = 1 },
		"another filter":      func(s *state) { s.Scope = "x" },
		"an old one":          func(s *state) { s.Full -= int64(sweepEvery.Seconds()) },
		"of tomorrow":         func(s *state) { s.Full += 86400 },
		"another controller":  func(s *state) { s.Marks[0].DC = "x" },
		"numbers from beyond": func(s *state) { s.Marks[0].USN += 1000000 },
		"too many marks":      func(s *state) { s.Marks = slices.Repeat(s.Marks, maxMarks+1) },
		"a witness is gone":   func(s *state) { s.Marks[0].Witnesses[0].ID = "00000000-0000-4000-8000-000000000000" },
		"a witness is odd":    func(s *state) { s.Marks[0].Witnesses[0].ID = ")(objectClass=*" },
	} {
		if again := listSince(t, d, edit(t, l.state, f)); !again.full {
			t.Errorf("%s: the pass is not full", name)
		}
	}
	long := edit(t, l.state, func(s *state) {
		for len(s.Marks) < maxMarks {
			s.Marks = append(s.Marks, mark{DC: strings.Repeat("x", len(s.Marks)), Cookie: make([]byte, 8<<10)})
		}
	})
	if len(long) <= maxState {
		t.Fatal("not long enough")
	}
	s := state{Version: stateVersion}
	for i := range 6 {
		text := s.with(mark{DC: strings.Repeat("x", i+1), Cookie: make([]byte, 16<<10)})
		if len(text) > maxState || !strings.Contains(text, `"marks":[{"dc":"`+strings.Repeat("x", i+1)+`"`) {
			t.Fatalf("a state of %d bytes", len(text))
		}
	}
}

// Two controllers count for themselves and hear of one another late.
func TestAnotherControllerGoesOnWhereItWas(t *testing.T) {
	one, two := testenv.StartSambaPair(t)
	first := openAt(t, one)
	second := openAt(t, two)
	l := listSince(t, first, "")
	l = listSince(t, second, l.state)
	if !l.full || len(l.accounts) < 14 {
		t.Fatalf("the second controller: full %v, %d accounts", l.full, len(l.accounts))
	}
	joiner := addPerson(t, one, "p.joiner")
	l = listSince(t, second, l.state)
	l.changedTo(t, "the second one has not heard of it", nil, nil)
	l = listSince(t, first, l.state)
	l.changedTo(t, "the first one goes on", []string{joiner.ID}, nil)
	two.Pull(t, one)
	l = listSince(t, second, l.state)
	l.changedTo(t, "the second one has heard", []string{joiner.ID}, nil)
	hands(one).Delete(t, joiner.DN)
	two.Pull(t, one)
	l = listSince(t, second, l.state)
	l.changedTo(t, "deleted at the first one", nil, []string{joiner.ID})
}

func TestFiltersNameTheirAttributes(t *testing.T) {
	for filter, want := range map[string][]string{
		"(!(employeeType=robot))":                            {"employeeType"},
		"(&(a=*)(|(b>=1)(c<=2))(!(D~=x))(a=1)(e=x*y*z))":     {"a", "b", "c", "D", "e"},
		"(memberOf:1.2.840.113556.1.4.1941:=CN=x,DC=y)":      {"memberOf"},
		"(&(title:dn:=x)(:caseIgnoreMatch:=x)(f;lang-de=*))": {"title", "f;lang-de"},
	} {
		if got := filterAttributes(filter); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", filter, got, want)
		}
	}
}

// Ranges are how a controller gives long lists; members of a group are read to the end.
func TestLongListsAreReadToTheirEnd(t *testing.T) {
	s, d := open(t)
	var members []string
	for _, n := range []string{"1", "2", "3", "4", "5"} {
		members = append(members, "CN=Employee 00"+n+","+testenv.SambaStaff)
	}
	dn := hands(s).Group(t, "Long list", members...)
	defer hands(s).Delete(t, dn)
	err := d.pool.Do(t.Context(), "", func(c *ldapconn.Conn) error {
		e, err := c.Entry(t.Context(), dn, "(objectClass=*)", "member;range=0-1")
		if err != nil {
			return err
		}
		got := e.GetAttributeValues("member")
		slices.Sort(got)
		if !slices.Equal(got, members) {
			t.Errorf("members = %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
