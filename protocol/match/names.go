package match

import (
	"strings"
	"unicode/utf8"
)

// A Name is what a document or a directory says. Where a directory keeps one text only,
// it is Full, and every reading of it is tried.
type Name struct {
	Given, Family string
	Full          string // used when Given and Family are both empty
}

// reading is one way to understand a name.
type reading struct {
	given, family field
	swapped       bool // the family name stood first, or where the given name belongs
	closed        bool // where one name ends and the next begins is a guess: every word has to be accounted for
}

// Names compares the name on a document with the name in a directory. Both may be given
// in parts or in full; in a full name each word has to be accounted for.
func Names(document, directory Name) Grade {
	if g := plainly(document, directory); g > No || !document.isGreek() && !directory.isGreek() {
		return g
	}
	return min(plainly(document.latin(), directory.latin()), Review)
}

// plainly compares names as they are written.
func plainly(document, directory Name) Grade {
	d, dGen, ok := document.readings()
	a, aGen, ok2 := directory.readings()
	if !ok || !ok2 {
		return No
	}
	best := No
	for _, x := range d {
		for _, y := range a {
			best = max(best, compare(x, y))
		}
	}
	if dGen != "" && aGen != "" && dGen != aGen { // father and son
		best = min(best, Review)
	}
	return best
}

// compare grades one reading of each. A swapped one has to agree exactly, and is for
// people where the name makes sense in either order (rule 7).
func compare(d, a reading) Grade {
	if len(d.family) == 0 || len(a.family) == 0 || len(d.given) == 0 || len(a.given) == 0 {
		return mononym(d, a)
	}
	if !a.swapped && !d.swapped {
		g := ordered(d, a, a.closed)
		if d.closed {
			g = min(g, ordered(a, d, true))
		}
		return g
	}
	if !named(d.given) || !named(a.given) || !named(d.family) || !named(a.family) {
		return No
	}
	g := min(same(d.given, a.given, 1), same(d.family, a.family, 0))
	if d.given[0].common() && d.family[0].common() {
		g = min(g, Review)
	}
	return g
}

// ordered compares two readings whose given names stand where they belong. In a closed one
// each side may not have a word that the other lacks.
func ordered(d, a reading, closed bool) Grade {
	if closed && len(a.family) > len(d.family) && len(d.given) > len(a.given) && same(a.family, d.family, 0) == No {
		return No
	}
	return min(givens(d.given, a.given, closed), families(d.family, a.family, closed))
}

// mononym compares people who have one name only: nothing else confirms it, so people look.
func mononym(d, a reading) Grade {
	left, right := append(d.given[:len(d.given):len(d.given)], d.family...), append(a.given[:len(a.given):len(a.given)], a.family...)
	if len(left) == 1 && len(right) == 1 && !left[0].initial() && left[0].equal(right[0]) {
		return Review
	}
	return No
}

// readings returns every way to understand n; ok is false when it is no name.
func (n Name) readings() (all []reading, generation string, ok bool) {
	if !utf8.ValidString(n.Given + n.Family + n.Full) {
		return nil, "", false
	}
	given, family := n.Given, n.Family
	if given == "" && family == "" {
		full := withoutBrackets(n.Full)
		before, after, divided := inverted(full)
		if !divided {
			return undivided(full)
		}
		given, family = after, before
	}
	g, generation, ok := read(given)
	f, more, ok2 := read(family)
	if !ok || !ok2 || len(g)+len(f) == 0 {
		return nil, "", false
	}
	if generation == "" {
		generation = more
	}
	return []reading{{given: g, family: f}, {given: f, family: g, swapped: true}}, generation, true
}

// undivided reads "Given Family" and "Family Given" in each place where the one may end.
func undivided(full string) (all []reading, generation string, ok bool) {
	f, generation, ok := read(full)
	if !ok || len(f) == 0 {
		return nil, "", false
	}
	if len(f) == 1 {
		return []reading{{family: f}}, generation, true
	}
	for i := 1; i < len(f); i++ {
		if i > 1 && particles[f[i-1][0]] != "" && !f[i-1].initial() { // belongs to what follows
			continue
		}
		all = append(all, reading{given: f[:i], family: f[i:], closed: true}, reading{given: f[i:], family: f[:i], swapped: true, closed: true})
	}
	return all, generation, true
}

// withoutBrackets drops what directories add to display names: "Weber, Anna (External)".
func withoutBrackets(s string) string {
	depth := 0
	return strings.Map(func(r rune) rune {
		switch r {
		case '(', '[':
			depth++
			return ' '
		case ')', ']':
			depth = max(0, depth-1)
			return ' '
		}
		if depth > 0 {
			return -1
		}
		return r
	}, s)
}

// inverted takes "Family, Given" apart. What follows a comma and is only a title or a
// generation stays with the rest.
func inverted(s string) (family, given string, ok bool) {
	var parts []string
	for p := range strings.SplitSeq(s, ",") {
		if len(parts) > 0 && onlyTitles(p) {
			parts[len(parts)-1] += " " + p
		} else {
			parts = append(parts, p)
		}
	}
	if len(parts) < 2 || len(parts) > maxTokens {
		return "", "", false
	}
	return parts[0], strings.Join(parts[1:], " "), true
}

func onlyTitles(s string) bool {
	for _, w := range split(fold(s)) {
		if !titles[w] && generations[w] == "" {
			return false
		}
	}
	return true
}
