// Package folder is how the agent's files are written: whole or not at all, readable by
// their owner alone, and owned by whoever owns the folder. It knows nothing of what they
// say.
package folder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Write replaces a file so that a crash leaves the old one or the new one, whole. What
// root writes belongs to whom the folder belongs: root enrols and adds approvers, and the
// agent, which is somebody else, must be able to read it.
func Write(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, inherit(f, filepath.Dir(path)), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return Sync(filepath.Dir(path))
}

// Sync makes a rename or a new file in a folder durable. Windows does that itself.
func Sync(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Rotate makes path path.1, path.1 path.2, and so on; what was path.keep is gone. Its error
// is that of path itself: older ones may be missing.
func Rotate(path string, keep int) error {
	for i := keep - 1; i >= 1; i-- {
		_ = os.Rename(fmt.Sprintf("%s.%d", path, i), fmt.Sprintf("%s.%d", path, i+1))
	}
	return os.Rename(path, path+".1")
}
