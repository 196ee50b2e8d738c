package store

import (
	"bytes"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// A Mark names a state of the database.
type Mark struct {
	header [headerSize]byte
	own    int64 // commits of this process
}

// Mark returns the mark of what is committed now. As long as it returns the same one,
// nobody has committed anything, this process or another, and what was read after it was
// first returned still stands. ok is false where the database cannot say so for less than
// the price of a query, as PostgreSQL, and while somebody is committing.
func (s *Store) Mark() (m Mark, ok bool) { return s.db.mark() }

// headerSize is that of the header of SQLite's WAL-index, which stands there twice
// (https://sqlite.org/walformat.html, 2.3.1).
const headerSize = 48

// initialised is where the header says that it counts.
const initialised = 12

// indexSuffix is behind the database's name in that of its WAL-index.
const indexSuffix = "-shm"

// An index is the WAL-index as a file: each commit writes its header, the second copy
// first, before it is told of, with the number of pages, a checksum over all of them and,
// when the journal begins anew, another salt.
type index struct {
	path string

	mu   sync.Mutex
	file *sharedFile
	over bool
}

// mark reads the header as SQLite does: it counts if both copies are the same.
func (x *index) mark() (m Mark, ok bool) {
	f := x.open()
	if f == nil {
		return m, false
	}
	var both [2 * headerSize]byte
	if _, err := f.ReadAt(both[:], 0); err != nil || !bytes.Equal(both[:headerSize], both[headerSize:]) {
		return m, false
	}
	copy(m.header[:], both[:])
	return m, m.header[initialised] == 1
}

// open returns the file, or nil: SQLite makes it when it needs it.
func (x *index) open() *os.File {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.file == nil && !x.over {
		x.file, _ = shared.open(x.path) // the caller asks SQLite then
	}
	if x.file == nil {
		return nil
	}
	return x.file.File
}

// close is called after SQLite has closed the database.
func (x *index) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	if x.file == nil {
		return nil
	}
	defer func() { x.file = nil }()
	return shared.close(x.file)
}

// shared are the handles of this process, of each file one: the system drops all locks that
// a process has on a file when it closes any handle of it (POSIX, fcntl), and SQLite locks
// this one. So a handle stays until the last database is closed that goes by it.
var shared sharedFiles

type sharedFiles struct {
	mu  sync.Mutex
	all []*sharedFile
}

type sharedFile struct {
	*os.File
	info  fs.FileInfo
	users int
}

func (s *sharedFiles) open(path string) (*sharedFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	for _, f := range s.all {
		if os.SameFile(f.info, info) {
			f.users++
			return f, nil
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f := &sharedFile{file, info, 1}
	s.all = append(s.all, f)
	return f, nil
}

func (s *sharedFiles) close(f *sharedFile) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users > 0 {
		return nil
	}
	s.all = slices.DeleteFunc(s.all, func(other *sharedFile) bool { return other == f })
	return f.Close()
}
