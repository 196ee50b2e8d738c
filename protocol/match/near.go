package match

import "slices"

// Rule 6: the only likeness that counts for anything, and never for acceptance.
const (
	nearLetters = 6    // shorter words differ by one letter all the time
	nearLike    = 0.95 // Jaro-Winkler
)

// near reports whether two words look like one that was mistyped.
func (t token) near(u token) bool {
	return slices.ContainsFunc(t, func(s string) bool {
		return slices.ContainsFunc(u, func(v string) bool { return mistyped([]rune(s), []rune(v)) })
	})
}

func mistyped(a, b []rune) bool {
	return len(a) >= nearLetters && len(b) >= nearLetters && a[0] == b[0] && oneEdit(a, b) && jaroWinkler(a, b) >= nearLike
}

// oneEdit reports whether a and b differ by one letter that was added, left out or
// replaced, or by nothing.
func oneEdit(a, b []rune) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return slices.Equal(a[min(i+1, len(a)):], b[min(i+1, len(b)):])
	}
	return slices.Equal(a[i:], b[i+1:])
}

// jaroWinkler is the likeness of two words, 0 to 1, after Winkler 1990: prefix of at most
// four letters, weight 0.1.
func jaroWinkler(a, b []rune) float64 {
	reach := max(max(len(a), len(b))/2-1, 0)
	inA, inB := make([]bool, len(a)), make([]bool, len(b))
	matched := 0
	for i, r := range a {
		for j := max(0, i-reach); j < min(len(b), i+reach+1); j++ {
			if !inB[j] && b[j] == r {
				inA[i], inB[j] = true, true
				matched++
				break
			}
		}
	}
	if matched == 0 {
		return 0
	}
	m := float64(matched)
	jaro := (m/float64(len(a)) + m/float64(len(b)) + (m-float64(transposed(a, b, inA, inB))/2)/m) / 3
	prefix := 0
	for prefix < min(4, len(a), len(b)) && a[prefix] == b[prefix] {
		prefix++
	}
	return jaro + float64(prefix)*0.1*(1-jaro)
}

// transposed counts the matched letters that stand in another order.
func transposed(a, b []rune, inA, inB []bool) (n int) {
	j := 0
	for i := range a {
		if !inA[i] {
			continue
		}
		for !inB[j] {
			j++
		}
		if a[i] != b[j] {
			n++
		}
		j++
	}
	return n
}
