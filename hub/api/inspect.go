package api

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDepth bounds how deep a body nests. Policies, the deepest, need six.
const maxDepth = 16

// errEnough ends an inspection that found as much as one answer names.
var errEnough = errors.New("api: enough mistakes")

// An inspector reads a body beside the type that it should be of, stricter than package
// encoding/json: names in their exact spelling and once, no NUL, valid UTF-8, a bounded
// depth, and the words of vocabularies. What it finds names the member.
type inspector struct {
	d     *json.Decoder
	depth int
	lines badRequest
}

// inspect returns what is wrong with a body that should be one JSON object of a type.
func inspect(b []byte, t reflect.Type) badRequest {
	if !utf8.Valid(b) {
		return badRequest{"the body is not UTF-8"}
	}
	if trimmed := bytes.TrimSpace(b); trimmed[0] != '{' {
		return badRequest{"the body must be a JSON object"}
	}
	i := &inspector{d: json.NewDecoder(bytes.NewReader(b))}
	i.d.UseNumber()
	err := i.value("", t, "")
	if err == nil {
		if _, end := i.d.Token(); end != io.EOF {
			i.lines = append(i.lines, "the body is one JSON object and nothing after it")
		}
		return i.lines
	}
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, errEnough):
	case errors.As(err, &syntax):
		return badRequest{fmt.Sprintf("the body is not JSON: %s at byte %d", syntax, syntax.Offset)}
	default:
		return badRequest{"the body is not JSON: it ends too early"}
	}
	return i.lines
}

// wrong notes a mistake in a member.
func (i *inspector) wrong(path, text string) error {
	if path != "" {
		text = path + ": " + text
	}
	i.lines = append(i.lines, text)
	if len(i.lines) >= maxLines {
		return errEnough
	}
	return nil
}

// value reads one value. A nil type is any.
func (i *inspector) value(path string, t reflect.Type, words string) error {
	token, err := i.d.Token()
	if err != nil {
		return err
	}
	t = inner(t)
	switch v := token.(type) {
	case json.Delim:
		return i.nested(path, t, words, v)
	case string:
		return i.text(path, t, words, v)
	case json.Number:
		return i.number(path, t, v)
	case bool:
		if t != nil && (t.Kind() != reflect.Bool || readsItself(t)) {
			return i.wrong(path, "want "+want(t))
		}
	}
	return nil // null is absence
}

// nested reads an object or a list.
func (i *inspector) nested(path string, t reflect.Type, words string, open json.Delim) error {
	if i.depth++; i.depth > maxDepth {
		i.lines = append(i.lines, fmt.Sprintf("%s: the body nests deeper than %d", path, maxDepth))
		return errEnough
	}
	isList := open == '['
	if t != nil && readsItself(t) && !isText(t) {
		t = nil // what it makes of this it says itself
	}
	if t != nil && (isText(t) || isList && !isListOf(t) || !isList && t.Kind() != reflect.Struct && t.Kind() != reflect.Map) {
		if err := i.wrong(path, "want "+want(t)); err != nil {
			return err
		}
		t = nil
	}
	read := i.object
	if isList {
		read = i.list
	}
	if err := read(path, t, words); err != nil {
		return err
	}
	i.depth--
	_, err := i.d.Token() // the closing one
	return err
}

func (i *inspector) list(path string, t reflect.Type, words string) error {
	var element reflect.Type
	if t != nil {
		element = t.Elem()
	}
	for n := 0; i.d.More(); n++ {
		if err := i.value(fmt.Sprintf("%s[%d]", path, n), element, words); err != nil {
			return err
		}
	}
	return nil
}

