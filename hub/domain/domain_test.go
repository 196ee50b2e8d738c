package domain

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// stack is a real store, a real name server, and the domains over both.
type stack struct {
	*Domains
	store    *store.Store
	dns      *testenv.DNS
	env, bad string // two environments
}

func open(t *testing.T, s *store.Store) *stack {
	t.Helper()
	st := &stack{store: s, dns: testenv.StartDNS(t)}
	err := s.Tx(t.Context(), func(tx *store.Tx) error {
		org, err := tx.CreateOrganisation(t.Context(), store.Organisation{Name: "Example"})
		if err != nil {
			return err
		}
		for _, id := range []*string{&st.env, &st.bad} {
			e, err := tx.CreateEnvironment(t.Context(), store.Environment{Org: org.ID, Name: "e"})
			if err != nil {
				return err
			}
			*id = e.ID
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	st.Domains, err = Open(t.Context(), s, Settings{CNAMETarget: "edge.vendor.test", Resolvers: []string{st.dns.Addr}, Control: "id.vendor.test"},
		slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func (st *stack) add(t *testing.T, env, name string) store.Domain {
	t.Helper()
	d, err := store.Change(t.Context(), st.store, func(tx *store.Tx) (store.Domain, error) { return tx.AddDomain(t.Context(), env, name) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// proven checks the domain now and returns whether it is proven, in the store and in memory.
func (st *stack) proven(t *testing.T, name string) bool {
	t.Helper()
	d, err := st.Check(t.Context(), st.env, name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Find(name)
	if (err == nil) == d.Proven.IsZero() {
		t.Errorf("%s: memory says %v, the store %v", name, err, d.Proven)
	}
	return err == nil
}

func TestT25_ADomainIsProvenByItsEnvironmentsRecordsOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := open(t, s)
		const name = "recover.customer.test"
		d := st.add(t, st.env, name)
		other := st.add(t, st.bad, "other.customer.test")
		for _, c := range []struct {
			what    string
			cname   string
			txt     string
			proven  bool
			problem string
		}{
			{"nothing", "", "", false, "no CNAME"},
			{"the environment's CNAME", st.env + ".edge.vendor.test", "", true, ""},
			{"another environment's CNAME", st.bad + ".edge.vendor.test", "", false, "not to " + st.env},
			{"the bare target", "edge.vendor.test", "", false, "not to"},
			{"a look-alike", st.env + ".edge.vendor.test.evil.test", "", false, "not to"},
			{"a CNAME by way of another", "hop.customer.test", "", true, ""},
			{"the token", "", d.ProofToken, true, ""},
			{"another domain's token", "", other.ProofToken, false, "no TXT"},
			{"a longer token", "", d.ProofToken + "x", false, "no TXT"},
			{"both", st.env + ".edge.vendor.test", d.ProofToken, true, ""},
		} {
			st.dns.Set(t, "hop.customer.test", "CNAME "+st.env+".edge.vendor.test")
			st.dns.Set(t, name)
			st.dns.Set(t, "_postern."+name)
			if c.cname != "" {
				st.dns.Set(t, name, "CNAME "+c.cname)
			}
			if c.txt != "" {
				st.dns.Set(t, "_postern."+name, `TXT "unrelated"`, `TXT "`+c.txt+`"`)
			}
			if got := st.proven(t, name); got != c.proven {
				t.Errorf("%s: proven %v", c.what, got)
			}
			after, err := st.Check(t.Context(), st.env, name)
			if err != nil || !strings.Contains(after.LastError, c.problem) {
				t.Errorf("%s: %q, %v; want %q", c.what, after.LastError, err, c.problem)
			}
		}
	})
}

func TestAProofSurvivesNameServersThatDoNotAnswer(t *testing.T) {
	st := open(t, storetest.Open(t, storetest.SQLite(t)))
	const name = "recover.customer.test"
	st.add(t, st.env, name)
	st.dns.Set(t, name, "CNAME "+st.env+".edge.vendor.test")
	if !st.proven(t, name) {
		t.Fatal("not proven")
	}
	st.dns.Break(true)
	if !st.proven(t, name) {
		t.Error("a broken name server took the proof away")
	}
	st.dns.Break(false)
	st.dns.Set(t, name)
	if st.proven(t, name) {
		t.Error("the record is gone and the proof still holds")
	}
}

func TestT25_AnotherEnvironmentCannotCheckOrTakeADomain(t *testing.T) {
	st := open(t, storetest.Open(t, storetest.SQLite(t)))
	const name = "recover.customer.test"
	st.add(t, st.env, name)
	if _, err := st.Check(t.Context(), st.bad, name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("checked by another environment: %v", err)
	}
	take := func() error {
		return st.store.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.AddDomain(t.Context(), st.bad, name)
			return err
		})
	}
	if err := take(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("taken by another environment: %v", err)
	}
	if err := st.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.RemoveDomain(t.Context(), st.env, name) }); err != nil {
		t.Fatal(err)
	}
	if err := take(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("taken by another environment once removed: %v", err)
	}
	st.add(t, st.env, name)
	if err := st.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.DeleteEnvironment(t.Context(), st.env) }); err != nil {
		t.Fatal(err)
	}
	if err := take(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("taken by another environment once its own was deleted: %v", err)
	}
}

