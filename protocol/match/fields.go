package match

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// same reports how two fields agree as a whole, glued or not, with or without particles:
// Match, Review where both have particles and other ones, or No.
func same(a, b field, keep int) Grade {
	if a.glue().equal(b.glue()) {
		return Match
	}
	restA, droppedA := a.core(keep)
	restB, droppedB := b.core(keep)
	switch {
	case !restA.glue().equal(restB.glue()):
		return No
	case within(droppedA, droppedB) || within(droppedB, droppedA):
		return Match
	}
	return Review
}

// within reports whether every particle of a stands in b.
func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(p string) bool { return !slices.Contains(b, p) })
}

// families compares surnames (rules 3, 5, 6). closed says that b must not have a word
// that a has not.
func families(a, b field, closed bool) Grade {
	if g := same(a, b, 0); g > No {
		return g
	}
	a, _ = a.core(0)
	b, _ = b.core(0)
	short, long := a, b
	if len(a) > len(b) {
		short, long = b, a
	}
	grade, at := pair(short, long, surname)
	switch {
	case grade < Match:
		return grade
	case at[0] != 0: // another surname stands first
		return Review
	case len(short) == len(long) && !slices.IsSorted(at):
		return Review
	case closed && len(b) > len(a):
		return Review
	}
	return Match
}

// pair finds for each word of short one of long, each used once, and returns the worst
// grade and where they were found. The best pairs are made first; of two fields of one
// length the better direction counts, so that neither side is favoured.
func pair(short, long field, alike func(t, u token) Grade) (Grade, []int) {
	grade, at := assign(short, long, alike)
	if len(short) == len(long) && grade < Match {
		if g, back := assign(long, short, alike); g > grade {
			return g, back
		}
	}
	return grade, at
}

func assign(short, long field, alike func(t, u token) Grade) (Grade, []int) {
	at := slices.Repeat([]int{-1}, len(short))
	used := make([]bool, len(long))
	grade := Match
	for _, round := range []func(t, u token) Grade{identical, alike, func(t, u token) Grade { return 2 * alike(t, u) }} {
		for i, t := range short {
			for j := 0; at[i] < 0 && j < len(long); j++ {
				if !used[j] && round(t, long[j]) >= Match {
					at[i], used[j], grade = j, true, min(grade, max(alike(t, long[j]), identical(t, long[j])))
				}
			}
		}
	}
	if slices.Contains(at, -1) {
		return No, at
	}
	return grade, at
}

// identical is Match for words with a spelling in common.
func identical(t, u token) Grade {
	if t.equal(u) {
		return Match
	}
	return No
}

// surname compares two words of a surname, forename two given names, middle two that
// follow the first: there an initial may stand for a name, and one that contradicts is
// for people.
func surname(t, u token) Grade {
	switch {
	case t.equal(u):
		return Match
	case t.near(u):
		return Review
	}
	return No
}

func forename(t, u token) Grade {
	if t.nickname(u) {
		return Match
	}
	return surname(t, u)
}

func middle(t, u token) Grade {
	g := forename(t, u)
	if g == No && (t.initial() || u.initial()) {
		if initials(t, u) {
			return Match
		}
		return Review
	}
	return g
}

// glued is how many words of a given name may be written as one.
const glued = 3

// givens compares given names (rules 4 and 6). closed says that b must not have a word
// that a has not, but an initial or a common given name.
func givens(a, b field, closed bool) Grade {
	if !named(a) || !named(b) {
		return No
	}
	if g := same(a, b, 1); g > No {
		return g
	}
	a, _ = a.core(1)
	b, _ = b.core(1)
	best := No
	for i := 1; i <= min(glued, len(a)); i++ {
		for j := 1; j <= min(glued, len(b)); j++ {
			first := Match
			if !a[:i].glue().equal(b[:j].glue()) {
				if first = No; i == 1 && j == 1 {
					first = firstGiven(a[0], b[0])
				}
				if closed && len(b) > len(a) { // a short name beside a name that the document lacks
					first = min(first, Review)
				}
			}
			best = max(best, min(first, middles(a[i:], b[j:], closed)))
		}
	}
	if best == No {
		best = misplaced(a, b)
	}
	return best
}

// named reports whether any word is more than an initial.
func named(f field) bool {
	return slices.ContainsFunc(f, func(t token) bool { return !t.initial() })
}

// firstGiven compares first given names. An initial is never one; beside a middle name
// that agrees, people may look at it.
func firstGiven(a, b token) Grade {
	if a.initial() || b.initial() {
		if initials(a, b) {
			return Review
		}
		return No
	}
	return forename(a, b)
}

// initials reports whether a and b begin with the same letter in some spelling.
func initials(a, b token) bool {
	return slices.ContainsFunc(a, func(s string) bool {
		r, _ := utf8.DecodeRuneInString(s)
		return slices.ContainsFunc(b, func(u string) bool { return strings.HasPrefix(u, string(r)) })
	})
}

// middles compares what follows the first given name: more on one side is free, other
// names on both are another person, initials that contradict are for people.
func middles(a, b field, closed bool) Grade {
	grade := Match
	if len(b) > len(a) && closed && slices.ContainsFunc(b, func(t token) bool { return !t.initial() && !t.common() }) {
		grade = Review
	}
	short, long := a, b
	if len(a) > len(b) {
		short, long = b, a
	}
	g, _ := pair(short, long, middle)
	return min(grade, g)
}

// misplaced is Review when one side's given names all stand among the other's, but
// another one stands first ("William Henry" and "Henry"), or when an initial stands
// there whose name is missing.
func misplaced(a, b field) Grade {
	short, long := a, b
	if len(a) > len(b) {
		short, long = b, a
	}
	if !named(short) {
		return No
	}
	if g, _ := pair(short, long, forename); g > No {
		return Review
	}
	return No
}
