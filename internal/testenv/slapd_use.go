package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// Has reports whether somebody has a uid.
func (s *Slapd) Has(t testing.TB, uid string) bool {
	t.Helper()
	return len(s.search(t, SlapdRoot, SlapdPeople, "sub", "(uid="+uid+")", "uid")) > 0
}

// Keep copies what the server has, for Restore. It stops and starts the server.
func (s *Slapd) Keep(t testing.TB) {
	t.Helper()
	s.Stop()
	if err := copyFile(filepath.Join(s.Dir, "kept.mdb"), filepath.Join(s.Dir, "db", "data.mdb")); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
}

// Restore puts the server back to what Keep has copied, as an administrator does with a
// backup of the disk.
func (s *Slapd) Restore(t testing.TB) {
	t.Helper()
	s.Stop()
	_ = os.Remove(filepath.Join(s.Dir, "db", "lock.mdb")) // belongs to the other file
	if err := copyFile(filepath.Join(s.Dir, "db", "data.mdb"), filepath.Join(s.Dir, "kept.mdb")); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
}
