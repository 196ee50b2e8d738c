package audit_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol/auditlog"
)

const origin = "id.example.com/audit/v1"

func logKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
}

func newOtherKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

func newLog(s *store.Store) *audit.Log {
	return audit.NewLog(audit.LogConfig{Store: s, Key: logKey(), Origin: origin})
}

func sequence(t *testing.T, l *audit.Log) auditlog.Checkpoint {
	t.Helper()
	if err := l.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, note, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := auditlog.OpenCheckpoint(note, l.Public(), origin); err != nil || opened != c {
		t.Fatalf("%+v, %v, want %+v", opened, err, c)
	}
	return c
}

// check proves an event and believes the proof only as an agent would.
func check(t *testing.T, l *audit.Log, id string, last auditlog.Checkpoint) auditlog.Proof {
	t.Helper()
	p, err := l.Prove(t.Context(), id, last.Size)
	if err == nil {
		_, err = p.Check(auditlog.Fingerprint(l.Public()), origin, last)
	}
	if err != nil {
		t.Fatalf("event %s from %d: %v", id, last.Size, err)
	}
	return p
}

func TestT08_EveryCommittedEventIsProvenAtOnceWithItsExactBytes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		l := newLog(s)
		if c, note, err := l.Head(t.Context()); err != nil || c.Size != 0 || note != "" {
			t.Fatalf("an empty log: %+v, %q, %v", c, note, err)
		}
		var last auditlog.Checkpoint
		for i := range 70 {
			appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.OperationRequested, Account: "ada", Trace: fmt.Sprint(i), Detail: map[string]any{"context": fmt.Sprint("c", i)}})
			row := list(t, s, f.Org.ID, store.AuditFilter{Count: 1})[0]
			p := check(t, l, row.ID, last)
			if string(p.Leaf) != string(row.Leaf) || p.Index != int64(i) {
				t.Fatalf("index %d: %s", p.Index, p.Leaf)
			}
			if last, _, _ = l.Head(t.Context()); last.Size != int64(i+1) {
				t.Fatalf("size %d after %d", last.Size, i+1)
			}
		}
		if _, err := l.Prove(t.Context(), "01ARZ3NDEKTSV4RRFFQ69G5FAV", 0); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		if _, err := l.Consistency(t.Context(), 71, 0); !errors.Is(err, audit.ErrRolledBack) {
			t.Error(err)
		}
		if _, err := l.Prove(t.Context(), list(t, s, f.Org.ID, store.AuditFilter{})[0].ID, 71); !errors.Is(err, audit.ErrRolledBack) {
			t.Error(err)
		}
	})
}

// Whoever says that a proof is wanted does not wait until other transactions gathered.
func TestT08_AnEventThatIsWantedSoonHasItsIndexAtOnce(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	l := newLog(s)
	l.Gather(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = l.Run(ctx) })
	for i := range 3 {
		appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.OperationRequested, Account: "ada"})
		l.Soon()
		for deadline := time.Now().Add(20 * time.Second); ; {
			c, _, err := l.Head(t.Context())
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("size %d, %v", c.Size, err)
			}
			if c.Size == int64(i+1) {
				break
			}
		}
	}
}

