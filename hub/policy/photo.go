package policy

import "slices"

// compared holds a decision against the photo of the account. People compare faces, in
// document_review, and nobody else does: so the photo asks for that method beside others.
// Under the policy photo it always does, and without a photo nothing is permitted. Under
// the policies that compare names it does so where a proof bears a name: a name or a date
// is never replaced by a face that nobody looked at. atOnce says that nobody waits for
// people, so what would need them is not accepted.
func (r Request) compared(d Decision, atOnce bool) Decision {
	has := r.Photo || r.Lent && d.Strength == Photo
	if d.Strength == Photo && !has {
		d.Permitted = false
	}
	if !has || !d.Strength.Permits() {
		return d
	}
	var accept []Combination
	for _, c := range d.Accept {
		switch {
		case d.Strength != Photo && !slices.ContainsFunc(c, named), slices.Contains(c, DocumentReview):
			accept = append(accept, c)
		case !atOnce:
			accept = append(accept, append(slices.Clone(c), DocumentReview))
		}
	}
	if len(accept) == 0 { // the proofs stay: nobody learns of the refusal before them
		d.Permitted = false
		return d
	}
	d.Accept = accept
	return d
}

// named reports whether a method bears a name.
func named(m Method) bool {
	row, _ := MethodByName(m)
	return row.Names
}
