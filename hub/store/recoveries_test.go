package store_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// environment inserts an environment of its own organisation.
func environment(t *testing.T, s *store.Store) string {
	t.Helper()
	ctx, org, env := t.Context(), store.NewID(), store.NewID()
	tx(t, s, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO organisations (id, name, created_at) VALUES ($1, 'o', 1)`, org); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO environments (id, org, name, public_name, created_at, updated_at) VALUES ($1, $2, 'e', 'E', 1, 1)`, env, org)
		return err
	})
	return env
}

func tx(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func addRecovery(t *testing.T, s *store.Store, env string) store.Recovery {
	t.Helper()
	r := store.Recovery{Env: env, ID: store.NewID(), State: "choosing", Session: "s", Address: "a", Private: []byte(`{"address":"canary@example.com"}`),
		Intent: "{}", Language: "de", Origin: "recover.example.com", DueAt: time.Now().Add(-time.Second), ExpiresAt: time.Now().Add(time.Minute)}
	tx(t, s, func(tx *store.Tx) error { return tx.AddRecovery(t.Context(), &r) })
	return r
}

func TestARecoveryIsKeptWholeAndSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		r := addRecovery(t, s, environment(t, s))
		at := time.UnixMilli(1_700_000_000_123).UTC()
		r.State, r.Ending, r.Directory, r.Action, r.Account, r.Person, r.Strength, r.Tasks = "done", "x", "d", "password", "acc", "row", "name_match", "unlock"
		r.Problem, r.Message, r.Agent, r.AgentPart, r.NotAfter, r.Recipient, r.Context = "p", "m", "ag", "part", 12, []byte{0, 1, 2}, "ctx"
		r.Operation, r.Result, r.MustChange, r.Attempts = "op", []byte("sealed canary"), true, 3
		r.ResultUntil, r.DueAt, r.PressedAt, r.RetryAt, r.ExpiresAt = at, at.Add(1e6), at.Add(2e6), at.Add(3e6), at.Add(4e6)
		tx(t, s, func(tx *store.Tx) error { return tx.SaveRecovery(ctx, &r) })
		got, err := store.Get(ctx, s, func(tx *store.Tx) (store.Recovery, error) { return tx.Recovery(ctx, r.Env, r.ID) })
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Result, r.Result) || !bytes.Equal(got.Private, r.Private) || !bytes.Equal(got.Recipient, r.Recipient) {
			t.Errorf("bytes differ: %+v", got)
		}
		if !got.PressedAt.Equal(r.PressedAt) || !got.RetryAt.Equal(r.RetryAt) || !got.DueAt.Equal(r.DueAt) || !got.ResultUntil.Equal(at) || !got.ExpiresAt.Equal(r.ExpiresAt) {
			t.Errorf("times differ: %+v", got)
		}
		if got.State != "done" || got.Version != 2 || !got.MustChange || got.Attempts != 3 || got.Operation != "op" || got.Tasks != "unlock" || got.Person != "row" || got.Account != "acc" || got.NotAfter != 12 {
			t.Errorf("got %+v", got)
		}
		var private, result string
		if err := s.Read(ctx, func(tx *store.Tx) error {
			return tx.Row(ctx, []any{&private, &result}, "SELECT private, result FROM recoveries WHERE env = $1", r.Env)
		}); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains([]byte(private+result), []byte("canary")) {
			t.Error("an address or a result stands in clear")
		}
	})
}

func TestP07_OneOfManySwapsOfARecoveryWins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		r := addRecovery(t, s, environment(t, s))
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				mine := r
				mine.State = "next"
				err := s.Tx(ctx, func(tx *store.Tx) error { return tx.SaveRecovery(ctx, &mine) })
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
		if won.Load() != 1 || lost.Load() != 49 {
			t.Errorf("%d won, %d lost", won.Load(), lost.Load())
		}
	})
}

func TestARecoveryBelongsToItsEnvironment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		r, other := addRecovery(t, s, environment(t, s)), environment(t, s)
		err := s.Read(ctx, func(tx *store.Tx) error { _, err := tx.Recovery(ctx, other, r.ID); return err })
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("read from another environment: %v", err)
		}
		r.Env = other
		if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.SaveRecovery(ctx, &r) }); !errors.Is(err, store.ErrConflict) {
			t.Errorf("written from another environment: %v", err)
		}
	})
}

func TestDueRecoveriesAndTheirEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, now := t.Context(), time.Now()
		env := environment(t, s)
		due, later := addRecovery(t, s, env), addRecovery(t, s, env)
		later.DueAt, later.Account, later.Directory = now.Add(time.Hour), "a", "d"
		tx(t, s, func(tx *store.Tx) error { return tx.SaveRecovery(ctx, &later) })
		refs, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.RecoveryRef, error) { return tx.DueRecoveries(ctx, now, 10) })
		if err != nil || len(refs) != 1 || refs[0].ID != due.ID {
			t.Fatalf("due %v %v", refs, err)
		}
		stuck := addRecovery(t, s, env)
		stuck.DueAt, stuck.State = now.Add(time.Hour), "sent"
		tx(t, s, func(tx *store.Tx) error { return tx.SaveRecovery(ctx, &stuck) })
		var hastened int64
		var late, still bool
		tx(t, s, func(tx *store.Tx) error {
			var errs [3]error
			late, errs[0] = tx.DueTooLate(ctx, now.Add(time.Minute))
			hastened, errs[1] = tx.HastenDue(ctx, now, now.Add(time.Minute))
			still, errs[2] = tx.DueTooLate(ctx, now.Add(time.Minute))
			return errors.Join(errs[:]...)
		})
		if !late || still {
			t.Errorf("due too late: %t, after it was hastened %t", late, still)
		}
		refs, err = store.Get(ctx, s, func(tx *store.Tx) ([]store.RecoveryRef, error) { return tx.DueRecoveries(ctx, now, 10) })
		if err != nil || hastened != 1 || len(refs) != 2 || refs[1].ID != stuck.ID && refs[0].ID != stuck.ID {
			t.Errorf("%d hastened; due %v, %v: want the one that was sent, and not the one that waits for a person", hastened, refs, err)
		}
		of, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Recovery, error) {
			return tx.RecoveriesOf(ctx, env, "d", "a", []string{"choosing"})
		})
		if err != nil || len(of) != 1 || of[0].ID != later.ID {
			t.Fatalf("of the account %v %v", of, err)
		}
		v := store.Verification{Env: env, ID: store.NewID(), Recovery: due.ID, State: "open", Offered: []string{"mail_code"}}
		due.DueAt, due.State = time.Time{}, "ended"
		tx(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.SaveRecovery(ctx, &due), tx.AddVerification(ctx, &v), tx.OpenCode(ctx, env, v.ID, "c"))
		})
		var n int
		tx(t, s, func(tx *store.Tx) (err error) {
			n, err = tx.PurgeRecoveries(ctx, now.Add(-time.Hour), now.Add(time.Minute), 10)
			return err
		})
		gone := s.Read(ctx, func(tx *store.Tx) error { _, err := tx.VerificationOf(ctx, env, due.ID); return err })
		code := s.Read(ctx, func(tx *store.Tx) error { _, err := tx.Code(ctx, env, v.ID); return err })
		if n != 1 || !errors.Is(gone, store.ErrNotFound) || !errors.Is(code, store.ErrNotFound) {
			t.Errorf("purged %d, verification %v, code %v", n, gone, code)
		}
	})
}

func TestVerificationsAreSwapped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), environment(t, s)
		v := store.Verification{Env: env, ID: store.NewID(), Recovery: "r", State: "open", Offered: []string{"mail_code", "agent_code"}, Shown: "mail_code", ExpiresAt: time.Now()}
		tx(t, s, func(tx *store.Tx) error { return tx.AddVerification(ctx, &v) })
		old := v
		v.Proven, v.State, v.Waiting, v.Declined, v.Shown = []string{"mail_code"}, "proven", []string{"approval"}, []string{"manual"}, ""
		tx(t, s, func(tx *store.Tx) error { return tx.SaveVerification(ctx, &v) })
		if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.SaveVerification(ctx, &old) }); !errors.Is(err, store.ErrConflict) {
			t.Errorf("old version: %v", err)
		}
		got, err := store.Get(ctx, s, func(tx *store.Tx) (store.Verification, error) { return tx.VerificationOf(ctx, env, "r") })
		if err != nil || got.State != "proven" || !slices.Equal(got.Proven, v.Proven) || !slices.Equal(got.Offered, v.Offered) || got.Version != 2 || got.Shown != "" ||
			!slices.Equal(got.Waiting, v.Waiting) || !slices.Equal(got.Declined, v.Declined) {
			t.Errorf("got %+v %v", got, err)
		}
	})
}

