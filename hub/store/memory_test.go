package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"
)

// remembering is a store on SQLite with a relying party.
func remembering(t *testing.T) (s *Store, dir string, party OIDCClient) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(t.Context(), Config{Dir: dir, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	err = s.Tx(t.Context(), func(tx *Tx) error {
		org, err := tx.CreateOrganisation(t.Context(), Organisation{Name: "Org"})
		if err != nil {
			return err
		}
		env, err := tx.CreateEnvironment(t.Context(), Environment{Org: org.ID, Name: "Env"})
		if err != nil {
			return err
		}
		party = OIDCClient{Env: env.ID, Contract: "openid", Settings: []byte("first")}
		return tx.AddOIDCClient(t.Context(), &party)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir, party
}

// settingsSeen are those that a step sees, which writes something as well.
func settingsSeen(ctx context.Context, s *Store, party OIDCClient) (seen string, err error) {
	err = s.Step(ctx, func(tx *Tx) error {
		p, err := tx.OIDCParty(ctx, party.Env, party.ID)
		if err != nil {
			return err
		}
		seen = p.Settings
		return tx.SetSetting(ctx, "seen", seen)
	})
	return seen, err
}

// TestT11_WhatAnAdministratorChangedHoldsFromTheNextStepOn changes a relying party in a
// transaction, and past this process.
func TestT11_WhatAnAdministratorChangedHoldsFromTheNextStepOn(t *testing.T) {
	s, dir, party := remembering(t)
	ctx := t.Context()
	want := func(want string) {
		t.Helper()
		for range 2 {
			if got, err := settingsSeen(ctx, s, party); err != nil || got != want {
				t.Fatalf("seen %q, error %v, want %q", got, err, want)
			}
		}
	}
	want("first")
	party.Settings = []byte("second")
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.SaveOIDCClient(ctx, &party) }); err != nil {
		t.Fatal(err)
	}
	want("second")
	other, err := sql.Open("sqlite", filepath.Join(dir, FileName)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.ExecContext(ctx, "UPDATE oidc_clients SET settings = 'third'"); err != nil {
		t.Fatal(err)
	}
	want("third")
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.DeleteEnvironment(ctx, party.Env) }); err != nil {
		t.Fatal(err)
	}
	if _, err := settingsSeen(ctx, s, party); !errors.Is(err, ErrNotFound) {
		t.Fatalf("the relying party of a deleted environment: %v", err)
	}
}

// A step that went by what it remembered is done anew where that was changed before it was
// carried out.
func TestT11_AStepThatAChangeOvertookIsDecidedAnew(t *testing.T) {
	s, _, party := remembering(t)
	ctx := t.Context()
	if _, err := settingsSeen(ctx, s, party); err != nil {
		t.Fatal(err)
	}
	runs, seen := 0, ""
	err := s.Step(ctx, func(tx *Tx) error {
		p, err := tx.OIDCParty(ctx, party.Env, party.ID)
		if err != nil {
			return err
		}
		if runs++; runs == 1 {
			party.Settings = []byte("second")
			if err := s.Tx(ctx, func(tx *Tx) error { return tx.SaveOIDCClient(ctx, &party) }); err != nil {
				return err
			}
		}
		seen = p.Settings
		return tx.SetSetting(ctx, "seen", seen)
	})
	if err != nil || runs != 2 || seen != "second" {
		t.Fatalf("error %v, %d runs, seen %q", err, runs, seen)
	}
}

// TestP07_ARememberedExchangeIsUsedOnce lets somebody go on from what is remembered after
// the row itself went on, or away.
func TestP07_ARememberedExchangeIsUsedOnce(t *testing.T) {
	s, _, party := remembering(t)
	ctx := t.Context()
	e := OIDCExchange{Env: party.Env, ID: sortedID(time.Now(), [10]byte{1}), Client: party.ID, State: "code", Secret: "one", Private: []byte("{}"), ExpiresAt: time.Now().Add(time.Hour)}
	if err := s.Step(ctx, func(tx *Tx) error { return tx.AddOIDCExchange(ctx, &e) }); err != nil {
		t.Fatal(err)
	}
	redeem := func(secret string) error {
		return s.Step(ctx, func(tx *Tx) error {
			x, _, err := tx.OIDCExchangeOf(ctx, e.ID, secret)
			if err != nil {
				return err
			}
			if x.State != "code" {
				return ErrConflict
			}
			x.State = "spent"
			return tx.SaveOIDCExchange(ctx, &x)
		})
	}
	queries := func() (n int) {
		_ = s.Step(ctx, func(tx *Tx) error {
			p, ok := tx.q.(*plan)
			if _, _, err := tx.OIDCExchangeOf(ctx, e.ID, "one"); err == nil && ok && !p.recalls {
				n++
			}
			return nil
		})
		return n
	}
	if queries() != 0 {
		t.Fatal("what was just written is asked for again")
	}
	if _, err := s.db.(*sqliteDB).db.ExecContext(ctx, "UPDATE oidc_exchanges SET state = 'spent', version = version + 1"); err != nil { // as another process would
		t.Fatal(err)
	}
	if err := redeem("one"); !errors.Is(err, ErrConflict) {
		t.Fatalf("a code that is spent: %v", err)
	}
	e.ID, e.Secret = sortedID(time.Now(), [10]byte{2}), "two"
	if err := s.Step(ctx, func(tx *Tx) error { return tx.AddOIDCExchange(ctx, &e) }); err != nil {
		t.Fatal(err)
	}
	if err := redeem("two"); err != nil {
		t.Fatal(err)
	}
	if err := redeem("two"); !errors.Is(err, ErrConflict) {
		t.Fatalf("a code that was redeemed: %v", err)
	}
	e.ID, e.Secret, e.State = sortedID(time.Now(), [10]byte{3}), "three", "code"
	if err := s.Step(ctx, func(tx *Tx) error { return tx.AddOIDCExchange(ctx, &e) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.PurgeOIDC(ctx, time.Now().Add(2*time.Hour)) }); err != nil {
		t.Fatal(err)
	}
	if err := redeem("three"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a code that was deleted: %v", err)
	}
}
