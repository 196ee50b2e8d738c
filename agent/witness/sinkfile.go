package witness

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/postern-id/postern/agent/folder"
)

// The agent's own file of checkpoints, and bounds of every file that is a sink: the
// oldest goes.
const (
	checkpointsFile = "checkpoints.jsonl"
	maxSinkFile     = 10 << 20 // bytes: about 15,000 checkpoints
	keepSinkFiles   = 5        // older files that are kept
)

// fileOutput appends to a file, which it opens for each line: a file share that was away
// is there again by itself.
type fileOutput struct {
	path string
	sync bool
	most int64 // for tests; 0: maxSinkFile
}

func (o *fileOutput) write(line []byte) (err error) {
	if err := o.rotate(int64(len(line)) + 1); err != nil {
		return err
	}
	f, err := os.OpenFile(o.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err = f.Write(append(line[:len(line):len(line)], '\n')); err != nil {
		return errors.Join(err, f.Truncate(size)) // on a full disk: the next line begins a line
	}
	if !o.sync {
		return nil
	}
	return f.Sync()
}

// rotate makes path path.1, and so on, when the file would grow too large.
func (o *fileOutput) rotate(more int64) error {
	most := int64(maxSinkFile)
	if o.most > 0 {
		most = o.most
	}
	info, err := os.Stat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Size() == 0 || info.Size()+more <= most:
		return nil
	}
	return folder.Rotate(o.path, keepSinkFiles)
}

func (o *fileOutput) close() error { return nil }
