package match

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// divided returns every document of both sets as a name in parts.
func divided(t testing.TB) (all []Name) {
	for _, p := range append(pairsOf(t, sameText), pairsOf(t, differentText)...) {
		all = append(all, p.doc)
	}
	return all
}

func TestNamesInPartsAreComparedAlikeFromBothSides(t *testing.T) {
	all := divided(t)
	for i, a := range all {
		for j := i; j < len(all); j += 3 {
			b := all[j]
			if x, y := Names(a, b), Names(b, a); x != y {
				t.Errorf("%v and %v: %s, the other way %s", a, b, x, y)
			}
		}
	}
}

func TestEveryoneIsThemselves(t *testing.T) {
	for _, n := range divided(t) {
		if f, _, _ := read(n.Given); n.Given == "" || n.Family == "" || !named(f) {
			continue
		}
		for _, as := range []Name{n, {Full: n.Given + " " + n.Family}, {Full: strings.ToUpper(n.Family + ", " + n.Given)}} {
			if g := Names(n, as); g != Match {
				t.Errorf("%v is %v: %s", n, as, g)
			}
		}
	}
}

// Everybody of the set with the directory name of everybody else: strangers, except for
// those who are named alike.
func TestNobodyIsTakenForAnotherOfTheSet(t *testing.T) {
	all := pairsOf(t, sameText)
	compared, accepted := 0, 0
	for _, a := range all {
		for _, b := range all {
			if Names(a.doc, b.doc) != No || a.full == b.full {
				continue // the same person in another writing, or a namesake
			}
			compared++
			if Names(a.doc, b.full) == Match {
				accepted++
				t.Errorf("%s is taken for %s", a.line, b.line)
			}
		}
	}
	t.Logf("%d pairs, %d accepted", compared, accepted)
	if compared < 50_000 {
		t.Errorf("only %d pairs", compared)
	}
}

func TestSpellingsAreSpelledAlready(t *testing.T) {
	for _, n := range divided(t) {
		for _, w := range split(fold(n.Given + " " + n.Family)) {
			settled(t, w)
		}
	}
}

// settled fails when a spelling of word is spelled in yet another way.
func settled(t *testing.T, word string) {
	t.Helper()
	s := spell(word)
	if len(s) == 0 || len(s) > maxSpellings {
		t.Fatalf("%q has %d spellings", word, len(s))
	}
	for _, w := range s {
		if again := spell(w); len(again) != 1 || again[0] != w {
			t.Fatalf("%q is spelled %q, and that %q", word, w, again)
		}
	}
}

func TestRulesOfNames(t *testing.T) {
	for _, c := range []struct {
		why             string
		given, family   string
		dirGiven, dirFm string
		want            Grade
	}{
		{"a middle name is not the first one", "William Henry", "Gray", "Henry", "Gray", Review},
		{"swapped, and both are given names", "Anne", "Marie", "Marie", "Anne", Review},
		{"swapped, exactly", "Nguyen", "Van Minh", "Van Minh", "Nguyen", Match},
		{"swapped and only a nickname", "Robert", "Haverkamp", "Haverkamp", "Bob", No},
		{"an initial alone", "J", "Smith", "John", "Smith", No},
		{"the same initial alone", "J", "Smith", "J", "Smith", No},
		{"an initial and a middle name", "J Robert", "Smith", "James Robert", "Smith", Review},
		{"one edit", "Ana", "Rodriguez", "Ana", "Rodrigues", Review},
		{"one edit in a short word", "Anna", "Meier", "Anna", "Maier", No},
		{"first of two surnames", "Ana", "Garcia Lopez", "Ana", "Garcia", Match},
		{"second of two surnames", "Ana", "Garcia Lopez", "Ana", "Lopez", Review},
		{"two surnames, one other", "Ana", "Garcia Lopez", "Ana", "Garcia Perez", No},
		{"particle dropped", "Anna", "von der Heide", "Anna", "Heide", Match},
		{"particle glued", "Anna", "van den Berg", "Anna", "Vandenberg", Match},
		{"another particle", "Anna", "van den Berg", "Anna", "van der Berg", Review},
		{"father and son", "John", "Adams Jr", "John", "Adams Sr", Review},
		{"only one says which", "John", "Adams Jr", "John", "Adams", Match},
		{"given name that is a title", "Md", "Rahman", "Md", "Rahman", Match},
		{"one name only", "", "Suharto", "", "Suharto", Review},
		{"family only", "Anna", "Weber", "", "Weber", No},
		{"nothing", "", "", "", "", No},
		{"letters of two scripts", "Анна", "Petrov", "Anna", "Петров", Match},
		{"a mark that is a vowel", "अनिल", "वर्मा", "अनुल", "वर्मा", No},
		{"Greek and Latin: people look", "Ελένη", "Γεωργίου", "Eleni", "Georgiou", Review},
		{"Greek and another Latin name", "Ελένη", "Γεωργίου", "Eleni", "Georgiadou", No},
	} {
		if got := Names(Name{Given: c.given, Family: c.family}, Name{Given: c.dirGiven, Family: c.dirFm}); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

func TestHugeAndBrokenNamesMatchNothing(t *testing.T) {
	for _, bad := range []string{strings.Repeat("a", maxName+1), "Anna \xff Weber", strings.Repeat("a ", maxTokens+1), strings.Repeat("\u0301", 90), "<<<", "\u202e"} {
		if g := Names(Name{Full: bad}, Name{Full: bad}); g == Match {
			t.Errorf("%.20q matches itself", bad)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, p := range append(pairsOf(f, sameText), pairsOf(f, differentText)...) {
		f.Add(p.doc.Given, p.doc.Family, p.full.Full)
	}
	f.Add("\ufdfa", "ǻ ĳ ﬃ", "İ℡ 𝐀")
	f.Fuzz(func(t *testing.T, given, family, full string) {
		doc := Name{Given: given, Family: family}
		Names(doc, Name{Full: full})
		Names(Name{Full: full}, doc)
		other := Name{Given: full, Family: family}
		if a, b := Names(doc, other), Names(other, doc); a != b {
			t.Fatalf("%s one way, %s the other", a, b)
		}
		if utf8.ValidString(full) && len(full) <= maxName {
			for _, w := range split(fold(full)) {
				settled(t, w)
			}
		}
	})
}

func BenchmarkNames(b *testing.B) {
	pairs := pairsOf(b, sameText)
	for i := 0; b.Loop(); i++ {
		p := pairs[i%len(pairs)]
		Names(p.doc, p.full)
	}
}