func TestEvidenceIsKeptInOrderSealedUntilItIsDropped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), environment(t, s)
		v := store.Verification{Env: env, ID: store.NewID(), Recovery: "r", State: "open"}
		given := []store.Evidence{{Type: "passkey", Raw: []byte("canary-assertion")}, {Type: "mail_code"}, {Type: "passkey", Raw: []byte("canary-assertion")}}
		tx(t, s, func(tx *store.Tx) error {
			err := tx.AddVerification(ctx, &v)
			for _, e := range given {
				err = errors.Join(err, tx.AddEvidence(ctx, env, v.ID, e))
			}
			return err
		})
		read := func() []store.Evidence {
			got, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Evidence, error) { return tx.Evidence(ctx, env, v.ID) })
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := read(); !reflect.DeepEqual(got, given) {
			t.Errorf("got %+v", got)
		}
		var kept string
		tx(t, s, func(tx *store.Tx) error {
			return tx.Row(ctx, []any{&kept}, `SELECT raw FROM evidence WHERE env = $1 AND verification = $2 AND seq = 1`, env, v.ID)
		})
		if kept == "" || strings.Contains(kept, "canary") {
			t.Errorf("kept as %q", kept)
		}
		tx(t, s, func(tx *store.Tx) error { return tx.DropEvidence(ctx, env, "r") })
		if got := read(); len(got) != 0 {
			t.Errorf("after the end: %+v", got)
		}
	})
}

func TestP10_TriesOfACodeAreCountedOnceEach(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), environment(t, s)
		tx(t, s, func(tx *store.Tx) error { return tx.OpenCode(ctx, env, "v", "first") })
		var tried atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				err := s.Tx(ctx, func(tx *store.Tx) error { _, err := tx.TryCode(ctx, env, "v", 5); return err })
				if err == nil {
					tried.Add(1)
				} else if !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if tried.Load() != 5 {
			t.Errorf("%d tries of 5", tried.Load())
		}
		tx(t, s, func(tx *store.Tx) error {
			return tx.SetChallenge(ctx, env, "v", store.Code{Challenge: "second", Genuine: true, Ask: `{"a":1}`, Case: "c"})
		})
		c, err := store.Get(ctx, s, func(tx *store.Tx) (store.Code, error) { return tx.Code(ctx, env, "v") })
		if err != nil || c.Tries != 5 || c.Challenge != "second" {
			t.Errorf("a made code shows in the tries: %+v %v", c, err)
		}
	})
}

func TestSendsAndUsesAreCountedInTheirWindow(t *testing.T) {
	var offset atomic.Int64
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		s := storetest.Open(t, c)
		ctx, env := t.Context(), environment(t, s)
		add := func(recovery string) {
			tx(t, s, func(tx *store.Tx) error {
				return errors.Join(tx.AddCodeSend(ctx, env, "x"), tx.AddOperationUse(ctx, env, "d", "a", recovery))
			})
		}
		offset.Store(0)
		add("r1")
		offset.Store(int64(2 * time.Hour))
		add("r2")
		add("r2") // the same recovery again counts once
		count := func() (sends, uses int) {
			_ = s.Read(ctx, func(tx *store.Tx) (err error) {
				if sends, _, err = tx.CodeSends(ctx, env, "x", tx.Now().Add(-time.Hour)); err != nil {
					t.Error(err)
				}
				if uses, _, err = tx.OperationUses(ctx, env, "d", "a", tx.Now().Add(-time.Hour)); err != nil {
					t.Error(err)
				}
				return nil
			})
			return sends, uses
		}
		if sends, uses := count(); sends != 2 || uses != 1 {
			t.Errorf("%d sends, %d uses in the last hour", sends, uses)
		}
		tx(t, s, func(tx *store.Tx) error { return tx.DropOperationUse(ctx, env, "d", "a", "r2") })
		tx(t, s, func(tx *store.Tx) error { return tx.ForgetCodeSends(ctx, env, "x") })
		if sends, uses := count(); sends != 0 || uses != 0 {
			t.Errorf("%d sends, %d uses after they were given back", sends, uses)
		}
	})
}

