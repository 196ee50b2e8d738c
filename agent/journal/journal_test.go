package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/protocol"
)

// clock is a clock that tests set.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(1_800_000_000)
	return c
}

func (c *clock) now() time.Time          { return time.Unix(c.at.Load(), 0) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d / time.Second)) }

func open(t *testing.T, dir string, c *clock) *Journal {
	t.Helper()
	j, err := Open(dir, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func reopen(t *testing.T, j *Journal, c *clock) *Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, j.dir, c)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ctxOf(s string) protocol.Context { return protocol.Members{Recovery: s}.Context() }

func begun(id string, c *clock) Recovery {
	return Recovery{
		ID: id, Account: "acc-" + id, Operation: "unlock", NotAfter: c.now().Add(15 * time.Minute).Unix(),
		Origin: "recover.example.com", Notice: true, Begun: c.now().Unix(),
	}
}

func exec(id string) Execution {
	return Execution{
		Context: ctxOf(id), Recovery: id, Request: "req-" + id, Sealed: []byte("sealed-" + id), Stamp: "stamp",
		Evidence: []Proof{{Type: "mail_code", Hash: []byte{1, 2}}},
	}
}

func settled(id string, s protocol.State) Settlement { return Settlement{Context: ctxOf(id), State: s} }

func TestT14_ContextIsExecutedAtMostOnceAcrossRestarts(t *testing.T) {
	c := newClock()
	j := open(t, t.TempDir(), c)
	if err := j.Execute(exec("a")); !errors.Is(err, ErrNotBegun) {
		t.Errorf("a recovery that was never begun: %v", err)
	}
	ok(t, j.Begin(begun("a", c)))
	ok(t, j.Execute(exec("a")))
	for i := range 3 {
		if err := j.Execute(exec("a")); !errors.Is(err, ErrExecuted) {
			t.Errorf("second execution after %d restarts: %v", i, err)
		}
		other := exec("a")
		other.Context = ctxOf("another recipient")
		if err := j.Execute(other); !errors.Is(err, ErrExecuted) {
			t.Errorf("the recovery under another context after %d restarts: %v", i, err)
		}
		j = reopen(t, j, c)
	}
	ok(t, j.Settle(settled("a", protocol.Done)))
	if err := j.Settle(settled("a", protocol.Unchanged)); !errors.Is(err, ErrExecuted) {
		t.Errorf("settled twice: %v", err)
	}
	j = reopen(t, j, c)
	if err := j.Execute(exec("a")); !errors.Is(err, ErrExecuted) {
		t.Errorf("execution after it was done: %v", err)
	}
	ok(t, j.Close())
}

func TestOnlyAnExecutionThatChangedNothingMayBeTriedAgainAndNotForEver(t *testing.T) {
	c := newClock()
	j := open(t, t.TempDir(), c)
	ok(t, j.Begin(begun("a", c)))
	for range maxAttempts {
		ok(t, j.Execute(exec("a")))
		ok(t, j.Settle(settled("a", protocol.Unchanged)))
		j = reopen(t, j, c)
	}
	if err := j.Execute(exec("a")); !errors.Is(err, ErrExecuted) {
		t.Errorf("attempt %d: %v", maxAttempts+1, err)
	}
	ok(t, j.Begin(begun("b", c)))
	ok(t, j.Execute(exec("b")))
	ok(t, j.Settle(settled("b", protocol.Failed)))
	if err := j.Execute(exec("b")); !errors.Is(err, ErrExecuted) {
		t.Errorf("after a failure: %v", err)
	}
	ok(t, j.Close())
}

func TestP07_OneOfManyParallelExecutionsWins(t *testing.T) {
	c := newClock()
	j := open(t, t.TempDir(), c)
	ok(t, j.Begin(begun("a", c)))
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			switch err := j.Execute(exec("a")); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrExecuted):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d executions, want 1", won.Load())
	}
	ok(t, j.Close())
}

