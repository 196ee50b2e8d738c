package wallet_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// usable reports whether anybody is trusted.
func (st *stage) usable(env string) bool {
	return st.verifier.Usable(st.Context(), verify.Subject{Env: env})
}

func (st *stage) tx(fn func(ctx context.Context, tx *store.Tx) error) {
	st.Helper()
	if err := st.store.Tx(st.Context(), func(tx *store.Tx) error { return fn(st.Context(), tx) }); err != nil {
		st.Fatal(err)
	}
}

// Every page of whoever may show a document asks whether anybody is trusted: what was
// imported is not read for it again.
func TestASourceIsReadOnceHoweverManyAskAndNoLongerThanItStands(t *testing.T) {
	st := newStage(t).trust()
	if !st.usable(st.env) {
		t.Fatal("nobody is trusted")
	}
	st.tx(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE trust_sources SET body = 'bm90aGluZw'")
		return err
	})
	if !st.usable(st.env) {
		t.Error("the source was read again")
	}
	if st.usable(otherEnvironment(st)) {
		t.Error("an environment trusts whom another one does")
	}
	st.tx(func(ctx context.Context, tx *store.Tx) error {
		ids, err := tx.TrustSourceIDs(ctx, st.env)
		if err != nil || len(ids) != 1 {
			t.Fatalf("%v, %v", ids, err)
		}
		return tx.RemoveTrustSource(ctx, st.env, ids[0])
	})
	if st.usable(st.env) {
		t.Error("what was removed counts on")
	}
	if !st.trust().usable(st.env) {
		t.Error("what was imported since does not count")
	}
}

// A list is verified once, and counts no longer than the certificates by which it was.
func TestASignedListCountsNoLongerThanWhoSignedIt(t *testing.T) {
	st := newStage(t)
	provider, err := evidencetest.NewAuthority("XX", "List provider", st.now)
	if err != nil {
		t.Fatal(err)
	}
	begins := st.now.Add(time.Hour)
	list, err := provider.VICAL(begins, []string{evidencetest.DocType}, st.authority)
	if err != nil {
		t.Fatal(err)
	}
	st.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.AddTrustSource(ctx, &store.TrustSource{Env: st.env, Kind: store.TrustVICAL, Name: "list", Body: list, Root: provider.PEM()})
	})
	ends := provider.Credentials.Certificate.NotAfter
	for _, c := range []struct {
		at   time.Time
		want bool
	}{{st.now, false}, {begins.Add(-30 * time.Minute), false}, {begins.Add(2 * time.Minute), true}, {ends, true}, {ends.Add(time.Second), false}, {ends.Add(time.Hour), false}} {
		if st.now = c.at; st.usable(st.env) != c.want {
			t.Errorf("%s after it begins, %s before its signer ends: trusted %v", c.at.Sub(begins), ends.Sub(c.at), !c.want)
		}
	}
}

// Pages that show what a source brings share what was read, also at once.
func TestAllWhoAskForASourceGetTheSameAuthorities(t *testing.T) {
	st := newStage(t).trust()
	all := make([]store.TrustSource, 0)
	st.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		all, err = tx.TrustSources(ctx, st.env)
		return err
	})
	lists := wallet.NewLists(time.Now)
	first, err := lists.Authorities(all[0])
	if err != nil || len(first) != 1 {
		t.Fatalf("%d, %v", len(first), err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if again, err := lists.Authorities(all[0]); err != nil || len(again) != 1 || again[0].Certificate != first[0].Certificate {
				t.Errorf("parsed again: %v", err)
			}
		})
	}
	wg.Wait()
}
