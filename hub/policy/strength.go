package policy

import "fmt"

// A Strength is the wire value RecoveryPolicy: how a proof that bears a name must
// match the account.
type Strength string

// The six values of the wire.
const (
	Disabled         Strength = "disabled"            // no operation
	None             Strength = "none"                // parsed, never permits anything
	WeakNameMatch    Strength = "weak_name_match"     // the legal name matches
	NameMatch        Strength = "name_match"          // and is not a common one
	NameAndBirthDate Strength = "name_and_birth_date" // and the birth date matches
	Photo            Strength = "photo"               // the account's photo matches
)

// ranks order the values that compare names. Photo stands apart: it asks for another
// thing than a name, so it is neither weaker nor stronger than those.
var ranks = map[Strength]int{WeakNameMatch: 1, NameMatch: 2, NameAndBirthDate: 3}

// ParseStrength reads a wire value.
func ParseStrength(text string) (Strength, error) {
	switch s := Strength(text); s {
	case Disabled, None, WeakNameMatch, NameMatch, NameAndBirthDate, Photo:
		return s, nil
	}
	return "", fmt.Errorf("policy: %.40q is not a recovery policy", text)
}

// Permits reports whether any proof at all can satisfy s. The zero value permits nothing.
func (s Strength) Permits() bool { return ranks[s] > 0 || s == Photo }

// UnmarshalText refuses what is not one of the six values.
func (s *Strength) UnmarshalText(b []byte) error {
	v, err := ParseStrength(string(b))
	*s = v
	return err
}

// Stricter returns what holds when a presigned link wishes for another strength than
// the directory's own, and whether the wish was ignored. A wish holds only when it is
// at least as strict in every respect: forbidding always is; photo and the name
// policies cannot be compared, so there the directory's own holds.
func Stricter(own, wish Strength) (holds Strength, ignored bool) {
	switch {
	case wish == "" || wish == own:
		return own, false
	case !own.Permits():
		return own, wish.Permits()
	case !wish.Permits():
		return wish, false
	case ranks[own] > 0 && ranks[wish] > ranks[own]:
		return wish, false
	}
	return own, true
}
