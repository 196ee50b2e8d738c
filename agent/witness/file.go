package witness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/postern-id/postern/agent/folder"
)

// Names in the state folder.
const (
	stateName = "witness"
	newName   = "witness.new"
)

// maxState is when the state is rewritten with what still counts: keepRoots records
// have some 40 KiB.
const maxState = 256 << 10

// file is the state on disk: records of JSON, one on each line, each synced before it is
// believed. A line that a crash cut short is dropped: nothing was done because of it.
type file struct {
	dir  string
	f    *os.File
	size int64
}

// openFile opens the state of a folder, and gives its records to apply.
func openFile(dir string, apply func(record) error) (*file, error) {
	path := filepath.Join(dir, stateName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	o := &file{dir: dir, f: f}
	if o.size, err = readRecords(f, apply); err == nil {
		err = f.Truncate(o.size)
	}
	if err == nil {
		err = errors.Join(f.Sync(), folder.Sync(dir))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w; it says which audit log of the hub was seen: find out who changed it, and move it aside to begin anew with what the hub shows next", path, err), f.Close())
	}
	return o, nil
}

// readRecords returns how long the whole lines are.
func readRecords(f io.Reader, apply func(record) error) (sound int64, err error) {
	text, err := io.ReadAll(io.LimitReader(f, 2*maxState))
	if err != nil {
		return 0, err
	}
	for {
		end := bytes.IndexByte(text[sound:], '\n')
		if end < 0 {
			return sound, nil
		}
		r, err := parseRecord(text[sound : sound+int64(end)])
		if err == nil {
			err = apply(r)
		}
		if err != nil {
			return sound, err
		}
		sound += int64(end) + 1
	}
}

// append writes a record and syncs it. all are those that count already, for when the
// file has grown.
func (o *file) append(r record, all func() []record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if o.size+int64(len(line)) > maxState {
		if err := o.rewrite(all()); err != nil {
			return err
		}
	}
	line = append(line, '\n')
	if _, err = o.f.WriteAt(line, o.size); err == nil {
		err = o.f.Sync()
	}
	if err != nil {
		return errors.Join(err, o.f.Truncate(o.size)) // a shorter line would leave its end there
	}
	o.size += int64(len(line))
	return nil
}

// rewrite replaces the file by one with these records. A crash leaves the old file or the
// new one, whole.
func (o *file) rewrite(all []record) error {
	var text []byte
	for _, r := range all {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	fresh, err := os.OpenFile(filepath.Join(o.dir, newName), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fresh.Write(text)
	// Windows renames neither an open file nor over one.
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return err
	}
	path := filepath.Join(o.dir, stateName)
	if runtime.GOOS == "windows" {
		_ = o.f.Close() // reopened below
	}
	if err := errors.Join(os.Rename(filepath.Join(o.dir, newName), path), folder.Sync(o.dir)); err != nil {
		return err
	}
	_ = o.f.Close() // on Windows a second time
	o.size = int64(len(text))
	o.f, err = os.OpenFile(path, os.O_RDWR, 0o600)
	return err
}

func (o *file) close() error { return o.f.Close() }

// ErrNever says that a state folder has seen no log.
var ErrNever = errors.New("this agent has not seen the hub's audit log yet")

// A View is what a state folder says, for people.
type View struct {
	Seen    Head  // what was seen last
	Offered *Head // what stopped the agent; nil: nothing did
}

// Look reads the state of a folder that a running agent may have open, and changes
// nothing. Only Fingerprint and Origin of cfg are used besides Dir.
func Look(cfg Config) (View, error) {
	f, err := os.Open(filepath.Join(cfg.Dir, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return View{}, ErrNever
	}
	if err != nil {
		return View{}, err
	}
	defer f.Close()
	var h history
	if _, err := readRecords(f, func(r record) error { return h.apply(cfg, r) }); err != nil {
		return View{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	v := View{Seen: headOf(h.last, h.note)}
	if h.offered != nil {
		o := headOf(*h.offered, h.offeredNote)
		v.Offered = &o
	}
	if h.last.Size == 0 && h.offered == nil {
		return v, ErrNever
	}
	return v, nil
}
