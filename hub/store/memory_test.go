package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// remembering is a store on SQLite with a relying party.
func remembering(t *testing.T, change ...func(*Config)) (s *Store, dir string, party OIDCClient) {
	t.Helper()
	s, dir, party = rememberingUntil(t, change...)
	t.Cleanup(func() { _ = s.Close() })
	return s, dir, party
}

// rememberingUntil is remembering for a test that closes the store.
func rememberingUntil(t *testing.T, change ...func(*Config)) (s *Store, dir string, party OIDCClient) {
	t.Helper()
	dir = t.TempDir()
	c := Config{Dir: dir, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler), Serves: true}
	for _, f := range change {
		f(&c)
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir, partyIn(t, s)
}

// partyIn makes a relying party.
func partyIn(t *testing.T, s *Store) (party OIDCClient) {
	t.Helper()
	err := s.Tx(t.Context(), func(tx *Tx) error {
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
	return party
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

// TestT11_WhatIsDeletedIsForgottenUnlessNothingSettledCanGoWithIt asks the schema: a row of
// a settled table belongs to rows of settled tables alone, so that no other deletion takes
// one with it. Then it deletes something else, as each sign-in does.
func TestT11_WhatIsDeletedIsForgottenUnlessNothingSettledCanGoWithIt(t *testing.T) {
	s, _, party := remembering(t)
	ctx := t.Context()
	d := s.db.(*sqliteDB)
	for _, table := range settled {
		rows, err := d.db.QueryContext(ctx, "SELECT \"table\" FROM pragma_foreign_key_list($1)", table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var parent string
			if err := rows.Scan(&parent); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(settled, parent) {
				t.Errorf("%s belongs to %s, whose deletion nobody watches", table, parent)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	age := d.memory.age.Load()
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.CloseCode(ctx, party.Env, "nobody's") }); err != nil {
		t.Fatal(err)
	}
	if d.memory.age.Load() != age {
		t.Error("closing a code forgot the relying parties")
	}
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.RemoveOIDCClient(ctx, party.Env, party.ID) }); err != nil {
		t.Fatal(err)
	}
	if d.memory.age.Load() == age {
		t.Error("a relying party that was removed is remembered")
	}
}

// An exchange that says something of a person goes no further once that one is erased,
// whoever remembers it; one about nobody, or about somebody else, does.
func TestP07_AnExchangeAboutSomebodyWhoWasErasedGoesNoFurther(t *testing.T) {
	s, _, party := remembering(t)
	ctx := t.Context()
	err := s.Tx(ctx, func(tx *Tx) error { return tx.AddPerson(ctx, party.Env, "ann") })
	if err != nil {
		t.Fatal(err)
	}
	add := func(about string) OIDCExchange {
		e := OIDCExchange{Env: party.Env, ID: NewSortedID(time.Now()), Client: party.ID, State: "code", Secret: NewToken(), Private: []byte("{}"), About: about, ExpiresAt: time.Now().Add(time.Hour)}
		if err := s.Step(ctx, func(tx *Tx) error { return tx.AddOIDCExchange(ctx, &e) }); err != nil {
			t.Fatal(err)
		}
		return e
	}
	goOn := func(e OIDCExchange) error {
		return s.Step(ctx, func(tx *Tx) error {
			x, _, err := tx.OIDCExchangeOf(ctx, e.ID, e.Secret)
			if err != nil {
				return err
			}
			x.About = e.About
			return tx.SaveOIDCExchange(ctx, &x)
		})
	}
	if err := goOn(add("ann")); err != nil {
		t.Fatalf("about somebody who is known: %v", err)
	}
	hers, theirs, nobodys := add("ann"), add("bob"), add("")
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.ErasePerson(ctx, party.Env, "ann") }); err != nil {
		t.Fatal(err)
	}
	if err := goOn(hers); !errors.Is(err, ErrConflict) {
		t.Errorf("about somebody who was erased: %v", err)
	}
	if err := errors.Join(goOn(theirs), goOn(nobodys)); err != nil {
		t.Errorf("about others: %v", err)
	}
}

// What is purged is old by its id as well as by when it ended.
func TestWhatBeganLateOrStillHoldsIsNotPurged(t *testing.T) {
	s, _, party := remembering(t)
	ctx, now := t.Context(), time.Now()
	var ids []string
	err := s.Tx(ctx, func(tx *Tx) (err error) {
		for _, x := range []struct{ began, ends time.Duration }{{-3 * time.Hour, -2 * time.Hour}, {-3 * time.Hour, time.Hour}, {-time.Minute, -time.Second}} {
			e := OIDCExchange{Env: party.Env, ID: NewSortedID(now.Add(x.began)), Client: party.ID, Secret: NewToken(), Private: []byte("{}"), ExpiresAt: now.Add(x.ends)}
			ids, err = append(ids, e.ID), errors.Join(err, tx.AddOIDCExchange(ctx, &e))
		}
		return errors.Join(err, tx.PurgeOIDC(ctx, now.Add(-time.Hour)))
	})
	if err != nil {
		t.Fatal(err)
	}
	left, err := Get(ctx, s, func(tx *Tx) ([]string, error) { return All(ctx, tx, Text, "SELECT id FROM oidc_exchanges ORDER BY id") })
	if want := []string{ids[1], ids[2]}; err != nil || !slices.Equal(left, want) || !slices.IsSorted(ids[1:]) {
		t.Errorf("left %v, want %v (%v)", left, want, err)
	}
}

// A sealed value that is not sealed anew is one of the key that seals now.
func TestAnExchangeIsSealedAnewWhereTheMasterKeyChanged(t *testing.T) {
	s, _, party := remembering(t, func(c *Config) { c.keyRefresh = 20 * time.Millisecond })
	ctx := t.Context()
	e := OIDCExchange{Env: party.Env, ID: NewSortedID(time.Now()), Client: party.ID, Secret: NewToken(), Private: []byte(`{"a":1}`), ExpiresAt: time.Now().Add(time.Hour)}
	save := func(fn func(tx *Tx) error) string {
		t.Helper()
		if err := s.Step(ctx, fn); err != nil {
			t.Fatal(err)
		}
		text, err := Look(ctx, s, func(tx *Tx) (string, error) {
			return One(ctx, tx, Text, "SELECT private FROM oidc_exchanges WHERE id = $1", e.ID)
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := save(func(tx *Tx) error { return tx.AddOIDCExchange(ctx, &e) })
	if again := save(func(tx *Tx) error { return tx.SaveOIDCExchange(ctx, &e) }); again != first {
		t.Error("what did not change is sealed again")
	}
	if err := s.Rotate(ctx, bytes.Repeat([]byte{2}, MasterKeySize)); err != nil {
		t.Fatal(err)
	}
	after := save(func(tx *Tx) error { return tx.SaveOIDCExchange(ctx, &e) })
	if !strings.HasPrefix(after, s.activeKey().id+".") {
		t.Error("a value of the former key was written back")
	}
	e.Private = []byte(`{"a":2}`)
	if changed := save(func(tx *Tx) error { return tx.SaveOIDCExchange(ctx, &e) }); changed == after {
		t.Error("what changed is not sealed again")
	}
}
