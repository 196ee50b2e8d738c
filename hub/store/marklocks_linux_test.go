package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// ofdGetlk is F_OFD_GETLK of fcntl(2): whoever asks so is told of locks of its own process, too.
const ofdGetlk = 36

// Where SQLite's locks are (https://sqlite.org/walformat.html, 2.3.2, and os.h of its source).
const (
	inUseLock  = 128            // of the index: somebody goes by it
	sharedLock = 0x40000000 + 2 // of the database: somebody has it open
)

// locked reports whether anybody holds a lock on a byte of a file.
func locked(t *testing.T, f *os.File, at int64) bool {
	t.Helper()
	l := syscall.Flock_t{Type: syscall.F_WRLCK, Start: at, Len: 1}
	if err := syscall.FcntlFlock(f.Fd(), ofdGetlk, &l); err != nil {
		t.Fatal(err)
	}
	return l.Type != syscall.F_UNLCK
}

// Without these locks another process that closes the database takes the journal away.
func TestADatabaseOfTheSameProcessThatComesOrGoesTakesNoLockAway(t *testing.T) {
	dir := t.TempDir()
	first := openBare(t, dir)
	var files []*os.File
	for _, name := range []string{FileName, FileName + indexSuffix} {
		f, err := os.Open(filepath.Join(dir, name)) // to close it earlier would take the locks away
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	held := func(when string) {
		t.Helper()
		if !locked(t, files[0], sharedLock) {
			t.Errorf("%s: nobody has the database open", when)
		}
		if !locked(t, files[1], inUseLock) {
			t.Errorf("%s: nobody goes by the index", when)
		}
	}
	held("one database")
	marked(t, first)
	second := bareSQLite(t, dir) // which is asked for no mark
	held("another one")
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	held("the first one is closed")
	if err := second.write(t.Context(), use(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
}
