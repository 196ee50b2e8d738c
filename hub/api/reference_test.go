package api

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// deviations are what rows do otherwise than the public reference, and why. One that no
// longer holds fails the test.
var deviations = map[string]string{
	"CreateDirectoryResponse.redirect_url":              agentsHoldCredentials,
	"Directory.credentials":                             agentsHoldCredentials,
	"Directory.directory_secret":                        agentsHoldCredentials,
	"GET /api/directories/{directory}/authorize = 400":  agentsHoldCredentials,
	"POST /api/directories/{directory}/authorize = 400": agentsHoldCredentials,
	"Request.marked_for_deletion_after":                 "people are erased at once",
	"Request.unmasked_at":                               "people are erased at once",
	"WebhookDefinition.authorization_header":            "a secret is written and never shown",
	"WebhookDefinition.internal":                        "there are none",
}

// agentsHoldCredentials is the reason of several deviations.
const agentsHoldCredentials = "agents hold the credentials of directories"

// A promise is one operation of the public reference.
type promise struct {
	pattern, body, status, reply string
	query                        []string
}

// reference is testdata/reference.txt.
type reference struct {
	promises []promise
	types    map[string][]promised
}

// promised is a member of a type.
type promised struct {
	name, typ string
	maybe     bool
}

func readReference(t *testing.T) reference {
	t.Helper()
	b, err := os.ReadFile("testdata/reference.txt")
	if err != nil {
		t.Fatal(err)
	}
	ref := reference{types: map[string][]promised{}}
	for line := range strings.SplitSeq(string(b), "\n") {
		if name, list, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") {
			for _, m := range strings.Split(list, ", ") {
				member, typ, _ := strings.Cut(m, " ")
				plain, maybe := strings.CutSuffix(member, "?")
				ref.types[name] = append(ref.types[name], promised{plain, typ, maybe})
			}
		}
		if p := strings.Split(line, "|"); len(p) == 5 && !strings.HasPrefix(line, "#") {
			for i := range p {
				p[i] = strings.TrimSpace(p[i])
			}
			ref.promises = append(ref.promises, promise{p[0], p[2], p[3], p[4], strings.Fields(p[1])})
		}
	}
	if len(ref.promises) < 50 || len(ref.types) < 50 {
		t.Fatalf("%d operations, %d types", len(ref.promises), len(ref.types))
	}
	return ref
}

// comparison collects how rows and reference differ.
type comparison struct {
	reference
	found map[string]bool
}

func (c comparison) differs(what string, args ...any) { c.found[fmt.Sprintf(what, args...)] = true }

// TestEveryOperationOfTheReferenceIsARow compares paths, parameters, statuses, members and
// their types. That rows answer what they declare is seen by
// TestEveryRowAnswersAnOwnerWithItsStatus.
func TestEveryOperationOfTheReferenceIsARow(t *testing.T) {
	c := comparison{readReference(t), map[string]bool{}}
	rows := routes()
	for _, p := range c.promises {
		i := slices.IndexFunc(rows, func(r row) bool { return r.pattern == p.pattern })
		if i < 0 {
			c.differs("%s", p.pattern)
			continue
		}
		r := rows[i]
		if r.own {
			t.Errorf("%s is in the reference and marked ours", p.pattern)
		}
		if fmt.Sprint(r.status) != p.status {
			c.differs("%s = %d", p.pattern, r.status)
		}
		for _, q := range p.query {
			if !slices.Contains(r.parameters(), q) {
				c.differs("%s ?%s", p.pattern, q)
			}
		}
		c.compare(p.body, r.do.takes, false)
		c.compare(p.reply, r.reply, true)
	}
	for what := range c.found {
		if deviations[what] == "" {
			t.Errorf("not as in the reference: %s", what)
		}
	}
	for what := range deviations {
		if !c.found[what] {
			t.Errorf("as in the reference after all: %s", what)
		}
	}
	for _, r := range rows {
		if !r.own && !slices.ContainsFunc(c.promises, func(p promise) bool { return p.pattern == r.pattern }) {
			t.Errorf("%s is not in the reference: mark it ours()", r.pattern)
		}
	}
}

// compare compares the members of a type of the reference with a type of ours.
func (c comparison) compare(name string, ours reflect.Type, answers bool) {
	want, known := c.types[name]
	if !known || ours == nil {
		return
	}
	ours = inner(ours)
	members := membersOf(ours)
	for _, w := range want {
		i := slices.IndexFunc(members, func(m member) bool { return m.name == w.name })
		if i < 0 {
			c.differs("%s.%s", name, w.name)
			continue
		}
		if answers && members[i].maybe && !w.maybe {
			c.differs("%s.%s may be absent", name, w.name)
		}
		if !c.alike(w.typ, members[i].typ, answers) {
			c.differs("%s.%s is %s", name, w.name, members[i].typ)
		}
	}
}

