package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// trusting lets an edge take the client's address from this machine's headers.
const trusting = "servers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t}"

// volatile is what differs between two recoveries of one address: ids, tokens, times.
var volatile = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`/r/[A-Za-z0-9_-]{22}`), "/r/ID"},
	{regexp.MustCompile(`data-forget="[A-Za-z0-9_-]{22}"`), "data-forget=ID"},
	{regexp.MustCompile(`name="form" value="[^"]*"`), "FORM"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\d{1,2}:\d\d( [AP]M)?`), "CLOCK"},
	{regexp.MustCompile(`(recovery-|r-|session-?)?[A-Za-z0-9_-]{22}=[A-Za-z0-9_-]{26,43}`), "SESSION"},
	{regexp.MustCompile(`form=[A-Z2-7]{26}`), "FORM"},
}

// seenAs is everything that a visitor can see of the last answer, without what is volatile.
func (v *visitor) seenAs() string {
	header := v.header.Clone()
	for _, name := range []string{"Date", "Content-Length"} {
		header.Del(name)
	}
	var b strings.Builder
	fmt.Fprintln(&b, v.status)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		fmt.Fprintln(&b, name, header[name])
	}
	text := b.String() + v.page
	for _, x := range volatile {
		text = x.form.ReplaceAllString(text, x.as)
	}
	return text
}

// difference is the first line in which two texts differ.
func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("%q and %q", x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// A step is one request of the way up to the code.
type step struct {
	name string
	do   func(v *visitor, mail string)
}

// wayToTheCode is every page and every form up to code entry, and wrong codes.
var wayToTheCode = []step{
	{"first page", func(v *visitor, _ string) { v.alone("GET", "/", nil) }},
	{"address", func(v *visitor, mail string) {
		v.alone("POST", "/start", v.form("email", mail))
		v.path = v.header.Get("Location")
	}},
	{"what is needed", func(v *visitor, _ string) { v.alone("GET", v.recovery(), nil) }},
	{"choice", func(v *visitor, _ string) { v.alone("POST", v.recovery()+"/choose", v.form("op", "password")) }},
	{"code page", func(v *visitor, _ string) { v.alone("GET", v.recovery(), nil) }},
	{"state", func(v *visitor, _ string) { v.alone("GET", v.recovery()+"/state", nil) }},
	{"code page again", func(v *visitor, _ string) { v.alone("GET", v.recovery(), nil) }},
	{"another code too soon", func(v *visitor, _ string) { v.alone("POST", v.recovery()+"/resend", v.form()) }},
	{"code page after that", func(v *visitor, _ string) { v.alone("GET", v.recovery(), nil) }},
	{"wrong code", func(v *visitor, _ string) { v.alone("POST", v.recovery()+"/code", v.form("code", "00000000")) }},
	{"press before the proof", func(v *visitor, _ string) {
		v.alone("POST", v.recovery()+"/perform", v.form("recipient", v.recipient()))
	}},
	{"page at the end", func(v *visitor, _ string) { v.alone("GET", v.recovery(), nil) }},
}

func TestP09_T30_NobodyLearnsBeforeTheProofWhetherAnAddressIsKnown(t *testing.T) {
	t.Parallel()
	s := corp(t)
	gone, boss := hire(t, s, "udo", "corpStatus: left\n"), hire(t, s, "ada", "")
	s.Modify(t, "dn: cn=admins,"+testenv.SlapdGroups+"\nchangetype: modify\nadd: member\nmember: "+boss.dn+"\n")
	known := hire(t, s, "ida", "")
	e := startEdge(t, edgeConfig{Global: trusting})
	v := e.environment(t, "alike", "ldap")
	v.startAgent(slapdAgent(s))
	mails := map[string]string{"known": known.mail, "unknown": "nobody@corp.example", "disabled": gone.mail, "protected": boss.mail,
		"ambiguous": "info@corp.example", "without another address": "cleo@corp.example"}
	took := map[string]map[string][]time.Duration{}
	for round := range 12 { // codes end after three, tries after ten: that looks the same too
		walkAlike(t, v, mails, round, took)
	}
	if v.codes(known.private) == 0 || v.codes(gone.private)+v.codes("nobody@corp.example") != 0 {
		t.Errorf("%d codes to the known address, %d to the disabled one: the addresses are not what this test says", v.codes(known.private), v.codes(gone.private))
	}
	startTimes(v, mails, took)
	for _, name := range slices.Sorted(maps.Keys(took)) {
		line := ""
		for _, kind := range slices.Sorted(maps.Keys(mails)) {
			list := slices.Sorted(slices.Values(took[name][kind]))
			line += fmt.Sprintf("  %s %.1f (p90 %.1f)", kind, ms(list[len(list)/2]), ms(list[len(list)*9/10]))
		}
		t.Logf("%-24s p50 ms, %3d tries:%s", name, len(took[name]["known"]), line)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// walkAlike walks the way with every kind of address and compares each answer with that
// of the unknown one.
func walkAlike(t *testing.T, v *environment, mails map[string]string, round int, took map[string]map[string][]time.Duration) {
	t.Helper()
	visitors := map[string]*visitor{}
	for kind := range mails {
		visitors[kind] = v.visit()
		visitors[kind].address = fmt.Sprintf("198.51.100.%d", round)
	}
	for _, s := range wayToTheCode {
		want := ""
		for _, kind := range append([]string{"unknown"}, slices.Sorted(maps.Keys(mails))...) {
			p := visitors[kind]
			if kind == "unknown" && want != "" {
				continue
			}
			before := time.Now()
			s.do(p, mails[kind])
			if took[s.name] == nil {
				took[s.name] = map[string][]time.Duration{}
			}
			took[s.name][kind] = append(took[s.name][kind], time.Since(before))
			if want == "" {
				want = p.seenAs()
			} else if got := p.seenAs(); got != want {
				t.Errorf("round %d, %s: %s is told from unknown: %s", round, s.name, kind, difference(got, want))
			}
		}
	}
}

// startTimes measures the first answer many times.
func startTimes(v *environment, mails map[string]string, took map[string]map[string][]time.Duration) {
	const name, tries = "address, many times", 170 // a thousand together
	took[name] = map[string][]time.Duration{}
	p := v.visit()
	p.alone("GET", "/", nil)
	form := p.form()
	for i := range tries {
		for kind, mail := range mails {
			p.address = fmt.Sprintf("198.18.%d.%d", i/50, i%50)
			one := url.Values{"form": form["form"], "email": {mail}}
			before := time.Now()
			if status := p.alone(http.MethodPost, "/start", one); status != http.StatusSeeOther {
				v.t.Fatalf("start: %d", status)
			}
			took[name][kind] = append(took[name][kind], time.Since(before))
		}
	}
}
