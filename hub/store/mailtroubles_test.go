package store_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestMailTroubleBeginsAndEndsOnceForAllNodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		env := storetest.Seed(t, s).Env.ID
		stuck := func(node string, alone bool) bool {
			t.Helper()
			began, err := store.Change(t.Context(), s, func(tx *store.Tx) (bool, error) {
				return tx.MailStuck(t.Context(), env, store.MailTrouble{Node: node, Step: "connect", Reason: "away"}, alone)
			})
			if err != nil {
				t.Fatal(err)
			}
			return began
		}
		flows := func(node string) []string {
			t.Helper()
			over, err := store.Change(t.Context(), s, func(tx *store.Tx) ([]string, error) { return tx.MailFlows(t.Context(), node) })
			if err != nil {
				t.Fatal(err)
			}
			return over
		}
		if !stuck("a", false) || stuck("a", false) || stuck("b", false) {
			t.Error("trouble of two nodes does not begin once")
		}
		if list := troubles(t, s, env); len(list) != 2 || list[0].Since.IsZero() || list[0].Reason != "away" {
			t.Errorf("troubles %+v", list)
		}
		if over := flows("a"); len(over) != 0 || len(troubles(t, s, env)) != 1 {
			t.Errorf("over for %v while another node cannot send", over)
		}
		if over := flows("b"); !slices.Equal(over, []string{env}) || len(flows("b")) != 0 {
			t.Errorf("over for %v", over)
		}
		first, second := stuck("a", true), stuck("a", true)
		if none := len(troubles(t, s, env)) == 0; first || second || !none || !stuck("a", true) {
			t.Error("three mails in a row that may themselves be at fault are no trouble")
		}
		flows("a")
		stuck("a", true)
		stuck("a", true)
		flows("a")
		if stuck("a", true) {
			t.Error("refusals are counted beyond a mail that was taken")
		}
	})
}

func TestTroubleOfANodeThatIsGoneEndsWhenAnotherOneSends(t *testing.T) {
	var ahead atomic.Int64
	c := storetest.SQLite(t)
	c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s := storetest.Open(t, c)
	env := storetest.Seed(t, s).Env.ID
	if err := s.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.MailStuck(t.Context(), env, store.MailTrouble{Node: "gone", Step: "connect"}, false)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(3 * time.Hour))
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { _, err := tx.MailFlows(t.Context(), "new"); return err }); err != nil || len(troubles(t, s, env)) != 0 {
		t.Errorf("still %v, %v", troubles(t, s, env), err)
	}
}

func troubles(t *testing.T, s *store.Store, env string) []store.MailTrouble {
	t.Helper()
	list, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.MailTrouble, error) { return tx.MailTroubles(context.Background(), env) })
	if err != nil {
		t.Fatal(err)
	}
	return list
}
