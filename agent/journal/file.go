package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/postern-id/postern/agent/folder"
)

// Names in the state folder.
const (
	fileName = "journal"
	newName  = "journal.new"
	lockName = "journal.lock"
)

// Bounds of the file.
const (
	maxFile    = 512 << 20 // a file that is larger was not written by this program
	growthStep = 1 << 20   // rewriting below it is not worth two syncs
)

// file is the open journal. The journal's writer lock guards it.
type file struct {
	f         *os.File
	size      int64
	compacted int64 // size after the last rewrite
}

// openFile opens the journal in dir, gives its records to apply, and cuts off what a
// crash left behind the last whole record.
func openFile(dir string, apply func(record) error) (*file, error) {
	path := filepath.Join(dir, fileName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	o := &file{f: f}
	if err := o.read(apply); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w; move the file aside to begin anew: recoveries under way then end", path, err), f.Close())
	}
	return o, folder.Sync(dir)
}

func (o *file) read(apply func(record) error) error {
	text, err := io.ReadAll(io.LimitReader(o.f, maxFile+1))
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		return errors.New("journal: too large")
	}
	sound, err := decode(text, apply)
	if err != nil {
		return err
	}
	if err := o.f.Truncate(int64(sound)); err != nil {
		return err
	}
	o.size = int64(sound)
	o.compacted = o.size
	if sound == 0 {
		return o.write([]byte(magic))
	}
	return o.f.Sync()
}

// write appends b and syncs it.
func (o *file) write(b []byte) error {
	if _, err := o.f.WriteAt(b, o.size); err != nil {
		return err
	}
	if err := o.f.Sync(); err != nil {
		return err
	}
	o.size += int64(len(b))
	return nil
}

// grown reports whether rewriting would give back much room.
func (o *file) grown() bool { return o.size > 2*o.compacted+growthStep }

func (o *file) close() error { return o.f.Close() }

// writeFresh writes text as the file that is to replace the journal of dir. A
// failure leaves the journal as it was.
func writeFresh(dir string, text []byte) (*file, error) {
	f, err := os.OpenFile(filepath.Join(dir, newName), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	o := &file{f: f}
	if err := o.write(text); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	o.compacted = o.size
	return o, nil
}

// replace puts o in the place of old. A crash leaves the old file or the new one,
// whole. Windows renames neither an open file nor over one, so both are closed.
func (o *file) replace(dir string, old *file) error {
	path := filepath.Join(dir, fileName)
	err := errors.Join(o.close(), old.close())
	if err == nil {
		err = os.Rename(filepath.Join(dir, newName), path)
	}
	if err == nil {
		err = folder.Sync(dir)
	}
	if err == nil {
		o.f, err = os.OpenFile(path, os.O_RDWR, 0o600)
	}
	return err
}
