package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// signingIn begins an exchange by an early step that tells the log of it.
func signingIn(ctx context.Context, s *Store, party OIDCClient, secret, about string) (OIDCExchange, error) {
	e := OIDCExchange{Env: party.Env, ID: NewSortedID(time.Now()), Client: party.ID, State: "pushed", Secret: secret, About: about,
		Private: []byte(`{"a":1}`), ExpiresAt: time.Now().Add(time.Hour)}
	return e, s.Early(ctx, func(tx *Tx) error {
		x := e
		if err := tx.AddOIDCExchange(ctx, &x); err != nil {
			return err
		}
		return toldOf(ctx, tx, e, "pushed")
	})
}

// rowsTold counts audit rows, so that their ids are in their order.
var rowsTold atomic.Int64

// toldOf writes an audit row of an exchange.
func toldOf(ctx context.Context, tx *Tx, e OIDCExchange, kind string) error {
	return tx.AppendAudit(ctx, AuditRow{ID: fmt.Sprintf("row-%09d", rowsTold.Add(1)), Org: "org", Env: e.Env, Kind: kind, Trace: e.ID, Leaf: "{}"})
}

// goingOn is a step from one state of an exchange to another.
func goingOn(ctx context.Context, e OIDCExchange, secret, was, is string) func(tx *Tx) error {
	return func(tx *Tx) error {
		x, _, err := tx.OIDCExchangeOf(ctx, e.ID, secret)
		if err != nil {
			return err
		}
		if x.State != was {
			return ErrConflict
		}
		x.State, x.About = is, e.About
		if err := tx.SaveOIDCExchange(ctx, &x); err != nil {
			return err
		}
		return toldOf(ctx, tx, e, is)
	}
}

// past asks the file past the store.
func past(t *testing.T, dir, query string, args ...any) (values []string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	return values
}

const (
	kindsOf = "SELECT kind FROM audit_events WHERE trace = $1 ORDER BY id"
	stateOf = "SELECT state FROM oidc_exchanges WHERE id = $1"
)

