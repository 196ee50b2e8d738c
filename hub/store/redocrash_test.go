package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// notYet is how long somebody is watched who must not be told.
const notYet = 100 * time.Millisecond

// still is remembering for a store that writes nothing by itself.
func still(t *testing.T) (s *Store, d *sqliteDB, dir string, party OIDCClient) {
	t.Helper()
	s, dir, party = remembering(t)
	s.stop()
	s.wg.Wait()
	d = s.db.(*sqliteDB)
	if err := d.emptyRedo(); err != nil {
		t.Fatal(err)
	}
	return s, d, dir, party
}

// crashed opens a copy of a folder as a process that is killed leaves it. The caller closes it.
func crashed(t *testing.T, dir string) (s *Store, copied string) {
	t.Helper()
	copied = killedIn(t, dir)
	s, err := Open(t.Context(), Config{Dir: copied, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler), Serves: true})
	if err != nil {
		t.Fatal(err)
	}
	return s, copied
}

// A redo file is free only when all that it holds is in the database, also of exchanges that
// went on while a transaction had them as they were before.
func TestP07_ARedoFileIsKeptForWhatWentOnMeanwhile(t *testing.T) {
	s, d, dir, party := still(t)
	ctx := t.Context()
	const many = 2*maxBehind + 44
	var all []OIDCExchange
	for range many {
		e, err := signingIn(ctx, s, party, "one", "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	w := &prepared{catchUp: true, err: errLost}
	var wg sync.WaitGroup
	err := s.Tx(ctx, func(tx *Tx) error {
		var n int64
		if err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM oidc_exchanges"); err != nil || n != many {
			return fmt.Errorf("%d, %w", n, err)
		}
		for _, e := range all {
			if err := s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")); err != nil {
				return err
			}
		}
		d.redo.Load().change()
		wg.Go(func() { d.await(w) })
		testenv.Eventually(t, "it waits for the turn", func() bool {
			d.gathering.mu.Lock()
			defer d.gathering.mu.Unlock()
			return d.gathering.next != nil
		})
		return nil
	})
	wg.Wait()
	if err = errors.Join(err, w.err); err != nil {
		t.Fatal(err)
	}
	d.redo.Load().free(w.passed)
	next, copied := crashed(t, dir)
	defer func() { _ = next.Close() }()
	if got := past(t, copied, "SELECT COUNT(*) FROM oidc_exchanges WHERE state = 'spent'"); got[0] != fmt.Sprint(many) {
		t.Errorf("after a crash %v of %d that were told are spent", got, many)
	}
}

// holdsJournal has calls of the disk for the journal wait until free is closed.
func holdsJournal(d *sqliteDB) (calls, free chan struct{}) {
	calls, free = make(chan struct{}, 9), make(chan struct{})
	d.journal.sync = func() error {
		calls <- struct{}{}
		<-free
		return nil
	}
	return calls, free
}

// untoldBefore watches that somebody is not told before the disk is free, and frees it.
func untoldBefore(t *testing.T, free chan struct{}, told <-chan error) {
	t.Helper()
	select {
	case err := <-told:
		t.Errorf("told before what it stands on was durable: %v", err)
	case <-time.After(notYet):
	}
	close(free)
}

