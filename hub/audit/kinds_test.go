package audit_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
)

// unwritten are kinds of the public reference whose act nobody can do here.
var unwritten = []audit.Kind{audit.DirectoryAuthorized, audit.DirectorySetCredentials, audit.ConsoleSigninEmail, audit.ConsoleSigninSAML, audit.ExtensionInvoked}

// Every kind is written by the program, or docs/audit.md says that it never is.
func TestEveryKindIsWrittenOrSaidToBeNone(t *testing.T) {
	source, err := os.ReadFile("kinds.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	docs, used := string(text), writers(t)
	names := regexp.MustCompile(`(?m)^\t(\w+) +Kind += "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	if len(names) != len(audit.Kinds) {
		t.Errorf("%d names for %d kinds", len(names), len(audit.Kinds))
	}
	for _, n := range names {
		writes := regexp.MustCompile(`\b(audit\.|Kind: +)` + n[1] + `\b`).MatchString(used)
		never, said := slices.Contains(unwritten, audit.Kind(n[2])), strings.Contains(docs, "`"+n[2]+"`")
		if writes == never || never && !said {
			t.Errorf("%s: written %v, never written %v, said so %v", n[2], writes, never, said)
		}
	}
}

// writers is the program's source without the tables that name all kinds.
func writers(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || slices.Contains([]string{"kinds.go", "shape.go", "audittest.go"}, d.Name()) {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
