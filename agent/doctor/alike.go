package doctor

import "strings"

// Alike is the one of several names that a name was probably meant to be, "" if none is
// close enough, or two are as close: as many letters may differ as a third of it has.
func Alike(name string, names []string) string {
	best, least, twice := "", len([]rune(name))/3+1, false
	for _, n := range names {
		switch d := distance(strings.ToLower(name), strings.ToLower(n)); {
		case d < least:
			best, least, twice = n, d, false
		case d == least:
			twice = true
		}
	}
	if twice {
		return ""
	}
	return best
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
