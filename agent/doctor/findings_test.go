package doctor

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// section is a part of docs/findings.md.
type section struct{ anchor, number, title, severity, fix, text string }

var sections = regexp.MustCompile(`(?ms)^<a id="(f\d+)"></a>\n\n### (\d+) ([^\n]+)\n\n\*\*(\w+)\.\*\* Fix: ([^\n]+)\.\n\n(.+?)\n(?:\n|\z)`)

func TestThePageAndTheTableOfFindingsAreTheSame(t *testing.T) {
	page, err := os.ReadFile("../../docs/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]section{}
	var order []int
	for _, m := range sections.FindAllStringSubmatch(string(page), -1) {
		written[m[1]] = section{m[1], m[2], m[3], m[4], m[5], m[6]}
		n, _ := strconv.Atoi(m[2])
		order = append(order, n)
	}
	if n := strings.Count(string(page), "\n### "); n != len(written) {
		t.Errorf("%d sections, of which %d have the form of the others", n, len(written))
	}
	if !slices.IsSorted(order) {
		t.Errorf("the page is not in the order of the numbers: %v", order)
	}
	for _, f := range Findings {
		got := written[f.Anchor()]
		delete(written, f.Anchor())
		want := section{f.Anchor(), strconv.Itoa(f.Number), f.Title, strings.ToUpper(string(f.Severity[:1])) + string(f.Severity[1:]), f.Fix, got.text}
		if got != want {
			t.Errorf("docs/findings.md has\n%+v\nwant\n%+v", got, want)
		}
	}
	for anchor := range written {
		t.Errorf("docs/findings.md has %s, which is in no row of the table", anchor)
	}
}

func TestEveryFindingHasOneNumberATitleAndAFix(t *testing.T) {
	last := 0
	for _, f := range Findings {
		if f.Number <= last {
			t.Errorf("%d comes after %d", f.Number, last)
		}
		last = f.Number
		if f.Title == "" || f.Fix == "" || strings.ContainsAny(f.Fix, "\n") || strings.HasSuffix(f.Fix, ".") || words[f.Severity].word == "" {
			t.Errorf("row %+v", f)
		}
		if ByNumber(f.Number) != f {
			t.Errorf("ByNumber(%d) is another row", f.Number)
		}
	}
	numbers := constants(t)
	if len(numbers) != len(Findings) {
		t.Errorf("%d numbers and %d rows", len(numbers), len(Findings))
	}
	for n := range numbers {
		if ByNumber(n).Number == 0 {
			t.Errorf("number %d has no row", n)
		}
	}
}

// numbered are the lines of findings.go that give a finding its number.
var numbered = regexp.MustCompile(`(?m)^\t([A-Z]\w+)\s+= (\d+)$`)

// constants are the names of the numbers.
func constants(t *testing.T) map[int]string {
	t.Helper()
	source, err := os.ReadFile("findings.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[int]string{}
	for _, m := range numbered.FindAllStringSubmatch(string(source), -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil || names[n] != "" {
			t.Errorf("number %s of %s: %v", m[2], m[1], err)
		}
		names[n] = m[1]
	}
	return names
}

// report is one of every kind of step.
func report() *Report {
	r := &Report{Version: "1.2.3"}
	r.OK("hub", "name", "id.example.com is 192.0.2.7")
	r.Found("hub", "certificate", Inspected, "Zscaler", "1. CN=id.example.com")
	r.Found("hub", "clock", ClockOff, "40s ahead")
	r.Advise("account", "right: Reset Password", RightMissing, "for reset", []string{`dsacls "OU=Staff" /G x`})
	return r
}

func TestReportsNameTheFirstThingToDo(t *testing.T) {
	var out strings.Builder
	r := report()
	if err := r.Text(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nhub\n  ok       name                       id.example.com is 192.0.2.7\n", "note     certificate ", "WARNING  clock", "PROBLEM  right: Reset Password      The agent's account lacks a right on this account (401)\n",
		"           for reset\n", "  dsacls \"OU=Staff\" /G x\n", "more: docs/findings.md#f401", "1 problem, 1 warning. Begin with 401 (account right: Reset Password)", "Nothing was changed.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours where none were wanted")
	}
	out.Reset()
	if err := r.Text(&out, true); err != nil || !strings.Contains(out.String(), red+"PROBLEM") {
		t.Errorf("no colours: %v", err)
	}
}

func TestTheExitCodeIsThatOfTheWorstFinding(t *testing.T) {
	for number, want := range map[int]int{0: ExitWell, Inspected: ExitWell, ClockOff: ExitWarnings, HubAway: ExitProblems} {
		r := &Report{}
		r.Found("hub", "x", number, "")
		r.OK("hub", "y", "")
		if got := r.Exit(); got != want {
			t.Errorf("%d: exit %d, want %d", number, got, want)
		}
	}
}

func TestJSONHasEveryStepWithItsFinding(t *testing.T) {
	var out strings.Builder
	if err := report().JSON(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"problems": 1`, `"warnings": 1`, `"notes": 1`, `"number": 401`, `"severity": "problem"`, `"page": "docs/findings.md#f401"`, `"paste": [`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %s:\n%s", want, out.String())
		}
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("a\x1b[31mb\r\nc")
	f.Add(strings.Repeat("é", 1000))
	f.Fuzz(func(t *testing.T, text string) {
		got := OneLine(text)
		if strings.ContainsFunc(got, func(c rune) bool { return c < ' ' || c == 0x7f || c == 0x9b }) || len([]rune(got)) > maxLine+1 {
			t.Errorf("%q", got)
		}
	})
}
