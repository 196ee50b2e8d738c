package witness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/auditlog"
	"github.com/postern-id/postern/protocol/auditlog/auditlogtest"
)

const hub = "hub.example"

func configOf(t *testing.T, l *auditlogtest.Log, dir string) Config {
	t.Helper()
	return Config{
		Dir: dir, Fingerprint: [32]byte(l.Fingerprint()), Origin: l.Origin, Name: "agent-1", Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32)),
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, cfg Config) *Log {
	t.Helper()
	w, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// reopen is a restart.
func reopen(t *testing.T, w *Log) *Log {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, w.cfg)
}

func logOf(n int) *auditlogtest.Log {
	l := auditlogtest.New(hub)
	for range n {
		l.Entry("anything", map[string]any{})
	}
	return l
}

func prove(t *testing.T, l *auditlogtest.Log, id string, from int64) auditlog.Proof {
	t.Helper()
	p, err := l.Prove(t.Context(), id, from)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shown gives the head of l to the agent.
func shown(t *testing.T, w *Log, l *auditlogtest.Log, from int64) error {
	t.Helper()
	c, note, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	proof, err := l.Consistency(t.Context(), from, c.Size)
	if err != nil {
		t.Fatal(err)
	}
	got, line, err := w.Witness(note, l.Key.Public().(ed25519.PublicKey), from, proof)
	if err == nil {
		if _, err := got.CheckCosignature(line, w.cfg.Name, w.cfg.Key.Public().(ed25519.PublicKey)); err != nil {
			t.Errorf("the cosignature: %v", err)
		}
	}
	return err
}

func TestT08_AnEntryCountsWhenItIsInAContinuationOfWhatWasSeen(t *testing.T) {
	t.Parallel()
	l := logOf(5)
	w := open(t, configOf(t, l, t.TempDir()))
	for i := range 20 {
		id := l.Entry("anything", map[string]any{"i": i})
		from := w.Last()
		leaf, err := w.Check(prove(t, l, id, from))
		if err != nil || !bytes.Contains(leaf, []byte(fmt.Sprintf(`"i":%d`, i))) {
			t.Fatalf("entry %d from %d: %s, %v", i, from, leaf, err)
		}
		if w.Last() != l.Size() {
			t.Fatalf("%d was seen of %d", w.Last(), l.Size())
		}
		if i%7 == 0 {
			w = reopen(t, w)
		}
	}
	late := prove(t, l, "entry-6", 0)
	l.Entry("anything", nil)
	if err := shown(t, w, l, w.Last()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Check(late); err != nil {
		t.Errorf("a frame that was overtaken, with a checkpoint that was seen: %v", err)
	}
}

func TestT08_WhatProvesNothingIsRefusedAndKeepsNothing(t *testing.T) {
	t.Parallel()
	l := logOf(5)
	w := open(t, configOf(t, l, t.TempDir()))
	if err := shown(t, w, l, 0); err != nil {
		t.Fatal(err)
	}
	id := l.Entry("anything", nil)
	other, elsewhere := auditlogtest.New("thief.example"), auditlogtest.New("other.example")
	other.Origin, elsewhere.Key = l.Origin, l.Key
	for _, o := range []*auditlogtest.Log{other, elsewhere} {
		o.Entry("anything", nil)
	}
	leaf := prove(t, l, id, 5)
	leaf.Leaf = []byte("{}")
	for _, c := range []struct {
		name  string
		proof auditlog.Proof
		want  error
	}{
		{"none", auditlog.Proof{}, auditlog.ErrKey},
		{"another key", prove(t, other, "entry-0", 0), auditlog.ErrKey},
		{"another log of the same key", prove(t, elsewhere, "entry-0", 0), auditlog.ErrOrigin},
		{"another leaf", leaf, auditlog.ErrInclusion},
		{"from elsewhere", prove(t, l, id, 3), ErrBehind},
		{"from nothing", prove(t, l, id, 0), ErrBehind},
	} {
		if _, err := w.Check(c.proof); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if w.Last() != 5 || w.Stopped() != "" {
			t.Errorf("%s: seen %d, stopped by %q", c.name, w.Last(), w.Stopped())
		}
	}
	if _, err := w.Check(prove(t, l, id, 5)); err != nil {
		t.Error(err)
	}
}

func TestT09_AnotherHistoryStopsTheAgentUntilItsAdministratorAcceptsIt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(l *auditlogtest.Log) (*auditlogtest.Log, int64){
		"a fork of the same size": func(l *auditlogtest.Log) (*auditlogtest.Log, int64) {
			f := l.Fork(8)
			f.Entry("other", nil)
			f.Entry("other", nil)
			return f, 10
		},
		"a fork of a size that was seen": func(l *auditlogtest.Log) (*auditlogtest.Log, int64) {
			f := l.Fork(7)
			f.Entry("other", nil)
			return f, 0
		},
		"a longer fork": func(l *auditlogtest.Log) (*auditlogtest.Log, int64) {
			f := l.Fork(6)
			for range 9 {
				f.Entry("other", nil)
			}
			return f, 10
		},
		"rolled back": func(l *auditlogtest.Log) (*auditlogtest.Log, int64) { return l.Fork(3), 10 },
	} {
		t.Run(name, func(t *testing.T) {
			l := logOf(8)
			w := open(t, configOf(t, l, t.TempDir()))
			if err := shown(t, w, l, 0); err != nil {
				t.Fatal(err)
			}
			l.Entry("anything", nil)
			own := l.Entry("anything", nil)
			if err := shown(t, w, l, 8); err != nil {
				t.Fatal(err)
			}
			f, from := change(l)
			if err := shown(t, w, f, from); !errors.Is(err, ErrStopped) {
				t.Fatalf("the other history: %v", err)
			}
			w = reopen(t, w)
			if _, err := w.Check(prove(t, l, own, 10)); !errors.Is(err, ErrStopped) {
				t.Errorf("what was seen before, while it is not decided: %v", err)
			}
			if err := shown(t, w, f, w.Last()); !errors.Is(err, ErrStopped) { // the fork again
				t.Error(err)
			}
			offered := w.Stopped()
			f.Entry("more", nil)
			if err := shown(t, w, f, w.Last()); !errors.Is(err, ErrStopped) || w.Stopped() != offered {
				t.Errorf("it went on, and the hash to compare changed to %q: %v", w.Stopped(), err)
			}
			v, err := Look(w.cfg)
			if err != nil || v.Seen.Size != 10 || v.Offered == nil || v.Offered.Hash != offered {
				t.Errorf("people read %+v, %v", v, err)
			}
			for _, hash := range []string{"", v.Seen.Hash, strings.Repeat("0", 64)} {
				if err := w.Accept(hash); !errors.Is(err, ErrNotOffered) {
					t.Errorf("accepting %q: %v", hash, err)
				}
			}
			if err := w.Accept(offered); err != nil {
				t.Fatal(err)
			}
			w = reopen(t, w)
			id := f.Entry("anything", nil)
			if _, err := w.Check(prove(t, f, id, w.Last())); err != nil || w.Stopped() != "" {
				t.Errorf("after it was accepted: %v", err)
			}
			if _, err := w.Check(prove(t, l, own, 0)); err == nil {
				t.Error("the history that was given up still proves something")
			}
		})
	}
}

// The file is cut at every byte of its last line, as a crash may: the agent starts, and
// has seen the checkpoint before or the last one.
func TestT09_ACrashAtAnyPointLosesNoCheckpointThatWasActedOn(t *testing.T) {
	t.Parallel()
	l := logOf(3)
	dir := t.TempDir()
	w := open(t, configOf(t, l, dir))
	path := filepath.Join(dir, stateName)
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if err := shown(t, w, l, 0); err != nil {
		t.Fatal(err)
	}
	before := size()
	l.Entry("anything", nil)
	if err := shown(t, w, l, 3); err != nil {
		t.Fatal(err)
	}
	if size() <= before {
		t.Fatal("a checkpoint was acted on that is not on the disk")
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	for cut := before; cut <= int64(len(whole)); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := Look(w.cfg)
		again, err2 := Open(w.cfg)
		if err := errors.Join(err, err2); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		want := int64(3)
		if cut == int64(len(whole)) {
			want = 4
		}
		if again.Last() != want || v.Seen.Size != want {
			t.Fatalf("cut at %d: %d was seen, people read %d, want %d", cut, again.Last(), v.Seen.Size, want)
		}
		if err := shown(t, again, l, want); err != nil { // it goes on from there
			t.Fatalf("cut at %d: %v", cut, err)
		}
		_ = again.Close()
	}
	if err := os.WriteFile(path, bytes.Replace(whole, []byte(`\n3\n`), []byte(`\n2\n`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(w.cfg); !errors.Is(err, auditlog.ErrSignature) {
		t.Errorf("a state that somebody edited: %v", err)
	}
}

func TestTheStateIsRewrittenAndKeepsWhatCounts(t *testing.T) {
	t.Parallel()
	l := logOf(1)
	dir := t.TempDir()
	w := open(t, configOf(t, l, dir))
	for range 500 {
		l.Entry("anything", nil)
		if err := shown(t, w, l, w.Last()); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, stateName))
	if err != nil || info.Size() > maxState {
		t.Errorf("%v, %v", info, err)
	}
	w = reopen(t, w)
	if w.Last() != 501 || len(w.seen.recent) < keepRoots {
		t.Errorf("%d was seen, %d roots", w.Last(), len(w.seen.recent))
	}
}

func TestManyAtOnceSeeOneHistory(t *testing.T) {
	t.Parallel()
	l := logOf(1)
	w := open(t, configOf(t, l, t.TempDir()))
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			id := l.Entry("anything", nil)
			for {
				p, err := l.Prove(context.Background(), id, w.Last())
				if err == nil {
					_, err = w.Check(p)
				}
				if err == nil {
					return
				}
				if !errors.Is(err, ErrBehind) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if w.Last() > l.Size() || w.Stopped() != "" {
		t.Errorf("%d of %d, %q", w.Last(), l.Size(), w.Stopped())
	}
}

// lines reads the entries of a sink's file.
func lines(t *testing.T, path string) (all []entry) {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var e entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		all = append(all, e)
	}
	return all
}

func TestT09_EveryCheckpointGoesIntoTheSinksAsANoteThatAnybodyCanCheck(t *testing.T) {
	t.Parallel()
	l := logOf(2)
	dir, share := t.TempDir(), t.TempDir()
	cfg := configOf(t, l, dir)
	cfg.Sinks.Sinks = []string{"file", filepath.Join(share, "agent-1.jsonl")}
	w := open(t, cfg)
	if err := shown(t, w, l, 0); err != nil {
		t.Fatal(err)
	}
	f := l.Fork(1)
	f.Entry("other", nil)
	if err := shown(t, w, f, 2); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, checkpointsFile), cfg.Sinks.Sinks[1]} {
		testenv.Eventually(t, "two entries in "+path, func() bool { return len(lines(t, path)) == 2 })
		all := lines(t, path)
		if all[0].Event != witnessed || all[1].Event != refused {
			t.Errorf("%s: %+v", path, all)
		}
		for _, e := range all {
			if _, err := auditlog.OpenCheckpoint(e.Checkpoint, l.Key.Public().(ed25519.PublicKey), l.Origin); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		c, _ := auditlog.OpenCheckpoint(all[0].Checkpoint, l.Key.Public().(ed25519.PublicKey), l.Origin)
		line := all[0].Checkpoint[strings.LastIndex(all[0].Checkpoint, "— "):]
		if _, err := c.CheckCosignature(line, "agent-1", cfg.Key.Public().(ed25519.PublicKey)); err != nil {
			t.Error(err)
		}
	}
}

func TestT09_AnAgentThatNeedsASinkDoesNotActWithoutOne(t *testing.T) {
	t.Parallel()
	l := logOf(2)
	share := t.TempDir()
	path := filepath.Join(share, "gone", "agent-1.jsonl")
	cfg := configOf(t, l, t.TempDir())
	cfg.Sinks = Settings{Sinks: []string{path}, RequireSink: true}
	w := open(t, cfg)
	id := l.Entry("anything", nil)
	p := prove(t, l, id, 0)
	for range 2 { // the second time it was seen already, and still is in no sink
		if _, err := w.Check(p); !errors.Is(err, ErrNoSink) {
			t.Fatalf("without a sink: %v", err)
		}
	}
	if w.Failing()[path] == "" {
		t.Errorf("failing sinks: %v", w.Failing())
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Check(p); err != nil {
		t.Errorf("the share came back: %v", err)
	}
	if len(w.Failing()) > 0 || len(lines(t, path)) == 0 {
		t.Errorf("failing %v, written %d", w.Failing(), len(lines(t, path)))
	}
	cfg2 := configOf(t, l, t.TempDir())
	cfg2.Sinks.Sinks = []string{filepath.Join(share, "never", "x.jsonl")}
	careless := open(t, cfg2)
	if _, err := careless.Check(p); err != nil {
		t.Errorf("without require_sink: %v", err)
	}
	testenv.Eventually(t, "the failure is told", func() bool { return len(careless.Failing()) == 1 })
}

func TestASinkFileKeepsTheNewest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "checkpoints.jsonl")
	o := &fileOutput{path: path, most: 100}
	for i := range 100 {
		if err := o.write(fmt.Appendf(nil, `{"size":%d,"checkpoint":"%s"}`, i, strings.Repeat("x", 20))); err != nil {
			t.Fatal(err)
		}
	}
	all := lines(t, path)
	if len(all) == 0 || all[len(all)-1].Size != 99 {
		t.Errorf("the newest file ends with %+v", all)
	}
	found, err := filepath.Glob(path + "*")
	if err != nil || len(found) != keepSinkFiles+1 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestSettingsNameTheirMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    Settings
		want string
	}{
		{Settings{}, ""},
		{Settings{Sinks: []string{"file", "syslog", "eventlog", "/mnt/audit/a.jsonl", `\\files\audit\a.jsonl`}}, ""},
		{Settings{Sinks: []string{"files"}}, "want"},
		{Settings{Sinks: []string{"file", "file"}}, "twice"},
		{Settings{Sinks: []string{}, RequireSink: true}, "no sink"},
	} {
		err := c.s.Check()
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.s, err, c.want)
		}
	}
}

