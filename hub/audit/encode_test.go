package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// standard is what encoding/json makes of a leaf, with the detail behind it: the bytes of
// every log that there is.
func standard(t *testing.T, l leaf) string {
	t.Helper()
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	name, err := json.Marshal(l.Kind)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s,%s:%s}", b[:len(b)-1], name, l.Detail)
}

func sameBytes(t *testing.T, l leaf) {
	t.Helper()
	got, err := l.encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := standard(t, l); string(got) != want {
		t.Errorf("encoded as\n%s, not\n%s", got, want)
	}
}

// Each member and each kind has the bytes that encoding/json gives it, whatever texts hold.
func TestT09_ALeafHasTheBytesOfEncodingJSON(t *testing.T) {
	at := time.Date(2026, 5, 6, 7, 8, 9, 120_000_000, time.UTC)
	for _, k := range Kinds {
		sameBytes(t, leaf{ID: "01J", Time: at, Kind: k, Org: "o", Detail: json.RawMessage("{}")})
	}
	for _, text := range []string{"", "plain", "Ada <Lovelace> & \"co\"", `back\slash`, "\x00\t\n\x7f", "Ünïcode 日本 \u2028\u2029", "\xff\xfe cut", strings.Repeat("x", 3000)} {
		members := map[string]string{"b": text, "a" + text: "1", "": "2"}
		all := leaf{ID: text, Time: at.Add(time.Duration(len(text))), Kind: "k", Trace: text, Truncated: true, Remote: text, UserAgent: text, Org: text, Env: text, Account: text,
			Principal: &Principal{Role: text, OrgMember: text, Email: text, APIKey: text, Subject: text, Agent: text, System: text},
			Personal:  &personal{Person: text, Key: text, Members: members}, Detail: json.RawMessage(`{"a":1}`)}
		sameBytes(t, all)
		for _, p := range []Principal{{}, {Role: text}, {System: text}, {APIKey: text, Agent: "a"}} {
			sameBytes(t, leaf{Time: at, Principal: &p, Personal: &personal{}, Detail: json.RawMessage("{}")})
		}
		sameDetail(t, members)
	}
	sameDetail(t, map[string]string{})
	if _, err := detail(map[string]string(nil)); err == nil {
		t.Error("a detail without an object was taken")
	}
}

func sameDetail(t *testing.T, members map[string]string) {
	t.Helper()
	got, err := detail(members)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(maps.Clone(members))
	if err != nil || string(got) != string(want) {
		t.Errorf("the detail is\n%s, not\n%s: %v", got, want, err)
	}
}

func FuzzLeaf(f *testing.F) {
	f.Add("id", "trace", "a <b>", int64(1_700_000_000_123), true)
	f.Add("\xf0\x28", "\u2028", `"\`, int64(0), false)
	f.Fuzz(func(t *testing.T, a, b, c string, ms int64, truncated bool) {
		ms = min(max(ms, 0), 1<<47)
		if y := time.UnixMilli(ms).UTC().Year(); y > 9999 {
			ms = 0
		}
		sameBytes(t, leaf{ID: a, Time: time.UnixMilli(ms).UTC(), Kind: Kind(b), Trace: c, Truncated: truncated, Remote: b, UserAgent: c, Org: a, Env: c, Account: b,
			Principal: &Principal{Role: c, Subject: a}, Personal: &personal{Person: b, Key: c, Members: map[string]string{a: b, b: c, c: a}}, Detail: json.RawMessage("{}")})
		sameDetail(t, map[string]string{a: b, b: c, c: a})
	})
}
