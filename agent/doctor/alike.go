package doctor

import (
	"slices"
	"strings"
)

// maxTyped is how many letters of a name may have been typed wrongly.
const maxTyped = 2

// Mended is the distinguished name that dn was probably meant to be, "" if none is close
// enough, or two are as close. near is the closest entry above that exists, and below has
// what stands directly in it; near is "" where none does, and below has the naming contexts
// of the server. One component is taken from there, the others stay as they are: whether
// the whole exists is not known.
func Mended(dn, near string, below []string) string {
	levels := components(dn)
	first, last := len(levels)-len(components(near))-1, len(levels)-len(components(near))
	best, least, twice := "", maxTyped+1, false
	for _, other := range below {
		those := components(other)
		if near == "" {
			first, last = len(levels)-len(those), len(levels)
		} else {
			those = those[:min(1, len(those))]
		}
		if first < 0 || last-first != len(those) {
			continue
		}
		at, d := oneWrong(levels[first:last], those)
		switch {
		case d < least:
			best, least, twice = strings.Join(slices.Replace(slices.Clone(levels), first+at, first+at+1, those[at]), ","), d, false
		case d == least && d <= maxTyped:
			twice = true
		}
	}
	if twice {
		return ""
	}
	return best
}

// Alike is the one of several names that name was probably meant to be, "" if none is close
// enough, or two are as close.
func Alike(name string, of []string) string {
	best, least, twice := "", maxTyped+1, false
	for _, other := range of {
		switch d := typed("="+name, "="+other); {
		case d < least:
			best, least, twice = other, d, false
		case d == least && d <= maxTyped && !strings.EqualFold(other, best):
			twice = true
		}
	}
	if twice {
		return ""
	}
	return best
}

// Under reports whether a distinguished name is base or stands below it, by its spelling
// but for case and spaces.
func Under(dn, base string) bool {
	d, b := components(dn), components(base)
	return len(d) >= len(b) && slices.EqualFunc(d[len(d)-len(b):], b, strings.EqualFold)
}

// components are the parts of a distinguished name, as they are spelled.
func components(dn string) (all []string) {
	from := 0
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++ // the next one is part of the name
		case ',':
			all, from = append(all, strings.TrimSpace(dn[from:i])), i+1
		}
	}
	if dn == "" {
		return nil
	}
	return append(all, strings.TrimSpace(dn[from:]))
}

// oneWrong is which of several components differs from those, and by how much: more than
// maxTyped if that is not exactly one, or it is another name.
func oneWrong(levels, those []string) (at, by int) {
	by = maxTyped + 1
	for i := range levels {
		if strings.EqualFold(levels[i], those[i]) {
			continue
		}
		if by <= maxTyped {
			return i, maxTyped + 1
		}
		if at, by = i, typed(levels[i], those[i]); by > maxTyped {
			return at, by
		}
	}
	return at, by
}

// typed is how many letters of the value of a component were typed wrongly if other was
// meant, which is at most a third of them; maxTyped+1 if it is another name. Units with
// other digits are others, and the only types that people take for each other are OU and CN.
func typed(component, other string) int {
	kind, value, _ := strings.Cut(strings.ToLower(component), "=")
	otherKind, otherValue, _ := strings.Cut(strings.ToLower(other), "=")
	d := distance(value, otherValue)
	types := []string{"ou", "cn"}
	switch {
	case kind != otherKind && (d > 0 || !slices.Contains(types, kind) || !slices.Contains(types, otherKind)),
		d > min(len([]rune(value)), len([]rune(otherValue)))/3, digits(value) != digits(otherValue):
		return maxTyped + 1
	}
	return d
}

func digits(text string) string {
	return strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, text)
}

// distance is how many letters are to be added, taken away or changed (Levenshtein).
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, c := range from {
		last := i
		row[0] = i + 1
		for j, d := range to {
			same := last
			if c != d {
				same++
			}
			last = row[j+1]
			row[j+1] = min(same, row[j]+1, last+1)
		}
	}
	return row[len(to)]
}