// A transaction that changes nothing waits for no disk, and makes nothing durable.
func TestP07_AnEmptyTransactionMakesNothingDurable(t *testing.T) {
	s, d, _, party := still(t)
	ctx := t.Context()
	e, err := signingIn(ctx, s, party, "one", "")
	if err != nil {
		t.Fatal(err)
	}
	calls, free := holdsJournal(d)
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.flush() })
	<-calls
	if err := s.Tx(ctx, func(tx *Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	wg.Go(func() { told <- s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")) })
	untoldBefore(t, free, told)
	wg.Wait()
}

// What a step has read of others is durable before it is told of, too.
func TestP07_AFinalStepWaitsForWhatItHasRead(t *testing.T) {
	s, d, _, party := still(t)
	ctx := t.Context()
	e, err := signingIn(ctx, s, party, "one", "")
	if err = errors.Join(err, d.flush()); err != nil {
		t.Fatal(err)
	}
	calls, free := holdsJournal(d)
	needsKey := func(tx *Tx) error {
		_, err := tx.NeedPersonKey(ctx, party.Env, "ann")
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Step(ctx, needsKey) })
	<-calls // seen, and not durable
	told := make(chan error, 1)
	wg.Go(func() {
		told <- s.Step(ctx, func(tx *Tx) error { return errors.Join(needsKey(tx), goingOn(ctx, e, "one", "pushed", "spent")(tx)) })
	})
	untoldBefore(t, free, told)
	wg.Wait()
}

// A disk that fails where only a final step waits for it is told of all the same, and what it
// takes later makes nothing durable before the journal was copied.
func TestP07_AFailureOfTheDiskIsNotForgotten(t *testing.T) {
	s, d, _, party := still(t)
	ctx := t.Context()
	var all [3]OIDCExchange
	for i := range all {
		var err error
		if all[i], err = signingIn(ctx, s, party, "one", ""); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Draft(ctx, func(tx *Tx) error {
		var n int64
		return tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM oidc_exchanges")
	})
	if err != nil {
		t.Fatal(err)
	}
	good := d.journal.sync
	d.journal.sync = func() error {
		d.journal.sync = good // as a system does: what it could not write it forgets
		return errors.New("no")
	}
	for _, e := range all[:2] {
		if err := s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")); !errors.Is(err, ErrUnavailable) || !d.doubtful {
			t.Errorf("error %v, doubtful %v", err, d.doubtful)
		}
	}
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.SetSetting(ctx, "a", "1") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Step(ctx, goingOn(ctx, all[2], "one", "pushed", "spent")); err != nil || d.doubtful {
		t.Errorf("error %v, doubtful %v", err, d.doubtful)
	}
}

// What is durable is told as such, though the same commit had everything forgotten.
func TestP07_WhatIsWrittenInPlaceOfARedoFileIsToldOf(t *testing.T) {
	s, d, dir, party := still(t)
	ctx := t.Context()
	e, err := signingIn(ctx, s, party, "one", "")
	if err = errors.Join(err, d.flush()); err != nil {
		t.Fatal(err)
	}
	d.redo.Load().size = maxRedo - 1
	told := make(chan error, 1)
	other := OIDCClient{Env: party.Env, Contract: "openid", Settings: []byte("other")}
	err = s.Tx(ctx, func(tx *Tx) error {
		go func() { told <- s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")) }()
		testenv.Eventually(t, "it is decided", func() bool { return d.exchanges.stateOf(e.ID) == "spent" })
		return tx.AddOIDCClient(ctx, &other)
	})
	if err = errors.Join(err, <-told); err != nil || !slices.Equal(past(t, dir, stateOf, e.ID), []string{"spent"}) {
		t.Errorf("error %v, the database says %v", err, past(t, dir, stateOf, e.ID))
	}
}

// Another process that commits between a commit and the look at it is seen.
func TestP07_ACommitOfAnotherProcessIsNotTakenForOnesOwn(t *testing.T) {
	s, d, dir, party := still(t)
	ctx := t.Context()
	e, err := signingIn(ctx, s, party, "one", "")
	if err = errors.Join(err, d.flush()); err != nil {
		t.Fatal(err)
	}
	<-d.turn
	err = d.begin(false)
	if err == nil {
		_, err = d.writer.txn().exec(ctx, "INSERT INTO settings (name, value) VALUES ('a', '1')")
	}
	if err = errors.Join(err, d.end()); err != nil {
		t.Fatal(err)
	}
	past(t, dir, "DELETE FROM oidc_exchanges WHERE id = $1 RETURNING id", e.ID)
	d.committed()
	d.turn <- struct{}{}
	if err := s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")); err == nil {
		t.Error("something came of an exchange that another process had removed")
	}
}

// Where the redo file takes no more, the exchange itself is written, however many wait.
func TestP07_WhatTheRedoFileDoesNotTakeIsWrittenBeforeOthers(t *testing.T) {
	s, d, dir, party := still(t)
	ctx := t.Context()
	e, err := signingIn(ctx, s, party, "one", "")
	if err = errors.Join(err, d.flush()); err != nil {
		t.Fatal(err)
	}
	d.redo.Load().size = maxRedo - 1
	<-d.turn
	told := make(chan error, 1)
	go func() { told <- s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")) }()
	testenv.Eventually(t, "it is decided", func() bool { return d.exchanges.stateOf(e.ID) == "spent" })
	for range maxBehind + 50 {
		if _, err := signingIn(ctx, s, party, "one", ""); err != nil {
			t.Fatal(err)
		}
	}
	d.turn <- struct{}{}
	if err := <-told; err != nil || !slices.Equal(past(t, dir, stateOf, e.ID), []string{"spent"}) {
		t.Errorf("error %v, the database says %v", err, past(t, dir, stateOf, e.ID))
	}
}

// Nobody serves before what a process has left can be read, and what was torn is not joined to
// what comes later.
func TestP07_NobodyServesBeforeWhatWasLeftIsRead(t *testing.T) {
	s, d, dir, party := still(t)
	ctx := t.Context()
	e, err := signingIn(ctx, s, party, "one", "")
	if err == nil {
		err = s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent"))
	}
	if err != nil {
		t.Fatal(err)
	}
	active := d.redo.Load().generation % 2
	next, copied := crashed(t, dir)
	if err := next.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")); !errors.Is(err, ErrConflict) {
		t.Errorf("it is spent twice: %v", err)
	}
	for _, name := range redoNames {
		if b, err := os.ReadFile(filepath.Join(copied, name)); err != nil || len(b) != 0 {
			t.Errorf("%s has %d bytes after it was read, error %v", name, len(b), err)
		}
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	other := redoNames[1-active]
	if err := errors.Join(os.Remove(filepath.Join(copied, other)), os.Mkdir(filepath.Join(copied, other), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, Config{Dir: copied, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler), Serves: true}); err == nil || !strings.Contains(err.Error(), "redo") {
		t.Errorf("with a file that cannot be read: %v", err)
	}
}