// Callers at once share the work, and each gets what it asked for, or its own refusal.
func TestT08_ManyProofsAtOnceAreEachOnesOwn(t *testing.T) {
	const callers = 48
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		l := newLog(s)
		appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.OperationRequested})
		first := sequence(t, l)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				trace := fmt.Sprint("t", i)
				id, err := store.Change(t.Context(), s, func(tx *store.Tx) (string, error) {
					return audit.AppendRow(t.Context(), tx, audit.Event{Env: f.Env.ID, Kind: audit.OperationRequested, Trace: trace})
				})
				if err != nil {
					t.Error(err)
					return
				}
				if p, err := l.Prove(gone, id, first.Size); err == nil && !strings.Contains(string(p.Leaf), `"`+trace+`"`) {
					t.Errorf("a caller who is gone: %s", p.Leaf)
				}
				p, err := l.Prove(t.Context(), id, first.Size)
				if err != nil || !strings.Contains(string(p.Leaf), `"`+trace+`"`) {
					t.Errorf("%s: %s, %v", trace, p.Leaf, err)
				}
				if _, err := p.Check(auditlog.Fingerprint(l.Public()), origin, first); err != nil {
					t.Error(err)
				}
				if _, err := l.Prove(t.Context(), id, callers+2); !errors.Is(err, audit.ErrRolledBack) {
					t.Errorf("from a log that never was so long: %v", err)
				}
				if _, err := l.Prove(t.Context(), store.NewID(), 0); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("no such event: %v", err)
				}
			})
		}
		all.Wait()
		if c := sequence(t, l); c.Size != callers+1 {
			t.Errorf("size %d", c.Size)
		}
	})
}

// The largest leaf that the hub writes is proven in no more than whoever reads proofs
// takes, also if a client says as much of itself as it can.
func TestT08_TheLargestLeafHasAProofThatCanBeRead(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	l := newLog(s)
	long := strings.Repeat("\x01", 64<<10)
	at := time.Date(2026, 1, 1, 0, 0, 0, int(123*time.Millisecond), time.UTC) // each time is as long as the others
	write := func(detail int) audit.Record {
		at = at.Add(time.Second)
		appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.OperationRequested, Time: at, RemoteAddr: long, UserAgent: long,
			Detail: map[string]any{"x": strings.Repeat("y", detail)}, Personal: map[string]string{"name": long}})
		return list(t, s, f.Org.ID, store.AuditFilter{Count: 1})[0]
	}
	room := auditlog.MaxLeaf - len(write(0).Leaf)
	largest, tooLarge := write(room), write(room+1)
	if len(largest.Leaf) != auditlog.MaxLeaf || largest.Truncated || !tooLarge.Truncated {
		t.Fatalf("%d bytes, truncated %v, %v", len(largest.Leaf), largest.Truncated, tooLarge.Truncated)
	}
	b, err := json.Marshal(check(t, l, largest.ID, auditlog.Checkpoint{}))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := auditlog.ParseProof(b); err != nil || string(p.Leaf) != string(largest.Leaf) {
		t.Errorf("%d bytes of a proof: %v", len(b), err)
	}
}

// A leaf that nobody could be shown is not written, nor what it would tell of.
func TestT08_WhatDoesNotFitIntoALeafIsRefused(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	e := audit.Event{Env: f.Env.ID, Kind: audit.OperationRequested, Trace: strings.Repeat("t", auditlog.MaxLeaf)}
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { return audit.Append(t.Context(), tx, e) }); err == nil {
		t.Error("it was written")
	}
}