func TestAProofCounterOutlivesTheStore(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		ctx := t.Context()
		s, err := store.Open(context.WithoutCancel(ctx), c)
		if err != nil {
			t.Fatal(err)
		}
		env, want := environment(t, s), store.ProofCounter{Failures: 3, Total: 7, WindowAt: time.UnixMilli(1).UTC(), CoolUntil: time.UnixMilli(2).UTC()}
		tx(t, s, func(tx *store.Tx) error { return tx.SaveProofCounter(ctx, env, "a", "mail_code", "recovery", want) })
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = storetest.Open(t, c)
		got, err := store.Get(ctx, s, func(tx *store.Tx) (store.ProofCounter, error) {
			return tx.ProofCounter(ctx, env, "a", "mail_code", "recovery")
		})
		if err != nil || got != want {
			t.Errorf("got %+v %v", got, err)
		}
	})
}

func TestP07_AOneShotLinkIsUsedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), environment(t, s)
		var used atomic.Int32
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				err := s.Tx(ctx, func(tx *store.Tx) error { return tx.UseLink(ctx, env, "jti", "r", time.Now().Add(time.Hour)) })
				if err == nil {
					used.Add(1)
				} else if !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if used.Load() != 1 {
			t.Errorf("used %d times", used.Load())
		}
		other := environment(t, s)
		tx(t, s, func(tx *store.Tx) error { return tx.UseLink(ctx, other, "jti", "r", time.Now()) })
	})
}

func TestPresignKeysAreMadeOnceAndPerEnvironment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), environment(t, s)
		var wg sync.WaitGroup
		keys := make([][]byte, 8)
		for i := range keys {
			wg.Go(func() {
				k, err := s.PresignKey(ctx, env)
				if err != nil {
					t.Error(err)
				}
				keys[i] = k
			})
		}
		wg.Wait()
		for _, k := range keys {
			if len(k) != 32 || !bytes.Equal(k, keys[0]) {
				t.Fatal("an environment has two keys, or a short one")
			}
		}
		if other, err := s.PresignKey(ctx, environment(t, s)); err != nil || bytes.Equal(other, keys[0]) {
			t.Errorf("two environments share a key: %v", err)
		}
		if _, err := s.PresignKey(ctx, "nowhere"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no such environment: %v", err)
		}
	})
}

func TestT31_AnObjectionIsUsedOnceAndBlocks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), environment(t, s)
		o := store.Objection{Hash: "h", Env: env, Recovery: "r", Directory: "d", Account: "a", Action: "password", ExpiresAt: time.Now().Add(time.Hour)}
		tx(t, s, func(tx *store.Tx) error { return tx.AddObjection(ctx, o) })
		var used atomic.Int32
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if s.Tx(ctx, func(tx *store.Tx) error { return tx.UseObjection(ctx, env, "h") }) == nil {
					used.Add(1)
				}
			})
		}
		wg.Wait()
		if used.Load() != 1 {
			t.Errorf("used %d times", used.Load())
		}
		until := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
		tx(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.BlockRecovery(ctx, env, "d", "a", until), tx.BlockRecovery(ctx, env, "d", "a", until.Add(-time.Minute)))
		})
		block := func(account string) time.Time {
			v, err := store.Get(ctx, s, func(tx *store.Tx) (time.Time, error) { return tx.RecoveryBlock(ctx, env, "d", account) })
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if got := block("a"); !got.Equal(until) {
			t.Errorf("blocked until %s, want %s", got, until)
		}
		if got := block("b"); !got.IsZero() {
			t.Errorf("another account is blocked until %s", got)
		}
		tx(t, s, func(tx *store.Tx) error { return tx.LiftRecoveryBlock(ctx, env, "d", "a") })
		if got := block("a"); !got.IsZero() {
			t.Errorf("still blocked until %s", got)
		}
	})
}
