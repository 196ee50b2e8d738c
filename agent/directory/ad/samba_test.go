package ad

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// open serves the shared domain with the least-privilege service account.
func open(t *testing.T, change ...func(*Config)) (*testenv.Samba, *Directory) {
	t.Helper()
	s := testenv.SharedSamba(t)
	return s, openAt(t, s, change...)
}

// openAt serves the domain of one controller.
func openAt(t *testing.T, s *testenv.Samba, change ...func(*Config)) *Directory {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(testenv.SambaServicePassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Config: ldapconn.Config{
		URLs: []string{s.URL()}, CAFile: s.CAFile, BindDN: testenv.SambaService, BindPasswordFile: file,
	}, SettleAfter: 1}
	for _, f := range change {
		f(&cfg)
	}
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// idOf is the id of the only account that an identifier names.
func idOf(t *testing.T, d *Directory, identifier string) string {
	t.Helper()
	found, err := d.Get(t.Context(), protocol.Ref{Identifier: identifier})
	if err != nil || len(found) != 1 {
		t.Fatalf("Get(%s) = %v, %v", identifier, found, err)
	}
	return found[0].ID
}

// person adds an account of the test's own and returns its id and UPN.
func person(t *testing.T, s *testenv.Samba, login string, attributes map[string][]string) (id, upn, dn string) {
	t.Helper()
	dn, raw := s.AddPerson(t, testenv.SambaStaff, login, testenv.SambaEmployeePassword, attributes)
	id, err := guidText(raw)
	if err != nil {
		t.Fatal(err)
	}
	return id, login + "@corp.example", dn
}

var (
	reset  = []protocol.Task{{Operation: protocol.GetTemporaryPassword, Params: map[string]string{"must_change": "true"}}, {Operation: protocol.Unlock}}
	unlock = []protocol.Task{{Operation: protocol.Unlock}}
)

func change(t *testing.T, d *Directory, id string, tasks []protocol.Task, password string) directory.Change {
	t.Helper()
	stamp, err := d.Stamp(t.Context(), id, tasks)
	if err != nil {
		t.Fatal(err)
	}
	return directory.Change{ID: id, Tasks: tasks, Password: protocol.NewSecret(password), Stamp: stamp}
}

func TestDescribeNamesTheDomain(t *testing.T) {
	_, d := open(t)
	got, err := d.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Traits.Name != "corp.example" || !strings.HasPrefix(got.Fingerprint, "ad:") || len(got.Fingerprint) != 39 || !got.Traits.CanUnlock {
		t.Errorf("Describe = %+v", got)
	}
}

func TestGetFindsAnAccountByEachOfItsNames(t *testing.T) {
	_, d := open(t)
	want := idOf(t, d, "anna.berg@corp.example")
	for _, name := range []string{"ANNA.BERG@corp.example", "a.berg@corp.example", "anna.berg"} {
		if got := idOf(t, d, name); got != want {
			t.Errorf("%s names %s, want %s", name, got, want)
		}
	}
	found, err := d.Get(t.Context(), protocol.Ref{ID: want})
	if err != nil || len(found) != 1 {
		t.Fatalf("Get by id = %v, %v", found, err)
	}
	a := found[0]
	if a.Name != "Anna Berg" || !slices.Equal(a.Identifiers, []string{"Anna.Berg@corp.example", "a.berg@corp.example", "anna.berg"}) {
		t.Errorf("account = %+v", a)
	}
	var groups []string
	for _, g := range a.Groups {
		groups = append(groups, g.Name)
	}
	for _, g := range []string{"Staff-All", "Staff-Outer", "Domain Users", "Users"} {
		if !slices.Contains(groups, g) {
			t.Errorf("groups %v lack %s", groups, g)
		}
	}
}

func TestNonASCIIAccountsAreServedLikeOthers(t *testing.T) {
	s, d := open(t)
	id := idOf(t, d, "JÜRGEN@corp.example")
	f, err := d.Facts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(f.Groups, "Gruppe (Größe*)") {
		t.Errorf("groups = %v", f.Groups)
	}
	const password = "Grüße-an-Łukasz-漢字-9"
	if _, err := d.Perform(t.Context(), change(t, d, id, reset, password)); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(t, "juergen@corp.example", password); err == nil || !strings.Contains(err.Error(), "data 773") {
		t.Errorf("bind with the new password: %v", err)
	}
}

func TestContactsKeepOwnAddressesApart(t *testing.T) {
	_, d := open(t, func(c *Config) { c.MailAttributes = []string{"otherMailbox", "mail"} })
	got, err := d.Contacts(t.Context(), idOf(t, d, "anna.berg"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Mail, []string{"anna@home.example"}) || !slices.Equal(got.Primary, []string{"Anna.Berg@corp.example", "a.berg@corp.example"}) {
		t.Errorf("mail %v, primary %v", got.Mail, got.Primary)
	}
	if got.Manager != "chief@corp.example" || got.Language != "de-DE" || !slices.Equal(got.Phone, []string{"+15550100"}) {
		t.Errorf("contacts = %+v", got)
	}
}

func TestP02_BuiltInAdministratorsAreKnownByNumberNotByName(t *testing.T) {
	_, d := open(t)
	for login, why := range map[string]string{
		"chief":         "member of Domain Admins",
		"deputy":        "member of Domain Admins", // through two groups
		"primus":        "member of Domain Admins", // as primary group
		"opera":         "member of Account Operators",
		"keeper":        "adminCount is 1",
		"Administrator": "is the built-in Administrator",
		"krbtgt":        "is krbtgt",
		"anna.berg":     "",
		"dora":          "",
	} {
		f, err := d.Facts(t.Context(), idOf(t, d, login))
		if err != nil {
			t.Errorf("%s: %v", login, err)
			continue
		}
		if why == "" && f.Privileged != "" || why != "" && f.Privileged == "" {
			t.Errorf("%s: privileged %q, want %q", login, f.Privileged, why)
		}
	}
}

func TestFactsOfOneAccount(t *testing.T) {
	s, d := open(t)
	anna, err := d.Facts(t.Context(), idOf(t, d, "anna.berg"))
	if err != nil {
		t.Fatal(err)
	}
	if anna.Disabled || anna.Locked || anna.Self || !ldapconn.Within(anna.DN, testenv.SambaStaff) || anna.Policy != (directory.PasswordPolicy{MinLength: 10, Complexity: true}) {
		t.Errorf("anna = %+v", anna)
	}
	if words := strings.Join(anna.Words, " "); !strings.Contains(words, "anna.berg@corp.example") || !strings.Contains(words, "Anna Berg") {
		t.Errorf("anna is called %q", anna.Words)
	}
	dora, err := d.Facts(t.Context(), idOf(t, d, "dora"))
	if err != nil || !dora.Disabled {
		t.Errorf("dora = %+v, %v", dora, err)
	}
	own, err := d.Facts(t.Context(), idOf(t, d, testenv.SambaService))
	if err != nil || !own.Self {
		t.Errorf("the agent's own account = %+v, %v", own, err)
	}
	fritz, err := d.Facts(t.Context(), idOf(t, d, "fritz"))
	if err != nil || fritz.Policy != (directory.PasswordPolicy{MinLength: 24, Complexity: true}) {
		t.Errorf("fritz = %+v, %v", fritz, err)
	}
	id, upn, _ := person(t, s, "lockable", nil)
	s.Lock(t, upn)
	if f, err := d.Facts(t.Context(), id); err != nil || !f.Locked {
		t.Errorf("a locked account = %+v, %v", f, err)
	}
	expired, _, _ := person(t, s, "expired", map[string][]string{"accountExpires": {"132000000000000000"}})
	if f, err := d.Facts(t.Context(), expired); err != nil || !f.Disabled {
		t.Errorf("an expired account = %+v, %v", f, err)
	}
}

func TestOneModifyResetsUnlocksAndAsksForANewPassword(t *testing.T) {
	s, d := open(t)
	id, upn, dn := person(t, s, "victim", nil)
	s.Lock(t, upn)
	c := change(t, d, id, reset, "Fresh-start-2031")
	s.Set(t, dn, map[string][]string{"description": {"touched in between"}})
	got, err := d.Perform(t.Context(), c)
	if err != nil || !got.MustChange || !got.Secret.Empty() {
		t.Fatalf("Perform = %+v, %v", got, err)
	}
	if err := s.Bind(t, upn, "Fresh-start-2031"); err == nil || !strings.Contains(err.Error(), "data 773") {
		t.Errorf("the new password: %v", err)
	}
	if err := s.Bind(t, upn, testenv.SambaEmployeePassword); err == nil || !strings.Contains(err.Error(), "data 52e") {
		t.Errorf("the old password: %v", err)
	}
	if state, err := d.Settle(t.Context(), c); err != nil || state != protocol.Done {
		t.Errorf("Settle = %s, %v", state, err)
	}
}

func TestPolicyRefusalLeavesTheLockAlone(t *testing.T) {
	s, d := open(t)
	id, upn, _ := person(t, s, "weak", nil)
	s.Lock(t, upn)
	c := change(t, d, id, reset, "short1A")
	_, err := d.Perform(t.Context(), c)
	if protocol.CodeOf(err) != protocol.CodePasswordPolicy || strings.Contains(err.Error(), "short1A") {
		t.Errorf("Perform = %v", err)
	}
	if f, err := d.Facts(t.Context(), id); err != nil || !f.Locked {
		t.Errorf("after the refusal: %+v, %v", f, err)
	}
	if state, err := d.Settle(t.Context(), c); err != nil || state != protocol.Unchanged {
		t.Errorf("Settle = %s, %v", state, err)
	}
}

func TestUnlockAlone(t *testing.T) {
	s, d := open(t)
	id, upn, _ := person(t, s, "locked.out", nil)
	if err := d.DryRun(t.Context(), id, unlock); protocol.CodeOf(err) != protocol.CodeUnsupportedAccountState {
		t.Errorf("dry run of an account that is not locked: %v", err)
	}
	s.Lock(t, upn)
	if err := d.DryRun(t.Context(), id, unlock); err != nil {
		t.Errorf("dry run of a locked account: %v", err)
	}
	c := change(t, d, id, unlock, "")
	if state, err := d.Settle(t.Context(), c); err != nil || state != protocol.Unchanged {
		t.Errorf("Settle before = %s, %v", state, err)
	}
	if _, err := d.Perform(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(t, upn, testenv.SambaEmployeePassword); err != nil {
		t.Errorf("the old password after the unlock: %v", err)
	}
	if state, err := d.Settle(t.Context(), c); err != nil || state != protocol.Done {
		t.Errorf("Settle after = %s, %v", state, err)
	}
}

// A controller may still be at a modify whose connection is gone, so that it is not
// there yet says nothing for a while.
func TestP13_AChangeThatMayStillComeIsNotCalledUnchanged(t *testing.T) {
	_, d := open(t, func(cfg *Config) { cfg.SettleAfter = 0 })
	if d.cfg.SettleAfter < protocol.MaxOperationLife {
		t.Errorf("the standard is %s", d.cfg.SettleAfter)
	}
	s, _ := open(t)
	id, _, _ := person(t, s, "slow", nil)
	c := change(t, d, id, reset, "Fresh-start-2031")
	if state, err := d.Settle(t.Context(), c); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Fatalf("Settle at once = %s, %v", state, err)
	}
	if _, err := d.Perform(t.Context(), c); err != nil { // it comes late
		t.Fatal(err)
	}
	if state, err := d.Settle(t.Context(), c); err != nil || state != protocol.Done {
		t.Errorf("Settle = %s, %v", state, err)
	}
}

func TestSettleNeverTakesAnotherHandsResetForOurs(t *testing.T) {
	s, d := open(t)
	id, _, dn := person(t, s, "contested", nil)
	c := change(t, d, id, reset, "Never-was-set-77")
	s.SetPassword(t, dn, "Help-desk-was-here-1")
	if state, err := d.Settle(t.Context(), c); err != nil || state != protocol.Unknown {
		t.Errorf("with the password at hand: %s, %v", state, err)
	}
	c.Password = protocol.Secret{}
	if state, err := d.Settle(t.Context(), c); err != nil || state != protocol.Unknown {
		t.Errorf("from the stamp alone: %s, %v", state, err)
	}
	admin := s.Admin(t)
	if err := admin.Del(ldap.NewDelRequest(dn, nil)); err != nil {
		t.Fatal(err)
	}
	if state, err := d.Settle(t.Context(), c); err != nil || state != protocol.Unknown {
		t.Errorf("after a deletion: %s, %v", state, err)
	}
}

func TestDryRunFindsMissingRights(t *testing.T) {
	s, d := open(t)
	vera := idOf(t, d, "vera")
	if err := d.DryRun(t.Context(), vera, reset); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("outside the delegated unit: %v", err)
	}
	if err := d.DryRun(t.Context(), vera, []protocol.Task{{Operation: protocol.GetTemporaryPassword}}); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("the right Reset Password is missing: %v", err)
	}
	if _, err := d.Perform(t.Context(), change(t, d, vera, reset, "Fresh-start-2031")); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("Perform without rights: %v", err)
	}
	if err := d.DryRun(t.Context(), idOf(t, d, "emp001"), reset); err != nil {
		t.Errorf("inside the delegated unit: %v", err)
	}
	card, _, dn := person(t, s, "smartcard", nil)
	s.Set(t, dn, map[string][]string{"userAccountControl": {"262656"}})
	if err := d.DryRun(t.Context(), card, reset); protocol.CodeOf(err) != protocol.CodeUnsupportedAccountState {
		t.Errorf("smart card only: %v", err)
	}
	if err := d.DryRun(t.Context(), vera, []protocol.Task{{Operation: protocol.RemoveAllMFA}}); protocol.CodeOf(err) != protocol.CodeUnsupported {
		t.Errorf("authenticators: %v", err)
	}
}

