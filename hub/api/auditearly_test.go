package api

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// A step of a sign-in that was answered is in the list that is asked for next: whoever goes
// on from the newest event misses none that was before it.
func TestAListOfEventsHasWhatWasAnsweredBeforeIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st, ctx := start(t, s), t.Context()
		client := store.OIDCClient{Env: st.mine.Env.ID, Contract: "openid", Settings: []byte("{}")}
		if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.AddOIDCClient(ctx, &client) }); err != nil {
			t.Fatal(err)
		}
		for _, trace := range []string{"one", "two", "three"} {
			err := s.Early(ctx, func(tx *store.Tx) error {
				x := store.OIDCExchange{Env: client.Env, ID: store.NewSortedID(time.Now()), Client: client.ID, State: "pushed", Secret: trace, Private: []byte("{}"), ExpiresAt: time.Now().Add(time.Hour)}
				return errors.Join(tx.AddOIDCExchange(ctx, &x), audit.Append(ctx, tx, audit.Event{Org: st.mine.Org.ID, Env: client.Env, Kind: audit.OperationRequested, Trace: trace}))
			})
			if err != nil {
				t.Fatal(err)
			}
			if traces, _ := st.events(t, st.owner, "query=trace:"+trace); !slices.Equal(traces, []string{trace}) {
				t.Errorf("%s: the list has %v", trace, traces)
			}
		}
	})
}
