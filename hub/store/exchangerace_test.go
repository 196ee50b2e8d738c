package store

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// A batch that is taken back out of an open group takes back what it wrote of the queue, too:
// a secret that led on meanwhile does not hold again.
func TestP07_ABatchThatIsTakenBackLeavesNothingOfTheQueue(t *testing.T) {
	s, dir, party := remembering(t)
	ctx, d := t.Context(), s.db.(*sqliteDB)
	<-d.turn
	opened, err := d.enter(func(querier) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	e, err := signingIn(ctx, s, party, "one", "")
	if err != nil {
		t.Fatal(err)
	}
	stale := &prepared{holds: func() bool { return false }}
	if d.joined(&batch{plans: []*prepared{{catchUp: true}, stale}}) {
		t.Fatal("it was carried out")
	}
	if n, err := integers(ctx, d.writer.txn(), "SELECT COUNT(*) FROM oidc_exchanges"); err != nil || n[0] != 0 {
		t.Errorf("%d exchanges are left, %v", n, err)
	}
	if err := s.Early(ctx, goingOn(ctx, e, "one", "pushed", "asked")); err != nil {
		t.Fatal(err)
	}
	d.finish(d.commit())
	d.turn <- struct{}{}
	<-opened.done
	if err := errors.Join(opened.err, d.flush()); err != nil {
		t.Fatal(err)
	}
	if got := past(t, dir, stateOf, e.ID); !slices.Equal(got, []string{"asked"}) {
		t.Errorf("it is %v", got)
	}
	if kinds := past(t, dir, kindsOf, e.ID); !slices.Equal(kinds, []string{"pushed", "asked"}) {
		t.Errorf("the log tells of %v", kinds)
	}
}

// Whoever gives rows their places in the log counts those that it has read: a sign-in that is
// told of meanwhile, with an id from before, gets its place later.
func TestASignInThatComesWhileTheLogGrowsGetsItsPlaceLater(t *testing.T) {
	s, _, party := remembering(t)
	ctx := t.Context()
	late := OIDCExchange{Env: party.Env, ID: NewSortedID(time.Now())}
	first := "row-000000000"
	if _, err := signingIn(ctx, s, party, "one", ""); err != nil {
		t.Fatal(err)
	}
	err := s.Tx(ctx, func(tx *Tx) error {
		was, err := tx.AuditHead(ctx)
		if err != nil {
			return err
		}
		rows, _, err := tx.PendingAudit(ctx, MaxAudit)
		if err != nil {
			return err
		}
		err = s.Early(ctx, func(early *Tx) error {
			x := OIDCExchange{Env: party.Env, ID: late.ID, Client: party.ID, State: "pushed", Secret: "late", Private: []byte(`{"a":1}`), ExpiresAt: time.Now().Add(time.Hour)}
			return errors.Join(early.AddOIDCExchange(ctx, &x), early.AppendAudit(ctx, AuditRow{ID: first, Org: "org", Env: party.Env, Kind: "pushed", Trace: late.ID, Leaf: "{}"}))
		})
		if err != nil {
			return err
		}
		return tx.ExtendAudit(ctx, was, AuditHead{Size: was.Size + int64(len(rows)), Checkpoint: "c"}, rows[len(rows)-1].ID, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := Get(ctx, s, func(tx *Tx) ([]AuditLeaf, error) {
		rows, _, err := tx.PendingAudit(ctx, MaxAudit)
		return rows, err
	})
	if err != nil || len(rows) != 1 || rows[0].ID != first {
		t.Errorf("%v wait for their place, %v", rows, err)
	}
}

// Whoever looks while others sign in without a pause waits for what was there, not for them.
func TestWhoLooksDoesNotWaitForSignInsThatComeMeanwhile(t *testing.T) {
	s, _, party := remembering(t)
	ctx, done := t.Context(), make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := signingIn(ctx, s, party, "one", ""); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	looked := make(chan error, 1)
	wg.Go(func() {
		var err error
		for range 20 {
			err = errors.Join(err, s.Read(ctx, func(tx *Tx) error {
				_, err := tx.AuditHead(ctx)
				return err
			}))
		}
		looked <- err
	})
	select {
	case err := <-looked:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute): // under the race detector SQLite is twenty times as slow
		t.Error("it waits without an end")
	}
	close(done)
	wg.Wait()
}
