package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// redoNames are the files in the data folder that hold what was told of sign-ins and is not yet
// in the database. They take turns: while one is written to, what the other one held is
// written to the database, and then it begins anew.
var redoNames = [2]string{FileName + "-redo0", FileName + "-redo1"}

// maxRedo bounds a redo file, in bytes. Under load some 100 ms of sign-ins stand in one: a
// megabyte.
const maxRedo = 16 << 20

// errLocked says that another process has the redo files.
var errLocked = errors.New("store: another process serves from this data folder")

// errRedo says that a record cannot be had in a redo file now; the database takes it.
var errRedo = errors.New("store: the redo file takes no more")

// A redo makes records durable together: those that come while the disk is busy share its
// next call. Only one process has the files of a folder.
type redo struct {
	lock *os.File // held while the process has them
	seed uint32   // of checksums: the database's
	sync func(*os.File) error

	turn sync.Mutex // one call of the disk at a time

	mu         sync.Mutex
	files      [2]*os.File
	generation int64      // of the file that is written to, which has the number generation % 2
	size       int64      // of that generation, in bytes
	freed      int64      // what generations up to here hold is in the database, durably
	room       [2]int64   // how long each file is, at least
	spare      []byte     // memory of a call that has returned
	next       *redoWrite // that has not begun; nil: nobody waits
	open       [2]int     // calls of the disk that have not returned, of each file
	cut        [2]bool    // what a file holds of former generations is to go when it begins anew
	err        error      // the disk failed: nothing is taken any more
}

// A redoWrite is one call of the disk.
type redoWrite struct {
	of   int64 // generation
	file *os.File
	at   int64
	buf  []byte
	done chan struct{} // closed when it has returned
	err  error         // set before; whoever makes the call may panic
}

// openRedo opens the files of a folder for who has their lock, and returns what a process that
// died has left in them, the oldest first: of generations after the last one that is in the
// database. Where it fails, the lock is the caller's.
func openRedo(dir string, lock *os.File, seed uint32, last int64) (*redo, []redoRecord, error) {
	r := &redo{seed: seed, sync: syncData, freed: last}
	left, err := r.load(dir)
	if err != nil {
		r.close()
		return nil, nil, err
	}
	r.lock = lock
	return r, left, nil
}

// load opens the files, and returns what they hold that is not free.
func (r *redo) load(dir string) ([]redoRecord, error) {
	var held [2][]redoRecord
	var of [2]int64
	for i, name := range redoNames {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		r.files[i] = f
		if held[i], of[i], err = readRedo(f, r.seed); err != nil {
			return nil, err
		}
		if of[i] <= r.freed {
			held[i] = nil
		}
	}
	r.generation = max(r.freed, of[0], of[1]) + 1
	if of[0] > of[1] {
		held[0], held[1] = held[1], held[0]
	}
	return append(held[0], held[1]...), syncDir(dir)
}

// syncDir makes durable what files a folder has.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// add makes a record durable.
func (r *redo) add(record []byte) error {
	w, first, err := r.join(record)
	if err != nil {
		return err
	}
	if !first {
		<-w.done
		return w.err
	}
	r.turn.Lock()
	defer r.turn.Unlock()
	defer close(w.done)
	w.err = r.write(w)
	return w.err
}

// join puts a record into the call of the disk that is yet to begin. Who finds none makes it.
func (r *redo) join(record []byte) (w *redoWrite, first bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := int64(redoHeader + len(record))
	if r.err != nil || r.size+size > maxRedo {
		return nil, false, errors.Join(errRedo, r.err)
	}
	if first = r.next == nil; first {
		r.next = &redoWrite{err: errLost, of: r.generation, file: r.files[r.generation%2], at: r.size, buf: r.spare, done: make(chan struct{})}
		r.spare = nil
		r.open[r.generation%2]++
	}
	r.next.buf = appendRedo(r.next.buf, r.seed, r.generation, record)
	r.size += size
	return r.next, first, nil
}

// write is called with the turn.
func (r *redo) write(w *redoWrite) error {
	r.mu.Lock()
	if r.next == w {
		r.next = nil // whoever comes from here on needs another call
	}
	err := r.err // what was to stand before this may not be there
	ahead := r.ahead(w)
	r.mu.Unlock()
	if err == nil {
		err = w.put(ahead)
	}
	if err == nil {
		err = r.sync(w.file)
	}
	return r.wrote(w, err)
}

// Where a redo file grows it does so by as much as it holds, but in bytes at least and at most:
const (
	leastAhead = 64 << 10
	mostAhead  = 1 << 20
)

// ahead returns how many zeros a call is to write behind what it writes: none where the file has
// room. What is written within the length of a file is durable without a word of it in the file
// system, which is sooner. It is called with the lock.
func (r *redo) ahead(w *redoWrite) int64 {
	room, end := &r.room[w.of%2], w.at+int64(len(w.buf))
	if end <= *room {
		return 0
	}
	*room = min(end+min(max(end, leastAhead), mostAhead), max(end, maxRedo))
	return *room - end
}

// put writes what is to be written, with zeros behind it where there is room for them.
func (w *redoWrite) put(zeros int64) error {
	if zeros > 0 {
		if _, err := w.file.WriteAt(append(w.buf, make([]byte, zeros)...), w.at); err == nil {
			return nil
		}
	}
	_, err := w.file.WriteAt(w.buf, w.at)
	return err
}

// wrote notes what a call of the disk has come to.
func (r *redo) wrote(w *redoWrite, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[w.of%2]--
	r.spare, w.buf = w.buf[:0], nil
	if err == nil {
		return nil
	}
	r.err = err
	return fmt.Errorf("%w: %w", errRedo, err)
}

// begins returns the generation that is written to, and whether records are taken.
func (r *redo) begins() (generation int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.generation, r.err == nil && r.size < maxRedo
}

// now returns the last generation that holds anything.
func (r *redo) now() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size == 0 {
		return r.generation - 1
	}
	return r.generation
}

// failure is what the disk failed by; nil: it did not.
func (r *redo) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// change has the other file written to, if that is free and this one holds anything. It reports
// whether one waits to be free.
func (r *redo) change() (waits bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if waits = r.freed < r.generation-1; waits || r.size == 0 || r.open[(r.generation+1)%2] > 0 {
		return waits
	}
	r.generation, r.size, r.next = r.generation+1, 0, nil
	if i := r.generation % 2; r.cut[i] {
		r.cut[i], r.room[i] = r.files[i].Truncate(0) != nil, 0
	}
	return true
}

// free says that what generations up to one hold is in the database, durably.
func (r *redo) free(generation int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.freed = max(r.freed, generation)
}

// isFree reports whether a generation is.
func (r *redo) isFree(generation int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return generation <= r.freed
}

// wipe cuts off what is free, and has the rest of it go when its file begins anew.
func (r *redo) wipe() error {
	r.turn.Lock()
	defer r.turn.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all error
	for i, f := range r.files {
		if active := int64(i) == r.generation%2; active && r.size > 0 || !active && r.freed < r.generation-1 {
			r.cut[i] = true
			continue
		}
		r.room[i] = 0
		all = errors.Join(all, f.Truncate(0), f.Sync())
	}
	return all
}

// close gives the files back.
func (r *redo) close() {
	for _, f := range []*os.File{r.files[0], r.files[1], r.lock} { // the lock is the last
		if f != nil {
			_ = f.Close()
		}
	}
}
