package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
)

// A series has one value per round.
type series []float64

func (s series) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	if mid := len(sorted) / 2; len(sorted)%2 == 1 {
		return sorted[mid]
	} else {
		return (sorted[mid-1] + sorted[mid]) / 2
	}
}

// percentile returns the value that so many of a hundred do not exceed.
func (s series) percentile(of int) float64 {
	if len(s) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(s))[(len(s)-1)*of/100]
}

// per divides round by round: what else the machine did meanwhile met both.
func (s series) per(anchor series) series {
	ratios := make(series, min(len(s), len(anchor)))
	for i := range ratios {
		ratios[i] = s[i] / anchor[i]
	}
	return ratios
}

// A goal is a bound of the ratio, or of the value itself. The zero goal is none: the
// row is for information.
type goal struct {
	bound float64
	least bool // the bound is from below
	value bool // of the value, in the row's unit
}

func atMost(ratio float64) goal      { return goal{bound: ratio} }
func atLeast(ratio float64) goal     { return goal{bound: ratio, least: true} }
func valueAtMost(bound float64) goal { return goal{bound: bound, value: true} }
func (g goal) met(value float64) bool {
	return g.least && value >= g.bound || !g.least && value <= g.bound
}

// A row compares one quantity with its anchor, both in unit.
type row struct {
	name   string
	unit   string // "ms", "µs", "/s", "MB", "KB"
	anchor string // what the anchor is; "" if there is none
	base   series
	ours   series
	goal   goal
	note   string // what is in it and what is not; it stands below the table

	missing string // instead of all that: why there is no figure
}

// cells are the columns of a row.
func (r row) cells() []string {
	if r.missing != "" {
		return []string{r.name, r.missing}
	}
	anchor, ratio, want, reached := "", "", "", ""
	judged := r.ours.median()
	if r.anchor != "" {
		anchor = r.anchor + " " + number(r.base.median()) + " " + r.unit
	}
	if len(r.base) > 0 {
		q := r.ours.per(r.base).median()
		ratio = number(q) + "×"
		if !r.goal.value {
			judged = q
		}
	}
	if r.goal != (goal{}) {
		want, reached = r.goal.text(r.unit), "no"
		if r.goal.met(judged) {
			reached = "yes"
		}
	}
	return []string{r.name, anchor, number(r.ours.median()) + " " + r.unit, ratio, want, reached}
}

func (g goal) text(unit string) string {
	sign, what := "≤ ", "×"
	if g.least {
		sign = "≥ "
	}
	if g.value {
		what = " " + unit
	}
	return sign + strconv.FormatFloat(g.bound, 'f', -1, 64) + what
}

// number writes three digits that mean something.
func number(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// A table gathers what the experiments measured.
type table struct {
	lines [][]string
	notes []string
}

func (t *table) add(experiment string, rows []row, missing string) {
	if missing != "" {
		t.lines = append(t.lines, []string{experiment, missing})
		return
	}
	for _, r := range rows {
		t.lines = append(t.lines, r.cells())
		if r.note != "" {
			t.notes = append(t.notes, r.name+": "+r.note)
		}
	}
}

func (t *table) print(w io.Writer, rounds int) {
	fmt.Fprintf(w, "Medians of %d interleaved rounds on %d processors; trust the ratios, not the figures.\n\n", rounds, runtime.NumCPU())
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	line(tw, []string{"what", "anchor", "ours", "ratio", "goal", "reached"})
	for _, cells := range t.lines {
		line(tw, cells)
	}
	_ = tw.Flush()
	for _, n := range t.notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
}

func line(w io.Writer, cells []string) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, c)
	}
	fmt.Fprintln(w)
}
