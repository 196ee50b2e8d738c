package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// mostRecent is the store's own bound of events without an index.
const mostRecent = 1024

// recentAudit counts the events that have no index yet.
func recentAudit(t *testing.T, s *store.Store) int64 {
	t.Helper()
	n, err := store.Get(t.Context(), s, func(tx *store.Tx) (n int64, err error) {
		return n, tx.Row(t.Context(), []any{&n}, "SELECT COUNT(*) FROM audit_recent")
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Whether events have their index already or not, each search finds them in its order and
// page after page, none twice and none missing.
func TestEventsAreFoundAlikeWithAndWithoutAnIndex(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		const events = 2*mostRecent + 500
		row := func(i int) store.AuditRow {
			r := store.AuditRow{ID: fmt.Sprintf("e%05d", i*7919%events), Org: f.Org.ID, Env: f.Env.ID, Kind: fmt.Sprint("kind-", i%3), Leaf: fmt.Sprint(i)}
			if i%5 == 0 {
				r.Env = ""
			}
			if i%11 == 0 {
				r.Account, r.Trace = "account", "trace"
			}
			return r
		}
		var all []store.AuditRow
		for i := 0; i < events; i += 100 {
			err := s.Tx(t.Context(), func(tx *store.Tx) error {
				for k := i; k < min(i+100, events); k++ {
					if err := tx.AppendAudit(t.Context(), row(k)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for k := i; k < min(i+100, events); k++ {
				all = append(all, row(k))
			}
		}
		if n := recentAudit(t, s); n >= mostRecent+100 {
			t.Errorf("%d events have no index", n)
		}
		slices.SortFunc(all, func(a, b store.AuditRow) int { return strings.Compare(a.ID, b.ID) })
		if got := pending(t, s); len(got) != store.MaxAudit || got[0] != all[0].ID || got[999] != all[999].ID {
			t.Errorf("%d events wait for their place", len(got))
		}
		for name, q := range map[string]struct {
			filter store.AuditFilter
			of     func(r store.AuditRow) bool
		}{
			"all":         {store.AuditFilter{}, func(store.AuditRow) bool { return true }},
			"environment": {store.AuditFilter{Envs: []string{f.Env.ID}}, func(r store.AuditRow) bool { return r.Env != "" }},
			"kind":        {store.AuditFilter{Kinds: []string{"kind-1"}}, func(r store.AuditRow) bool { return r.Kind == "kind-1" }},
			"two of both": {store.AuditFilter{Envs: []string{"", f.Env.ID}, Kinds: []string{"kind-0", "kind-2"}}, func(r store.AuditRow) bool { return r.Kind != "kind-1" }},
			"account":     {store.AuditFilter{Account: "account"}, func(r store.AuditRow) bool { return r.Account != "" }},
			"trace":       {store.AuditFilter{Trace: "trace"}, func(r store.AuditRow) bool { return r.Trace != "" }},
			"time":        {store.AuditFilter{From: "e00500", To: "e02400"}, func(r store.AuditRow) bool { return r.ID >= "e00500" && r.ID < "e02400" }},
		} {
			var want []string
			for _, r := range all {
				if q.of(r) {
					want = append(want, r.ID)
				}
			}
			for _, oldest := range []bool{true, false} {
				q.filter.OldestFirst, q.filter.Count, q.filter.After = oldest, 170, ""
				if got := everyPage(t.Context(), t, s, f.Org.ID, q.filter); !slices.Equal(got, want) {
					t.Errorf("%s, oldest first %v: %d events, want %d", name, oldest, len(got), len(want))
				}
				slices.Reverse(want)
			}
		}
		for _, r := range []store.AuditRow{row(0), row(events - 1)} {
			got, err := store.Get(t.Context(), s, func(tx *store.Tx) (store.AuditRow, error) { return tx.AuditRow(t.Context(), f.Org.ID, r.ID) })
			if err != nil || got.Leaf != r.Leaf {
				t.Errorf("%s: %+v, %v", r.ID, got, err)
			}
		}
	})
}

// everyPage returns the ids of all pages of a list.
func everyPage(ctx context.Context, t *testing.T, s *store.Store, org string, f store.AuditFilter) (ids []string) {
	t.Helper()
	for {
		rows, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.AuditRow, error) { return tx.AuditRows(ctx, org, f) })
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		if len(rows) < f.Count {
			return ids
		}
		f.After = ids[len(ids)-1]
	}
}
