package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// A stage is what testenv's servers need of a test, outside one: where to register
// their end, and how to say that they are missing. Of testing.TB it has only the
// methods below; it embeds the interface because nobody else can implement it.
type stage struct {
	testing.TB
	ctx context.Context
	out io.Writer

	mu       sync.Mutex
	cleanups []func()
	missing  string // why the experiment cannot run
	failed   string // why it did not end
}

// perform runs one experiment. missing says why there are no rows.
func perform(ctx context.Context, e experiment, rounds int, out io.Writer) (rows []row, missing string) {
	ctx, cancel := context.WithTimeout(ctx, experimentLife)
	defer cancel()
	s := &stage{ctx: ctx, out: out}
	s.scene(func(s *stage) { rows = e.run(s, rounds) })
	if s.failed != "" {
		return nil, "failed: " + s.failed
	}
	return rows, s.missing
}

// scene runs a part of an experiment with cleanups of its own, on a goroutine that
// Fatal and Skip can end. Its failure is the stage's.
func (s *stage) scene(play func(*stage)) {
	inner := &stage{ctx: s.ctx, out: s.out}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer inner.clean()
		play(inner)
	}()
	<-done
	s.missing, s.failed = inner.missing, inner.failed
}

// act is scene within an experiment: a part that fails ends the whole.
func (s *stage) act(play func(*stage)) {
	s.scene(play)
	if s.failed != "" || s.missing != "" {
		runtime.Goexit()
	}
}

func (s *stage) clean() {
	for {
		s.mu.Lock()
		if len(s.cleanups) == 0 {
			s.mu.Unlock()
			return
		}
		last := s.cleanups[len(s.cleanups)-1]
		s.cleanups = s.cleanups[:len(s.cleanups)-1]
		s.mu.Unlock()
		last()
	}
}

// need ends the experiment on an error.
func (s *stage) need(err error) {
	if err != nil {
		s.Fatal(err)
	}
}

// wait waits.
func (s *stage) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
		s.Fatal(s.ctx.Err())
	}
}

// disk returns a new folder on a real disk, unlike testenv.Dir: what is measured as
// durable must be able to be.
func (s *stage) disk() string {
	dir, err := os.MkdirTemp("", "postern-bench")
	s.need(err)
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Helper implements testing.TB.
func (s *stage) Helper() {}

// Name implements testing.TB.
func (s *stage) Name() string { return "bench" }

// Context implements testing.TB.
func (s *stage) Context() context.Context { return s.ctx }

// Output implements testing.TB.
func (s *stage) Output() io.Writer { return s.out }

// Cleanup implements testing.TB.
func (s *stage) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

// Fatal implements testing.TB.
func (s *stage) Fatal(args ...any) {
	s.failed = fmt.Sprint(args...)
	runtime.Goexit()
}

// Fatalf implements testing.TB.
func (s *stage) Fatalf(format string, args ...any) { s.Fatal(fmt.Sprintf(format, args...)) }

// Skipf implements testing.TB.
func (s *stage) Skipf(format string, args ...any) {
	s.missing = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// Errorf implements testing.TB.
func (s *stage) Errorf(format string, args ...any) { s.Logf(format, args...) }

// Error implements testing.TB.
func (s *stage) Error(args ...any) { s.Logf("%s", fmt.Sprint(args...)) }

// Logf implements testing.TB.
func (s *stage) Logf(format string, args ...any) { fmt.Fprintf(s.out, "  "+format+"\n", args...) }
