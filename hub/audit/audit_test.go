package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

func appendAll(t *testing.T, s *store.Store, events ...audit.Event) {
	t.Helper()
	err := s.Tx(t.Context(), func(tx *store.Tx) error {
		for _, e := range events {
			if err := audit.Append(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, s *store.Store, org string, f store.AuditFilter) []audit.Record {
	t.Helper()
	if f.Count == 0 {
		f.Count = 100
	}
	all, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]audit.Record, error) { return audit.List(t.Context(), tx, org, f) })
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEventIsReadBackAsItWasWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		at := time.Date(2026, 5, 6, 7, 8, 9, 123_456_789, time.UTC)
		appendAll(t, s, audit.Event{
			Env: f.Env.ID, Kind: audit.RecoveryVerified, Time: at, Actor: audit.Principal{System: "flow"}, Account: "acc", Trace: "rec",
			RemoteAddr: "192.0.2.7", UserAgent: "Firefox", Detail: map[string]any{"method": "mail_code"},
			Personal: map[string]string{"name": "Ada <Lovelace>", "empty": ""},
		})
		r := list(t, s, f.Org.ID, store.AuditFilter{})[0]
		if r.Org != f.Org.ID || r.Env != f.Env.ID || r.Kind != audit.RecoveryVerified || !r.Time.Equal(at.Truncate(time.Millisecond)) || r.Trace != "rec" ||
			r.Account != "acc" || r.Actor.System != "flow" || r.RemoteAddr != "192.0.2.7" || r.UserAgent != "Firefox" || r.Erased ||
			string(r.Detail) != `{"method":"mail_code"}` || len(r.Personal) != 1 || r.Personal["name"] != "Ada <Lovelace>" {
			t.Fatalf("%+v", r)
		}
		wire, err := r.Wire()
		var members map[string]json.RawMessage
		if err = errors.Join(err, json.Unmarshal(wire, &members)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"id", "time", "kind", "trace", "org", "env", "remote_addr", "user_agent", "recovery_verified", "personal"} {
			if members[name] == nil {
				t.Errorf("the public form lacks %s: %s", name, wire)
			}
		}
	})
}

// What is read says how a member is reached now; the leaf says who it was, and stays.
func TestAMemberHasTheirAddressWhereverAnEventIsReadAndNoneInTheLeaf(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		ann := store.Staff{Org: f.Org.ID, ID: store.NewID(), Name: "Ann", Mail: "ann@example.com", Role: "admin"}
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.AddStaff(t.Context(), &ann) }); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated, Actor: audit.Principal{OrgMember: ann.ID, Role: "admin", Email: "forged@example.com"}})
		}
		appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated, Actor: audit.Principal{APIKey: "k"}})
		sequence(t, newLog(s))
		addresses(t, s, f, 2)
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.RemoveStaff(t.Context(), f.Org.ID, ann.ID) }); err != nil {
			t.Fatal(err)
		}
		addresses(t, s, f, 0)
	})
}

// addresses wants so many events with Ann's address from each way to read them.
func addresses(t *testing.T, s *store.Store, f storetest.Fixture, want int) {
	t.Helper()
	ways := map[string]func(tx *store.Tx) ([]audit.Record, error){
		"list": func(tx *store.Tx) ([]audit.Record, error) {
			return audit.List(t.Context(), tx, f.Org.ID, store.AuditFilter{Count: 9})
		},
		"search": func(tx *store.Tx) ([]audit.Record, error) {
			p, err := audit.Search(t.Context(), tx, f.Org.ID, store.AuditFilter{Count: 9}, nil)
			return p.Records, err
		},
		"webhooks": func(tx *store.Tx) ([]audit.Record, error) {
			all, _, err := audit.Follow(t.Context(), tx, f.Env.ID, 0)
			return all, err
		},
		"streams and exports": func(tx *store.Tx) ([]audit.Record, error) {
			all, _, err := audit.FollowAll(t.Context(), tx, f.Org.ID, func(string) bool { return true }, 0)
			return all, err
		},
	}
	for way, read := range ways {
		all, err := store.Get(t.Context(), s, read)
		if err != nil || len(all) != 3 {
			t.Fatalf("%s: %d %v", way, len(all), err)
		}
		found := 0
		for _, r := range all {
			wire, err := r.Wire()
			if err != nil || strings.Contains(string(r.Leaf), "example.com") || strings.Contains(string(wire), "forged") {
				t.Errorf("%s: %v %s %s", way, err, r.Leaf, wire)
			}
			found += strings.Count(string(wire), `"org_member_email":"ann@example.com"`)
		}
		if found != want {
			t.Errorf("%s: %d events have the address, not %d", way, found, want)
		}
	}
}

