package export

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
)

func event(t testing.TB, raw string) Event {
	t.Helper()
	e, err := Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// hostile holds what would end a line or a field in each format.
const hostile = "a\"]b|c=d\\e\nf\r\n<13>1 - - - - - - g\u2028h\u0085i\u202ej\x00k 😀"

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func hostileEvent(s string) string {
	q := quoted(s)
	return `{"id":` + q + `,"time":"2026-05-31T12:00:00.123Z","kind":` + q + `,"trace":` + q + `,"org":` + q + `,"env":` + q + `,"account":` + q +
		`,"remote_addr":` + q + `,"user_agent":` + q + `,"principal":{"api_key":` + q + `},"x":{"y":` + q + "},\n\"personal\":{" + q + ":" + q + "}}"
}

var (
	syslogForm = regexp.MustCompile(`^<1(09|08|07|10)>1 2026-05-31T12:00:00\.123Z [!-~]{1,255} postern - [!-~]{1,32} (-|\[postern@32473( [a-z]+="([^"\\\]]|\\["\\\]])*")+\]) `)
	cefForm    = regexp.MustCompile(`^CEF:0\|Postern\|Postern\|1\|([^|\\]|\\[|\\])*\|([^|\\]|\\[|\\])*\|\d+\|(([a-zA-Z0-9]+)=([^=\\]|\\[=\\])*( |$))+`)
)

var cefStart = regexp.MustCompile(`^CEF:0\|Postern\|Postern\|1\|([^|\\]|\\[|\\])*\|([^|\\]|\\[|\\])*\|\d+\|`)

// fieldsOf are the names of the extension of CEF: an equals sign that is not escaped ends one.
func fieldsOf(line string) (names []string) {
	for _, m := range regexp.MustCompile(`(?:^| )([a-zA-Z0-9]+)=`).FindAllStringSubmatch(cefStart.ReplaceAllString(line, ""), -1) {
		names = append(names, m[1])
	}
	return names
}

// checkLines wants exactly one well-formed line in every format.
func checkLines(t *testing.T, e Event) {
	t.Helper()
	for _, f := range Formats {
		for _, write := range []func(Format, string) ([]byte, error){e.Line, e.Message} {
			b, err := write(f, "id.example.com\nx")
			if err != nil {
				t.Fatal(f, err)
			}
			if bytes.ContainsFunc(b, func(r rune) bool {
				return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0x202e
			}) {
				t.Errorf("%s: not one line: %q", f, b)
			}
			if b[0] == '<' && !syslogForm.Match(b) {
				t.Errorf("%s: no message of RFC 5424: %s", f, b)
			}
			if at := bytes.Index(b, []byte("CEF:0")); f == CEF && (at < 0 || !cefForm.Match(b[at:])) {
				t.Errorf("no CEF: %s", b)
			}
			if b[0] == '{' && !json.Valid(b) {
				t.Errorf("%s: no JSON: %s", f, b)
			}
		}
	}
}

func TestT35_NoEventEndsALineOrAFieldOfAnyFormat(t *testing.T) {
	e := event(t, hostileEvent(hostile))
	checkLines(t, e)
	checkLines(t, e.brief())
	tame := event(t, hostileEvent("tame"))
	b, _ := tame.Line(CEF, "h")
	h, _ := e.Line(CEF, "h")
	if want, got := fieldsOf(string(b)), fieldsOf(string(h)); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("fields %v; want %v", got, want)
	}
	line, _ := e.Line(JSONLines, "h")
	var back, was any
	if json.Unmarshal(line, &back) != nil || json.Unmarshal([]byte(hostileEvent(hostile)), &was) != nil || written(back) != written(was) {
		t.Errorf("JSON lines say something else: %s", line)
	}
}

