package testenv

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// axe-core (MPL-2.0) checks pages for accessibility. It is a test's tool and never part
// of the product or of this repository: npm fetches it once into the cache.
const (
	axeVersion = "4.14.1"
	axeFile    = "package/axe.min.js"
	axeWithin  = 2 * time.Minute
	maxAxe     = 8 << 20 // bytes; it has half a megabyte
	axeAgain   = 2       // times, where the page loaded itself anew meanwhile
)

var axe struct {
	sync.Mutex
	script string
}

// loaded waits until all of the page is there: of one that still comes the half would be
// judged, such as a field whose label is on the way.
const loaded = `if (document.readyState !== 'complete') await new Promise(done => addEventListener('load', done, {once: true}))`

// Axe checks the page that the browser shows, once all of it is there, and returns one line
// for each violation.
func (b *Browser) Axe() []string {
	b.t.Helper()
	script := axeScript(b.t)
	check := "(async () => {" + script + "\n;" + loaded + `
		; const r = await axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}})
		return r.violations.map(v => v.id + ': ' + v.help + ': ' + v.nodes.map(n => n.html + ' (' + n.failureSummary.replace(/\s+/g, ' ') + ')').join(' | ')).join('\n') })()`
	found, err := b.eval(check)
	for range axeAgain {
		if err == nil {
			break
		}
		found, err = b.eval(check)
	}
	if err != nil {
		b.t.Fatalf("axe: %v", err)
	}
	if found == "" {
		return nil
	}
	return strings.Split(found, "\n")
}

func axeScript(t testing.TB) string {
	t.Helper()
	axe.Lock()
	defer axe.Unlock()
	if axe.script != "" {
		return axe.script
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "postern-test")
	file := filepath.Join(dir, "axe-"+axeVersion+".js")
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := Look("npm"); err != nil {
			Missing(t, "npm, which fetches axe-core,")
		}
		b, err = fetchAxe(dir, file)
		if err != nil {
			t.Fatal(err)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	axe.script = string(b)
	return axe.script
}

// fetchAxe lets npm pack the one package, without installing anything.
func fetchAxe(dir, file string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "axe")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	ctx, cancel := context.WithTimeout(context.Background(), axeWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "axe-core@"+axeVersion)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("testenv: npm pack axe-core: %w: %s", err, out)
	}
	b, err := fromPack(filepath.Join(tmp, "axe-core-"+axeVersion+".tgz"), axeFile)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// Two tests may fetch it at once: each writes its own file, the last name wins.
	part := file + fmt.Sprintf(".%d", os.Getpid())
	if err := os.WriteFile(part, b, 0o644); err != nil {
		return nil, err
	}
	return b, os.Rename(part, file)
}

// fromPack reads one file out of npm's archive.
func fromPack(archive, name string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("testenv: %s in %s: %w", name, archive, err)
		}
		if h.Name == name {
			return io.ReadAll(io.LimitReader(r, maxAxe))
		}
	}
}
