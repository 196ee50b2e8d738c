package proof

import "slices"

// A Strength is what a proof rests on at its root, however many passkeys lie between: a
// passkey is never stronger than the evidence that let it in (T17).
type Strength struct {
	Methods   []string // never MethodPasskey
	Approvals int      // persons, where MethodApproval is among them
}

// add joins what two proofs rest on. Approvals of two times may be by the same persons,
// so they are not summed.
func (s Strength) add(o Strength) Strength {
	for _, m := range o.Methods {
		if m != MethodPasskey && !slices.Contains(s.Methods, m) {
			s.Methods = append(slices.Clone(s.Methods), m)
		}
	}
	s.Approvals = max(s.Approvals, o.Approvals)
	return s
}

// Opens reports whether a passkey of this strength counts under the terms: what proved it
// in would have to suffice still.
func (t Terms) Opens(s Strength) bool {
	return t.Proven(slices.DeleteFunc(slices.Clone(s.Methods), func(m string) bool {
		return m == MethodPasskey || m == MethodApproval && max(1, s.Approvals) < t.Approvals
	}))
}

// restsOn is the strength of what was proven.
func (v Verdict) restsOn() Strength {
	var s Strength
	for _, p := range v.Pieces {
		switch {
		case !slices.Contains(v.Proven, p.Method):
		case p.Method == MethodPasskey:
			s = s.add(p.by)
		default:
			s = s.add(Strength{Methods: []string{p.Method}})
		}
	}
	if slices.Contains(v.Proven, MethodApproval) {
		s.Approvals = max(s.Approvals, persons(v.Pieces))
	}
	return s
}

// persons counts those who approved.
func persons(pieces []Piece) (n int) {
	for _, p := range pieces {
		if p.Method == MethodApproval {
			n++
		}
	}
	return n
}