func written(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func FuzzLines(f *testing.F) {
	f.Add(hostile)
	f.Add("")
	f.Add("\xff\xfe =|]")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := Parse([]byte(hostileEvent(s)))
		if err != nil {
			return
		}
		checkLines(t, e)
		checkLines(t, e.brief())
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(hostileEvent(hostile)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if e, err := Parse(raw); err == nil && e.Time.Year() == 2026 {
			for _, format := range Formats {
				if b, err := e.Line(format, "h"); err != nil || bytes.ContainsAny(b, "\r\n") {
					t.Errorf("%s %q %v", format, b, err)
				}
			}
		}
	})
}

func TestWhatEachFormatSays(t *testing.T) {
	e := event(t, `{"id":"01J","time":"2026-05-31T12:00:00.123Z","kind":"operation_finished","trace":"t1","org":"o1","env":"e1","account":"a1","remote_addr":"192.0.2.7","principal":{"agent":"g1"},"operation_finished":{"outcome":"a=b|c"}}`)
	raw := `{"id":"01J","time":"2026-05-31T12:00:00.123Z","kind":"operation_finished","trace":"t1","org":"o1","env":"e1","account":"a1","remote_addr":"192.0.2.7","principal":{"agent":"g1"},"operation_finished":{"outcome":"a=b|c"}}`
	for f, want := range map[Format]string{
		JSONLines: raw,
		RFC5424:   `<108>1 2026-05-31T12:00:00.123Z hub.test postern - operation_finished [postern@32473 id="01J" kind="operation_finished" org="o1" env="e1" account="a1" trace="t1" actor="g1" src="192.0.2.7"] ` + raw,
		CEF: `CEF:0|Postern|Postern|1|operation_finished|operation finished|6|rt=1780228800123 externalId=01J suid=g1 spriv=agent duid=a1 src=192.0.2.7 cs1Label=organisation cs1=o1 cs2Label=environment cs2=e1 cs3Label=trace cs3=t1 msg=` +
			strings.ReplaceAll(raw, "=", `\=`),
		OCSF: `{"category_uid":3,"class_uid":3001,"class_name":"Account Change","activity_id":4,"activity_name":"operation_finished","type_uid":300104,"severity_id":3,"status_id":0,"time":1780228800123,` +
			`"metadata":{"version":"1.3.0","product":{"name":"Postern","vendor_name":"Postern"},"uid":"01J","event_code":"operation_finished","correlation_uid":"t1","tenant_uid":"o1","log_provider":"hub.test"},` +
			`"actor":{"user":{"uid":"g1","type":"agent"}},"user":{"uid":"a1"},"src_endpoint":{"ip":"192.0.2.7"},"unmapped":` + raw + `}`,
	} {
		if got, err := e.Line(f, "hub.test"); err != nil || string(got) != want {
			t.Errorf("%s\n%s\nwant\n%s\n%v", f, got, want, err)
		}
	}
}

func TestEveryKindHasAShape(t *testing.T) {
	for _, k := range append([]audit.Kind{TestKind}, audit.Kinds...) {
		if s := shapes[k]; s.class.uid == 0 || s.priority() == 0 || s.cefSeverity() == 0 {
			t.Errorf("%s: add it to the table of shapes", k)
		}
	}
	if len(shapes) != len(audit.Kinds)+1 {
		t.Errorf("%d shapes of %d kinds", len(shapes), len(audit.Kinds)+1)
	}
}

func TestWhatDoesNotFitLosesItsDetailAndThenIsDropped(t *testing.T) {
	s := Settings{Name: "n", URL: "tls://c.test:6514", Format: RFC5424, MaxBytes: leastBytes}
	long := event(t, `{"id":"1","time":"2026-05-31T12:00:00Z","kind":"env_updated","env_updated":{"x":"`+strings.Repeat("x", 4000)+`"}}`)
	if b, err := s.message(long, "h"); err != nil || len(b) > leastBytes || !bytes.Contains(b, []byte(`"truncated":true`)) {
		t.Errorf("%s %v", b, err)
	}
	if b, err := s.message(event(t, hostileEvent(strings.Repeat("x", 3000))), "h"); err != nil || b != nil {
		t.Errorf("%s %v", b, err)
	}
}
