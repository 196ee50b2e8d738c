package policy

import "slices"

// Roots are what a set of proofs rests on, when everything that a person keeps for
// themselves is traced back to what enrolled it. Each member is one way in which it may
// have been: a code that went to two addresses was read at one of them, and nobody knows
// at which. No member says that nothing is known, and that is worth nothing (T17).
type Roots [][]Method

// maxRoots bounds the ways. What has more of them is worth nothing.
const maxRoots = 32

// RootsOf are those of methods that rest on nothing else.
func RootsOf(methods ...Method) Roots { return Roots{methods} }

// With returns what two proofs rest on together.
func (r Roots) With(more Roots) Roots {
	switch {
	case len(r) == 0:
		return more
	case len(more) == 0:
		return r
	}
	var all Roots
	for _, a := range r {
		for _, b := range more {
			all = append(all, slices.Concat(a, b))
		}
	}
	return all.least()
}

// Or returns what a proof rests on that was given in one of two ways.
func (r Roots) Or(other Roots) Roots { return slices.Concat(r, other).least() }

// least leaves out ways that hold all of another: whatever the smaller is enough for,
// the larger is too.
func (r Roots) least() Roots {
	var least Roots
	for _, way := range r {
		sorted := slices.Clone(way)
		slices.Sort(sorted)
		least = append(least, slices.Compact(sorted))
	}
	slices.SortStableFunc(least, func(a, b []Method) int { return len(a) - len(b) })
	var kept Roots
	for _, way := range least {
		if !slices.ContainsFunc(kept, func(k []Method) bool { return holds(way, k) }) {
			kept = append(kept, way)
		}
	}
	if len(kept) > maxRoots {
		return nil
	}
	return kept
}

// holds reports whether every member of part is in way.
func holds(way, part []Method) bool {
	return len(Combination(part).Without(way)) == 0
}

// Kept reports whether a method is a thing that people enrol for themselves: as a proof
// it is worth what enrolled it, never more (T17).
func Kept(m Method) bool { return m == Passkey || m == TOTP || m == SavedCode }

// RootsNamed reads what stands in a store.
func RootsNamed(ways [][]string) Roots {
	r := make(Roots, len(ways))
	for i, way := range ways {
		for _, name := range way {
			r[i] = append(r[i], Method(name))
		}
	}
	return r
}

// Texts is how r stands in a store.
func (r Roots) Texts() [][]string {
	ways := make([][]string, len(r))
	for i, way := range r {
		ways[i] = []string{}
		for _, m := range way {
			ways[i] = append(ways[i], string(m))
		}
	}
	return ways
}
