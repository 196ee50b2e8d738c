package hub

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// bundles returns what the log says of the pages of an environment, oldest first.
func bundles(t *testing.T, s *store.Store, org, env string) (said []string) {
	t.Helper()
	err := s.Read(t.Context(), func(tx *store.Tx) error {
		said = nil
		rows, err := tx.AuditRows(t.Context(), org, store.AuditFilter{Count: 100, OldestFirst: true})
		for _, r := range rows {
			if r.Kind != string(audit.BundleChanged) || r.Env != env {
				continue
			}
			var l struct {
				Detail struct{ Bundle, Former string } `json:"recovery_bundle_changed"`
			}
			if err := json.Unmarshal([]byte(r.Leaf), &l); err != nil {
				return err
			}
			said = append(said, l.Detail.Former+">"+l.Detail.Bundle)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return said
}

func TestT04_AHubThatStartsWithOtherPagesSaysSoOnceInEveryEnvironmentsLog(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	// nodes starts several at once with the same pages.
	nodes := func(hash string, onlyNew bool) {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if err := recordBundle(t.Context(), s, hash, onlyNew); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	expect := func(when, env string, want ...string) {
		t.Helper()
		got := bundles(t, s, f.Org.ID, env)
		if len(got) != len(want) {
			t.Fatalf("%s: the log says %q, want %q", when, got, want)
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(got, " ")+" ", w+" ") {
				t.Errorf("%s: the log says %q, want %q", when, got, want)
			}
		}
	}
	nodes("one", false)
	expect("the first start", f.Env.ID, ">one")
	nodes("one", false)
	expect("a start with the same pages", f.Env.ID, ">one")
	nodes("two", false)
	expect("a start with others", f.Env.ID, ">one", "one>two")
	var made store.Environment
	if err := s.Tx(t.Context(), func(tx *store.Tx) (err error) {
		made, err = tx.CreateEnvironment(t.Context(), store.Environment{Org: f.Org.ID, Name: "later"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	nodes("one", true) // a node that runs since before the second start
	expect("a node of the former version that runs on", f.Env.ID, ">one", "one>two")
	expect("an environment that was made since", made.ID, ">one")
}
