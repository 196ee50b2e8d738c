package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// copies is the copy of certificate files on this node's disk: one file each, named by
// the hash of its name, with the value sealed as in the database. It is a convenience:
// what cannot be written or read is logged and missing.
type copies struct {
	dir string
	log *slog.Logger

	mu    sync.Mutex
	known map[string]certificateFile // by name; what the files hold
}

// openCopies reads the copies of former runs.
func openCopies(dir string, log *slog.Logger) *copies {
	c := &copies{dir: filepath.Join(dir, "certificates"), log: log, known: map[string]certificateFile{}}
	entries, err := os.ReadDir(c.dir)
	if err != nil && !os.IsNotExist(err) {
		c.warn("read", err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(c.dir, e.Name()))
		var f certificateFile
		if err == nil {
			err = json.Unmarshal(b, &f)
		}
		if err != nil || fileName(f.Name) != e.Name() {
			continue // half-written or foreign; overwritten when it is needed
		}
		c.known[f.Name] = f
	}
	return c
}

func fileName(name string) string {
	h := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(h[:])
}

func (c *copies) warn(what string, err error) {
	c.log.Warn("copy of certificates on the disk failed", "step", what, "error", err)
}

// keep writes a file, if it differs from what is there.
func (c *copies) keep(f certificateFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[f.Name] == f {
		return
	}
	if err := c.writeLocked(f); err != nil {
		c.warn("write", err)
		return
	}
	c.known[f.Name] = f
}

func (c *copies) writeLocked(f certificateFile) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	t, err := os.CreateTemp(c.dir, ".new-*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = t.WriteString(JSON(f))
	if errClose := t.Close(); err == nil {
		err = errClose
	}
	if err == nil {
		err = os.Rename(t.Name(), filepath.Join(c.dir, fileName(f.Name)))
	}
	if err != nil {
		_ = os.Remove(t.Name())
	}
	return err
}

func (c *copies) load(name string) (certificateFile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.known[name]
	return f, ok
}

func (c *copies) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[name]; !ok {
		return
	}
	delete(c.known, name)
	if err := os.Remove(filepath.Join(c.dir, fileName(name))); err != nil {
		c.warn("remove", err)
	}
}

// below returns the names that begin with a prefix, in order.
func (c *copies) below(prefix string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.known {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sealAnew seals every copy under the active master key, after a rotation: the old key
// must not open a copy of the disk.
func (c *Certificates) sealAnew() {
	active := c.s.activeKey()
	for _, name := range c.copies.below("") {
		f, ok := c.copies.load(name)
		if !ok || strings.HasPrefix(f.Value, active.id+".") {
			continue
		}
		plain, err := c.s.Unseal(certificateCell(name), f.Value)
		if err != nil {
			c.copies.warn("open", err)
			continue
		}
		f.Value = active.seal(certificateCell(name), plain)
		c.copies.keep(f)
	}
}
