package api

import (
	"context"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// findEvaluation finds a run over the directory that the path names.
func (c *call) findEvaluation(ctx context.Context, tx *store.Tx, id string) (err error) {
	if c.run, err = c.api.Evaluations.Get(ctx, tx, c.env.ID, id); err != nil {
		return err
	}
	if c.run.Directory != c.directory.ID {
		return store.ErrNotFound
	}
	return nil
}

// evaluationList is the evaluations of a directory.
type evaluationList struct {
	Evaluations []evaluation.Run `json:"evaluations"`
}

// listEvaluations answers with the evaluations of a directory, the newest first.
func listEvaluations(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := c.api.Evaluations.List(ctx, tx, c.env.ID, c.directory.ID)
	return evaluationList{all}, err
}

// startEvaluation begins a run. Whom it looks at stands in the audit record only as a
// number: addresses are personal.
func startEvaluation(ctx context.Context, c *call, tx *store.Tx, req *evaluation.Scope) (any, error) {
	if err := req.Check(); err != nil {
		return nil, bad(strings.TrimPrefix(err.Error(), "evaluation: "))
	}
	run, err := c.api.Evaluations.Start(ctx, tx, c.env.ID, c.directory.ID, *req, c.key.ID)
	c.detail = map[string]any{"evaluation": run.ID, "directory": c.directory.ID, "accounts": len(req.Accounts), "group": req.Group}
	return run, err
}

func wakeEvaluations(_ context.Context, c *call, reply any) (any, error) {
	c.api.Evaluations.Wake()
	return reply, nil
}

// getEvaluation answers with one evaluation and what it found so far.
func getEvaluation(_ context.Context, c *call, _ *store.Tx) (any, error) { return c.run, nil }

// could is how much an account could have, in the spelling of the parameter; its place
// is the number of the reply.
var could = []string{"nothing", "some", "all"}

// evaluatedList is a page of evaluated accounts.
type evaluatedList struct {
	Accounts []evaluation.Account `json:"accounts"`
	After    string               `json:"after"` // for the next page; empty: that was all
}

// evaluatedAccounts lists accounts of a run, by reason and by how much they could have.
func evaluatedAccounts(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	f := store.EvaluationFilter{Reason: c.text("reason"), After: c.text("after"), Count: c.number("count")}
	if f.Reason != "" && !slices.Contains(evaluation.Reasons(), protocol.Reason(f.Reason)) {
		return nil, bad("reason: unknown")
	}
	if i := slices.Index(could, c.text("could")); i >= 0 {
		f.Could = &i
	}
	all, err := c.api.Evaluations.Accounts(ctx, tx, c.env.ID, c.run.ID, f)
	next := ""
	if len(all) == f.Count {
		next = all[len(all)-1].ID
	}
	return evaluatedList{all, next}, err
}

// cancelEvaluation ends an evaluation before it is done.
func cancelEvaluation(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"evaluation": c.run.ID, "directory": c.directory.ID}
	return nil, c.api.Evaluations.Cancel(ctx, tx, c.env.ID, c.run.ID)
}

// removeEvaluation removes an evaluation with what it found.
func removeEvaluation(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"evaluation": c.run.ID, "directory": c.directory.ID, "removed": true}
	return nil, tx.RemoveEvaluation(ctx, c.env.ID, c.run.ID)
}
