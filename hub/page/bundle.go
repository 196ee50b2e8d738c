package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Bundle is what the pages of a site are made of, as it is published: the scripts,
// styles and templates that are part of the program, each with its hash.
type Bundle struct{ sums map[string]string } // by path

// NewBundle gathers every file of this package and of each of more, whose paths then
// begin with name. It panics when a file cannot be read or stands twice, as embedded
// files never do.
func NewBundle(name string, more ...fs.FS) Bundle {
	b := Bundle{map[string]string{}}
	b.add("page", static)
	for _, files := range more {
		b.add(name, files)
	}
	return b
}

func (b Bundle) add(name string, files fs.FS) {
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		path = name + "/" + path
		if err == nil && b.sums[path] != "" {
			err = fmt.Errorf("%s stands twice", path)
		}
		b.sums[path] = hash(content)
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("page: bundle: %v", err))
	}
}

// Sums returns the SHA-256 of each file in hexadecimal, by its path; the map is the
// bundle's own.
func (b Bundle) Sums() map[string]string { return b.sums }

// List returns a line "SHA-256  path" for each file, sorted by path, which is what
// sha256sum writes and checks.
func (b Bundle) List() []byte {
	paths := make([]string, 0, len(b.sums))
	for path := range b.sums {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, strings.Compare)
	var list bytes.Buffer
	for _, path := range paths {
		fmt.Fprintf(&list, "%s  %s\n", b.sums[path], path)
	}
	return list.Bytes()
}

// Hash returns the SHA-256 of the list in hexadecimal: the name of the bundle.
func (b Bundle) Hash() string { return hash(b.List()) }

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