// The leaf holds nothing personal in clear; erasing the person changes no byte of it.
func TestErasedPersonIsGoneAndEveryLeafStaysVerifiable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		say := func(account, trace, name string) {
			appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.RecoveryStarted, Account: account, Trace: trace,
				RemoteAddr: "198.51.100.9", UserAgent: "Canary/1", Personal: map[string]string{"name": name}})
		}
		say("ada", "t1", "Canary Lovelace")
		say("bob", "t2", "Canary Builder")
		say("", "t3", "canary@example.com")
		before := list(t, s, f.Org.ID, store.AuditFilter{OldestFirst: true})
		for _, r := range before[:2] {
			if bytes.Contains(r.Leaf, []byte("anary")) || bytes.Contains(r.Leaf, []byte("198.51")) {
				t.Errorf("in clear: %s", r.Leaf)
			}
		}
		for _, person := range []string{"ada", "trace:t3"} {
			if err := s.Tx(t.Context(), func(tx *store.Tx) error { return audit.Erase(t.Context(), tx, f.Env.ID, person) }); err != nil {
				t.Fatal(err)
			}
		}
		after := list(t, s, f.Org.ID, store.AuditFilter{OldestFirst: true})
		for i, r := range after {
			if auditlog.LeafHash(r.Leaf) != auditlog.LeafHash(before[i].Leaf) {
				t.Errorf("leaf %d changed", i)
			}
			if erased := i != 1; r.Erased != erased || (r.Personal["name"] == "") != erased {
				t.Errorf("event %d: erased %v, personal %v", i, r.Erased, r.Personal)
			}
		}
		say("ada", "t4", "Ada again")
		newest := list(t, s, f.Org.ID, store.AuditFilter{Count: 1})[0]
		if newest.Personal["name"] != "Ada again" {
			t.Errorf("after erasing: %+v", newest)
		}
		if old := list(t, s, f.Org.ID, store.AuditFilter{OldestFirst: true, Count: 1})[0]; !old.Erased {
			t.Error("a new key brought the erased member back")
		}
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return audit.Erase(t.Context(), tx, f.Env.ID, "nobody") }); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestEventIsThereExactlyIfItsTransactionIs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		boom := errors.New("boom")
		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			return errors.Join(audit.Append(t.Context(), tx, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated}), boom)
		})
		if !errors.Is(err, boom) || len(list(t, s, f.Org.ID, store.AuditFilter{})) != 0 {
			t.Fatal("an event of something that did not happen", err)
		}
	})
}

func TestAppendRefusesWhatIsNotAnEvent(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	for name, e := range map[string]audit.Event{
		"unknown kind":        {Env: f.Env.ID, Kind: "coffee_made"},
		"unknown environment": {Env: "nowhere", Kind: audit.EnvUpdated},
		"no object":           {Env: f.Env.ID, Kind: audit.EnvUpdated, Detail: []int{1}},
		"not JSON":            {Env: f.Env.ID, Kind: audit.EnvUpdated, Detail: func() {}},
	} {
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return audit.Append(t.Context(), tx, e) }); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestLongDetailIsLeftOutAndSaidSo(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated, Detail: map[string]string{"x": strings.Repeat("y", 40<<10)}})
	r := list(t, s, f.Org.ID, store.AuditFilter{})[0]
	if !r.Truncated || len(r.Leaf) > 32<<10 || string(r.Detail) != "{}" {
		t.Fatalf("truncated %v, %d bytes, detail %.20s", r.Truncated, len(r.Leaf), r.Detail)
	}
}

// A secret in a detail shows its mask: P15.
func TestP15_SecretInADetailIsMasked(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.OperationFinished, Detail: map[string]any{"password": protocol.NewSecret("canary")}})
	if r := list(t, s, f.Org.ID, store.AuditFilter{})[0]; bytes.Contains(r.Leaf, []byte("canary")) {
		t.Fatalf("%s", r.Leaf)
	}
}

func TestListNarrowsAndPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, other := storetest.Seed(t, s), storetest.Seed(t, s)
		base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var events []audit.Event
		for i := range 6 {
			events = append(events, audit.Event{Env: f.Env.ID, Kind: []audit.Kind{audit.EnvUpdated, audit.RecoveryStarted}[i%2], Time: base.Add(time.Duration(i) * time.Hour),
				Account: fmt.Sprint("a", i/4), Trace: fmt.Sprint("t", i)})
		}
		appendAll(t, s, append(events, audit.Event{Org: f.Org.ID, Kind: audit.OrgUpdated, Time: base.Add(-time.Hour)}, audit.Event{Env: other.Env.ID, Kind: audit.EnvUpdated, Time: base})...)
		traces := func(filter store.AuditFilter) string {
			var b strings.Builder
			for _, r := range list(t, s, f.Org.ID, filter) {
				b.WriteString(r.Trace + ".")
			}
			return b.String()
		}
		first := list(t, s, f.Org.ID, store.AuditFilter{Envs: []string{f.Env.ID}, Count: 2})
		for name, c := range map[string]struct {
			filter store.AuditFilter
			want   string
		}{
			"everything":                 {store.AuditFilter{}, "t5.t4.t3.t2.t1.t0.."},
			"oldest first":               {store.AuditFilter{Envs: []string{f.Env.ID}, OldestFirst: true}, "t0.t1.t2.t3.t4.t5."},
			"organisation":               {store.AuditFilter{Envs: []string{""}}, "."},
			"kind":                       {store.AuditFilter{Kinds: []string{"recovery_started"}}, "t5.t3.t1."},
			"account":                    {store.AuditFilter{Account: "a1"}, "t5.t4."},
			"trace":                      {store.AuditFilter{Trace: "t2"}, "t2."},
			"times":                      {store.AuditFilter{From: audit.FirstID(base.Add(2 * time.Hour)), To: audit.FirstID(base.Add(4 * time.Hour))}, "t3.t2."},
			"two kinds":                  {store.AuditFilter{Kinds: []string{"recovery_started", "org_updated"}}, "t5.t3.t1.."},
			"the newest of two kinds":    {store.AuditFilter{Kinds: []string{"recovery_started", "env_updated"}, Count: 3}, "t5.t4.t3."},
			"the oldest of two kinds":    {store.AuditFilter{Envs: []string{"", f.Env.ID}, Kinds: []string{"org_updated", "env_updated"}, Count: 3, OldestFirst: true}, ".t0.t2."},
			"an environment of others":   {store.AuditFilter{Envs: []string{other.Env.ID}}, ""},
			"environments of others too": {store.AuditFilter{Envs: []string{other.Env.ID, ""}}, "."},
			"next page":                  {store.AuditFilter{Envs: []string{f.Env.ID}, Count: 2, After: first[1].ID}, "t3.t2."},
		} {
			if got := traces(c.filter); got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	})
}

func TestIDsAreULIDsInTheOrderOfTime(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	var events []audit.Event
	for range 50 {
		events = append(events, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated})
	}
	events[0].Time = time.UnixMilli(1469918176385) // the example of the ULID specification: 01ARYZ6S41…
	appendAll(t, s, events...)
	all := list(t, s, f.Org.ID, store.AuditFilter{OldestFirst: true})
	if !strings.HasPrefix(all[0].ID, "01ARYZ6S41") || len(all[0].ID) != 26 {
		t.Fatal(all[0].ID)
	}
	for i := 1; i < len(all); i++ {
		if all[i].ID <= all[i-1].ID || all[i].Time.Before(all[i-1].Time) {
			t.Fatal(all[i-1].ID, all[i].ID)
		}
	}
}

func TestEveryKindIsInTheTableOnce(t *testing.T) {
	seen := map[audit.Kind]bool{}
	public := 0
	for _, k := range audit.Kinds {
		if seen[k] {
			t.Errorf("%s twice", k)
		}
		seen[k] = true
		name := string(k)
		if !strings.HasPrefix(name, "recovery_") && !strings.HasPrefix(name, "agent_") && !strings.HasPrefix(name, "operation_") && k != audit.DocumentUnread && k != audit.LeavesDropped && k != audit.ProfilePictureAsked {
			public++
		}
	}
	if public != 47+16 { // those of its log, and events of requests, scans and pictures that are logged here
		t.Errorf("%d kinds of the public reference, want 63", public)
	}
}

// T25: events of another organisation are not listed, whatever the filter says.
func TestT25_AnotherOrganisationsEventsAreNotListed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		mine, theirs := storetest.Seed(t, s), storetest.Seed(t, s)
		appendAll(t, s, audit.Event{Env: theirs.Env.ID, Kind: audit.EnvUpdated})
		if got := list(t, s, mine.Org.ID, store.AuditFilter{Envs: []string{theirs.Env.ID}}); len(got) != 0 {
			t.Fatal(got)
		}
	})
}
