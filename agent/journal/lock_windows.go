package journal

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// A lock keeps a second process away from the journal: the file is opened without
// sharing. The system drops it when the process ends, however it ends.
type lock struct{ h syscall.Handle }

func acquire(dir string) (*lock, error) {
	name, err := syscall.UTF16PtrFromString(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, dir, err)
	}
	return &lock{h}, nil
}

func (l *lock) release() error { return syscall.CloseHandle(l.h) }
