package api

import (
	"fmt"
	"strings"
)

// maxLines bounds how many mistakes one answer names.
const maxLines = 8

// unknown says that there is no member, parameter or the like of a name, and which one
// may have been meant.
func unknown(what, name string, known []string) string {
	text := fmt.Sprintf("%.60s: there is no such %s", name, what)
	if near := nearest(name, known); near != "" {
		return text + "; did you mean " + near + "?"
	}
	if len(known) == 0 {
		return text + "; there are none"
	}
	return text + "; there are: " + strings.Join(known, ", ")
}

// oneOf says that a value is none of the words, and which one may have been meant.
func oneOf(value string, words []string) string {
	text := fmt.Sprintf("%.40q is none of %s", value, strings.Join(words, ", "))
	if near := nearest(value, words); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}

// nearest returns the word that a name is a slip of, "" if there is none: at most a
// third of its letters differ.
func nearest(name string, words []string) string {
	best, at := "", len(name)/3+1
	for _, w := range words {
		if len(name) > 60 {
			break
		}
		if d := distance(strings.ToLower(name), strings.ToLower(w)); d < at {
			best, at = w, d
		}
	}
	return best
}

// distance counts the bytes to insert, remove or change to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := left
			if a[i] != b[j] {
				cost++
			}
			left = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