// Two nodes append, sequence and prove at the same time. There is one log, with every
// event once, and each checkpoint that anybody saw is one of its past.
func TestT09_TwoNodesAtOnceMakeOneLog(t *testing.T) {
	const writers, each = 4, 25
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		one := storetest.Open(t, c)
		two := one
		if c.URL != "" {
			c.Dir = t.TempDir()
		}
		two = storetest.Open(t, c) // SQLite: another process with the same file
		f := storetest.Seed(t, one)
		nodes := []*audit.Log{newLog(one), newLog(two)}
		stores := []*store.Store{one, two}
		var mu sync.Mutex
		var seen []auditlog.Checkpoint
		ids := map[string]int64{}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				var last auditlog.Checkpoint
				for i := range each {
					s, l := stores[(w+i)%2], nodes[(w+i/2)%2]
					trace := fmt.Sprintf("%d/%d", w, i)
					err := s.Tx(context.WithoutCancel(t.Context()), func(tx *store.Tx) error {
						return audit.Append(t.Context(), tx, audit.Event{Env: f.Env.ID, Kind: audit.OperationRequested, Trace: trace})
					})
					if err != nil {
						t.Error(err)
						return
					}
					id := list(t, s, f.Org.ID, store.AuditFilter{Trace: trace})[0].ID
					p, err := l.Prove(t.Context(), id, last.Size)
					if err != nil {
						t.Error(err)
						return
					}
					c, err := p.Check(auditlog.Fingerprint(l.Public()), origin, last)
					if err != nil {
						t.Errorf("event %s from %d: %v", trace, last.Size, err)
						return
					}
					last = c
					mu.Lock()
					seen = append(seen, c)
					ids[id] = p.Index
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		head := sequence(t, nodes[0])
		if head.Size != writers*each || len(ids) != writers*each {
			t.Fatalf("%d leaves, %d events", head.Size, len(ids))
		}
		for _, c := range seen {
			proof, err := nodes[1].Consistency(t.Context(), c.Size, head.Size)
			if err == nil {
				err = auditlog.CheckConsistency(c, head, proof)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for id, index := range ids {
			if p := check(t, nodes[1], id, auditlog.Checkpoint{}); p.Index != index {
				t.Errorf("event %s moved from %d to %d", id, index, p.Index)
			}
		}
	})
}

func TestRowsGetTheirIndexesInTheOrderOfTheirIDsAndKeepThem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		l := newLog(s)
		base := time.Now()
		at := func(offset time.Duration, trace string) {
			appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated, Time: base.Add(offset), Trace: trace})
		}
		at(2*time.Second, "c")
		at(time.Second, "b")
		sequence(t, l)
		at(0, "a") // committed late: it comes after those that have an index
		at(3*time.Second, "d")
		sequence(t, l)
		for i, trace := range []string{"b", "c", "a", "d"} {
			id := list(t, s, f.Org.ID, store.AuditFilter{Trace: trace})[0].ID
			if p := check(t, l, id, auditlog.Checkpoint{}); p.Index != int64(i) {
				t.Errorf("%s has index %d, want %d", trace, p.Index, i)
			}
		}
	})
}

// What somebody changes in the database is not signed over, and proves nothing.
func TestT09_ANodeSignsNothingOverAChangedLog(t *testing.T) {
	for name, change := range map[string]string{
		"a hash":             "UPDATE audit_tiles SET hashes = 'AAAA' || SUBSTR(hashes, 5) WHERE id = '1/0'",
		"a tile is gone":     "DELETE FROM audit_tiles WHERE id = '0/1'",
		"the size":           "UPDATE audit_head SET size = 20",
		"the checkpoint":     "UPDATE audit_head SET checkpoint = REPLACE(checkpoint, 'id.example', 'id.evil')",
		"the log is shorter": "UPDATE audit_head SET size = 0",
		"a waiting event":    "INSERT INTO audit_pending (event) VALUES ('of no event')",
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.Open(t, storetest.SQLite(t))
			f := storetest.Seed(t, s)
			l := newLog(s)
			for range 40 {
				appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated})
			}
			sequence(t, l)
			appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated, Trace: "waiting"})
			err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Must(t.Context(), change) })
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Sequence(t.Context()); !errors.Is(err, audit.ErrDamaged) {
				t.Errorf("%v, want %v", err, audit.ErrDamaged)
			}
		})
	}
	for name, change := range map[string]string{
		"a leaf":           "UPDATE audit_rows SET leaf = REPLACE(leaf, 'one', 'eno') WHERE id = $1",
		"the leaf is gone": "DELETE FROM audit_rows WHERE id = $1",
		"its hash":         "UPDATE audit_tiles SET hashes = 'AAAA' || SUBSTR(hashes, 5) WHERE id = '0/0' AND $1 <> ''",
		"its index":        "UPDATE audit_entries SET seq = seq + 7 WHERE event = $1",
	} {
		t.Run(name, func(t *testing.T) { provesNothing(t, change) })
	}
}

func provesNothing(t *testing.T, change string) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	l := newLog(s)
	appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated, Trace: "one"}, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated, Trace: "two"})
	sequence(t, l)
	id := list(t, s, f.Org.ID, store.AuditFilter{Trace: "one"})[0].ID
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Must(t.Context(), change, id) }); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Prove(t.Context(), id, 0); !errors.Is(err, audit.ErrDamaged) {
		t.Errorf("%v, want %v", err, audit.ErrDamaged)
	}
}

