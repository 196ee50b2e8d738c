package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

func TestAPhotoGoesWithItsAccountAndLiesSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		f.Accounts(t, s, protocol.Account{ID: "1", Name: "Ada", Identifiers: []string{"ada"}}, protocol.Account{ID: "2", Name: "Bob"})
		var ada store.Account
		read := func() (body []byte, err error) {
			do(t, s, func(ctx context.Context, tx *store.Tx) (e error) {
				body, err = tx.AccountPhoto(ctx, f.Env.ID, ada.ID)
				ada, e = tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, "1")
				return e
			})
			return body, err
		}
		if _, err := read(); !errors.Is(err, store.ErrNotFound) || ada.Photo.Exists() {
			t.Fatalf("before: %v, %+v", err, ada.Photo)
		}
		for _, body := range []string{"first face", "second face"} {
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				return tx.SetAccountPhoto(ctx, f.Env.ID, ada.ID, "sum of "+body, []byte(body))
			})
			if got, err := read(); err != nil || string(got) != body || ada.Photo.SHA256 != "sum of "+body || ada.Photo.Created.IsZero() {
				t.Errorf("%q, %v, %+v", got, err, ada.Photo)
			}
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			raw, err := store.One(ctx, tx, store.Text, "SELECT body FROM account_photos WHERE person = $1", ada.ID)
			if err == nil && (raw == "" || raw == "second face") {
				t.Errorf("it lies as %q", raw)
			}
			if err := tx.SetAccountPhoto(ctx, f.Env.ID, "nobody", "sum", []byte("face")); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a photo of nobody: %v", err)
			}
			return err
		})
		remove := func() (err error) {
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				err = tx.RemoveAccountPhoto(ctx, f.Env.ID, ada.ID)
				return nil
			})
			return err
		}
		if err := remove(); err != nil {
			t.Error(err)
		}
		if _, err := read(); !errors.Is(err, store.ErrNotFound) || ada.Photo.Exists() {
			t.Errorf("removed: %v, %+v", err, ada.Photo)
		}
		if err := remove(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.SetAccountPhoto(ctx, f.Env.ID, ada.ID, "sum", []byte("face")), tx.DeleteDirectory(ctx, f.Env.ID, f.Directory.ID))
		})
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			left, err := store.All(ctx, tx, store.Text, "SELECT person FROM account_photos WHERE person = $1", ada.ID)
			if len(left) > 0 {
				t.Error("the photo outlives its account")
			}
			return err
		})
	})
}

// What a directory lent ends by itself, and never takes the place of what people gave.
func TestALentPhotoEndsAndGivesWayToOneThatAnOperatorGave(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		f.Accounts(t, s, protocol.Account{ID: "1", Name: "Ada", Identifiers: []string{"ada"}})
		var ada store.Account
		after := func(change func(ctx context.Context, tx *store.Tx) error) (body string) {
			t.Helper()
			do(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
				if err := change(ctx, tx); err != nil {
					return err
				}
				if ada, err = tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, "1"); err != nil {
					return err
				}
				b, err := tx.AccountPhoto(ctx, f.Env.ID, ada.ID)
				if body = string(b); errors.Is(err, store.ErrNotFound) {
					err = nil
				}
				return err
			})
			return body
		}
		nothing := func(context.Context, *store.Tx) error { return nil }
		after(nothing)
		lend := func(body string, life time.Duration) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error {
				return tx.LendAccountPhoto(ctx, f.Env.ID, ada.ID, "sum of "+body, []byte(body), tx.Now().Add(life))
			}
		}
		if body := after(lend("lent", time.Hour)); body != "lent" || !ada.Photo.Lent() || ada.Photo.Given() {
			t.Errorf("lent: %q, %+v", body, ada.Photo)
		}
		if body := after(func(ctx context.Context, tx *store.Tx) error { return tx.PurgeLentPhotos(ctx) }); body != "lent" {
			t.Errorf("before its end: %q", body)
		}
		if body := after(lend("lent again", -time.Second)); body != "lent again" {
			t.Errorf("another one: %q", body)
		}
		if body := after(func(ctx context.Context, tx *store.Tx) error { return tx.PurgeLentPhotos(ctx) }); body != "" || ada.Photo.Exists() {
			t.Errorf("after its end: %q, %+v", body, ada.Photo)
		}
		after(lend("lent", time.Hour))
		give := func(ctx context.Context, tx *store.Tx) error {
			return tx.SetAccountPhoto(ctx, f.Env.ID, ada.ID, "sum", []byte("given"))
		}
		if body := after(give); body != "given" || !ada.Photo.Given() {
			t.Errorf("given: %q, %+v", body, ada.Photo)
		}
		if body := after(lend("lent", -time.Second)); body != "given" || !ada.Photo.Given() {
			t.Errorf("lent beside: %q, %+v", body, ada.Photo)
		}
		clear := func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.ReturnAccountPhoto(ctx, f.Env.ID, ada.ID), tx.PurgeLentPhotos(ctx))
		}
		if body := after(clear); body != "given" {
			t.Errorf("given back: %q", body)
		}
	})
}
