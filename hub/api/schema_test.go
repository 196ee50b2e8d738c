package api

import (
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/protocol/auditlog"
)

// schemas are the JSON schemas of Go types, by reflection, with the words of their
// comments and of the vocabularies.
type schemas struct {
	sources sources
	made    map[string]object
	names   map[reflect.Type]string
}

// of returns the schema of a type: a reference, if it is a struct with a name.
func (s *schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{{"type", "string"}, {"format", "date-time"}}
	case t == reflect.TypeFor[auditlog.Hash]():
		return object{{"type", "string"}, {"contentEncoding", "base64"}}
	case t == reflect.TypeFor[policy.Duration]():
		return object{{"type", "string"}, {"examples", list{"1h30m0s"}}}
	case t == reflect.TypeFor[json.RawMessage](), t.Kind() == reflect.Interface:
		return object{}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	}
	if w, ok := reflect.Zero(t).Interface().(wrapper); ok {
		return object{{"anyOf", list{s.of(w.wraps()), object{{"type", "null"}}}}}
	}
	if name := vocabularyOfType[t]; name != "" {
		return object{{"type", "string"}, {"enum", words(vocabularies[name])}}
	}
	if t.Kind() != reflect.String && (t.Implements(reflect.TypeFor[encoding.TextMarshaler]())) {
		return object{{"type", "string"}}
	}
	return s.ofKind(t)
}

func (s *schemas) ofKind(t reflect.Type) object {
	switch k := t.Kind(); {
	case k == reflect.String:
		return object{{"type", "string"}}
	case k == reflect.Bool:
		return object{{"type", "boolean"}}
	case k >= reflect.Int && k <= reflect.Uint64:
		return object{{"type", "integer"}}
	case k == reflect.Float32 || k == reflect.Float64:
		return object{{"type", "number"}}
	case isBytes(t):
		return object{{"type", "string"}, {"contentEncoding", "base64"}}
	case k == reflect.Slice:
		return object{{"type", "array"}, {"items", s.of(t.Elem())}}
	case k == reflect.Map:
		return object{{"type", "object"}, {"additionalProperties", s.of(t.Elem())}}
	case k == reflect.Struct && t.Name() == "":
		return s.describe(t)
	case k == reflect.Struct:
		return object{{"$ref", "#/components/schemas/" + s.struct_(t)}}
	}
	panic(fmt.Sprint("no schema for ", t))
}

// struct_ describes a struct and returns its name.
func (s *schemas) struct_(t reflect.Type) string {
	if name, ok := s.names[t]; ok {
		return name
	}
	name := s.nameOf(t)
	s.names[t], s.made[name] = name, nil // it may hold itself
	s.made[name] = s.describe(t)
	return name
}

// longest bounds lists of what is asked about several at once.
var longest = map[string]int{
	"BulkRequest.requests":                  maxBulk,
	"AccountBulkUpdateRequest.accounts":     maxAccountUpdates,
	"SubjectComparisonRequest.expectations": maxExpectations,
}

// describe lists the members of a struct.
func (s *schemas) describe(t reflect.Type) object {
	properties, required := object{}, list{}
	for _, f := range fieldsOf(t) {
		m, inOut := f.member, s.of(f.member.typ)
		if m.words != "" && vocabularyOfType[leaf(m.typ)] == "" {
			inOut = withWords(inOut, m.words)
		}
		if most := longest[s.names[t]+"."+m.name]; most > 0 {
			inOut = append(inOut, pair{"maxItems", most})
		}
		if text := s.sources.field(f.owner, f.name); text != "" && inOut.get("$ref") == nil {
			inOut = append(inOut, pair{"description", text})
		}
		properties = append(properties, pair{m.name, inOut})
		if !m.maybe {
			required = append(required, m.name)
		}
	}
	out := object{{"type", "object"}}
	if text := s.sources.typeText(t); text != "" {
		out = append(out, pair{"description", text})
	}
	if len(required) > 0 {
		out = append(out, pair{"required", required})
	}
	return append(out, pair{"properties", properties}, pair{"additionalProperties", false})
}

// withWords puts the words of a vocabulary where the text stands.
func withWords(o object, words_ string) object {
	if items := o.get("items"); items != nil {
		o.set("items", withWords(items.(object), words_))
		return o
	}
	if o.get("type") == "string" {
		return append(o, pair{"enum", words(vocabularies[words_])})
	}
	return o
}

