package match

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"testing"
)

//go:embed testdata/same.txt
var sameText string

//go:embed testdata/different.txt
var differentText string

// A couple is a document and the name of a directory.
type couple struct {
	doc  Name
	full Name
	line string
}

func pairsOf(t testing.TB, text string) (all []couple) {
	t.Helper()
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "|")
		if len(f) != 3 {
			t.Fatalf("line %q", line)
		}
		all = append(all, couple{Name{Given: f[0], Family: f[1]}, Name{Full: f[2]}, line})
	}
	return all
}

// tally counts the grades of pairs and logs those that are not as wished.
func tally(t *testing.T, pairs []couple, wish Grade) (n [3]int) {
	t.Helper()
	for _, p := range pairs {
		g := Names(p.doc, p.full)
		if n[g]++; g != wish {
			t.Logf("%s: %s", g, p.line)
		}
	}
	return n
}

// table is what docs/matching.md shows.
func table(same, different [3]int) string {
	row := func(what string, n [3]int) string {
		all := n[No] + n[Review] + n[Match]
		return fmt.Sprintf("| %s | %d | %d | %d | %d |\n", what, all, n[Match], n[Review], n[No])
	}
	return "| pairs | number | match | review | no |\n|---|---|---|---|---|\n" +
		row("the same person", same) + row("different people", different)
}

func TestNamesAcceptNoStrangerAndLoseFewOwners(t *testing.T) {
	same, different := tally(t, pairsOf(t, sameText), Match), tally(t, pairsOf(t, differentText), No)
	got := table(same, different)
	t.Log("\n" + got)
	if n := same[No] + same[Review] + same[Match]; n < 200 || same[No]*50 > n {
		t.Errorf("%d of %d of the same person refused; want at most 2 %% of at least 200", same[No], n)
	}
	if n := different[No] + different[Review] + different[Match]; n < 200 || different[Match] != 0 {
		t.Errorf("%d of %d strangers accepted; want none of at least 200", different[Match], n)
	}
	doc, err := os.ReadFile("../../docs/matching.md")
	if err != nil || !strings.Contains(string(doc), got) {
		t.Errorf("docs/matching.md does not show this table (%v)", err)
	}
}
