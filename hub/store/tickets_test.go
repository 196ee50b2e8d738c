package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

func ticket(t *testing.T, s *store.Store, f storetest.Fixture, life time.Duration) (hash string) {
	t.Helper()
	hash = store.HashToken(store.NewToken())
	do(t, s, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateTicket(ctx, f.Env.ID, f.Directory.ID, hash, life)
		return err
	})
	return hash
}

func enrol(t *testing.T, s *store.Store, hash string, key byte) (store.Agent, error) {
	t.Helper()
	return store.Change(t.Context(), s, func(tx *store.Tx) (store.Agent, error) {
		return tx.EnrolAgent(t.Context(), hash, store.Agent{Name: "host", NoiseKey: []byte{key}, SignKey: []byte{key, key}})
	})
}

// P7: of 200 parallel redemptions of one ticket exactly one succeeds.
func TestP07_TicketIsRedeemedOnceOfTwoHundredAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		hash := ticket(t, s, f, time.Hour)
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				_, err := enrol(t, s, hash, byte(i))
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, store.ErrConflict):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		agents, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.Agent, error) {
			return tx.Agents(t.Context(), f.Env.ID, f.Directory.ID)
		})
		if won.Load() != 1 || lost.Load() != 199 || len(agents) != 1 || err != nil {
			t.Fatalf("%d succeeded, %d lost, %d agents: %v", won.Load(), lost.Load(), len(agents), err)
		}
	})
}

// T19: a ticket lives an hour at most, and an expired one is as good as none.
func TestT19_TicketLivesAnHourAtMost(t *testing.T) {
	eachClocked(t, func(t *testing.T, s *store.Store, c *clock) {
		f := storetest.Seed(t, s)
		err := s.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.CreateTicket(t.Context(), f.Env.ID, f.Directory.ID, "h", time.Hour+time.Second)
			return err
		})
		if err == nil {
			t.Fatal("a longer life was accepted")
		}
		hash := ticket(t, s, f, time.Hour)
		c.pass(time.Hour)
		if _, err := enrol(t, s, hash, 1); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("expired: %v", err)
		}
		if _, err := enrol(t, s, store.HashToken("guess"), 1); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("unknown: %v", err)
		}
	})
}

// T19: only the first agent of a directory is trusted unseen, even if it is revoked later.
func TestT19_FurtherAgentsStayPendingUntilConfirmed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		first, err := enrol(t, s, ticket(t, s, f, time.Hour), 1)
		if err != nil || first.State != protocol.AgentActive {
			t.Fatalf("%+v %v", first, err)
		}
		set := func(a store.Agent, state string, from ...string) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error {
				return tx.SetAgentState(ctx, a.Env, a.ID, state, from...)
			}
		}
		do(t, s, set(first, protocol.AgentRevoked, protocol.AgentActive))
		second, err := enrol(t, s, ticket(t, s, f, time.Hour), 2)
		if err != nil || second.State != protocol.AgentPending {
			t.Fatalf("%+v %v", second, err)
		}
		want(t, s, store.ErrRevoked, set(first, protocol.AgentActive, protocol.AgentRevoked))
		want(t, s, store.ErrConflict, set(second, protocol.AgentActive, protocol.AgentQuarantined))
		do(t, s, set(second, protocol.AgentActive, protocol.AgentPending))
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			states, err := tx.AgentStates(ctx)
			if len(states) != 2 || states[first.ID].State != protocol.AgentRevoked || states[second.ID].State != protocol.AgentActive {
				t.Errorf("states %v", states)
			}
			byKey, errKey := tx.AgentByKey(ctx, []byte{2})
			if byKey.ID != second.ID {
				t.Errorf("by key: %+v", byKey)
			}
			return errors.Join(err, errKey, tx.AgentSeen(ctx, second.Env, second.ID, "new-name", "1.2", "guard", true))
		})
		third := ticket(t, s, f, time.Hour)
		if _, err := enrol(t, s, third, 2); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("one key enrolled twice: %v", err)
		}
		if _, err := enrol(t, s, third, 3); err != nil {
			t.Fatalf("a failed enrolment used the ticket up: %v", err)
		}
	})
}

// T24: a directory is native or legacy, never both.
func TestT24_EnrolmentEndsTheLegacyToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		env, id, hash := f.Env.ID, f.Directory.ID, store.HashToken("legacy")
		setToken := func(h string) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error { return tx.SetLegacyToken(ctx, env, id, h) }
		}
		find := func(ctx context.Context, tx *store.Tx) error { _, err := tx.LegacyDirectory(ctx, hash); return err }
		do(t, s, setToken(hash))
		do(t, s, find)
		if _, err := enrol(t, s, ticket(t, s, f, time.Hour), 1); err != nil {
			t.Fatal(err)
		}
		want(t, s, store.ErrNotFound, find)
		want(t, s, store.ErrConflict, setToken(hash))
		do(t, s, setToken(""))
		want(t, s, store.ErrNotFound, func(ctx context.Context, tx *store.Tx) error { _, err := tx.LegacyDirectory(ctx, ""); return err })
	})
}

func TestT29_AConflictIsOpenUntilSomebodyDecides(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		a, err := enrol(t, s, ticket(t, s, f, time.Hour), 1)
		if err != nil {
			t.Fatal(err)
		}
		open := func(kept string) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error { return tx.OpenConflict(ctx, a.Env, a.ID, kept) }
		}
		closed := func(ctx context.Context, tx *store.Tx) error { return tx.CloseConflict(ctx, a.Env, a.ID) }
		want(t, s, store.ErrConflict, closed)
		do(t, s, open("first"))
		want(t, s, store.ErrConflict, open("second"))
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			standing, err := tx.AgentStanding(ctx, a.Env, a.ID)
			states, errStates := tx.AgentStates(ctx)
			if standing != (store.Standing{State: protocol.AgentActive, Kept: "first"}) || states[a.ID] != standing {
				t.Errorf("standing %+v, states %v", standing, states)
			}
			row, errRow := tx.Agent(ctx, a.Env, a.ID)
			if row.Kept != "first" || row.ConflictSince.IsZero() {
				t.Errorf("%+v", row)
			}
			return errors.Join(err, errStates, errRow)
		})
		do(t, s, closed)
		do(t, s, open("second"))
	})
}
