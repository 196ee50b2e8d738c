package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestMailsAreSealedClaimedOnceAndGoneWhenSent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), storetest.Seed(t, s).Env.ID
		change := func(fn func(tx *store.Tx) error) error { return s.Tx(ctx, fn) }
		claim := func() []store.Mail {
			t.Helper()
			got, err := store.Change(ctx, s, func(tx *store.Tx) ([]store.Mail, error) { return tx.ClaimMails(ctx, 10, tx.Now().Add(time.Minute)) })
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		err := change(func(tx *store.Tx) error { return tx.AddMail(ctx, env, []byte("canary-77"), tx.Now().Add(time.Hour)) })
		if err != nil {
			t.Fatal(err)
		}
		if cell, err := store.Get(ctx, s, func(tx *store.Tx) (string, error) {
			return store.One(ctx, tx, store.Text, "SELECT body FROM mails")
		}); err != nil || strings.Contains(cell, "canary") {
			t.Errorf("T26: the row shows %q, %v", cell, err)
		}
		got := claim()
		if len(got) != 1 || string(got[0].Body) != "canary-77" || len(claim()) != 0 {
			t.Fatalf("claimed %+v", got)
		}
		if err := change(func(tx *store.Tx) error { return tx.MailFailed(ctx, got[0], tx.Now().Add(-time.Second)) }); err != nil {
			t.Fatal(err)
		}
		if err := change(func(tx *store.Tx) error { return tx.MailSent(ctx, got[0]) }); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a claim that is over: %v", err)
		}
		got = claim()
		if len(got) != 1 || got[0].Tries != 1 {
			t.Fatalf("claimed again %+v", got)
		}
		if err := change(func(tx *store.Tx) error { return tx.MailSent(ctx, got[0]) }); err != nil {
			t.Fatal(err)
		}
		if n := waiting(ctx, t, s, env); n != 0 {
			t.Errorf("%d mails wait after the last was sent", n)
		}
	})
}

func waiting(ctx context.Context, t *testing.T, s *store.Store, env string) int {
	t.Helper()
	n, err := store.Get(ctx, s, func(tx *store.Tx) (int, error) { return tx.WaitingMails(ctx, env) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