func (i *inspector) object(path string, t reflect.Type, words string) error {
	seen := map[string]bool{}
	for i.d.More() {
		token, err := i.d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		inside := strings.TrimPrefix(path+"."+name, ".")
		if len(inside) > maxPathShown {
			inside = inside[:maxPathShown] + "…"
		}
		if seen[name] {
			err = i.wrong(inside, "stands here twice")
		}
		seen[name] = true
		if err == nil {
			err = i.member(path, inside, name, t, words)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxPathShown bounds the path of a member in an answer, in bytes.
const maxPathShown = 120

// member reads the value of a name in an object.
func (i *inspector) member(path, inside, name string, t reflect.Type, words string) error {
	if strings.ContainsRune(name, 0) {
		return i.wrong(path, "a name with a NUL character")
	}
	if t == nil {
		return i.value(inside, nil, "")
	}
	if t.Kind() == reflect.Map {
		return i.value(inside, t.Elem(), words)
	}
	all := membersOf(t)
	at := slices.IndexFunc(all, func(m member) bool { return m.name == name })
	if at < 0 {
		if err := i.wrong(path, unknown("member", name, names(all))); err != nil {
			return err
		}
		return i.value(inside, nil, "")
	}
	return i.value(inside, all[at].typ, all[at].words)
}

// text checks a JSON string.
func (i *inspector) text(path string, t reflect.Type, words, v string) error {
	switch {
	case strings.ContainsRune(v, 0):
		return i.wrong(path, "a NUL character cannot be kept")
	case t == nil:
		return nil
	case words != "" && v != "" && !slices.Contains(vocabularies[words], v):
		return i.wrong(path, oneOf(v, vocabularies[words]))
	case readsItself(t):
		return i.try(path, t, v)
	case t.Kind() != reflect.String && !isBytes(t):
		return i.wrong(path, "want "+want(t))
	}
	return nil
}

// number checks a JSON number: whole and in its range where the type says so.
func (i *inspector) number(path string, t reflect.Type, v json.Number) error {
	if t == nil {
		return nil
	}
	if readsItself(t) {
		return i.try(path, t, v)
	}
	switch k := t.Kind(); {
	case k == reflect.Float32 || k == reflect.Float64:
		if _, err := v.Float64(); err != nil {
			return i.wrong(path, "this number is too large")
		}
	case k >= reflect.Int && k <= reflect.Int64:
		if n, ok := new(big.Int).SetString(v.String(), 10); !ok || !n.IsInt64() || reflect.Zero(t).OverflowInt(n.Int64()) {
			return i.wrong(path, "want a whole number within its bounds")
		}
	default:
		return i.wrong(path, "want "+want(t))
	}
	return nil
}

// try lets a type that reads itself read a text or a number.
func (i *inspector) try(path string, t reflect.Type, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, reflect.New(t).Interface())
	}
	switch {
	case err == nil:
		return nil
	case t == reflect.TypeFor[time.Time]():
		return i.wrong(path, "want a date and time such as 2026-01-31T09:30:00Z")
	}
	return i.wrong(path, strings.TrimPrefix(err.Error(), "policy: "))
}

// readsItself reports whether a type says itself what of JSON it takes.
func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// A wrapper stands for a value of another type.
type wrapper interface{ wraps() reflect.Type }

// inner returns the type whose form a value has: what pointers point to and wrappers
// wrap, nil for any.
func inner(t reflect.Type) reflect.Type {
	for t != nil {
		if w, ok := reflect.Zero(t).Interface().(wrapper); ok {
			t = w.wraps()
			continue
		}
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	if t == nil || t.Kind() == reflect.Interface || t == reflect.TypeFor[json.RawMessage]() {
		return nil
	}
	return t
}

// isText reports whether a type that reads itself reads one word.
func isText(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
	}
	return readsItself(t)
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

func isListOf(t reflect.Type) bool {
	return (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && !isBytes(t)
}

// want names a type as JSON knows it.
func want(t reflect.Type) string {
	switch {
	case isBytes(t):
		return "a text in base64"
	case t.Kind() == reflect.String, readsItself(t):
		return "a text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case isListOf(t):
		return "a list"
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
		return "an object"
	}
	return "a number"
}

// A member is one that an object of a type may have.
type member struct {
	name  string
	typ   reflect.Type
	words string // of which vocabulary it is, "" if of none
	maybe bool   // it may be absent
}

// membersOf lists the members of a struct, those of embedded ones included.
func membersOf(t reflect.Type) (all []member) {
	for n := range t.NumField() {
		f := t.Field(n)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			all = append(all, membersOf(inner(f.Type))...)
		case f.IsExported() && name != "-":
			if name == "" {
				name = f.Name
			}
			all = append(all, member{name, f.Type, wordsOf(f), strings.Contains(rest, "omit")})
		}
	}
	return all
}

func names(all []member) (list []string) {
	for _, m := range all {
		list = append(list, m.name)
	}
	return list
}