// TestP07_OneOfManyEarlyStepsWins lets many callers move one exchange on, by early steps,
// steps and transactions.
func TestP07_OneOfManyEarlyStepsWins(t *testing.T) {
	s, dir, party := remembering(t)
	ctx := t.Context()
	for round := range 5 {
		e, err := signingIn(ctx, s, party, "one", "")
		if err != nil {
			t.Fatal(err)
		}
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			do := []func(context.Context, func(*Tx) error) error{s.Early, s.Step, s.Early, s.Tx}[(i+round)%4]
			wg.Go(func() {
				err := do(ctx, goingOn(ctx, e, "one", "pushed", "asked"))
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := s.db.(*sqliteDB).flush(); err != nil {
			t.Fatal(err)
		}
		if kinds := past(t, dir, kindsOf, e.ID); won.Load() != 1 || !slices.Equal(kinds, []string{"pushed", "asked"}) || !slices.Equal(past(t, dir, stateOf, e.ID), []string{"asked"}) {
			t.Fatalf("%d won, the log tells of %v", won.Load(), kinds)
		}
	}
}

// Whoever looks at the tables sees what waits, in whatever way.
func TestWhatWaitsToBeWrittenIsSeen(t *testing.T) {
	s, _, party := remembering(t)
	ctx := t.Context()
	for name, look := range map[string]func(fn func(tx *Tx) (int, error)) (int, error){
		"Get":  func(fn func(tx *Tx) (int, error)) (int, error) { return Get(ctx, s, fn) },
		"Look": func(fn func(tx *Tx) (int, error)) (int, error) { return Look(ctx, s, fn) },
		"Tx":   func(fn func(tx *Tx) (int, error)) (int, error) { return Change(ctx, s, fn) },
		"Step": func(fn func(tx *Tx) (int, error)) (n int, err error) {
			err = s.Step(ctx, func(tx *Tx) error {
				if err := tx.SetSetting(ctx, "a", "1"); err != nil {
					return err
				}
				if _, err := tx.Setting(ctx, "a"); err != nil { // so it is a transaction
					return err
				}
				n, err = fn(tx)
				return err
			})
			return n, err
		},
	} {
		e, err := signingIn(ctx, s, party, "one", "")
		if err == nil {
			err = s.Early(ctx, goingOn(ctx, e, "one", "pushed", "asked"))
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := look(func(tx *Tx) (int, error) {
			all, err := All(ctx, tx, Text, kindsOf, e.ID)
			return len(all), err
		})
		if err != nil || n != 2 {
			t.Errorf("%s: %d rows of the log, %v", name, n, err)
		}
		if e, err = signingIn(ctx, s, party, "two", ""); err != nil {
			t.Fatal(err)
		}
		n, err = look(func(tx *Tx) (int, error) {
			x, err := tx.OIDCExchange(ctx, e.Env, e.ID)
			return int(x.Version), err
		})
		if err != nil || n != 1 {
			t.Errorf("%s: version %d, %v", name, n, err)
		}
		n, err = look(func(tx *Tx) (int, error) {
			all, err := All(ctx, tx, Text, stateOf, e.ID)
			return len(all), err
		})
		if err != nil || n != 1 {
			t.Errorf("%s: %d exchanges, %v", name, n, err)
		}
	}
}

// What nobody looks at is written soon, once, and when the store is closed.
func TestWhatWaitsIsWrittenSoonAndAtTheEnd(t *testing.T) {
	s, dir, party := rememberingUntil(t)
	ctx := t.Context()
	e, err := signingIn(ctx, s, party, "one", "")
	if err == nil {
		err = s.Early(ctx, goingOn(ctx, e, "one", "pushed", "asked"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); len(past(t, dir, kindsOf, e.ID)) < 2; {
		if time.Now().After(end) {
			t.Fatal("it is not written")
		}
	}
	last, err := signingIn(ctx, s, party, "two", "")
	if err == nil {
		err = s.Early(ctx, goingOn(ctx, e, "one", "asked", "proving"))
	}
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if got := append(past(t, dir, stateOf, last.ID), past(t, dir, stateOf, e.ID)...); !slices.Equal(got, []string{"pushed", "proving"}) {
		t.Errorf("after the end: %v", got)
	}
}

// Somebody's transaction that looked at what waits and then failed takes nothing of it away.
func TestWhoLooksAndFailsTakesNothingAway(t *testing.T) {
	s, dir, party := remembering(t)
	ctx, boom := t.Context(), errors.New("boom")
	var all []OIDCExchange
	var wg sync.WaitGroup
	for range 40 {
		e, err := signingIn(ctx, s, party, "one", "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
		wg.Go(func() {
			err := s.Tx(ctx, func(tx *Tx) error {
				if err := tx.SetSetting(ctx, "of "+e.ID, "x"); err != nil {
					return err
				}
				if n, err := All(ctx, tx, Text, kindsOf, e.ID); err != nil || len(n) != 1 {
					return fmt.Errorf("%d rows, %w", len(n), err)
				}
				return boom
			})
			if !errors.Is(err, boom) {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := s.Tx(ctx, func(tx *Tx) error { return tx.SetSetting(ctx, "beside "+e.ID, "x") }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := s.db.(*sqliteDB).flush(); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if len(past(t, dir, kindsOf, e.ID)) != 1 || len(past(t, dir, stateOf, e.ID)) != 1 {
			t.Fatalf("%s is not there once", e.ID)
		}
	}
}

// TestP07_WhatAnEarlyStepLeftIsNotWrittenOfWhoIsGone removes the client of one exchange and
// erases whom another is about before either is written: others are.
func TestP07_WhatAnEarlyStepLeftIsNotWrittenOfWhoIsGone(t *testing.T) {
	s, dir, party := remembering(t)
	ctx := t.Context()
	other := OIDCClient{Env: party.Env, Contract: "openid", Settings: []byte("other")}
	err := s.Tx(ctx, func(tx *Tx) error {
		return errors.Join(tx.AddOIDCClient(ctx, &other), tx.AddPerson(ctx, party.Env, "ann"))
	})
	if err != nil {
		t.Fatal(err)
	}
	var gone, hers, left OIDCExchange
	for e, of := range map[*OIDCExchange]struct {
		party OIDCClient
		about string
	}{&gone: {other, ""}, &hers: {party, "ann"}, &left: {party, "bob"}} {
		if *e, err = signingIn(ctx, s, of.party, "one", of.about); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(tx *Tx) error { // past what would write them first
		_, err := tx.direct().Exec(ctx, "DELETE FROM oidc_clients WHERE id = $1", other.ID)
		return errors.Join(err, tx.Must(ctx, "UPDATE people SET erased_at = 1 WHERE id = 'ann'"))
	}
	if err := s.Tx(ctx, remove); err != nil {
		t.Fatal(err)
	}
	for _, e := range []OIDCExchange{gone, hers} {
		if err := s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")); !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			t.Errorf("something came of it: %v", err)
		}
	}
	if err := s.db.(*sqliteDB).flush(); err != nil {
		t.Fatal(err)
	}
	for _, e := range []OIDCExchange{gone, hers, left} {
		if !slices.Equal(past(t, dir, kindsOf, e.ID), []string{"pushed"}) {
			t.Error("the log does not tell of it")
		}
		if there := len(past(t, dir, stateOf, e.ID)) == 1; there != (e.ID == left.ID) {
			t.Errorf("about %q it is there: %v", e.About, there)
		}
	}
	if err := s.Early(ctx, goingOn(ctx, hers, "one", "pushed", "asked")); !errors.Is(err, ErrNotFound) {
		t.Errorf("it goes on: %v", err)
	}
}

// More than may wait is written, and nothing that waits is forgotten for what is new.
func TestP07_WhatWaitsIsBoundedAndNeverForgotten(t *testing.T) {
	s, dir, party := rememberingUntil(t)
	ctx := t.Context()
	var all []OIDCExchange
	for range maxRemembered + 100 {
		e, err := signingIn(ctx, s, party, "one", "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	q := s.db.(*sqliteDB).exchanges
	q.mu.Lock()
	if len(q.queue) > maxWaiting || len(q.all) > maxRemembered+maxWaiting {
		t.Errorf("%d wait, %d are remembered", len(q.queue), len(q.all))
	}
	q.mu.Unlock()
	for _, e := range all {
		if err := s.Early(ctx, goingOn(ctx, e, "one", "pushed", "asked")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := past(t, dir, "SELECT COUNT(*) FROM oidc_exchanges WHERE state = 'asked' AND version = 2"); n[0] != fmt.Sprint(len(all)) {
		t.Errorf("%s of %d are there", n, len(all))
	}
}

// A disk that takes nothing more loses the sign-ins that were under way, and says so once;
// what is written afterwards is none of theirs.
func TestP07_SignInsThatCannotBeWrittenBeginAnew(t *testing.T) {
	var log testenv.Buffer
	dir := t.TempDir()
	s, err := Open(t.Context(), Config{Dir: dir, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.NewTextHandler(&log, nil)), Serves: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ctx, party := t.Context(), partyIn(t, s)
	d := s.db.(*sqliteDB)
	limit := func(pages string) {
		<-d.turn
		defer func() { d.turn <- struct{}{} }()
		if _, err := d.writer.conn.ExecContext(ctx, "PRAGMA max_page_count("+pages+")"); err != nil {
			t.Error(err)
		}
	}
	limit("1") // SQLite takes it as: no more than there are
	var all []OIDCExchange
	for end := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), "begin anew"); {
		e, err := signingIn(ctx, s, party, "one", "")
		if err != nil && !errors.Is(err, ErrUnavailable) || time.Now().After(end) {
			t.Fatal("nobody says so", err)
		}
		if err == nil {
			all = append(all, e)
		}
	}
	limit("1000000")
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for _, e := range all {
		switch err := s.Early(ctx, goingOn(ctx, e, "one", "pushed", "asked")); {
		case errors.Is(err, ErrNotFound):
			lost++
		case err != nil:
			t.Fatal(err)
		case len(past(t, dir, stateOf, e.ID)) == 0:
			t.Fatal("what was lost goes on")
		}
	}
	if lost == 0 || !strings.Contains(log.String(), "sign_ins=") {
		t.Errorf("%d of %d are lost: %s", lost, len(all), log.String())
	}
}

// TestP07_WhatCameOfAnExchangeIsThereAfterAPowerCut takes the power away in the middle of
// many sign-ins, at each call of the disk: of those that something came of, the row says so
// and the log tells of every step; of the others no step is half there, and what
// waited is unknown. What was redeemed is not redeemed again.
func TestP07_WhatCameOfAnExchangeIsThereAfterAPowerCut(t *testing.T) {
	s, dir, party := rememberingUntil(t)
	ctx := t.Context()
	d := s.db.(*sqliteDB)
	disk, durable := cutsOf(t, d, dir)
	var mu sync.Mutex
	ends := map[string]int64{} // exchange: how many calls of the disk had ended when it was told
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 6 {
				e, err := signingIn(ctx, s, party, "one", "")
				if err == nil {
					err = s.Early(ctx, goingOn(ctx, e, "one", "pushed", "asked"))
				}
				if err == nil {
					err = s.Early(ctx, goingOn(ctx, e, "one", "asked", "code"))
				}
				if err == nil {
					err = s.Step(ctx, goingOn(ctx, e, "one", "code", "spent"))
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				ends[e.ID] = durable.Load()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	steps := []string{"pushed", "asked", "code", "spent"}
	for i, folder := range *disk {
		opened(t, folder)
		states, told := past(t, folder, "SELECT id || ' ' || state FROM oidc_exchanges"), map[string][]string{}
		for _, line := range past(t, folder, "SELECT trace || ' ' || kind FROM audit_events ORDER BY id") {
			id, kind, _ := strings.Cut(line, " ")
			told[id] = append(told[id], kind)
		}
		for id, end := range ends {
			at := slices.IndexFunc(states, func(line string) bool { return strings.HasPrefix(line, id) })
			kinds := told[id]
			switch {
			case end <= int64(i)+1 && (at < 0 || states[at] != id+" spent"):
				t.Fatalf("what came of %s is not there", id)
			case at < 0 && len(kinds) > 0:
				t.Fatalf("the log tells of what is not there: %v", kinds)
			case at >= 0 && !slices.Equal(kinds, steps[:slices.Index(steps, strings.Fields(states[at])[1])+1]):
				t.Fatalf("%q, and the log tells of %v", states[at], kinds)
			}
		}
	}
	last, err := Open(ctx, Config{Dir: (*disk)[len(*disk)-1], MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler), Serves: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = last.Close() }()
	for id, end := range ends {
		err := last.Step(ctx, goingOn(ctx, OIDCExchange{Env: party.Env, ID: id}, "one", "code", "spent"))
		if end <= int64(len(*disk)) && !errors.Is(err, ErrConflict) {
			t.Errorf("what was redeemed is redeemed again: %v", err)
		}
	}
}

// opened opens the database of a folder once, as the next process does.
func opened(t *testing.T, dir string) {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: dir, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler), Serves: true})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What Early says to be final waits for the disk, together with what was before it.
func TestP07_WhatIsFinalWaitsForTheDisk(t *testing.T) {
	s, dir, party := remembering(t)
	ctx := t.Context()
	d, calls := s.db.(*sqliteDB), 0
	r := d.redo.Load()
	real := r.sync
	r.sync = func(f *os.File) error { calls++; return real(f) }
	e, err := signingIn(ctx, s, party, "one", "")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Early(ctx, func(tx *Tx) error {
		tx.Final()
		return goingOn(ctx, e, "one", "pushed", "spent")(tx)
	})
	if err = errors.Join(err, d.flush()); err != nil || calls == 0 {
		t.Errorf("error %v, %d calls of the disk", err, calls)
	}
	if !slices.Equal(past(t, dir, stateOf, e.ID), []string{"spent"}) || !slices.Equal(past(t, dir, kindsOf, e.ID), []string{"pushed", "spent"}) {
		t.Error("it is not in the database")
	}
}
