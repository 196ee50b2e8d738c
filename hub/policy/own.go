package policy

import (
	"slices"

	"github.com/postern-id/postern/protocol"
)

// OffersOwn reports whether people of a directory can look after what they recover
// with: somebody can recover something, and somebody can prove something for it.
func OffersOwn(s Settings, t protocol.Traits, a protocol.Action) bool {
	row, own := protocol.OwnAction(a)
	_, can := operation(row, t)
	if a == protocol.ActionSignIn {
		return can && s.Policies[AuthenticatePolicy].Permits() && accepts(s.Methods, a)
	}
	return own && can && accepts(s.Methods, a) && len(Offered(s, t)) > 0
}

// own decides an action that changes no account. Proving who one is to somebody else has
// the policy that belongs to it. Looking after what one recovers with has none of its
// own: an account that may recover nothing needs nothing to recover with,
// and a name must match as strictly as for the strictest of what the account may have,
// because what is enrolled here opens all of it (T17).
func (r Request) own(row protocol.ActionRow) Decision {
	strength := r.strictest()
	if row.Action == protocol.ActionSignIn {
		strength = r.Settings.Policies[AuthenticatePolicy].For(r.Groups)
	}
	d := Decision{Strength: strength, Accept: r.Settings.Methods.For(r.Action, r.Groups)}
	op, can := operation(row, r.Traits)
	if can {
		d.Tasks = []protocol.Task{{Operation: op}}
		if op == protocol.EnrollKey {
			d.Tasks[0].Params = map[string]string{"key": r.Key}
		}
	}
	d.Permitted = can && d.Strength.Permits() && len(d.Accept) > 0
	if len(d.Accept) == 0 && row.Action != protocol.ActionSignIn {
		d.Accept = r.Settings.Methods.Default
	}
	return r.compared(d, row.Action == protocol.ActionSignIn)
}

// strictest returns the strictest policy among those that permit the account anything.
func (r Request) strictest() Strength {
	strictest := Disabled
	for _, row := range protocol.Actions {
		s := r.Settings.Policies[row.Policy].For(r.Groups)
		if s.Permits() && strictest != Photo && (s == Photo || ranks[s] > ranks[strictest]) {
			strictest = s
		}
	}
	return strictest
}

// Enough reports whether a factor counts for an action: it opens nothing that the proofs
// which it rests on in the end would not have opened (T17), in whichever way they were
// given. Where an administrator wrote a rule for the enrolment itself, that rule is what
// they must meet.
func (m Methods) Enough(a protocol.Action, groups []Group, r Roots) bool {
	accept := m.opening(a, groups)
	return len(r) > 0 && !slices.ContainsFunc(r, func(way []Method) bool { return !meets(accept, way) })
}

// opening returns the combinations that a factor's roots must meet.
func (m Methods) opening(a protocol.Action, groups []Group) []Combination {
	for _, r := range m.Rules {
		if (r.Action == "" || r.Action == protocol.ActionOptions) && (r.Group == nil || memberOf(groups, *r.Group)) {
			if r.Action == "" {
				break // a rule for everything the account does says nothing of enrolment
			}
			return r.Accept
		}
	}
	return m.For(a, groups)
}

// CanEnrol reports whether members of these groups can begin to enrol something for
// themselves: by proofs that need nothing which they enrolled before.
func (m Methods) CanEnrol(groups []Group) bool {
	return slices.ContainsFunc(m.For(protocol.ActionOptions, groups), func(c Combination) bool { return !slices.ContainsFunc(c, Kept) })
}

// meets reports whether the proofs hold every member of one of the combinations.
func meets(accept []Combination, proven []Method) bool {
	return slices.ContainsFunc(accept, func(c Combination) bool { return len(c) > 0 && len(c.Without(proven)) == 0 })
}
