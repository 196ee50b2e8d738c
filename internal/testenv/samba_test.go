package testenv

import (
	"net"
	"os"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

func TestSambaServesTheSeededCompanyAndLeavesNothing(t *testing.T) {
	s := newSamba(t)
	defer s.remove()
	c := s.Dial(t)
	if err := c.Bind(SambaService, SambaServicePassword); err != nil {
		t.Fatal(err)
	}
	r, err := c.Search(ldap.NewSearchRequest(SambaStaff, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 10, false,
		"(&(objectClass=user)(objectCategory=person))", []string{"cn"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Entries) != 14 {
		t.Errorf("%d people in the staff unit, want 14", len(r.Entries))
	}
	s.AddPerson(t, SambaStaff, "new.comer", "A-good-Passw0rd", map[string][]string{"mail": {"new.comer@corp.example"}})
	s.Lock(t, "new.comer@corp.example")
	s.Stop()
	s.Start(t)
	if err := s.Bind(t, "anna.berg@corp.example", SambaEmployeePassword); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	s.remove()
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("the server's directory is still there: %v", err)
	}
	if c, err := net.Dial("tcp", s.Addr+":636"); err == nil {
		_ = c.Close()
		t.Error("something still listens on the server's port")
	}
}
