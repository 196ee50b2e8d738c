package api

import (
	"context"
	"fmt"
	"slices"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// comparisonRequest is the wire type SubjectComparisonRequest.
type comparisonRequest struct {
	Expectations []expectation `json:"expectations"`
}

type expectation struct {
	Scope string `json:"scope,omitempty" words:"scope"`
	Claim string `json:"claim" words:"claim"`
	Value string `json:"value"`
}

// comparisonResult is the wire type ComparisonResult.
type comparisonResult struct {
	Confidence  float64              `json:"confidence"`
	Comparisons []request.Comparison `json:"comparisons"`
}

// Bounds of a comparison.
const (
	maxExpectations = 16
	maxExpected     = 400 // bytes
)

// comparePerson compares what is expected of a person with what they share.
func comparePerson(ctx context.Context, c *call, tx *store.Tx, req *comparisonRequest) (any, error) {
	if len(req.Expectations) == 0 || len(req.Expectations) > maxExpectations {
		return nil, bad(fmt.Sprintf("expectations: want 1 to %d", maxExpectations))
	}
	out := comparisonResult{Confidence: 1}
	for _, e := range req.Expectations {
		if !request.Compares(e.Claim) {
			return nil, bad(fmt.Sprintf("expectations: claim: %.40q cannot be compared; only name can", e.Claim))
		}
		if e.Scope != "" && !slices.Contains(request.Asked([]string{e.Scope}, nil), e.Claim) {
			return nil, bad(fmt.Sprintf("expectations: scope: %.40q does not stand for %s", e.Scope, e.Claim))
		}
		if e.Value == "" || len(e.Value) > maxExpected {
			return nil, bad(fmt.Sprintf("expectations: value: want 1 to %d bytes", maxExpected))
		}
		one, err := c.api.Requests.Compare(ctx, tx, c.env.ID, c.person, e.Value)
		if err != nil {
			return nil, err
		}
		one.Scope = e.Scope
		out.Comparisons = append(out.Comparisons, one)
		out.Confidence = min(out.Confidence, one.Confidence)
	}
	asked := comparisonRequest{Expectations: slices.Clone(req.Expectations)}
	for i := range asked.Expectations {
		asked.Expectations[i].Value = redactedSecret // it says something of a person
	}
	c.detail = map[string]any{"subject": c.r.PathValue("subject"), "request": asked, "response": comparisonResult{Confidence: out.Confidence, Comparisons: []request.Comparison{}}}
	return out, nil
}
