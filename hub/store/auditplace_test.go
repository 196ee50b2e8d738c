package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// finals are n sign-ins that were told of and are not in the database.
func finals(t *testing.T, s *Store, party OIDCClient, n int) {
	t.Helper()
	for range n {
		e, err := signingIn(t.Context(), s, party, "one", "")
		if err == nil {
			err = s.Step(t.Context(), goingOn(t.Context(), e, "one", "pushed", "spent"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// placing gives what waits its indexes, in a log that has had more rows than it says by so many.
func placing(ctx context.Context, s *Store, n int, off int64) (rows []AuditLeaf, whole bool, err error) {
	err = s.Tx(ctx, func(tx *Tx) error {
		was, err := tx.AuditHead(ctx)
		if err != nil {
			return err
		}
		if rows, whole, err = tx.PendingAudit(ctx, n); err != nil || len(rows) == 0 {
			return err
		}
		was.Size += off
		return tx.ExtendAudit(ctx, was, AuditHead{Size: was.Size + int64(len(rows)), Checkpoint: "c"}, rows[len(rows)-1].ID, map[string][]byte{"0/0": {1}})
	})
	return rows, whole, err
}

// logOf are the ids of the events that have an index, in that order.
func logOf(t *testing.T, s *Store) (ids []string) {
	t.Helper()
	rows, err := Get(t.Context(), s, func(tx *Tx) ([]AuditLeaf, error) { return tx.AuditEntries(t.Context(), 0, MaxAudit) })
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if r.Index != int64(i) || r.Leaf == "" {
			t.Errorf("%s has the index %d in place of %d, and the bytes %q", r.ID, r.Index, i, r.Leaf)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

func idsOf(rows []AuditLeaf) (ids []string) {
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

// What waits of sign-ins is written once, where it stays and with its index, however many
// there are; and with it the redo files are free.
func TestWhatWaitsGetsItsIndexWithoutAStopOnTheWay(t *testing.T) {
	s, d, _, party := still(t)
	finals(t, s, party, 50)
	held := d.redo.Load().now()
	var queries []string
	d.writer.watch = func(query string) { queries = append(queries, query); d.watch(query) }
	rows, whole, err := placing(t.Context(), s, 2, 0)
	d.writer.watch = d.watch
	if err != nil || !whole || len(rows) != 100 || !slices.IsSorted(idsOf(rows)) {
		t.Fatalf("%d rows, all of them: %v, error %v", len(rows), whole, err)
	}
	if got := logOf(t, s); !slices.Equal(got, idsOf(rows)) {
		t.Errorf("the log has %v", got)
	}
	if slices.ContainsFunc(queries, func(q string) bool {
		return strings.Contains(q, "audit_recent") || strings.Contains(q, "audit_pending")
	}) {
		t.Errorf("on the way: %s", strings.Join(queries, "\n"))
	}
	if !d.redo.Load().isFree(held) || d.catchUps.Load() != 1 {
		t.Errorf("the redo files are free: %v; caught up %d times", d.redo.Load().isFree(held), d.catchUps.Load())
	}
	if _, rest, err := placing(t.Context(), s, 2, 0); err != nil || !rest {
		t.Errorf("nothing waits any more, and the log says: whole %v, error %v", rest, err)
	}
}

// Where events wait in the database, those of sign-ins stand among them in the order of their
// ids; where there are many, they come in portions.
func TestWhatWaitsInTheDatabaseIsNotOvertaken(t *testing.T) {
	for name, c := range map[string]struct {
		most     int
		portions []int
	}{"few": {5, []int{6, 0}}, "many": {2, []int{4, 2, 0}}} {
		t.Run(name, func(t *testing.T) {
			s, _, _, party := still(t)
			recorded(t, s, party, "row-000000000", "row-000000001", "row-999999998", "row-999999999")
			finals(t, s, party, 1)
			var all []string
			for _, want := range c.portions {
				rows, whole, err := placing(t.Context(), s, c.most, 0)
				if err != nil || len(rows) != want || whole != (want == 0 || want == 6) {
					t.Fatalf("%v, all of them: %v, error %v", rows, whole, err)
				}
				all = append(all, idsOf(rows)...)
			}
			if got := logOf(t, s); len(got) != 6 || !slices.Equal(got, all) || !slices.IsSorted(got) {
				t.Errorf("the log has %v, told of were %v", got, all)
			}
		})
	}
}

// recorded are events that wait in the database.
func recorded(t *testing.T, s *Store, party OIDCClient, ids ...string) {
	t.Helper()
	ctx := t.Context()
	for _, id := range ids {
		err := s.Record(ctx, func(tx *Tx) error {
			return tx.AppendAudit(ctx, AuditRow{ID: id, Org: "org", Env: party.Env, Kind: "k", Trace: "t", Leaf: "{}"})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Where the log does not take them, events wait as before, and redo files hold what was told.
func TestP07_WhatGetsNoIndexWaitsStill(t *testing.T) {
	s, d, dir, party := still(t)
	finals(t, s, party, 3)
	held := d.redo.Load().now()
	if _, _, err := placing(t.Context(), s, 2, 7); !errors.Is(err, ErrConflict) {
		t.Fatalf("a log of another size: %v", err)
	}
	if d.redo.Load().isFree(held) || d.catchUps.Load() != 0 {
		t.Error("a redo file is free for what was taken back")
	}
	other, _ := crashed(t, dir)
	defer func() { _ = other.Close() }()
	for name, s := range map[string]*Store{"this process": s, "the next one": other} {
		_, _, err := placing(t.Context(), s, MaxAudit, 0)
		if got := logOf(t, s); err != nil || len(got) != 6 {
			t.Errorf("%s: error %v, the log has %v", name, err, got)
		}
	}
}

// Who catches up beside others in one transaction and is taken back has made nothing free.
func TestP07_WhoIsTakenBackFreesNoRedoFile(t *testing.T) {
	s, d, dir, party := still(t)
	ctx := t.Context()
	finals(t, s, party, 3)
	held := d.redo.Load().now()
	looked := make(chan error, 1)
	err := s.Tx(ctx, func(tx *Tx) error {
		go func() {
			looked <- s.Tx(ctx, func(tx *Tx) error {
				var n int64
				return errors.Join(tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM oidc_exchanges"), fmt.Errorf("%d are there, and it is taken back", n))
			})
		}()
		select {
		case err := <-looked:
			return fmt.Errorf("it did not wait for its turn: %w", err)
		case <-time.After(notYet):
		}
		return tx.SetSetting(ctx, "of another one", "x")
	})
	if got := (<-looked).Error(); err != nil || !strings.HasPrefix(got, "3 are") {
		t.Fatalf("%v, %s", err, got)
	}
	if d.redo.Load().isFree(held) || d.catchUps.Load() != 0 {
		t.Error("a redo file is free, and its records are nowhere else")
	}
	next, _ := crashed(t, dir)
	defer func() { _ = next.Close() }()
	rows, _, err := placing(ctx, next, MaxAudit, 0)
	if err != nil || len(rows) != 6 {
		t.Errorf("the next process has %v, %v", rows, err)
	}
}

// A redo file grows ahead of what it holds: most records change nothing of it but its bytes.
func TestARedoFileGrowsAhead(t *testing.T) {
	dir := t.TempDir()
	r, _ := redoOf(t, dir, 7, 0)
	grown := map[int64]int{}
	const many = 400
	for i := range many {
		if err := r.add(aRecord(fmt.Sprint(i)).append(nil)); err != nil {
			t.Fatal(err)
		}
		info, err := r.files[r.generation%2].Stat()
		if err != nil {
			t.Fatal(err)
		}
		grown[info.Size()]++
	}
	if len(grown) > 3 {
		t.Errorf("for %d records the file has had %d lengths", many, len(grown))
	}
	r.close()
	_, left := redoOf(t, dir, 7, 0)
	if len(left) != many {
		t.Errorf("it holds %d", len(left))
	}
}

// Where the journal may have lost what was committed, redo files hold what was told of it, also
// after a commit that the disk has taken.
func TestP07_WhatMayBeLostFreesNoRedoFile(t *testing.T) {
	s, d, _, party := still(t)
	ctx := t.Context()
	finals(t, s, party, 3)
	held := d.redo.Load().now()
	sync := d.journal.sync
	d.journal.sync = func() error { return errors.New("the disk failed") }
	look := func(tx *Tx) error {
		var n int64
		return tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM oidc_exchanges")
	}
	if err := s.Draft(ctx, look); err != nil { // they are in the database, and it is not durable
		t.Fatal(err)
	}
	if _, err := signingIn(ctx, s, party, "one", ""); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	err := s.Tx(ctx, func(tx *Tx) error {
		go func() { failed <- d.solidify() }()
		testenv.Eventually(t, "a call of the disk failed", d.journal.doubted.Load)
		return look(tx)
	})
	if err != nil || d.redo.Load().isFree(held) {
		t.Errorf("a redo file is free, and what it holds is nowhere else for sure: error %v", err)
	}
	if <-failed == nil {
		t.Error("the disk did not fail")
	}
	d.journal.sync = sync
	if err := d.emptyRedo(); err != nil || !d.redo.Load().isFree(held) {
		t.Errorf("when all was copied: error %v, it is free: %v", err, d.redo.Load().isFree(held))
	}
}

// An event whose id is used already is nothing that another node has done, and trying again at
// once does not help.
func TestAnIDThatIsUsedTwiceIsNoConflictOfNodes(t *testing.T) {
	for i, how := range []func(*Store, context.Context, func(*Tx) error) error{(*Store).Early, (*Store).Record, (*Store).Early, (*Store).Record} {
		most := []int{MaxAudit, 1}[i/2]
		s, _, _, party := still(t)
		finals(t, s, party, 1)
		if _, _, err := placing(t.Context(), s, MaxAudit, 0); err != nil {
			t.Fatal(err)
		}
		used := logOf(t, s)[0]
		e := OIDCExchange{Env: party.Env, ID: NewSortedID(time.Now()), Client: party.ID, State: "pushed", Secret: "x", Private: []byte(`{"a":1}`), ExpiresAt: time.Now().Add(time.Hour)}
		err := how(s, t.Context(), func(tx *Tx) error {
			x := e
			return errors.Join(tx.AddOIDCExchange(t.Context(), &x), tx.AppendAudit(t.Context(), AuditRow{ID: used, Org: "org", Env: party.Env, Kind: "pushed", Trace: e.ID, Leaf: "{}"}))
		})
		if err != nil {
			t.Fatal(err)
		}
		if most == 1 {
			recorded(t, s, party, "row-999999999")
		}
		if _, _, err := placing(t.Context(), s, most, 0); err == nil || errors.Is(err, ErrConflict) {
			t.Errorf("an id that is used: %v", err)
		}
	}
}

// What a transaction adds to the log after it was told of what waits, and looks at, is not
// taken for what it was told of.
func TestWhatComesBetweenAskingAndPlacingWaits(t *testing.T) {
	for name, c := range map[string]struct {
		inDatabase []string
		waits      int
		id         string
	}{
		"all of it in the database":            {[]string{"row-000000000", "row-000000001"}, 0, "zzz"},
		"all of it in the database, overtaken": {[]string{"row-000000001", "row-000000002"}, 0, "aaa"},
		"all of it in memory":                  {nil, 1, "zzz"},
		"both":                                 {[]string{"row-000000000"}, 1, "zzz"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, _, party := still(t)
			ctx := t.Context()
			recorded(t, s, party, c.inDatabase...)
			finals(t, s, party, c.waits)
			add := func(tx *Tx, id string) error {
				return tx.AppendAudit(ctx, AuditRow{ID: id, Org: "org", Env: party.Env, Kind: "k", Trace: "t", Leaf: "{}"})
			}
			err := s.Tx(ctx, func(tx *Tx) error {
				was, err := tx.AuditHead(ctx)
				if err != nil {
					return err
				}
				rows, _, err := tx.PendingAudit(ctx, MaxAudit)
				if err == nil {
					err = add(tx, c.id)
				}
				if err == nil {
					_, err = tx.AuditRow(ctx, "org", c.id)
				}
				if err == nil {
					err = errors.Join(add(tx, "y1"), add(tx, "y2"))
				}
				if err != nil {
					return err
				}
				return tx.ExtendAudit(ctx, was, AuditHead{Size: was.Size + int64(len(rows)), Checkpoint: "c"}, rows[len(rows)-1].ID, nil)
			})
			want := len(c.inDatabase) + 2*c.waits
			if err == nil {
				want += 3
			}
			for range 2 {
				if _, _, err := placing(ctx, s, MaxAudit, 0); err != nil {
					t.Error(err)
				}
			}
			if got := logOf(t, s); len(got) != want {
				t.Errorf("the transaction: %v; the log has %d of %d: %v", err, len(got), want, got)
			}
		})
	}
}