func TestP26_MemoryAnswersWhileTheStoreIsAway(t *testing.T) {
	pg := testenv.StartPostgres(t)
	c := storetest.SQLite(t)
	c.URL = pg.Database(t)
	st := open(t, storetest.Open(t, c))
	const name = "recover.customer.test"
	st.add(t, st.env, name)
	st.dns.Set(t, name, "CNAME "+st.env+".edge.vendor.test")
	if !st.proven(t, name) {
		t.Fatal("not proven")
	}
	pg.Stop()
	if err := st.refresh(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("the stopped store: %v", err)
	}
	for host, known := range map[string]bool{name: true, "RECOVER.customer.test.": true, name + ":8443": true, "unknown.customer.test": false, "": false} {
		if d, err := st.Find(host); (err == nil) != known || known && d.Env != st.env {
			t.Errorf("%q: %+v, %v", host, d, err)
		}
	}
}

func TestRunLearnsOfOtherNodesAndChecksWhatIsDue(t *testing.T) {
	st := open(t, storetest.Open(t, storetest.SQLite(t)))
	const name = "recover.customer.test"
	st.add(t, st.env, name)
	st.dns.Set(t, name, "CNAME "+st.env+".edge.vendor.test")
	if err := st.checkDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Find(name); !errors.Is(err, ErrUnknown) {
		t.Errorf("memory before its refresh: %v", err)
	}
	if err := st.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Find(name); err != nil {
		t.Error(err)
	}
	asked := st.dns.Asked(name)
	if err := st.checkDue(t.Context()); err != nil || st.dns.Asked(name) != asked {
		t.Errorf("a fresh proof was checked again: %v", err)
	}
}

func TestDueFollowsTheAgeOfADomain(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		what                     string
		created, checked, proven time.Duration // ago; 0: never
		problem                  string
		due                      bool
	}{
		{"never checked", time.Minute, 0, 0, "", true},
		{"fresh, checked just now", time.Minute, 10 * time.Second, 0, "no", false},
		{"fresh, checked a while ago", 10 * time.Minute, time.Minute, 0, "no", true},
		{"old, checked a while ago", 30 * time.Hour, 10 * time.Minute, 0, "no", false},
		{"old, checked long ago", 30 * time.Hour, 2 * time.Hour, 0, "no", true},
		{"proven today", 300 * time.Hour, 20 * time.Hour, 300 * time.Hour, "", false},
		{"proven, a day ago", 300 * time.Hour, 25 * time.Hour, 300 * time.Hour, "", true},
		{"proven, the last check had no answer", 300 * time.Hour, 2 * time.Hour, 300 * time.Hour, "timeout", true},
	} {
		ago := func(d time.Duration) time.Time {
			if d == 0 {
				return time.Time{}
			}
			return now.Add(-d)
		}
		d := store.Domain{Created: ago(c.created), Checked: ago(c.checked), Proven: ago(c.proven), LastError: c.problem}
		if got := due(d, now); got != c.due {
			t.Errorf("%s: due %v", c.what, got)
		}
	}
}

func TestCanonicalNames(t *testing.T) {
	d := &Domains{settings: Settings{Control: "id.vendor.test"}}
	for in, want := range map[string]string{
		"Recover.Example.COM":  "recover.example.com",
		"recover.example.com.": "recover.example.com",
		"bücher.example":       "xn--bcher-kva.example",
		"recover.localhost":    "recover.localhost",
	} {
		if got, err := d.Canonical(in); err != nil || got != want {
			t.Errorf("%q = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "localhost", "192.0.2.1", "::1", "*.example.com", "a b.example", "a_b.example", "a..example", "https://a.example",
		"a.example:443", "a.example/x", strings.Repeat("a.", 130) + "example", "-a.example", "a\xff.example"} {
		if got, err := d.Canonical(in); !errors.Is(err, ErrName) {
			t.Errorf("%q = %q, %v; want a refusal", in, got, err)
		}
	}
	if _, err := d.Canonical("ID.vendor.test"); !errors.Is(err, ErrControl) {
		t.Errorf("the console's host: %v", err)
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add("Recover.Example.com.")
	f.Add("xn--bcher-kva.example")
	f.Add("0.\xff")
	d := new(Domains)
	f.Fuzz(func(t *testing.T, in string) {
		got, err := d.Canonical(in)
		if err != nil {
			return
		}
		if again, err := d.Canonical(got); err != nil || again != got {
			t.Errorf("%q = %q, again %q, %v", in, got, again, err)
		}
		if strings.ContainsAny(got, "/:@ *_\r\n") || got != strings.ToLower(got) {
			t.Errorf("%q = %q", in, got)
		}
	})
}