// fill makes a journal with a bit of everything and returns it open.
func fill(t *testing.T, dir string, c *clock) *Journal {
	t.Helper()
	j := open(t, dir, c)
	for _, id := range []string{"done", "unknown", "open", "dropped", "coded"} {
		ok(t, j.Begin(begun(id, c)))
	}
	ok(t, j.Execute(exec("done")))
	ok(t, j.Settle(Settlement{Context: ctxOf("done"), State: protocol.Done, MustChange: true, Sealed: []byte("made by it")}))
	ok(t, j.Execute(exec("unknown")))
	ok(t, j.Settle(Settlement{Context: ctxOf("unknown"), State: protocol.Unknown, Error: protocol.Err(protocol.CodeInternal, "who knows")}))
	ok(t, j.Execute(exec("open")))
	ok(t, j.Drop("dropped"))
	ok(t, j.CodeSent(Code{Recovery: "coded", MAC: []byte("mac"), Expires: 7}))
	ok(t, j.CodeTried(Try{Recovery: "coded"}))
	return j
}

// view is everything that callers can see.
func view(t *testing.T, j *Journal) string {
	t.Helper()
	var b strings.Builder
	for _, id := range []string{"done", "unknown", "open", "dropped", "coded"} {
		r, err := j.Recovery(id)
		row, found := j.Row(ctxOf(id))
		code, cerr := j.CodeState(id)
		fmt.Fprintf(&b, "%s %+v %v | %+v %v", id, r, err, row.Execution, found)
		if row.Settlement != nil {
			fmt.Fprintf(&b, " | %+v %v", *row.Settlement, row.Settlement.Error)
		}
		if code.Code != nil {
			fmt.Fprintf(&b, " | %+v", *code.Code)
		}
		code.Code = nil
		fmt.Fprintf(&b, " | %+v %v\n", code, cerr)
	}
	fmt.Fprintf(&b, "%+v %+v", j.Unsettled(), j.PerformedSince(time.Unix(0, 0)))
	return b.String()
}

func TestRestartAndRewriteChangeNothingThatCallersSee(t *testing.T) {
	c := newClock()
	j := fill(t, t.TempDir(), c)
	want := view(t, j)
	j = reopen(t, j, c)
	if got := view(t, j); got != want {
		t.Errorf("after a restart\n%s\nwant\n%s", got, want)
	}
	j.writer.Lock()
	err := j.compact()
	j.writer.Unlock()
	ok(t, err)
	j = reopen(t, j, c)
	if got := view(t, j); got != want {
		t.Errorf("after a rewrite\n%s\nwant\n%s", got, want)
	}
	ok(t, j.Begin(begun("later", c)))
	j = reopen(t, j, c)
	if _, err := j.Recovery("later"); err != nil {
		t.Errorf("written after a rewrite: %v", err)
	}
	ok(t, j.Close())
}

func TestT14_TornTailIsDroppedAtEveryByteAndNothingBeforeIt(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	j := fill(t, dir, c)
	path := filepath.Join(dir, fileName)
	before := j.file.size
	ok(t, j.Begin(begun("last", c)))
	ok(t, j.Close())
	whole, err := os.ReadFile(path)
	ok(t, err)
	for cut := int(before); cut < len(whole); cut++ {
		for _, tail := range [][]byte{nil, make([]byte, len(whole)-cut)} { // cut short, or zeros where the disk had no time
			ok(t, os.WriteFile(path, append(append([]byte(nil), whole[:cut]...), tail...), 0o600))
			j := open(t, dir, c)
			if _, err := j.Recovery("last"); !errors.Is(err, ErrNotBegun) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			if err := j.Execute(exec("open")); !errors.Is(err, ErrExecuted) {
				t.Fatalf("cut at %d: an older row was lost: %v", cut, err)
			}
			ok(t, j.Begin(begun("last", c)))
			j = reopen(t, j, c)
			if _, err := j.Recovery("last"); err != nil {
				t.Fatalf("cut at %d: written after it: %v", cut, err)
			}
			ok(t, j.Close())
		}
	}
}

