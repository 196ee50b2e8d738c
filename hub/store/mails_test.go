package store_test

import (
	"context"
	"errors"
	"fmt"
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

// Somebody changed one row, and another was sealed under a key that is gone.
func TestAMailThatDoesNotOpenHoldsUpNoOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, env := t.Context(), storetest.Seed(t, s).Env.ID
		got, err := store.Change(ctx, s, func(tx *store.Tx) ([]store.Mail, error) {
			for _, text := range []string{"changed", "keyless", "sound"} {
				if err := tx.AddMail(ctx, env, []byte(text), tx.Now().Add(time.Hour)); err != nil {
					return nil, err
				}
			}
			return tx.ClaimMails(ctx, 3, tx.Now())
		})
		if err != nil || len(got) != 3 {
			t.Fatal(got, err)
		}
		spoil(t, s, "mails", "body", map[string]string{string(got[0].Body): got[0].ID, string(got[1].Body): got[1].ID, string(got[2].Body): got[2].ID})
		got, err = store.Change(ctx, s, func(tx *store.Tx) ([]store.Mail, error) { return tx.ClaimMails(ctx, 3, tx.Now().Add(time.Minute)) })
		if err != nil || len(got) != 3 {
			t.Fatalf("%d mails, %v", len(got), err)
		}
		open := 0
		for _, m := range got {
			switch {
			case m.Err == nil && string(m.Body) == "sound":
				open++
			case m.Err == nil || m.Body != nil:
				t.Errorf("%q opened", m.Body)
			}
		}
		if open != 1 {
			t.Errorf("%d of the three open", open)
		}
	})
}

// spoil changes the cell of the row "changed", and has that of "keyless" name a key that nobody has.
func spoil(t *testing.T, s *store.Store, table, column string, rows map[string]string) {
	t.Helper()
	err := s.Tx(t.Context(), func(tx *store.Tx) error {
		const update = "UPDATE %[1]s SET %[2]s = %[3]s WHERE id = $1"
		_, errChanged := tx.Exec(t.Context(), fmt.Sprintf(update, table, column, column+" || 'AAAA'"), rows["changed"])
		_, errKeyless := tx.Exec(t.Context(), fmt.Sprintf(update, table, column, "'0' || "+column), rows["keyless"])
		return errors.Join(errChanged, errKeyless)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func waiting(ctx context.Context, t *testing.T, s *store.Store, env string) int {
	t.Helper()
	n, err := store.Get(ctx, s, func(tx *store.Tx) (int, error) { return tx.WaitingMails(ctx, env) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