// alike reports whether a type is one of the reference, and compares what is in it.
func (c comparison) alike(want string, t reflect.Type, answers bool) bool {
	t = inner(t)
	if want == "any" || want == "raw" || t == nil {
		return true
	}
	if element, ok := strings.CutPrefix(want, "[]"); ok {
		return t.Kind() == reflect.Slice && c.alike(element, t.Elem(), answers)
	}
	if element, ok := strings.CutPrefix(want, "map:"); ok {
		return t.Kind() == reflect.Map && c.alike(element, t.Elem(), answers)
	}
	if _, known := c.types[want]; known {
		c.compare(want, t, answers)
		return t.Kind() == reflect.Struct
	}
	switch want {
	case "int":
		return t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64
	case "bool":
		return t.Kind() == reflect.Bool
	case "float":
		return t.Kind() == reflect.Float64
	case "datetime":
		return t == reflect.TypeFor[time.Time]()
	case "NumericRequestStatus", "AccountBulkUpdateStatus":
		return t.Kind() == reflect.Int
	}
	return t.Kind() == reflect.String || isBytes(t) || readsItself(t)
}

// conforms returns where a value is not what a schema says.
func (s *schemas) conforms(path string, o object, v any) (wrong []string) {
	if ref, ok := o.get("$ref").(string); ok {
		return s.conforms(path, s.made[ref[strings.LastIndex(ref, "/")+1:]], v)
	}
	if any, ok := o.get("anyOf").(list); ok {
		for _, one := range any {
			if wrong = s.conforms(path, one.(object), v); wrong == nil {
				return nil
			}
		}
		return wrong
	}
	no := func() []string { return []string{fmt.Sprintf("%s is %.80v, want %v", path, v, o.get("type"))} }
	switch o.get("type") {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			return no()
		}
		return s.objectConforms(path, o, m)
	case "array":
		l, ok := v.([]any)
		if !ok {
			return no()
		}
		for i, one := range l {
			wrong = append(wrong, s.conforms(fmt.Sprintf("%s[%d]", path, i), o.get("items").(object), one)...)
		}
		return wrong
	case "string":
		text, ok := v.(string)
		if _, err := time.Parse(time.RFC3339, text); !ok || o.get("format") == "date-time" && err != nil {
			return no()
		}
		if enum, ok := o.get("enum").(list); ok && text != "" && !slices.Contains(enum, any(text)) {
			return []string{path + " is no word of its vocabulary: " + text}
		}
	case "integer":
		if n, ok := v.(json.Number); !ok || strings.ContainsAny(n.String(), ".eE") {
			return no()
		}
	case "number":
		if _, ok := v.(json.Number); !ok {
			return no()
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return no()
		}
	case "null":
		if v != nil {
			return no()
		}
	}
	return nil
}

func (s *schemas) objectConforms(path string, o object, m map[string]any) (wrong []string) {
	if each, ok := o.get("additionalProperties").(object); ok {
		for name, v := range m {
			wrong = append(wrong, s.conforms(path+"."+name, each, v)...)
		}
		return wrong
	}
	if required, ok := o.get("required").(list); ok {
		for _, name := range required {
			if _, there := m[name.(string)]; !there {
				wrong = append(wrong, fmt.Sprintf("%s.%s is missing", path, name))
			}
		}
	}
	properties, _ := o.get("properties").(object)
	for name, v := range m {
		one, ok := properties.get(name).(object)
		if !ok {
			wrong = append(wrong, path+"."+name+" is in no schema")
			continue
		}
		wrong = append(wrong, s.conforms(path+"."+name, one, v)...)
	}
	return wrong
}

// checkReply wants an answer to be what the row declares.
func (s *schemas) checkReply(t *testing.T, r row, body string) {
	t.Helper()
	if r.reply == nil || r.reply == reflect.TypeFor[jpegImage]() {
		return
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Errorf("%s: %q: %v", r.pattern, body, err)
		return
	}
	for _, wrong := range s.conforms("", s.of(r.reply), v) {
		t.Errorf("%s answers otherwise than its schema says: %s", r.pattern, wrong)
	}
}

// TestEveryExampleIsWhatItsSchemaSays keeps the examples of docs/openapi.yaml true.
func TestEveryExampleIsWhatItsSchemaSays(t *testing.T) {
	s := newDescription(t).schemas
	for _, r := range routes() {
		if r.do.takes == nil {
			continue
		}
		d := json.NewDecoder(strings.NewReader(illustrate(r.example)))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Errorf("%s: %v", r.pattern, err)
			continue
		}
		for _, wrong := range s.conforms("", s.of(r.do.takes), v) {
			t.Errorf("the example of %s: %s", r.pattern, wrong)
		}
		if left := regexp.MustCompile(`"[^"]*\{[a-z]+\}[^"]*"`).FindString(illustrate(r.example)); left != "" && !strings.Contains(left, "{code}") && !strings.Contains(left, "{link}") {
			t.Errorf("the example of %s: nothing stands for %s", r.pattern, left)
		}
	}
}