func TestListPagesThenTellsChangesAndDeletions(t *testing.T) {
	s, d := open(t, func(c *Config) {
		c.BaseDNs = []string{testenv.SambaStaff, "OU=Staff,DC=CORP,DC=example"}
		c.Filter = "(!(description=hidden))"
	})
	collect := func(since string) (all map[string]protocol.Account, gone []string, full bool, state string) {
		t.Helper()
		all = map[string]protocol.Account{}
		state, err := d.List(t.Context(), since, 3, func(p directory.Page) error {
			if len(p.Accounts) > 3 {
				t.Errorf("a page of %d accounts", len(p.Accounts))
			}
			for _, a := range p.Accounts {
				if _, twice := all[a.ID]; twice {
					t.Errorf("%s was listed twice", a.Name)
				}
				all[a.ID] = a
			}
			gone, full = append(gone, p.Deleted...), p.Full
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all, gone, full, state
	}
	leaver, _, leaverDN := person(t, s, "leaver", nil)
	hidden, _, hiddenDN := person(t, s, "to.hide", nil)
	mover, _, moverDN := person(t, s, "mover", nil)
	all, _, full, state := collect("")
	if !full || len(all) < 14 || all[leaver].ID == "" {
		t.Fatalf("full pass %v: %d accounts", full, len(all))
	}
	if again, gone, full, _ := collect(state); full || len(again) != 0 || len(gone) != 0 {
		t.Errorf("nothing changed, but full %v, %v, %v", full, again, gone)
	}
	admin := s.Admin(t)
	for _, err := range []error{
		admin.Del(ldap.NewDelRequest(leaverDN, nil)),
		admin.ModifyDN(ldap.NewModifyDNRequest(moverDN, "CN=mover", true, testenv.SambaPartners)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Set(t, hiddenDN, map[string][]string{"description": {"hidden"}})
	joiner, _, _ := person(t, s, "joiner", nil)
	changed, gone, full, _ := collect(state)
	slices.Sort(gone)
	want := []string{leaver, hidden, mover}
	slices.Sort(want)
	if full || len(changed) != 1 || changed[joiner].ID == "" || !slices.Equal(gone, want) {
		t.Errorf("changes: full %v, %v, gone %v, want %v", full, changed, gone, want)
	}
	if _, _, full, _ := collect(strings.Replace(state, `"dc":"`, `"dc":"x`, 1)); !full {
		t.Error("the state of another controller did not lead to a full pass")
	}
	stop := errors.New("stop")
	if _, err := d.List(t.Context(), "", 2, func(directory.Page) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of yield: %v", err)
	}
}

func TestAccountsOutsideTheBasesDoNotExist(t *testing.T) {
	_, d := open(t)
	vera := idOf(t, d, "vera")
	_, narrow := open(t, func(c *Config) { c.BaseDNs = []string{testenv.SambaStaff} })
	if _, err := narrow.Facts(t.Context(), vera); protocol.CodeOf(err) != protocol.CodeAccountNotFound {
		t.Errorf("Facts = %v", err)
	}
	if err := narrow.DryRun(t.Context(), vera, reset); protocol.CodeOf(err) != protocol.CodeAccountNotFound {
		t.Errorf("DryRun = %v", err)
	}
	if found, err := narrow.Get(t.Context(), protocol.Ref{ID: vera}); err != nil || len(found) != 0 {
		t.Errorf("Get = %v, %v", found, err)
	}
	if found, err := narrow.Get(t.Context(), protocol.Ref{Identifier: "vera"}); err != nil || len(found) != 0 {
		t.Errorf("Get = %v, %v", found, err)
	}
}

func TestP27_InjectionIsData(t *testing.T) {
	_, d := open(t)
	for _, text := range []string{"*", "a*", "*)(objectClass=*", "anna.berg)(|(cn=*", `\2a`, "\x00", strings.Repeat("a", 5000), "anna.berg\x00"} {
		if found, err := d.Get(t.Context(), protocol.Ref{Identifier: text}); err != nil || len(found) != 0 {
			t.Errorf("Get(%.40q) = %v, %v", text, found, err)
		}
		if found, err := d.Groups(t.Context(), protocol.GroupsRequest{Prefix: text}); err != nil || len(found) != 0 {
			t.Errorf("Groups(%.40q) = %v, %v", text, found, err)
		}
		if _, err := d.Facts(t.Context(), text); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("Facts(%.40q) = %v", text, err)
		}
		if _, err := d.Stamp(t.Context(), text, unlock); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("Stamp(%.40q) = %v", text, err)
		}
	}
}

func TestGroupsByPrefix(t *testing.T) {
	_, d := open(t)
	got, err := d.Groups(t.Context(), protocol.GroupsRequest{Prefix: "staff-"})
	if err != nil || len(got) != 2 || got[0].Kind != "security" {
		t.Errorf("Groups = %+v, %v", got, err)
	}
	if got, err = d.Groups(t.Context(), protocol.GroupsRequest{Max: 3}); err != nil || len(got) != 3 {
		t.Errorf("%d groups, %v; want 3", len(got), err)
	}
	if got, err = d.Groups(t.Context(), protocol.GroupsRequest{Prefix: "Gruppe (Größe*"}); err != nil || len(got) != 1 {
		t.Errorf("Groups = %+v, %v", got, err)
	}
}

func TestBirthDatesLeaveAsKeyedHashOnly(t *testing.T) {
	_, d := open(t, func(c *Config) { c.BirthDateAttribute = "employeeNumber" })
	id := ""
	get := func() string {
		t.Helper()
		found, err := d.Get(t.Context(), protocol.Ref{Identifier: "anna.berg"})
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		id = found[0].ID
		return found[0].BirthDate
	}
	if got := get(); got != "" {
		t.Errorf("without a key: %q", got)
	}
	d.UseBirthDateKey([]byte("key"))
	if got := get(); got != protocol.BirthDateHash([]byte("key"), id, "1984-02-29") {
		t.Errorf("with a key: %q", got)
	}
}

func TestStartTLSServesAsWell(t *testing.T) {
	_, d := open(t, func(c *Config) {
		c.URLs = []string{strings.Replace(strings.Replace(c.URLs[0], "ldaps:", "ldap:", 1), ":636", ":389", 1)}
		c.StartTLS = true
	})
	if _, err := d.Describe(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestT35_OnlyAttributesOfTheFileAreListed(t *testing.T) {
	_, d := open(t, func(cfg *Config) { cfg.BirthDateAttribute = "employeeNumber" })
	_, err := d.List(t.Context(), "", 100, func(p directory.Page) error {
		for _, a := range p.Accounts {
			for _, id := range a.Identifiers {
				if strings.HasSuffix(id, "@home.example") || strings.HasPrefix(id, "+1555") {
					t.Errorf("%s: a private contact left in a list: %s", a.Name, id)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	asked := d.attributes()
	for _, private := range []string{"otherMailbox", "mobile", "manager", "unicodePwd", "*"} {
		if slices.Contains(asked, private) {
			t.Errorf("lists ask for %s", private)
		}
	}
	if !slices.Contains(asked, "employeeNumber") {
		t.Error("the birth date that the file names is not asked for")
	}
}

// Every change starts with an id; nothing but a GUID reaches a request.
func FuzzP04_IDs(f *testing.F) {
	d, err := Open(Config{Config: ldapconn.Config{URLs: []string{"ldaps://127.0.0.1:1"}, BindDN: "x", Password: protocol.NewSecret("x")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("00112233-4455-6677-8899-aabbccddeeff")
	f.Add("x; Add-ADGroupMember 'Domain Admins' eve")
	f.Add("<GUID=00112233-4455-6677-8899-aabbccddeeff>")
	f.Fuzz(func(t *testing.T, id string) {
		if canonical, _, err := ldapconn.ParseUUID(id); err == nil && guidDN(canonical) != "<GUID="+strings.ToLower(id)+">" {
			t.Errorf("%q is addressed as %q", id, guidDN(canonical))
		} else if err != nil {
			c := directory.Change{ID: id, Tasks: unlock, Stamp: `{"server":"ldaps://127.0.0.1:1#x","dc":"d"}`}
			if _, err := d.Perform(t.Context(), c); protocol.CodeOf(err) != protocol.CodeBadRequest {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}

// T16 lets a file treat accounts apart with which nobody signed in yet.
func TestT16_AnAccountIsNewUntilItsFirstSignIn(t *testing.T) {
	s, d := open(t)
	id, _, dn := person(t, s, "firstday", nil)
	if f, err := d.Facts(t.Context(), id); err != nil || !f.NeverSignedIn {
		t.Fatalf("before: %+v, %v", f, err)
	}
	if err := s.Bind(t, dn, testenv.SambaEmployeePassword); err != nil {
		t.Fatal(err)
	}
	if f, err := d.Facts(t.Context(), id); err != nil || f.NeverSignedIn {
		t.Errorf("after a sign-in: %+v, %v", f, err)
	}
}
