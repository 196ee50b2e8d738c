package demo

import (
	"fmt"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/protocol"
)

func TestActsInTheCompany(t *testing.T) {
	d := open(t)
	directorytest.RunActs(t, directorytest.Acts{
		Actor: d, Person: person("anna.berg"), Leaver: person("cleo.carter"), Group: "Engineering", Powerful: "Help Desk",
		SignIn: func(dn, password string) error {
			if a, _ := d.server.tree.signIn(dn, password); a.code != ldap.LDAPResultSuccess {
				return fmt.Errorf("result %d", a.code)
			}
			return nil
		},
		NoSchema: "the company has rules for each attribute, and nobody who reads them",
		Single:   "employeeNumber", Many: "telephoneNumber", Phone: "telephoneNumber", Own: attrTotpSecret, Evidence: "mobile",
		Values:     func(_ *testing.T, dn, attribute string) []string { return d.server.tree.find(dn).get(attribute) },
		MustChange: func(t *testing.T, dn string) bool { return d.server.tree.find(dn).first("pwdReset") == "TRUE" },
	})
	if d.server.tree.find(person("cleo.carter").DN) != nil {
		t.Error("the deleted entry is still there")
	}
	for _, dn := range d.server.tree.find(groupDN("Engineering")).get("member") {
		if dn == person("cleo.carter").DN {
			t.Error("the deleted entry is still a member")
		}
	}
}

// Nothing is missing in the company, and trying rights changes nothing.
func TestRightsOfAccountOperationsInTheCompany(t *testing.T) {
	d := open(t)
	of := directory.ActScope{Groups: []string{groupDN("Engineering"), groupDN("Help Desk")}, Attributes: []string{"telephoneNumber", "mobile"}}
	for _, row := range protocol.Acts {
		of.Operations = append(of.Operations, row.Operation)
	}
	before := fmt.Sprint(d.server.tree.find(person("anna.berg").DN), d.server.tree.find(groupDN("Engineering")))
	all, err := d.ActRights(t.Context(), person("anna.berg").ID, of)
	if err != nil || len(all) < 6 {
		t.Fatal(all, err)
	}
	for _, r := range all {
		if r.Held == directory.HeldNo {
			t.Errorf("%+v", r)
		}
		if never := r.Of == "mobile" || r.Of == groupDN("Help Desk"); never != (r.Never != "") {
			t.Errorf("%s is never changed: %q", r.Of, r.Never)
		}
	}
	if after := fmt.Sprint(d.server.tree.find(person("anna.berg").DN), d.server.tree.find(groupDN("Engineering"))); after != before {
		t.Errorf("%s was %s", after, before)
	}
}
