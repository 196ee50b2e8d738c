package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// Others who write without a pause do not hold up a proof: it needs what was there before it.
func TestAProofDoesNotWaitForEventsThatComeMeanwhile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f, ctx := storetest.Seed(t, s), t.Context()
		seed := sha256.Sum256([]byte("a key"))
		l := NewLog(LogConfig{Store: s, Key: ed25519.NewKeyFromSeed(seed[:]), Origin: "log.example.com"})
		done := make(chan struct{})
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					if err := Write(ctx, s, Event{Env: f.Env.ID, Kind: OperationRequested, Trace: "load"}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		proven := make(chan error, 1)
		wg.Go(func() {
			var err error
			for range 5 {
				id := ""
				err = errors.Join(err, s.Tx(ctx, func(tx *store.Tx) (err error) {
					id, err = AppendRow(ctx, tx, Event{Env: f.Env.ID, Kind: OperationRequested, Trace: "mine"})
					return err
				}))
				_, errProof := l.Prove(ctx, id, 0)
				err = errors.Join(err, errProof)
			}
			proven <- err
		})
		begin := time.Now()
		select {
		case err := <-proven:
			if err != nil {
				t.Error(err)
			}
			t.Log(time.Since(begin))
		case <-time.After(15 * time.Second):
			t.Error("no proof")
		}
		close(done)
		wg.Wait()
	})
}
