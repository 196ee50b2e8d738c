//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes a file for this process; errLocked: another one has it. The system gives it back when the process ends,
// however it ends. It is not one of SQLite's, whose locks a second handle would end.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	return nil, errors.Join(err, f.Close())
}
