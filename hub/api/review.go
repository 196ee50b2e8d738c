package api

import (
	"context"
	"strings"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/review"
)

// getReview shows how an environment reviews documents, without the analyzer's secret.
func getReview(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	s, err := review.ReadSettings(ctx, tx, c.env.ID)
	return hidden(s), err
}

// setReview replaces how an environment reviews documents.
func setReview(ctx context.Context, c *call, tx *store.Tx, req *review.Settings) (any, error) {
	if err := req.Check(); err != nil {
		return nil, bad(strings.TrimPrefix(err.Error(), "review: "))
	}
	c.detail = map[string]any{"request": map[string]any{"review": hidden(*req)}, "review": hidden(*req)}
	return nil, review.WriteSettings(ctx, tx, c.env.ID, *req)
}

// hidden is s without the secret.
func hidden(s review.Settings) review.Settings {
	if s.Analyzer != nil {
		a := *s.Analyzer
		a.Secret = ""
		s.Analyzer = &a
	}
	return s
}

// commonSize bounds a list of common names.
const commonSize = 16 << 20

// commonNames is a list of names that many people bear.
type commonNames struct {
	List      string `json:"list"`      // CSV: name,count
	Threshold int    `json:"threshold"` // from how many people on a name is common
}

// commonNamesKept says how many names of the list are common.
type commonNamesKept struct {
	Names int `json:"names"`
}

// setCommonNames replaces an environment's list of common names; an empty one ends it.
func setCommonNames(ctx context.Context, c *call, tx *store.Tx, req *commonNames) (any, error) {
	keys, n, err := directory.ReadCommonNames(c.env.ID, strings.NewReader(req.List), req.Threshold)
	if err != nil {
		return nil, bad(strings.TrimPrefix(err.Error(), "directory: "))
	}
	c.detail = map[string]any{"request": map[string]any{"common_names": map[string]any{"names": n, "threshold": req.Threshold}}, "common_names": n}
	return commonNamesKept{n}, tx.SetCommonNames(ctx, c.env.ID, keys)
}
