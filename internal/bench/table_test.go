package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestAMedianIsTheMiddle(t *testing.T) {
	for _, c := range []struct {
		in   series
		want float64
	}{{nil, 0}, {series{3}, 3}, {series{9, 1, 5}, 5}, {series{4, 1, 3, 2}, 2.5}} {
		if got := c.in.median(); got != c.want {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
	}
}

func TestAPercentileIsNotExceededBySoManyOfAHundred(t *testing.T) {
	hundred := make(series, 101)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for of, want := range map[int]float64{0: 0, 50: 50, 99: 99, 100: 100} {
		if got := hundred.percentile(of); got != want {
			t.Errorf("%d of a hundred: %v, want %v", of, got, want)
		}
	}
	if got := (series{7}).percentile(99); got != 7 || (series{}).percentile(99) != 0 {
		t.Error("one value:", got)
	}
}

func TestARatioIsTheMedianOfTheRoundsRatios(t *testing.T) {
	r := row{name: "x", unit: "ms", anchor: "raw", base: series{1, 10, 2}, ours: series{3, 20, 8}, goal: atMost(3)}
	if got := strings.Join(r.cells(), "|"); got != "x|raw 2.00 ms|8.00 ms|3.00×|≤ 3×|yes" {
		t.Error(got)
	}
}

func TestAGoalIsJudgedByItsOwnBound(t *testing.T) {
	for _, c := range []struct {
		goal          goal
		want, reached string
	}{
		{goal{}, "", ""},
		{atMost(2), "≤ 2×", "yes"},
		{atMost(1.9), "≤ 1.9×", "no"},
		{atLeast(2), "≥ 2×", "yes"},
		{atLeast(2.1), "≥ 2.1×", "no"},
		{valueAtMost(40), "≤ 40 ms", "yes"},
		{valueAtMost(39), "≤ 39 ms", "no"},
	} {
		cells := row{unit: "ms", anchor: "raw", base: series{20}, ours: series{40}, goal: c.goal}.cells()
		if cells[4] != c.want || cells[5] != c.reached {
			t.Errorf("%+v: %q %q, want %q %q", c.goal, cells[4], cells[5], c.want, c.reached)
		}
	}
}

func TestATableSaysWhatIsMissing(t *testing.T) {
	var all table
	all.add("sync", nil, "slapd is not installed")
	all.add("idle", []row{{name: "idle: x", missing: "no postgres"}, {name: "idle: y", unit: "KB", ours: series{120}, note: "without pages"}}, "")
	var out bytes.Buffer
	all.print(&out, 5)
	for _, want := range []string{"slapd is not installed", "no postgres", "120 KB", "idle: y: without pages"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestUnknownExperimentsAndTooFewRoundsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-only", "nothing"}, {"-rounds", "1"}, {"-rounds", "1000"}, {"extra"}, {"-unknown"}} {
		var out bytes.Buffer
		if code := run(t.Context(), args, &out, &out); code != 2 {
			t.Errorf("%v: exit %d: %s", args, code, out.String())
		}
	}
}

func TestAFailureOfAnExperimentIsALineOfTheTable(t *testing.T) {
	for why, play := range map[string]func(s *stage){
		"failed: no disk": func(s *stage) { s.Fatal("no disk") },
		"failed: inner":   func(s *stage) { s.act(func(s *stage) { s.Fatal("inner") }) },
		"no slapd":        func(s *stage) { s.act(func(s *stage) { s.Skipf("no %s", "slapd") }) },
	} {
		cleaned := false
		_, missing := perform(t.Context(), experiment{run: func(s *stage, _ int) []row {
			s.Cleanup(func() { cleaned = true })
			play(s)
			return []row{{name: "never"}}
		}}, 5, t.Output())
		if missing != why || !cleaned {
			t.Errorf("%q, cleaned %v; want %q", missing, cleaned, why)
		}
	}
}
