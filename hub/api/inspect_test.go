package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
)

// everything has a member of each kind that bodies have.
type everything struct {
	Name    string                     `json:"name"`
	Role    *string                    `json:"role,omitempty" words:"role"`
	Claims  []string                   `json:"claims,omitempty" words:"claim"`
	Count   int                        `json:"count,omitempty"`
	On      bool                       `json:"on,omitempty"`
	At      *time.Time                 `json:"at,omitempty"`
	End     optional[time.Time]        `json:"end,omitzero"`
	For     policy.Duration            `json:"for,omitempty"`
	Bytes   []byte                     `json:"bytes,omitempty"`
	Share   float64                    `json:"share,omitempty"`
	Any     any                        `json:"any,omitempty"`
	Policy  map[string]policy.Strength `json:"policy,omitempty"`
	Members []struct {
		ID string `json:"id"`
	} `json:"members,omitempty"`
}

func TestABodyIsReadStrictlyAndMistakesAreNamed(t *testing.T) {
	for body, want := range map[string]string{
		`[]`: "must be a JSON object", `"x"`: "must be a JSON object", `null`: "must be a JSON object", `{`: "ends too early", `{"name":"a"`: "ends too early",
		`{"name":"a"} {}`: "nothing after it", `{"name":"a"},`: "nothing after it", `{"name" "a"}`: "not JSON", "{\"name\":\"\xff\"}": "not UTF-8",
		`{"nam":"a"}`: "nam: there is no such member; did you mean name?", `{"Name":"a"}`: "Name: there is no such member; did you mean name?", `{"zzzzzzzz":1}`: "there are: name, role",
		`{"name":"a","name":"b"}`: "name: stands here twice", `{"any":{"x":1,"x":2}}`: "any.x: stands here twice",
		`{"name":1}`: "name: want a text", `{"name":["a"]}`: "name: want a text", `{"name":{}}`: "name: want a text", `{"name":true}`: "name: want a text", `{"name":"a\u0000"}`: "name: a NUL",
		`{"role":"admn"}`: `role: "admn" is none of limited, limited_plus, user, admin, owner; did you mean admin?`, `{"claims":["name","nam"]}`: `claims[1]: "nam" is none of`,
		`{"count":"1"}`: "count: want a number", `{"count":1.5}`: "count: want a whole number", `{"count":1e400}`: "count: want a whole number", `{"count":99999999999999999999}`: "count: want a whole number",
		`{"share":1e999}`: "share: this number is too large", `{"on":"true"}`: "on: want true or false", `{"on":1}`: "on: want true or false",
		`{"at":"tomorrow"}`: "at: want a date and time such as", `{"end":"2026"}`: "end: want a date and time", `{"at":5}`: "at: want a date and time", `{"at":true}`: "at: want a text",
		`{"for":"soon"}`: "for: ", `{"bytes":5}`: "bytes: want a text in base64", `{"policy":{"password":"weak"}}`: "policy.password: ", `{"members":[{"id":1}]}`: "members[0].id: want a text",
		`{"members":{}}`: "members: want a list", `{"members":[[]]}`: "members[0]: want an object", `{"any":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`: "nests deeper",
	} {
		_, err := decode[everything]([]byte(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", body, err, want)
		}
	}
	for _, body := range []string{``, ` `, `{}`, `{"name":null,"claims":null,"at":null,"members":null,"policy":null}`, `{"end":null}`, `{"for":"1h30m"}`, `{"for":3600000000000}`,
		`{"name":"a","role":"admin","claims":["name"],"count":3,"on":true,"at":"2026-01-31T09:30:00+01:00","end":"2026-01-31T09:30:00Z","bytes":"AAA=","share":0.5,"any":[{"x":[1]}],"policy":{"password":"photo"},"members":[{"id":"1"}]}`} {
		if _, err := decode[everything]([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	var many strings.Builder
	for range 50 {
		many.WriteString(`"x` + strings.Repeat("y", many.Len()) + `":1,`)
		if many.Len() > 4000 {
			break
		}
	}
	if lines := inspect([]byte("{"+many.String()+`"z":1}`), reflect.TypeFor[everything]()); len(lines) > maxLines || len(lines) < 2 || len(strings.Join(lines, "")) > 4000 {
		t.Errorf("%d lines: %.200s", len(lines), lines)
	}
}

// FuzzInspect wants that a body which passes is one that encoding/json reads too, and
// that nothing which it says is longer than an answer should be.
func FuzzInspect(f *testing.F) {
	for _, body := range []string{`{}`, `{"name":"a"}`, `{"any":[1,{"x":null}]}`, `{"for":"1h","end":null}`, `{"policy":{"password":"photo"}}`, `{"a":`, `[`, "{\"\x00\":1}"} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := decode[everything](body)
		if err != nil {
			if len(err.Error()) > 8<<10 {
				t.Errorf("%d bytes of answer for %d of body", len(err.Error()), len(body))
			}
			return
		}
		if strings.ContainsRune(v.Name, 0) {
			t.Error("a NUL went through")
		}
		if b := strings.TrimSpace(string(body)); b != "" && !json.Valid([]byte(b)) {
			t.Errorf("%q went through", b)
		}
	})
}
