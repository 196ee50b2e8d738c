package page

import (
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/postern-id/postern/internal/testenv"
)

func TestT04_EveryByteAndNameIsInTheBundlesHash(t *testing.T) {
	files := func() fstest.MapFS {
		return fstest.MapFS{"static/a.js": {Data: []byte("one")}, "static/b.css": {Data: []byte("two")}, "templates/c.html": {Data: []byte("three")}}
	}
	want := NewBundle("site", files()).Hash()
	if again := NewBundle("site", files()).Hash(); again != want {
		t.Fatalf("the same files have two hashes: %s, %s", want, again)
	}
	other := map[string]fs.FS{}
	for name, f := range files() {
		for i := range f.Data {
			changed := files()
			changed[name].Data[i] ^= 1
			other[fmt.Sprintf("byte %d of %s", i, name)] = changed
		}
		without, renamed := files(), files()
		delete(without, name)
		delete(renamed, name)
		renamed[name+"x"] = f
		other["without "+name], other["renamed "+name] = without, renamed
	}
	more := files()
	more["static/d.js"] = &fstest.MapFile{Data: []byte{}}
	other["one more"] = more
	for what, f := range other {
		if NewBundle("site", f).Hash() == want {
			t.Errorf("not in the hash: %s", what)
		}
	}
}

// The list is that of the very tool by which an auditor checks it.
func TestT04_TheListIsWhatSHA256SumChecks(t *testing.T) {
	tool := testenv.Need(t, "sha256sum")
	b := NewBundle("page/none")
	if !strings.Contains(string(b.List()), "  page/static/page.css\n") {
		t.Fatalf("the list: %s", b.List())
	}
	check := exec.CommandContext(t.Context(), tool, "--check", "--strict", "--quiet")
	check.Dir, check.Stdin = "..", strings.NewReader(string(b.List()))
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v %s", err, out)
	}
	name := exec.CommandContext(t.Context(), tool)
	name.Stdin = strings.NewReader(string(b.List()))
	if out, err := name.Output(); err != nil || !strings.HasPrefix(string(out), b.Hash()+" ") {
		t.Errorf("the hash %s: %v %s", b.Hash(), err, out)
	}
}
