package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
)

//go:embed static
var static embed.FS

// Files are scripts and stylesheets, served below a root such as "/static/" and a name
// for their exact content, so that browsers keep them for as long as they are the same.
type Files struct {
	root    string
	hash    string
	version string
	byName  map[string][]byte
}

// NewFiles gathers, to be served below root, the stylesheet of this package and every
// file in the directory "static" of more. It panics when two have one name, which a start of the program
// finds.
func NewFiles(root string, more fs.FS) *Files {
	f := &Files{root: root, byName: map[string][]byte{}}
	all := sha256.New()
	for _, from := range []fs.FS{static, more} {
		names, err := fs.Glob(from, "static/*")
		if err != nil {
			panic(err) // the pattern is constant
		}
		for _, name := range names {
			b, err := fs.ReadFile(from, name)
			if err != nil || f.byName[path.Base(name)] != nil {
				panic(fmt.Sprintf("page: static file %s stands twice: %v", name, err))
			}
			f.byName[path.Base(name)] = b
			sum := sha256.Sum256(b)
			fmt.Fprintf(all, "%s %x\n", path.Base(name), sum)
		}
	}
	f.hash = hex.EncodeToString(all.Sum(nil))
	f.version = f.hash[:versionLen]
	return f
}

// versionLen is how much of the hash stands in addresses.
const versionLen = 16

// Hash returns the SHA-256 over all names and contents, in hexadecimal.
func (f *Files) Hash() string { return f.hash }

// Path returns the address of a file.
func (f *Files) Path(name string) string { return f.root + f.version + "/" + name }

// forever is a year, which caches take for "never changes".
const forever = "public, max-age=31536000, immutable"

// ServeHTTP serves {version}/{name} and {name} below the root. Another version than
// ours, which a page of another node may ask for during an upgrade, gets our file but
// must not keep it.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest := strings.TrimPrefix(r.URL.Path, f.root)
	version, name, ok := strings.Cut(rest, "/")
	if !ok {
		version, name = "", rest
	}
	b := f.byName[name]
	if b == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	h.Del("Vary")
	if version == f.version {
		h.Set("Cache-Control", forever)
	}
	h.Set("Content-Length", fmt.Sprint(len(b)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // a browser that has left needs no answer
	}
}

// Has reports whether there is such a file, by name alone.
func (f *Files) Has(urlPath string) bool { return f.byName[path.Base(urlPath)] != nil }

// Names returns the names of all files, in no order.
func (f *Files) Names() []string { return slices.Collect(maps.Keys(f.byName)) }
