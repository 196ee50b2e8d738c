package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// odd are values that fit the type of no member, or only by their kind.
var odd = map[string]string{
	"a text": `"x"`, "an empty text": `""`, "a long text": `"` + strings.Repeat("ä", 4<<10) + `"`, "a NUL": `"a\u0000b"`, "a control character": `"a\u0001b"`, "half a character": `"\ud800"`,
	"a zero": `0`, "a negative number": `-1`, "a fraction": `1.5`, "a huge number": `1e400`, "a long number": strings.Repeat("9", 40), "the largest number": `9223372036854775807`,
	"true": `true`, "null": `null`, "a list": `[]`, "a list of lists": `[[]]`, "a list of null": `[null]`, "a list of texts": `["x","x"]`, "an object": `{}`, "an object of another": `{"zz":1}`,
}

// fits reports whether a value has a JSON kind that values of a type have.
func fits(t reflect.Type, value string) bool {
	t = inner(t)
	if t == nil || value == "null" {
		return true
	}
	if readsItself(t) {
		return value[0] != '[' && value[0] != '{' && value != "true"
	}
	switch value[0] {
	case '"':
		return t.Kind() == reflect.String || isBytes(t)
	case '[':
		return isListOf(t)
	case '{':
		return t.Kind() == reflect.Struct || t.Kind() == reflect.Map
	case 't':
		return t.Kind() == reflect.Bool
	}
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64
}

// TestP03_NoBodyIsTooBad sends every row with a body all kinds of bad ones: what cannot
// fit is refused with a line that names the member, and nothing makes the hub fail.
func TestP03_NoBodyIsTooBad(t *testing.T) {
	s := storetest.Open(t, storetest.Postgres(t)) // the stricter one: it keeps no NUL and nothing but UTF-8
	for _, r := range routes() {
		if r.do.takes == nil {
			continue
		}
		st := start(t, s)
		st.prepare(t, st.mine, r.pattern)
		key := st.manyKeys(t)
		for _, m := range membersOf(r.do.takes) {
			for what, value := range odd {
				got := st.do(t, key(), method(r.pattern), st.mine.path(r.pattern), swap(t, st.mine.body(r.pattern), m.name, value))
				if got.status >= 500 || !fits(m.typ, value) && (got.status != 400 || !strings.Contains(got.body, m.name)) {
					t.Errorf("%s with %s as %s: %d %.300s", r.pattern, what, m.name, got.status, got.body)
				}
			}
		}
	}
}

// swap puts a value in the place of a member.
func swap(t *testing.T, body, name, value string) string {
	t.Helper()
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	m[name] = json.RawMessage(value)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// manyKeys gives a new key before one would ask too often.
func (st *stack) manyKeys(t *testing.T) func() string {
	used, key := 0, ""
	return func() string {
		if used%25 == 0 { // the strictest class takes 30 a minute
			key = st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleOwner, Envs: []string{store.AllEnvs}})
		}
		used++
		return key
	}
}

func TestP03_BodiesThatAreNoneAreRefusedOnEveryRow(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	key := st.manyKeys(t)
	for _, r := range routes() {
		if r.do.decode == nil {
			continue
		}
		path := st.mine.path(r.pattern)
		send := func(body string, change ...func(*http.Request)) reply {
			return st.do(t, key(), method(r.pattern), path, body, change...)
		}
		for what, body := range map[string]string{"a list": "[]", "a text": `"x"`, "a number": "1", "null": "null", "half": `{"`, "two": "{} {}", "NUL": "\x00", "not UTF-8": "{\"a\":\"\xff\xfe\"}",
			"a form": "a=b&c=d", "XML": `<?xml version="1.0"?><a/>`, "deep": strings.Repeat("[", 5000), "deep inside": `{"a":` + strings.Repeat(`{"a":`, 2000), "another member": `{"no_such_member":1}`, "a member twice": `{"no":1,"no":1}`} {
			if got := send(body); got.status != 400 {
				t.Errorf("%s with %s: %d %.200s", r.pattern, what, got.status, got.body)
			}
		}
		if got := send(strings.Repeat(" ", int(r.body)+1)); got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s with too much: %d %.200s", r.pattern, got.status, got.body)
		}
		for _, media := range []string{"text/plain", "application/xml", "text/html; charset=utf-8", "application/json; charset", "video/mp4", "x"} {
			if got := send(st.mine.body(r.pattern), func(r *http.Request) { r.Header.Set("Content-Type", media) }); got.status != http.StatusUnsupportedMediaType {
				t.Errorf("%s as %s: %d %.200s", r.pattern, media, got.status, got.body)
			}
		}
	}
}

func TestP03_ParametersThatARowHasNotAreRefused(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	for _, r := range routes() {
		key := st.manyKeys(t)
		if r.pattern != "POST /api/directories/{directory}/evaluations" { // whose preparation takes away what later rows name
			st.prepare(t, st.mine, r.pattern)
		}
		path, _, _ := strings.Cut(st.mine.path(r.pattern), "?")
		for _, query := range []string{"no_such_parameter=1", "%00=1", "%ff=1", "=1"} {
			got := st.do(t, key(), method(r.pattern), path+"?"+query, st.mine.body(r.pattern))
			if got.status != 400 {
				t.Errorf("%s?%s: %d %.200s", r.pattern, query, got.status, got.body)
			}
		}
		for _, p := range r.query {
			bad := []string{p.name + "=%00", p.name + "=%ff", p.name + "=a%0ab", p.name + "=" + strings.Repeat("x", 5000)}
			if !p.many {
				bad = append(bad, p.name+"=1&"+p.name+"=1")
			} else {
				bad = append(bad, strings.Repeat(p.name+"=x&", maxRepeated+1))
			}
			switch {
			case p.kind == "integer":
				bad = append(bad, p.name+"=-1", p.name+"=1.5", p.name+"=x", p.name+"=99999999999999999999")
			case p.kind == "boolean":
				bad = append(bad, p.name+"=maybe", p.name+"=1")
			case p.words != nil:
				bad = append(bad, p.name+"=no_such_word")
			}
			for _, query := range bad {
				got := st.do(t, key(), method(r.pattern), path+"?"+query, st.mine.body(r.pattern))
				if got.status != 400 || !strings.Contains(got.body, p.name) {
					t.Errorf("%s?%.80s: %d %.200s", r.pattern, query, got.status, got.body)
				}
			}
		}
	}
}
