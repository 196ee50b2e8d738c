package e2e

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// rows is the edge's SQLite database, opened beside the running process.
func (e *edge) rows(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+e.file("data/postern.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// misled makes the hub forget why it must not ask: the recovery stands as if policy and
// agent had found nothing.
func (v *environment) misled(p *visitor) {
	v.t.Helper()
	id := strings.TrimPrefix(p.recovery(), "/r/")
	r, err := v.edge.rows(v.t).Exec(`UPDATE recoveries SET state = 'ready', problem = '', version = version + 1 WHERE env = ? AND id = ? AND state = 'refused'`, v.id, id)
	if err != nil {
		v.t.Fatal(err)
	}
	if n, err := r.RowsAffected(); n != 1 || err != nil {
		v.t.Fatalf("%d rows of the recovery were refused before: %v", n, err)
	}
}

const notAllowed = "Accounts with special rights and accounts that are switched off are looked after by people."

// refused walks a recovery of somebody whom the hub's policy permits and the agent does
// not, by the front door and then past the hub's own memory of the refusal.
func refused(v *environment, a *agent, mail, private, id string) {
	v.t.Helper()
	p := v.visit()
	p.begin(mail, "password")
	p.post("code", "code", v.code(private, 0))
	if !strings.Contains(p.text(), notAllowed) || p.ready() {
		v.t.Errorf("%s: after the proof the page says: %s", mail, p.text())
	}
	told := func(method string) bool {
		return slices.ContainsFunc(a.events(method), func(e event) bool {
			return e.Account == id && e.Code == string(protocol.CodePermissionDenied)
		})
	}
	if !told("begin") {
		v.t.Errorf("%s: the agent's event log has no refusal: %+v", mail, a.events("begin"))
	}
	v.misled(p)
	p.get("")
	if !p.ready() {
		v.t.Fatalf("the hub could not be misled: %s", p.text())
	}
	p.press()
	poll(v.t, "the agent's answer", func() bool { p.get(""); return !strings.Contains(p.page, "data-state=") })
	if !strings.Contains(p.text(), notAllowed) || strings.Contains(p.page, "data-sealed") {
		v.t.Errorf("%s: after the press the page says: %s", mail, p.text())
	}
	if !told("perform") {
		v.t.Errorf("%s: the agent's event log has no refusal of the operation: %+v", mail, a.events("perform"))
	}
}

func TestP02_AnAdministratorIsRefusedByTheAgentWhateverTheHubAsks_ActiveDirectory(t *testing.T) {
	t.Parallel()
	s := testenv.SharedSamba(t)
	people := map[string]string{"chief": "CN=Carla Chief," + testenv.SambaStaff, "deputy": "CN=Denis Deputy," + testenv.SambaStaff}
	for login, dn := range people { // chief is a member of Domain Admins, deputy of a group in a group in it
		s.Set(t, dn, map[string][]string{"mail": {login + "@corp.example"}, "otherMailbox": {login + "@home.example"}})
	}
	v := sharedEdge(t).environment(t, "tier0", "ad")
	v.permit()
	a := v.startAgent(sambaAgent(s))
	for login, dn := range people {
		before := s.Values(t, dn, "uSNChanged", "pwdLastSet")
		refused(v, a, login+"@corp.example", login+"@home.example", s.ID(t, dn))
		if after := s.Values(t, dn, "uSNChanged", "pwdLastSet"); !slices.Equal(before, after) {
			t.Errorf("%s was changed: %v, before %v", login, after, before)
		}
		if err := s.Bind(t, login+"@corp.example", testenv.SambaEmployeePassword); err != nil {
			t.Errorf("the password of %s is another one: %v", login, err)
		}
	}
}

func TestP02_AnAdministratorIsRefusedByTheAgentWhateverTheHubAsks_OpenLDAP(t *testing.T) {
	t.Parallel()
	s := corp(t)
	v := sharedEdge(t).environment(t, "admins", "ldap")
	v.permit()
	for _, uid := range []string{"chief", "deputy"} { // a member of admins, and of a group in it
		s.Modify(t, "dn: "+testenv.SlapdDN(uid)+"\nchangetype: modify\nreplace: corpPersonalMail\ncorpPersonalMail: "+uid+"@home.example\n")
	}
	a := v.startAgent(slapdAgent(s))
	for _, uid := range []string{"chief", "deputy"} {
		dn := testenv.SlapdDN(uid)
		refused(v, a, uid+"@corp.example", uid+"@home.example", testenv.SlapdID(dn))
		if got := s.Changes(t, dn, testenv.SlapdAgent); got != nil {
			t.Errorf("%s was changed: %v", uid, got)
		}
		if err := s.WhoAmI(dn, testenv.SlapdEmployeePassword); err != nil {
			t.Errorf("the password of %s is another one: %v", uid, err)
		}
	}
}
