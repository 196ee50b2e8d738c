package e2e

import (
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/internal/testenv"
)

// What changes in Active Directory is in the hub at once: the controller tells the agent,
// the agent the hub, and the hub asks for the changes alone.
func TestAChangeInActiveDirectoryIsInTheHubAtOnce(t *testing.T) {
	t.Parallel()
	s := testenv.StartSamba(t)
	e := startEdge(t, edgeConfig{})
	v := e.environment(t, "push", "ad")
	v.startAgent(sambaAgent(s))
	rows := e.rows(t)
	count := func(condition, value string) (n int) {
		t.Helper()
		if err := rows.QueryRow("SELECT count(*) FROM accounts WHERE directory = ? AND swept_at = 0 AND "+condition, v.directory, value).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	seen := func(what string, so func() bool) {
		t.Helper()
		begin := time.Now()
		poll(t, what, so)
		t.Logf("%s: in the hub after %v", what, time.Since(begin).Round(10*time.Millisecond))
	}
	const dn = "CN=Employee 002," + testenv.SambaStaff
	for _, name := range []string{"First Name", "Second Name", "Third Name"} {
		s.Set(t, dn, map[string][]string{"displayName": {name}})
		seen("a new name", func() bool { return count("name = ?", name) == 1 })
	}
	id := s.ID(t, dn)
	if err := s.Admin(t).Del(ldap.NewDelRequest(dn, nil)); err != nil {
		t.Fatal(err)
	}
	seen("a deletion", func() bool { return count("immutable_id = ?", id) == 0 })
}