func FuzzState(f *testing.F) {
	l := logOf(3)
	c, note, _ := l.Head(context.Background())
	line, _ := json.Marshal(record{time.Now(), witnessed, l.Key.Public().(ed25519.PublicKey), note})
	f.Add(append(line, '\n'))
	f.Add([]byte("{}\n"))
	cfg := Config{Fingerprint: [32]byte(l.Fingerprint()), Origin: l.Origin}
	f.Fuzz(func(t *testing.T, text []byte) {
		var h history
		if _, err := readRecords(bytes.NewReader(text), func(r record) error { return h.apply(cfg, r) }); err != nil {
			return
		}
		if h.last.Size > 0 && h.last.Root != c.Root {
			t.Errorf("%q was believed", text)
		}
	})
}

func TestT08_ACheckpointWhoseSignatureWasCheckedVouchesForNothingElse(t *testing.T) {
	t.Parallel()
	l := logOf(5)
	w := open(t, configOf(t, l, t.TempDir()))
	sound := prove(t, l, l.Entry("anything", nil), 0)
	for range 2 { // the second time its signature is known
		if _, err := w.Check(sound); err != nil {
			t.Fatal(err)
		}
	}
	key := bytes.Clone(sound.Public)
	key[0] ^= 1
	for name, c := range map[string]struct {
		change func(*auditlog.Proof)
		want   error
	}{
		"another key":       {func(p *auditlog.Proof) { p.Public = key }, auditlog.ErrKey},
		"no key":            {func(p *auditlog.Proof) { p.Public = nil }, auditlog.ErrKey},
		"another leaf":      {func(p *auditlog.Proof) { p.Leaf = append(bytes.Clone(p.Leaf), ' ') }, auditlog.ErrInclusion},
		"another place":     {func(p *auditlog.Proof) { p.Index = 0 }, auditlog.ErrInclusion},
		"an endless leaf":   {func(p *auditlog.Proof) { p.Leaf = make([]byte, auditlog.MaxLeaf+1) }, auditlog.ErrProof},
		"a signature more":  {func(p *auditlog.Proof) { p.Checkpoint += "— x AAAA\n" }, nil},
		"another signature": {func(p *auditlog.Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "— ", "— x", 1) }, nil},
	} {
		p := sound
		c.change(&p)
		if _, err := w.Check(p); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", name, err, c.want)
		}
	}
	if _, err := w.Check(sound); err != nil || w.Last() != l.Size() {
		t.Errorf("afterwards: %v, %d entries seen", err, w.Last())
	}
}
