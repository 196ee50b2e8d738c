package store

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// A journal is the file that SQLite appends commits to. It is made durable beside the
// writer, who goes on with the next commit meanwhile: one call of the disk holds for all
// commits that were there when it began.
type journal struct {
	path string
	sync func() error // makes what was appended until now durable; replaced by tests

	turn    sync.Mutex  // one call of the disk at a time
	file    *os.File    // guarded by turn; nil: not yet open
	doubted atomic.Bool // it has failed
	failed  error       // guarded by turn: what the disk said once; a later call may succeed without what that one lost
	mu      sync.Mutex
	next    *syncing // that has not begun; nil: nobody waits
}

// A syncing is one call of the disk.
type syncing struct {
	done chan struct{} // closed when it has returned
	err  error         // set before
}

func newJournal(path string) *journal {
	j := &journal{path: path}
	j.sync = j.flush
	return j
}

// durable waits until everything that was committed before the call is on the disk.
func (j *journal) durable() error {
	s, first := j.join()
	if !first {
		<-s.done
		return s.err
	}
	j.turn.Lock()
	j.mu.Lock()
	j.next = nil // whoever commits from here on needs another call
	j.mu.Unlock()
	if s.err = j.failed; s.err == nil {
		s.err = j.sync()
		j.failed = s.err
		j.doubted.Store(s.err != nil)
	}
	j.turn.Unlock()
	close(s.done)
	return s.err
}

// emptied says that everything which the journal held stands in the database, durably.
func (j *journal) emptied() {
	j.turn.Lock()
	defer j.turn.Unlock()
	j.failed = nil
	j.doubted.Store(false)
}

// join returns the call of the disk that is yet to begin. Who finds none makes it.
func (j *journal) join() (s *syncing, first bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if first = j.next == nil; first {
		j.next = &syncing{done: make(chan struct{})}
	}
	return j.next, first
}

// flush is sync on the file itself. SQLite holds no lock on this file, so that a handle of
// one's own disturbs none.
func (j *journal) flush() error {
	if j.file == nil {
		f, err := os.OpenFile(j.path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("the journal: %w", err)
		}
		j.file = f
	}
	err := j.file.Sync()
	if err != nil {
		_ = j.file.Close()
		j.file = nil
	}
	return err
}

func (j *journal) close() error {
	j.turn.Lock()
	defer j.turn.Unlock()
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