func TestLogRunsBehindItsWritersAndLongLogsNeedSeveralTransactions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		many := make([]audit.Event, 2500)
		for i := range many {
			many[i] = audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated}
		}
		appendAll(t, s, many...)
		ctx, cancel := context.WithCancel(t.Context())
		l := newLog(s)
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		deadline := time.After(30 * time.Second)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			c, _, err := l.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.Size == 2500 {
				break
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%d leaves", c.Size)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// Dropping the bytes of old leaves changes neither a root nor a later proof, and the log
// says itself what it was up to there.
func TestOldLeavesAreDroppedByTheirBytesOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		keep := audit.NewLog(audit.LogConfig{Store: s, Key: logKey(), Origin: origin, Retain: func() time.Duration { return 400 * 24 * time.Hour }})
		for i := range 90 {
			age := time.Duration(500-i*2) * 24 * time.Hour // the first 51 are older than 400 days
			appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated, Time: time.Now().Add(-age - time.Hour), Trace: fmt.Sprint(i)})
		}
		if err := newLog(s).Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := sequence(t, keep)
		if err := keep.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := sequence(t, keep)
		proof, err := keep.Consistency(t.Context(), before.Size, after.Size)
		if err == nil {
			err = auditlog.CheckConsistency(before, after, proof)
		}
		if err != nil {
			t.Fatal(err)
		}
		events := list(t, s, f.Org.ID, store.AuditFilter{OldestFirst: true})
		if len(events) != 40 || events[0].Trace != "51" {
			t.Fatalf("%d events, the first is %q", len(events), events[0].Trace)
		}
		for _, e := range events {
			check(t, keep, e.ID, before)
		}
		said := events[len(events)-1]
		if said.Kind != audit.LeavesDropped || !strings.HasPrefix(string(said.Detail), `{"from":0,"to":51,"root":"`) {
			t.Errorf("%s: %s", said.Kind, said.Detail)
		}
		if err := keep.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if again := sequence(t, keep); again.Size != after.Size {
			t.Error("dropping nothing was logged")
		}
	})
}

func TestErasedPersonLeavesTheLogProvable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		l := newLog(s)
		appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.RecoveryStarted, Account: "ada", RemoteAddr: "198.51.100.9", Personal: map[string]string{"name": "Ada"}})
		before := sequence(t, l)
		id := list(t, s, f.Org.ID, store.AuditFilter{})[0].ID
		err := s.Tx(t.Context(), func(tx *store.Tx) error { return audit.Erase(t.Context(), tx, f.Env.ID, "ada") })
		if err != nil {
			t.Fatal(err)
		}
		check(t, l, id, before)
		if r := list(t, s, f.Org.ID, store.AuditFilter{})[0]; !r.Erased {
			t.Error("not erased")
		}
	})
}

// Where an event cannot get its index, whoever gives indexes says so and ends, however many
// others wait.
func TestAnIDThatIsUsedTwiceEndsSequencing(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	l := newLog(s)
	for _, ids := range [][2]int{{0, 1}, {0, 1000}, {1000, 1500}} {
		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			for i := ids[0]; i < ids[1]; i++ {
				err := tx.AppendAudit(t.Context(), store.AuditRow{ID: fmt.Sprintf("row-%06d", i), Org: f.Org.ID, Kind: "k", Trace: "t", Leaf: "{}"})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithTimeout(t.Context(), 20*time.Second)
		err = l.Sequence(ctx)
		if used := ids[1] > 1; (err != nil) != used || ctx.Err() != nil {
			t.Errorf("rows %v: %v", ids, err)
		}
		if err != nil && !strings.Contains(err.Error(), `docs/operations.md, "An event cannot get its index"`) {
			t.Errorf("it does not say what to do: %v", err)
		}
		end()
	}
}
