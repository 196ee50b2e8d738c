package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Escape sequences of ECMA-48 (select graphic rendition).
const (
	red, yellow, green, blue, bold, plain = "\x1b[31;1m", "\x1b[33;1m", "\x1b[32m", "\x1b[36m", "\x1b[1m", "\x1b[0m"
)

// Widths of the columns in front of what was seen.
const (
	wordWidth = 8
	whatWidth = 26
	indent    = "           "
)

// words are how severities are shown; "" is that all is well.
var words = map[Severity]struct{ word, colour string }{
	"":      {"ok", green},
	Note:    {"note", blue},
	Warning: {"WARNING", yellow},
	Problem: {"PROBLEM", red},
}

// Text writes the report for people. It is nothing but ASCII around what was seen, and
// has colours only if colour is set.
func (r *Report) Text(w io.Writer, colour bool) error {
	t := texter{w: w, colour: colour}
	area := ""
	for _, s := range r.Steps {
		if s.Area != area {
			t.print("\n%s\n", t.in(bold, s.Area))
			area = s.Area
		}
		t.step(s)
	}
	t.summary(r)
	return t.err
}

// A texter keeps the first error of its writer.
type texter struct {
	w      io.Writer
	colour bool
	err    error
}

func (t *texter) print(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

func (t *texter) in(colour, text string) string {
	if !t.colour {
		return text
	}
	return colour + text + plain
}

func (t *texter) step(s Step) {
	f := ByNumber(s.Number)
	shown, says := words[f.Severity], s.Detail
	if f.Number != 0 {
		says = t.in(bold, f.Title) + " (" + strconv.Itoa(f.Number) + ")"
	}
	t.print("  %s %-*s %s\n", t.in(shown.colour, fmt.Sprintf("%-*s", wordWidth, shown.word)), whatWidth, s.What, says)
	if f.Number != 0 && s.Detail != "" {
		t.print("%s%s\n", indent, s.Detail)
	}
	for _, line := range s.Lines {
		t.print("%s  %s\n", indent, line)
	}
	if len(s.Paste) > 0 {
		t.print("%srun, as an administrator of the directory:\n", indent)
	}
	for _, line := range s.Paste {
		t.print("%s  %s\n", indent, t.in(bold, line))
	}
	if len(s.Write) > 0 {
		key, _, _ := strings.Cut(s.Write[0], " = ")
		table := "[" + s.Table + "]"
		if strings.Contains(s.Table, ".") {
			table = "[" + table + "]" // one of several
		}
		t.print("%swrite into the table %s of the agent's file: add this line, or put it in place of %s with its whole value:\n", indent, table, key)
	}
	for _, line := range s.Write {
		t.print("%s  %s\n", indent, t.in(bold, line))
	}
	if f.Number != 0 {
		t.print("%sfix:  %s\n%smore: %s\n", indent, f.Fix, indent, f.Page())
	}
}

func (t *texter) summary(r *Report) {
	t.print("\n")
	if first, ok := r.First(); ok {
		problems, warnings := r.Count(Problem), r.Count(Warning)
		t.print("%s, %s. Begin with %d (%s %s):\n  %s\n", count(problems, "problem"), count(warnings, "warning"), first.Number, first.Area, first.What,
			t.in(bold, ByNumber(first.Number).Fix))
	} else if len(r.Untried) > 0 {
		t.print("%s\n", t.in(green, "Everything that was tried works."))
	} else {
		t.print("%s\n", t.in(green, "Everything works."))
	}
	for _, dn := range r.Untried {
		t.print("No account was tried below %s: name one with --account.\n", OneLine(dn))
	}
	t.print("Nothing was changed.\n")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// jsonStep is a step in the report for programs.
type jsonStep struct {
	Area    string       `json:"area"`
	What    string       `json:"what"`
	Detail  string       `json:"detail"`
	Finding *jsonFinding `json:"finding,omitempty"`
	Lines   []string     `json:"lines,omitempty"`
	Paste   []string     `json:"paste,omitempty"`
	Write   []string     `json:"write,omitempty"`
	Table   string       `json:"table,omitempty"`
}

type jsonFinding struct {
	Number   int      `json:"number"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	Fix      string   `json:"fix"`
	Page     string   `json:"page"`
}

// JSON writes the report for programs.
func (r *Report) JSON(w io.Writer) error {
	out := struct {
		Version  string     `json:"version"`
		Time     time.Time  `json:"time"`
		Problems int        `json:"problems"`
		Warnings int        `json:"warnings"`
		Notes    int        `json:"notes"`
		Steps    []jsonStep `json:"steps"`
		Untried  []string   `json:"untried,omitempty"`
	}{r.Version, r.Time.UTC(), r.Count(Problem), r.Count(Warning), r.Count(Note), []jsonStep{}, r.Untried}
	for _, s := range r.Steps {
		step := jsonStep{Area: s.Area, What: s.What, Detail: s.Detail, Lines: s.Lines, Paste: s.Paste, Write: s.Write, Table: s.Table}
		if f := ByNumber(s.Number); f.Number != 0 {
			step.Finding = &jsonFinding{f.Number, f.Title, f.Severity, f.Fix, f.Page()}
		}
		out.Steps = append(out.Steps, step)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

// OneLine makes a text of a server or of an error safe and short for one line.
func OneLine(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return ' '
		}
		return c
	}, text)), " ")
	if runes := []rune(text); len(runes) > maxLine {
		return string(runes[:maxLine]) + "…"
	}
	return text
}

// maxLine bounds what a stranger's words take of a report.
const maxLine = 300
