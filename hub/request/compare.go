package request

import (
	"context"
	"slices"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/match"
)

// A Comparison is the wire type Comparison. The public text and its example disagree on
// how the actual value is called.
type Comparison struct {
	Scope      string  `json:"scope,omitempty" words:"scope"`
	Claim      string  `json:"claim"`
	Expected   string  `json:"expected"`
	Actual     string  `json:"actual"`
	Value      string  `json:"value"`
	Match      bool    `json:"match"`
	Confidence float64 `json:"match_confidence"`
}

// confidence is a grade as a number. Only names that nobody would have to look at match.
var confidence = map[match.Grade]float64{match.No: 0, match.Review: 0.5, match.Match: 0.9}

// Compares reports whether values of the claim can be compared with what is expected.
func Compares(claim string) bool { return claim == "name" }

// Compare compares what a person shares of their name with what is expected. Of what is
// not shared nothing matches. store.ErrNotFound if nobody of that name ever shared
// anything.
func (q *Requests) Compare(ctx context.Context, tx *store.Tx, env, person, expected string) (c Comparison, err error) {
	c = Comparison{Claim: "name", Expected: expected}
	if _, err = tx.Person(ctx, env, person); err != nil {
		return c, err
	}
	all, err := tx.Properties(ctx, env, person)
	i := slices.IndexFunc(all, func(p store.Property) bool { return p.Claim == c.Claim && propertyStatus(p, q.Now()) == statusShared })
	if err != nil || i < 0 {
		return c, err
	}
	v, err := decodeValue(all[i].Value)
	if err != nil {
		return c, err
	}
	c.Actual = asText(v)
	c.Value = c.Actual
	grade := match.Names(match.Name{Full: c.Actual}, match.Name{Full: expected})
	c.Match, c.Confidence = grade == match.Match, confidence[grade]
	if c.Actual == expected {
		c.Match, c.Confidence = true, 1
	}
	return c, nil
}