// leaf is the type of the texts in a member.
func leaf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

var wireType = regexp.MustCompile(`is the wire types? (\w+)`)

// nameOf is the name of a type on the wire, as its comment says; else its own.
func (s *schemas) nameOf(t reflect.Type) string {
	own := t.Name()
	name := strings.ToUpper(own[:1]) + own[1:]
	if m := wireType.FindStringSubmatch(s.sources.typeDoc(t)); m != nil {
		name = m[1]
	}
	pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
	if _, taken := s.made[name]; taken || pkg != "api" && !wireType.MatchString(s.sources.typeDoc(t)) {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

// all lists what was made, by name.
func (s *schemas) all() (out object) {
	var names []string
	for n := range s.made {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		out = append(out, pair{n, s.made[n]})
	}
	return out
}

// field is a member with the struct that declares it.
type field struct {
	member
	owner reflect.Type
	name  string // in Go
}

func fieldsOf(t reflect.Type) (all []field) {
	for n := range t.NumField() {
		f := t.Field(n)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && tag == "":
			all = append(all, fieldsOf(inner(f.Type))...)
		case f.IsExported() && tag != "-":
			one := membersOf(reflect.StructOf([]reflect.StructField{{Name: f.Name, Type: f.Type, Tag: f.Tag}}))
			all = append(all, field{one[0], t, f.Name})
		}
	}
	return all
}

// sources are the syntax trees of packages, read when needed.
type sources map[string][]*ast.File

func (s sources) files(pkg string) []*ast.File {
	if files, ok := s[pkg]; ok {
		return files
	}
	dir := "../.." + strings.TrimPrefix(pkg, "github.com/postern-id/postern")
	names, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		panic(err)
	}
	s[pkg] = nil
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			panic(err)
		}
		s[pkg] = append(s[pkg], f)
	}
	return s[pkg]
}

// comment returns what stands above a function, on one line.
func (s sources) comment(t *testing.T, pkg, function string) string {
	t.Helper()
	for _, f := range s.files(pkg) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == function && fn.Recv == nil {
				return oneLine(fn.Doc.Text())
			}
		}
	}
	return ""
}

// spec finds the declaration of a type.
func (s sources) spec(t reflect.Type) (spec *ast.TypeSpec, doc string) {
	for _, f := range s.files(t.PkgPath()) {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, one := range g.Specs {
				ts, ok := one.(*ast.TypeSpec)
				if !ok || ts.Name.Name != t.Name() {
					continue
				}
				doc := ts.Doc.Text()
				if doc == "" && len(g.Specs) == 1 {
					doc = g.Doc.Text()
				}
				return ts, oneLine(doc)
			}
		}
	}
	return nil, ""
}

// typeDoc is the comment of a type.
func (s sources) typeDoc(t reflect.Type) string {
	if t.PkgPath() == "" || t.Name() == "" {
		return ""
	}
	_, doc := s.spec(t)
	return doc
}

// typeText is the comment of a type without what only a programmer needs.
func (s sources) typeText(t reflect.Type) string {
	text := s.typeDoc(t)
	for _, article := range []string{t.Name() + " is ", t.Name() + " are ", "A " + t.Name() + " is ", "An " + t.Name() + " is ", t.Name() + " "} {
		text = strings.TrimPrefix(text, article)
	}
	if strings.HasPrefix(text, "the wire type") {
		_, text, _ = strings.Cut(text, ". ")
	}
	return strings.TrimSuffix(text, ".")
}

// field is the comment of a member.
func (s sources) field(t reflect.Type, name string) string {
	if t.Name() == "" {
		return ""
	}
	spec, _ := s.spec(t)
	if spec == nil {
		return ""
	}
	st, ok := spec.Type.(*ast.StructType)
	if !ok {
		return ""
	}
	for _, f := range st.Fields.List {
		for _, n := range f.Names {
			if n.Name != name {
				continue
			}
			text := oneLine(f.Comment.Text())
			if text == "" {
				text = oneLine(f.Doc.Text())
			}
			if rest, ok := strings.CutPrefix(text, "ours"); ok {
				text = "not in the public reference" + rest
			}
			return text
		}
	}
	return ""
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