func TestDamageInTheMiddleIsNotTakenForACrash(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	ok(t, fill(t, dir, c).Close())
	path := filepath.Join(dir, fileName)
	whole, err := os.ReadFile(path)
	ok(t, err)
	for _, at := range []int{0, len(magic), len(magic) + 5, len(whole) / 2} {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x40
		ok(t, os.WriteFile(path, bad, 0o600))
		if j, err := Open(dir, c.now); err == nil {
			t.Errorf("damage at byte %d was accepted", at)
			ok(t, j.Close())
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("the error names no file: %v", err)
		}
	}
}

func TestT27_SealedResultsAreGoneFromDiskAfterFifteenMinutes(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	j := fill(t, dir, c)
	secret := []byte(`"sealed":"`)
	holds := func() bool {
		text, err := os.ReadFile(filepath.Join(dir, fileName))
		ok(t, err)
		return bytes.Contains(text, secret)
	}
	c.forward(keepSealed - time.Second)
	ok(t, j.Sweep())
	if row, _ := j.Row(ctxOf("done")); row.Execution.Sealed == nil || row.Settlement.Sealed == nil || !holds() {
		t.Error("a sealed result was gone too early")
	}
	c.forward(time.Second)
	if row, _ := j.Row(ctxOf("done")); row.Execution.Sealed != nil || row.Settlement.Sealed != nil {
		t.Error("a sealed result was answered too late")
	}
	ok(t, j.Sweep())
	if holds() {
		t.Error("a sealed result is still on the disk")
	}
	j = reopen(t, j, c)
	if err := j.Execute(exec("done")); !errors.Is(err, ErrExecuted) {
		t.Errorf("the row went with its sealed result: %v", err)
	}
	ok(t, j.Close())
}

func TestRowsAreForgottenWhenNobodyNeedsThemAndUnsettledOnesNever(t *testing.T) {
	c := newClock()
	j := fill(t, t.TempDir(), c)
	c.forward(15*time.Minute + keepBegun)
	ok(t, j.Sweep())
	if _, err := j.Recovery("coded"); err != nil {
		t.Error("a row with a wrong code was forgotten within the day:", err)
	}
	if j.byID["dropped"] != nil {
		t.Error("a row outlived its time")
	}
	c.forward(keepExecuted)
	ok(t, j.Sweep())
	if _, found := j.Row(ctxOf("done")); found || len(j.byID) != 1 || len(j.byContext) != 1 {
		t.Errorf("%d rows and %d contexts are left, want the unsettled one", len(j.byID), len(j.byContext))
	}
	if rows := j.Unsettled(); len(rows) != 1 || rows[0].Recovery.ID != "open" {
		t.Errorf("unsettled = %+v", rows)
	}
	ok(t, j.Close())
}

func TestGrownFileIsRewrittenSmall(t *testing.T) {
	c := newClock()
	j := open(t, t.TempDir(), c)
	pad := strings.Repeat("x", 20<<10)
	for i := range 60 {
		r := begun(fmt.Sprint(i), c)
		r.Origin = pad
		ok(t, j.Begin(r))
	}
	c.forward(2 * time.Hour)
	ok(t, j.Sweep())
	if j.file.size > 1000 {
		t.Errorf("%d bytes after all rows were forgotten", j.file.size)
	}
	ok(t, j.Close())
}

func TestSecondProcessIsKeptAway(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	j := open(t, dir, c)
	if _, err := Open(dir, c.now); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	ok(t, j.Close())
	ok(t, open(t, dir, c).Close())
}

func TestFailedWriteIsFinal(t *testing.T) {
	c := newClock()
	j := open(t, t.TempDir(), c)
	ok(t, j.file.f.Close()) // every later write fails, as on a broken disk
	if err := j.Begin(begun("a", c)); !errors.Is(err, ErrFailed) {
		t.Errorf("begin = %v", err)
	}
	if err := j.Begin(begun("b", c)); !errors.Is(err, ErrFailed) {
		t.Errorf("begin = %v", err)
	}
	if !errors.Is(j.Failed(), ErrFailed) {
		t.Errorf("failed = %v", j.Failed())
	}
	ok(t, j.lock.release())
}

