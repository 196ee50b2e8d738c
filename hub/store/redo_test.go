package store

import (
	"bytes"
	"context"
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

// redoOf takes the redo files of a folder, and fails where that is not to be had.
func redoOf(t *testing.T, dir string, seed uint32, last int64) (*redo, []redoRecord) {
	t.Helper()
	lock, err := lockFile(filepath.Join(dir, redoNames[0]))
	if err != nil {
		t.Fatal(err)
	}
	r, left, err := openRedo(dir, lock, seed, last)
	if err != nil {
		t.Fatal(errors.Join(err, lock.Close()))
	}
	t.Cleanup(r.close)
	return r, left
}

// aRecord is one of an exchange whose id is a name.
func aRecord(name string) redoRecord {
	return redoRecord{stored: 3, next: OIDCExchange{Env: "env", ID: name, Version: 5, Client: "client", State: "spent", Secret: "hash", Browser: "b", Access: "a", sealed: "sealed",
		About: "ann", ExpiresAt: time.UnixMilli(1_700_000_000_000).UTC(), CreatedAt: time.UnixMilli(1_600_000_000_000).UTC()},
		events: [][]any{{"row of " + name, "org", "env", "kind", "", "trace", int64(-7), `{"a":1}`}, {"2", "", "", "", "account", "", int64(1 << 60), "ü\x00"}}}
}

// namesOf are the ids of records.
func namesOf(left []redoRecord) (names []string) {
	for _, r := range left {
		names = append(names, r.next.ID)
	}
	return names
}

func TestARedoRecordReadsAsItWasWritten(t *testing.T) {
	want := aRecord("one")
	got, err := parseRedoRecord(want.append(nil))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, error %v, want %v", got, err, want)
	}
	for name, b := range map[string][]byte{"empty": {}, "of another version": append([]byte{9}, want.append(nil)[1:]...), "cut off": want.append(nil)[:40], "too long": append(want.append(nil), 0)} {
		if _, err := parseRedoRecord(b); !errors.Is(err, errRedoRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What was told stands in the files when the process ends, in its order, up to what is torn.
func TestP07_RedoFilesHoldWhatWasToldOf(t *testing.T) {
	dir := t.TempDir()
	r, left := redoOf(t, dir, 7, 0)
	if len(left) != 0 {
		t.Fatalf("new files hold %v", namesOf(left))
	}
	for _, name := range []string{"a", "b"} {
		if err := r.add(aRecord(name).append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	r.change()
	if err := r.add(aRecord("c").append(nil)); err != nil {
		t.Fatal(err)
	}
	if r.change(); r.generation != 2 {
		t.Fatal("a file begins anew that is still needed")
	}
	r.close()
	again, left := redoOf(t, dir, 7, 0)
	again.close()
	if got := namesOf(left); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("the files hold %v", got)
	}
	path := filepath.Join(dir, redoNames[1])
	b, err := os.ReadFile(path)
	if err == nil {
		b = bytes.TrimRight(b, "\x00")
		err = os.WriteFile(path, append(b[:len(b)-9:len(b)-9], "torn away"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	torn, left := redoOf(t, dir, 7, 0)
	torn.close()
	if got := namesOf(left); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("with a torn record, the files hold %v", got)
	}
	passed, left := redoOf(t, dir, 7, 1)
	passed.close()
	if got := namesOf(left); !slices.Equal(got, []string{"c"}) || passed.generation != 3 {
		t.Errorf("after generation 1, the files hold %v, generation %d is next", got, passed.generation)
	}
	if _, left = redoOf(t, dir, 8, 0); len(left) != 0 {
		t.Errorf("files of another database hold %v", namesOf(left))
	}
}

// A file that begins anew holds nothing of what stood in it before, however long that was.
func TestARedoFileThatBeginsAnewEndsWhereItWasWritten(t *testing.T) {
	dir := t.TempDir()
	r, _ := redoOf(t, dir, 7, 0)
	for i := range 6 {
		for j := range 6 - i {
			if err := r.add(aRecord(fmt.Sprint(i, "/", j)).append(nil)); err != nil {
				t.Fatal(err)
			}
		}
		r.free(r.generation - 1)
		r.change()
	}
	r.close()
	if _, left := redoOf(t, dir, 7, 4); !slices.Equal(namesOf(left), []string{"4/0", "4/1", "5/0"}) {
		t.Errorf("they hold %v", namesOf(left))
	}
}

// Those who come while the disk is busy share its next call, and nobody is told before.
func TestP07_NobodyIsToldBeforeTheRedoFileIsDurable(t *testing.T) {
	r, _ := redoOf(t, t.TempDir(), 7, 0)
	calls, free := make(chan struct{}, 6), make(chan struct{})
	r.sync = func(*os.File) error {
		calls <- struct{}{}
		<-free
		return nil
	}
	var told atomic.Int64
	var wg sync.WaitGroup
	add := func() {
		wg.Go(func() {
			if err := r.add([]byte("record")); err != nil {
				t.Error(err)
			}
			told.Add(1)
		})
	}
	add()
	<-calls
	for range 5 {
		add()
	}
	testenv.Eventually(t, "five wait", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.next != nil && len(r.next.buf) == 5*(redoHeader+len("record"))
	})
	if told.Load() != 0 {
		t.Fatal("somebody was told before the disk had answered")
	}
	close(free)
	wg.Wait()
	if len(calls) != 1 {
		t.Errorf("five who came together took %d calls of the disk", len(calls))
	}
}

// A disk that fails, and a file that is full, leave the database to make a step durable.
func TestP07_WhatTheRedoFileDoesNotTakeTheDatabaseDoes(t *testing.T) {
	for name, breaks := range map[string]func(r *redo){
		"the disk fails": func(r *redo) { r.sync = func(*os.File) error { return errors.New("no") } },
		"it is full":     func(r *redo) { r.size = maxRedo },
	} {
		s, dir, party := rememberingUntil(t)
		breaks(s.db.(*sqliteDB).redo.Load())
		for range 2 {
			e, err := signingIn(t.Context(), s, party, "one", "")
			if err == nil {
				err = s.Step(t.Context(), goingOn(t.Context(), e, "one", "pushed", "spent"))
			}
			if err != nil || !slices.Equal(past(t, dir, stateOf, e.ID), []string{"spent"}) {
				t.Errorf("%s: error %v, the database says %v", name, err, past(t, dir, stateOf, e.ID))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Only one process serves from a folder. A tool beside it makes what it does durable in the
// database, and takes the files from nobody.
func TestP07_OnlyOneServesFromAFolder(t *testing.T) {
	s, dir, party := rememberingUntil(t)
	c := Config{Dir: dir, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler)}
	tool, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	e, err := signingIn(t.Context(), tool, party, "one", "")
	if err == nil {
		err = tool.Step(t.Context(), goingOn(t.Context(), e, "one", "pushed", "spent"))
	}
	if err != nil || !slices.Equal(past(t, dir, stateOf, e.ID), []string{"spent"}) {
		t.Errorf("a tool: %v", err)
	}
	c.Serves = true
	ctx, end := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() {
		other, err := Open(ctx, c)
		if err == nil {
			err = errors.Join(errors.New("two serve"), other.Close())
		}
		waited <- err
	}()
	select {
	case err := <-waited:
		t.Errorf("it does not wait: %v", err)
	case <-time.After(3 * redoPatience / 100):
	}
	end()
	if err := <-waited; !errors.Is(err, errLocked) {
		t.Errorf("it fails by %v", err)
	}
	if err := errors.Join(s.Close(), tool.Close()); err != nil {
		t.Fatal(err)
	}
	opened(t, dir)
}

// What another process does to a sign-in counts at once: nothing comes of one that it ended.
func TestP07_WhatAnotherProcessEndedIsNotFinishedInMemory(t *testing.T) {
	s, dir, party := remembering(t)
	ctx := t.Context()
	e, err := signingIn(ctx, s, party, "one", "")
	if err = errors.Join(err, s.db.(*sqliteDB).flush()); err != nil {
		t.Fatal(err)
	}
	if rows := past(t, dir, "UPDATE oidc_exchanges SET state = 'revoked', version = version + 1 WHERE id = $1 RETURNING state", e.ID); len(rows) != 1 {
		t.Fatal("it is not ended")
	}
	if err := s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")); !errors.Is(err, ErrConflict) {
		t.Errorf("it is finished: %v", err)
	}
}

// Nothing comes of a sign-in of somebody who was erased, as long as anybody remembers it.
func TestP07_NothingComesOfASignInOfSomebodyErased(t *testing.T) {
	s, _, party := remembering(t)
	ctx := t.Context()
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.AddPerson(ctx, party.Env, "ann") }); err != nil {
		t.Fatal(err)
	}
	begin := func() OIDCExchange {
		e, err := signingIn(ctx, s, party, "one", "ann")
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	first, second := begin(), begin()
	if err := s.Step(ctx, goingOn(ctx, first, "one", "pushed", "spent")); err != nil {
		t.Fatal(err)
	}
	err := s.Tx(ctx, func(tx *Tx) error {
		return tx.Must(ctx, "UPDATE people SET erased_at = 1 WHERE id = 'ann'")
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []OIDCExchange{second, begin()} {
		if err := s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")); !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			t.Errorf("something came of it: %v", err)
		}
	}
}

// A final step does not wait for the writer, who is at work for somebody else, and one that
// stands on a commit waits until that is durable.
func TestP07_AFinalStepWaitsForWhatItStandsOn(t *testing.T) {
	s, _, party := remembering(t)
	ctx, d := t.Context(), s.db.(*sqliteDB)
	e, err := signingIn(ctx, s, party, "one", "")
	if err != nil {
		t.Fatal(err)
	}
	<-d.turn
	err = s.Step(ctx, goingOn(ctx, e, "one", "pushed", "asked"))
	d.turn <- struct{}{}
	if err != nil {
		t.Fatal(err)
	}
	if e, err = signingIn(ctx, s, party, "one", ""); err != nil {
		t.Fatal(err)
	}
	syncs, free := make(chan struct{}, 9), make(chan struct{})
	d.journal.sync = func() error {
		syncs <- struct{}{}
		<-free
		return nil
	}
	told := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.flush() })
	<-syncs // committed, and not durable
	wg.Go(func() { told <- s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent")) })
	testenv.Eventually(t, "it is decided", func() bool { return d.exchanges.stateOf(e.ID) == "spent" })
	select {
	case err := <-told:
		t.Errorf("it was told before what it stands on was durable: %v", err)
	default:
	}
	close(free)
	if err := <-told; err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// stateOf is the state of an exchange as it is now.
func (q *exchangeQueue) stateOf(id string) string {
	e, _ := q.get(id)
	return e.State
}

// An erasure takes what the redo files hold out of them, as does a rest.
func TestWhatWasErasedIsInNoRedoFile(t *testing.T) {
	s, dir, party := remembering(t)
	ctx := t.Context()
	content := func() string {
		var all []byte
		for _, name := range redoNames {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return string(all)
	}
	sign := func() string {
		e, err := signingIn(ctx, s, party, "one", "")
		if err == nil {
			err = s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent"))
		}
		if err != nil || !strings.Contains(content(), e.ID) {
			t.Fatalf("it was not there, error %v", err)
		}
		return e.ID
	}
	sign()
	testenv.Eventually(t, "nothing is left in the files", func() bool { return content() == "" })
	id := sign()
	if s.scrub(ctx); s.unscrubbed.Load() || strings.Contains(content(), id) {
		t.Error("it is there after an erasure")
	}
}

// What a process has left is written once, however much of it was written before, and nothing
// is made anew of what was removed.
func TestWhatAProcessLeftIsWrittenOnce(t *testing.T) {
	s, dir, party := rememberingUntil(t)
	ctx := t.Context()
	e, err := signingIn(ctx, s, party, "one", "")
	if err == nil {
		err = s.Step(ctx, goingOn(ctx, e, "one", "pushed", "spent"))
	}
	if err != nil {
		t.Fatal(err)
	}
	other := OIDCClient{Env: party.Env, Contract: "openid", Settings: []byte("other")}
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.AddOIDCClient(ctx, &other) }); err != nil {
		t.Fatal(err)
	}
	gone, err := signingIn(ctx, s, other, "one", "")
	if err == nil {
		err = s.Step(ctx, goingOn(ctx, gone, "one", "pushed", "spent"))
	}
	if err != nil {
		t.Fatal(err)
	}
	d := s.db.(*sqliteDB)
	replay := func(left []redoRecord) {
		if err := d.replay(ctx, left, 0); err != nil {
			t.Fatal(err)
		}
	}
	left := leftIn(t, ctx, d)
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.RemoveOIDCClient(ctx, other.Env, other.ID) }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		replay(left)
	}
	for _, x := range []OIDCExchange{e, gone} {
		if kinds := past(t, dir, kindsOf, x.ID); !slices.Equal(kinds, []string{"pushed", "spent"}) {
			t.Errorf("the log tells of %v", kinds)
		}
	}
	if len(left) != 2 || len(past(t, dir, stateOf, e.ID)) != 1 || len(past(t, dir, stateOf, gone.ID)) != 0 {
		t.Errorf("%d were left; there are %v and %v", len(left), past(t, dir, stateOf, e.ID), past(t, dir, stateOf, gone.ID))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// leftIn is what the redo files of a database hold.
func leftIn(t *testing.T, ctx context.Context, d *sqliteDB) (left []redoRecord) {
	t.Helper()
	r := d.redo.Load()
	for _, f := range r.files {
		some, _, err := readRedo(f, r.seed)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, some...)
	}
	return left
}

func FuzzRedoFile(f *testing.F) {
	one := appendRedo(nil, 7, 3, aRecord("one").append(nil))
	f.Add(one)
	f.Add(appendRedo(one, 7, 3, aRecord("two").append(nil)))
	f.Add(appendRedo(one, 7, 2, []byte{redoFormat}))
	f.Fuzz(func(t *testing.T, b []byte) {
		left, generation, err := parseRedo(b, 7)
		if (len(left) > 0) != (generation > 0) || len(left) > 0 && err != nil {
			t.Errorf("%d records of generation %d, error %v", len(left), generation, err)
		}
	})
}

// FuzzRedoRecord reads records whose checksum would be right.
func FuzzRedoRecord(f *testing.F) {
	f.Add(aRecord("one").append(nil))
	f.Add([]byte{redoFormat, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRedoRecord(b)
		if err != nil {
			return
		}
		again, err := parseRedoRecord(r.append(nil))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
			t.Errorf("%v is %v when it is written again, error %v", r, again, err)
		}
	})
}
