package layout

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// A source is one parsed file that is not a test.
type source struct {
	name string // relative to the module
	pkg  string
	file *ast.File
	fset *token.FileSet
}

// sources parses every Go file of the module outside tests and testdata.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	fset := token.NewFileSet()
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || p != root && strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		all = append(all, source{filepath.ToSlash(rel), path.Dir(filepath.ToSlash(rel)), f, fset})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPackagesImportOnlyWhatTheLayoutAllows(t *testing.T) {
	for _, s := range sources(t) {
		for _, im := range s.file.Imports {
			name, _ := strconv.Unquote(im.Path.Value)
			if msg := refuse(s.pkg, name); msg != "" {
				t.Errorf("%s imports %s: %s", s.fset.Position(im.Pos()), name, msg)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsForExactlyOnce(t *testing.T) {
	docs := map[string]int{}
	for _, s := range sources(t) {
		if s.file.Doc != nil {
			docs[s.pkg]++
		} else {
			docs[s.pkg] += 0
		}
	}
	for pkg, n := range docs {
		if n != 1 {
			t.Errorf("package %s has %d package comments, want 1", pkg, n)
		}
	}
}

func TestEverythingExportedIsDocumented(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			for _, msg := range undocumented(d) {
				t.Errorf("%s: exported %s has no comment", s.fset.Position(d.Pos()), msg)
			}
		}
	}
}

func TestNothingSleepsOrInitialisesBehindTheBack(t *testing.T) {
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil && !slices.Contains(mayInit, s.pkg) {
					t.Errorf("%s: init outside %v", s.fset.Position(n.Pos()), mayInit)
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && n.Sel.Name == "Sleep" {
					t.Errorf("%s: time.Sleep; wait on a channel, a context or a timer", s.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

// The agent never starts a program (P4), but for the kind of directory that is one: the
// worker that the administrator named in the agent's file.
func TestP04_TheAgentStartsNoProgram(t *testing.T) {
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.pkg, "agent") && s.pkg != "cmd/postern-agent" || s.pkg == "agent/directory/command" {
			continue
		}
		for _, im := range s.file.Imports {
			if im.Path.Value == `"os/exec"` || im.Path.Value == `"syscall"` && !strings.HasSuffix(s.name, "_windows.go") && !strings.HasSuffix(s.name, "_unix.go") && usesExec(s.file) {
				t.Errorf("%s imports %s", s.name, im.Path.Value)
			}
		}
	}
}

func usesExec(f *ast.File) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && (strings.HasPrefix(sel.Sel.Name, "Exec") || sel.Sel.Name == "ForkExec" || sel.Sel.Name == "StartProcess") {
			found = true
		}
		return true
	})
	return found
}

// TestSizes prints; it never fails.
func TestSizes(t *testing.T) {
	var lines []int
	perPackage := map[string]int{}
	for _, s := range sources(t) {
		perPackage[s.pkg] += s.fset.Position(s.file.End()).Line
		if n := s.fset.Position(s.file.End()).Line; n > 500 {
			t.Logf("%s has %d lines", s.name, n)
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok {
				l := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
				if l > 80 {
					t.Logf("%s: %s has %d lines", s.name, f.Name.Name, l)
				}
				lines = append(lines, l)
			}
			return true
		})
	}
	sort.Ints(lines)
	if n := len(lines); n > 0 {
		t.Logf("%d functions, lines p50 %d, p90 %d, p99 %d, max %d", n, lines[n/2], lines[n*9/10], lines[n*99/100], lines[n-1])
	}
	for pkg, n := range perPackage {
		t.Logf("%5d %s", n, pkg)
	}
}

// undocumented names what d exports without a comment.
func undocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || receiverExported(d)) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, sp := range d.Specs {
			switch sp := sp.(type) {
			case *ast.TypeSpec:
				if sp.Name.IsExported() && d.Doc == nil && sp.Doc == nil && sp.Comment == nil {
					names = append(names, sp.Name.Name)
				}
			case *ast.ValueSpec:
				if sp.Names[0].IsExported() && d.Doc == nil && sp.Doc == nil && sp.Comment == nil {
					names = append(names, sp.Names[0].Name)
				}
			}
		}
	}
	return names
}