func TestDroppedRecoveryHasNoOperation(t *testing.T) {
	c := newClock()
	j := open(t, t.TempDir(), c)
	ok(t, j.Begin(begun("a", c)))
	ok(t, j.Drop("a"))
	j = reopen(t, j, c)
	for what, err := range map[string]error{
		"execute": j.Execute(exec("a")), "drop": j.Drop("a"),
		"code": j.CodeSent(Code{Recovery: "a"}), "try": j.CodeTried(Try{Recovery: "a"}),
	} {
		if !errors.Is(err, ErrNotBegun) {
			t.Errorf("%s = %v", what, err)
		}
	}
	ok(t, j.Begin(begun("b", c)))
	ok(t, j.Execute(exec("b")))
	if err := j.Drop("b"); !errors.Is(err, ErrExecuted) {
		t.Errorf("drop of an executed one = %v", err)
	}
	ok(t, j.Close())
}

func TestPerformedCountsWhatChangedOrMayHave(t *testing.T) {
	c := newClock()
	j := open(t, t.TempDir(), c)
	for id, state := range map[string]protocol.State{
		"a": protocol.Done, "b": protocol.Unknown, "c": protocol.Failed, "d": protocol.Unchanged, "e": "",
	} {
		ok(t, j.Begin(begun(id, c)))
		ok(t, j.Execute(exec(id)))
		if state != "" {
			ok(t, j.Settle(settled(id, state)))
		}
	}
	got := map[string]bool{}
	for _, p := range j.PerformedSince(c.now().Add(-time.Hour)) {
		got[p.Account] = true
	}
	if want := map[string]bool{"acc-a": true, "acc-b": true, "acc-e": true}; !reflect.DeepEqual(got, want) {
		t.Errorf("performed = %v, want %v", got, want)
	}
	c.forward(time.Hour + time.Second)
	if n := len(j.PerformedSince(c.now().Add(-time.Hour))); n != 0 {
		t.Errorf("%d an hour later", n)
	}
	ok(t, j.Close())
}

func TestFloodOfBeginsIsBounded(t *testing.T) {
	c := newClock()
	j := open(t, t.TempDir(), c)
	j.mu.Lock()
	for i := range maxOpen {
		r := begun(fmt.Sprint(i), c)
		j.byID[r.ID] = &entry{Recovery: r}
	}
	j.mu.Unlock()
	if err := j.Begin(begun("one more", c)); !errors.Is(err, ErrFull) {
		t.Errorf("begin = %v", err)
	}
	c.forward(16 * time.Minute)
	ok(t, j.Begin(begun("later", c)))
	ok(t, j.Close())
}

func FuzzDecode(f *testing.F) {
	c := newClock()
	list, _ := appendRecord(nil, record{Begun: &Recovery{ID: "a", Account: "b", NotAfter: c.now().Unix()}})
	list, _ = appendRecord(list, record{Executing: &Execution{Context: ctxOf("a"), Recovery: "a", Sealed: []byte{1}}})
	text := appendFrame([]byte(magic), list)
	f.Add(text)
	f.Add(text[:len(text)-3])
	f.Add(appendFrame(text, []byte(`[{"settled":{"state":"done"}}`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		j := &Journal{now: c.now, next: &batch{}, byID: map[string]*entry{}, byContext: map[protocol.Context]*entry{}}
		sound, err := decode(text, j.apply)
		if sound > len(text) || sound < 0 {
			t.Fatalf("sound = %d of %d", sound, len(text))
		}
		if err != nil {
			return
		}
		again := &Journal{now: c.now, next: &batch{}, byID: map[string]*entry{}, byContext: map[protocol.Context]*entry{}}
		snapshot, err := j.snapshotLocked()
		if err != nil {
			return // records beyond the bounds of this program
		}
		if n, err := decode(snapshot, again.apply); err != nil || n != len(snapshot) || len(again.byID) != len(j.byID) {
			t.Fatalf("rewriting loses rows: %v, %d of %d", err, len(again.byID), len(j.byID))
		}
	})
}
