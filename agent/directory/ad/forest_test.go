package ad

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// Two real domains are one directory.
func TestSeveralDomainsAreOneDirectory(t *testing.T) {
	corp, lab := testenv.SharedSamba(t), testenv.StartSambaDomain(t, "lab")
	unit(t, lab.Admin(t), "OU=Staff,"+lab.Base())
	service, _ := lab.AddPerson(t, lab.Base(), "svc-lab", testenv.SambaServicePassword, nil)
	person := func(login string) (id, dn string) {
		t.Helper()
		dn, raw := lab.AddPerson(t, "OU=Staff,"+lab.Base(), login, testenv.SambaEmployeePassword, map[string][]string{"mail": {login + "@lab.example"}})
		id, err := guidText(raw)
		if err != nil {
			t.Fatal(err)
		}
		return id, dn
	}
	lena, lenaDN := person("lena")
	twin, _ := person("emp001")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(testenv.SambaServicePassword), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Config:  ldapconn.Config{URLs: []string{corp.URL()}, CAFile: corp.CAFile, BindDN: testenv.SambaService, BindPasswordFile: password},
		BaseDNs: []string{testenv.SambaStaff}, SettleAfter: 1,
		Domains: []Domain{{URLs: []string{lab.URL()}, CAFile: lab.CAFile, BaseDNs: []string{"OU=Staff," + lab.Base()}, BindDN: service}},
	}
	opened, err := OpenAll(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := opened.(*Forest)
	defer d.Close()
	about, err := d.Describe(t.Context())
	if err != nil || about.Traits.Name != "corp.example, lab.example" || !strings.Contains(about.Fingerprint, "+") {
		t.Errorf("Describe = %+v, %v", about, err)
	}
	get := func(identifier string) []string {
		t.Helper()
		found, err := d.Get(t.Context(), protocol.Ref{Identifier: identifier})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, a := range found {
			ids = append(ids, a.ID)
		}
		return ids
	}
	surveyed(t, d, corp, lab)
	anna := get("anna.berg")
	if got := get("lena@lab.example"); !slices.Equal(got, []string{lena}) || len(anna) != 1 {
		t.Errorf("lena is %v, anna %v", got, anna)
	}
	if got := get("emp001"); len(got) != 2 || got[1] != twin {
		t.Errorf("a login of both domains names %v", got)
	}
	list := func(since string) (l listing) {
		t.Helper()
		l.accounts = map[string]protocol.Account{}
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
		return l
	}
	l := list("")
	if !l.full || l.accounts[lena].ID == "" || l.accounts[anna[0]].ID == "" {
		t.Fatalf("full %v, %d accounts", l.full, len(l.accounts))
	}
	l = list(l.state)
	l.changedTo(t, "nothing changed", nil, nil)
	lab.Set(t, lenaDN, map[string][]string{"displayName": {"Lena Lab"}})
	corp.Set(t, "CN=Anna Berg,"+testenv.SambaStaff, map[string][]string{"displayName": {"Anna Berg-Lab"}})
	defer corp.Set(t, "CN=Anna Berg,"+testenv.SambaStaff, map[string][]string{"displayName": {"Anna Berg"}})
	l = list(l.state)
	l.changedTo(t, "one in each", []string{lena, anna[0]}, nil)
	hands(lab).Delete(t, "CN=emp001,OU=Staff,"+lab.Base())
	if l = list(l.state); !l.full || l.accounts[anna[0]].ID == "" || l.accounts[twin].ID != "" {
		// The service account of lab may not see deletions, so its witness is gone without
		// a trace: then both domains are listed as a whole.
		t.Errorf("one domain begins anew: full %v, %d accounts", l.full, len(l.accounts))
	}
	if err := d.DryRun(t.Context(), anna[0], reset); err != nil {
		t.Errorf("where the agent has rights: %v", err)
	}
	if err := d.DryRun(t.Context(), lena, reset); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("where it has none: %v", err)
	}
	r, err := d.Rights(t.Context(), lena)
	if err != nil || len(r.Missing()) != 3 || !strings.Contains(r.Missing()[0].Fix[0], "OU=Staff,"+lab.Base()) {
		t.Errorf("Rights = %+v, %v", r, err)
	}
	id, upn, _ := personAt(t, corp, "forest.person")
	stamp, err := d.Stamp(t.Context(), id, reset)
	if err != nil {
		t.Fatal(err)
	}
	c := directory.Change{ID: id, Tasks: reset, Password: protocol.NewSecret("Fresh-start-2031"), Stamp: stamp}
	if _, err := d.Perform(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := corp.Bind(t, upn, "Fresh-start-2031"); err == nil || !strings.Contains(err.Error(), "data 773") {
		t.Errorf("the new password: %v", err)
	}
	if state, err := d.Settle(t.Context(), c); err != nil || state != protocol.Done {
		t.Errorf("Settle = %s, %v", state, err)
	}
	if _, err := d.Facts(t.Context(), "00000000-0000-4000-8000-000000000000"); protocol.CodeOf(err) != protocol.CodeAccountNotFound {
		t.Errorf("facts of nobody: %v", err)
	}
	cfg.Domains[0] = Domain{URLs: cfg.URLs}
	same, err := OpenAll(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	if _, err := same.Describe(t.Context()); protocol.CodeOf(err) != protocol.CodeConfiguration {
		t.Errorf("one domain twice: %v", err)
	}
}

// surveyed looks into both domains, as doctor does.
func surveyed(t *testing.T, d directory.Surveyor, corp, lab *testenv.Samba) {
	t.Helper()
	servers, err := d.Servers(t.Context())
	if err != nil || len(servers) != 2 || servers[0].URL != corp.URL() || servers[1].URL != lab.URL() || servers[0].Part == servers[1].Part {
		t.Errorf("servers = %+v, %v", servers, err)
	}
	for _, s := range servers {
		if s.Fault != "" || len(s.Chain) == 0 {
			t.Errorf("server %+v", s)
		}
	}
	bases, err := d.Bases(t.Context())
	if err != nil || len(bases) != 2 || !bases[0].Found || !bases[1].Found || bases[1].DN != "OU=Staff,"+lab.Base() {
		t.Errorf("bases = %+v, %v", bases, err)
	}
	targets, err := d.Targets(t.Context())
	if err != nil || len(targets) != 2 || targets[0].Wanted+targets[1].Wanted != "" || targets[0].Clock.IsZero() || targets[1].Clock.IsZero() {
		t.Errorf("targets = %+v, %v", targets, err)
	}
}

func personAt(t *testing.T, s *testenv.Samba, login string) (id, upn, dn string) {
	t.Helper()
	return person(t, s, login, nil)
}