func receiverExported(d *ast.FuncDecl) bool {
	t := d.Recv.List[0].Type
	if s, ok := t.(*ast.StarExpr); ok {
		t = s.X
	}
	id, ok := t.(*ast.Ident)
	return ok && id.IsExported()
}

// refuse says why pkg may not import name, or nothing.
func refuse(pkg, name string) string {
	if slices.Contains(pure[pkg], name) {
		return "the package is pure"
	}
	for dep, who := range owner {
		if name == dep || strings.HasPrefix(name, strings.TrimSuffix(dep, "/")+"/") {
			if !slices.ContainsFunc(who, func(w string) bool { return within(pkg, w) }) && !strings.HasPrefix(pkg, "internal/") {
				return "only " + strings.Join(who, ", ") + " may"
			}
			return ""
		}
	}
	in, ok := strings.CutPrefix(name, Module+"/")
	if !ok || in == pkg {
		return ""
	}
	tree := pkg
	for mayImport[tree] == nil && tree != "." {
		tree = path.Dir(tree)
	}
	if (tree == "hub" || tree == "agent") && tree != pkg {
		return "the package has no row in mayImport"
	}
	if slices.ContainsFunc(mayImport[tree], func(a string) bool { return within(in, a) }) {
		return ""
	}
	return "not in mayImport[" + tree + "]"
}

// What nobody needs any more is taken out of the table: it says what packages know of each
// other, not what they knew once.
func TestTheTableAllowsNothingThatNobodyUses(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		tree := s.pkg
		for mayImport[tree] == nil && tree != "." {
			tree = path.Dir(tree)
		}
		for _, im := range s.file.Imports {
			name, _ := strconv.Unquote(im.Path.Value)
			in, ours := strings.CutPrefix(name, Module+"/")
			for _, a := range mayImport[tree] {
				if ours && within(in, a) {
					used[tree+" "+a] = true
				}
			}
		}
	}
	for tree, all := range mayImport {
		for _, a := range all {
			if !used[tree+" "+a] {
				t.Errorf("mayImport[%q] has %q, which nothing there imports", tree, a)
			}
		}
	}
}

// A rule about a package that the standard library does not have refuses nothing.
func TestPurePackagesAreKeptFromStandardPackagesThatExist(t *testing.T) {
	for pkg, all := range pure {
		for _, name := range all {
			if p, err := build.Import(name, "", build.FindOnly); err != nil || !p.Goroot {
				t.Errorf("pure[%q] names %q, which is no standard package: %v", pkg, name, err)
			}
		}
	}
}

// within reports whether pkg is pattern, or below it when pattern ends with "/...".
func within(pkg, pattern string) bool {
	below, all := strings.CutSuffix(pattern, "/...")
	return pkg == below || all && strings.HasPrefix(pkg, below+"/")
}

func TestTheRulesCatchWhatTheyAreFor(t *testing.T) {
	for _, c := range []struct{ pkg, imports string }{
		{"hub/site", Module + "/hub/console"},
		{"hub/api", Module + "/hub/site"},
		{"hub/api", Module + "/hub/oidc"},
		{"hub/console", Module + "/hub/oidc"},
		{"hub/party", Module + "/hub/oidc"},
		{"agent", Module + "/hub/store"},
		{"hub/flow", "net/http"},
		{"hub/recovery", Module + "/hub/operation"},
		{"hub/operation", Module + "/hub/flow"},
		{"hub/operation", "net/http"},
		{"protocol", "github.com/redis/go-redis/v9"},
		{"agent/directory/ldap", Module + "/agent"},
		{"hub/store", "github.com/redis/go-redis/v9"},
		{"hub/unlisted", Module + "/hub/console"},
		{"agent/unlisted", Module + "/agent/directory"},
		{"hub/verify", "net/http"},
	} {
		if refuse(c.pkg, c.imports) == "" {
			t.Errorf("%s may import %s", c.pkg, c.imports)
		}
	}
	if msg := refuse("agent", "github.com/gorilla/websocket"); msg != "" {
		t.Error(msg)
	}
}
