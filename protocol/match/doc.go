// Package match compares the person whom a proof names with the person whom a directory
// knows. It decides in three grades, never accepts what is merely similar, and knows
// neither how the proof was made nor what follows from the grade. Hub and agent share it.
package match

// A Grade is the result of a comparison. Only Match accepts; Review is for people, and
// counts as nothing where nobody reviews.
type Grade int

// The grades, in ascending order. The zero value refuses.
const (
	No Grade = iota
	Review
	Match
)

// String returns the grade's word for logs.
func (g Grade) String() string {
	return [...]string{"no", "review", "match"}[min(max(g, No), Match)]
}
