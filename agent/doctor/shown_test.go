package doctor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Where findings are made to appear: by the agent, and by the program with real servers.
var examining = []string{"..", "../../cmd/postern-agent"}

// A finding that no test makes appear is one of which nobody knows whether it ever does.
// What counts is that the function of a test names it; not where the test asks with
// Report.Has whether it is absent.
func TestEveryFindingIsMadeToAppearByATest(t *testing.T) {
	byNumber := constants(t)
	shown := map[string]bool{}
	for _, dir := range examining {
		for name := range namedByTests(t, dir) {
			shown[name] = true
		}
	}
	for _, f := range Findings {
		if name := byNumber[f.Number]; !shown[name] {
			t.Errorf("no test of %v makes %s (%d) appear", examining, name, f.Number)
		}
	}
}

// namedByTests are the names of this package that test functions of a folder use.
func namedByTests(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", dir, err)
	}
	names := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				ast.Inspect(f.Body, func(n ast.Node) bool { return note(n, names) })
			}
		}
	}
	return names
}

// note keeps a name, and reports whether to look below a node.
func note(n ast.Node, names map[string]bool) bool {
	asked := func(e ast.Expr) bool { // whose absence is an error, if only in some cases
		call, ok := e.(*ast.CallExpr)
		if ok = ok && isHas(call); ok {
			ast.Inspect(call.Args[0], func(n ast.Node) bool { return note(n, names) })
		}
		return ok
	}
	switch n := n.(type) {
	case *ast.UnaryExpr:
		return n.Op != token.NOT || !asked(n.X)
	case *ast.BinaryExpr:
		return n.Op != token.NEQ || !asked(n.X)
	case *ast.CallExpr:
		return !isHas(n)
	case *ast.SelectorExpr:
		if of, ok := n.X.(*ast.Ident); ok && of.Name == "doctor" {
			names[n.Sel.Name] = true
		}
	}
	return true
}

func isHas(call *ast.CallExpr) bool {
	s, ok := call.Fun.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Has"
}
