package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// people makes accounts as a directory lists them.
func people(n int) []store.AccountWrite {
	all := make([]store.AccountWrite, n)
	for i := range all {
		a := protocol.Account{ID: fmt.Sprintf("8f14e45f-ceea-467f-a0f6-%012x", i), Name: fmt.Sprintf("Person %d", i),
			Identifiers: []string{fmt.Sprintf("person.%d@example.com", i), fmt.Sprintf("p%d", i)}, Groups: []protocol.Group{{ID: "g1", Name: "All"}, {ID: fmt.Sprint("g", i%40), Name: "Some"}}}
		all[i] = store.AccountWrite{Account: a, Digest: store.AccountDigest(a)}
	}
	return all
}

func benchEach(b *testing.B, bench func(b *testing.B, s *store.Store)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, storetest.Open(b, storetest.SQLite(b))) })
	b.Run("postgres", func(b *testing.B) { bench(b, storetest.Open(b, storetest.Postgres(b))) })
}

// put writes accounts in transactions of 2000, as a pass does.
func put(b *testing.B, s *store.Store, f storetest.Fixture, generation int64, all []store.AccountWrite) {
	b.Helper()
	for start := 0; start < len(all); start += 2000 {
		err := s.Draft(context.Background(), func(tx *store.Tx) error {
			return tx.PutAccounts(context.Background(), f.Env.ID, f.Directory.ID, generation, all[start:min(start+2000, len(all))])
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFirstSync100k(b *testing.B) {
	all := people(100_000)
	benchEach(b, func(b *testing.B, s *store.Store) {
		for b.Loop() {
			put(b, s, storetest.Seed(b, s), 1, all)
		}
	})
}

func BenchmarkAllChanged100k(b *testing.B) {
	all := people(100_000)
	benchEach(b, func(b *testing.B, s *store.Store) {
		f := storetest.Seed(b, s)
		put(b, s, f, 1, all)
		rows := map[string]int64{}
		err := s.Read(context.Background(), func(tx *store.Tx) error {
			return tx.KnownAccounts(context.Background(), f.Env.ID, f.Directory.ID, func(k store.KnownAccount) { rows[k.ImmutableID] = k.Row })
		})
		if err != nil {
			b.Fatal(err)
		}
		known := slices.Clone(all)
		for i := range known {
			known[i].Row = rows[known[i].ID]
		}
		for b.Loop() {
			put(b, s, f, 2, known)
		}
	})
}

func BenchmarkKnownAccounts100k(b *testing.B) {
	benchEach(b, func(b *testing.B, s *store.Store) {
		f := storetest.Seed(b, s)
		put(b, s, f, 1, people(100_000))
		for b.Loop() {
			n := 0
			err := s.Read(context.Background(), func(tx *store.Tx) error {
				return tx.KnownAccounts(context.Background(), f.Env.ID, f.Directory.ID, func(store.KnownAccount) { n++ })
			})
			if err != nil || n != 100_000 {
				b.Fatal(n, err)
			}
		}
	})
}

// BenchmarkKnownAmong is what a page of changes costs in a large directory.
func BenchmarkKnownAmong(b *testing.B) {
	all := people(100_000)
	var ids []string
	for i := 0; i < len(all); i += 1000 {
		ids = append(ids, all[i].ID)
	}
	benchEach(b, func(b *testing.B, s *store.Store) {
		f := storetest.Seed(b, s)
		put(b, s, f, 1, all)
		for b.Loop() {
			n := 0
			err := s.Read(context.Background(), func(tx *store.Tx) error {
				return tx.KnownAmong(context.Background(), f.Env.ID, f.Directory.ID, ids, func(store.KnownAccount) { n++ })
			})
			if err != nil || n != len(ids) {
				b.Fatal(n, err)
			}
		}
	})
}

func BenchmarkFindAccounts(b *testing.B) {
	benchEach(b, func(b *testing.B, s *store.Store) {
		f := storetest.Seed(b, s)
		put(b, s, f, 1, people(20_000))
		for b.Loop() {
			all, err := store.Get(context.Background(), s, func(tx *store.Tx) ([]store.Account, error) {
				return tx.FindAccounts(context.Background(), f.Env.ID, "person.777@example.com")
			})
			if err != nil || len(all) != 1 {
				b.Fatal(all, err)
			}
		}
	})
}

// BenchmarkDurableAppend writes small rows, alone and by 16 and 256 callers at once.
func BenchmarkDurableAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			benchEach(b, func(b *testing.B, s *store.Store) {
				f := storetest.Seed(b, s)
				var wg sync.WaitGroup
				each := b.N/callers + 1
				b.ResetTimer()
				for range callers {
					wg.Go(func() {
						for range each {
							err := s.Tx(context.Background(), func(tx *store.Tx) error {
								return tx.AppendAudit(context.Background(), store.AuditRow{ID: store.NewID(), Org: f.Org.ID, Env: f.Env.ID, Kind: "k", Leaf: "{}"})
							})
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		})
	}
}
