package api

import (
	"context"
	"slices"
	"strconv"
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

func listEvaluations(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := c.api.Evaluations.List(ctx, tx, c.env.ID, c.directory.ID)
	return map[string]any{"evaluations": all}, err
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

func getEvaluation(_ context.Context, c *call, _ *store.Tx) (any, error) { return c.run, nil }

// evaluatedAccounts lists accounts of a run, by reason and by how much they could have.
func evaluatedAccounts(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	f := store.EvaluationFilter{Reason: c.query.Get("reason"), After: c.query.Get("after"), Count: 100}
	if f.Reason != "" && !slices.Contains(evaluation.Reasons(), protocol.Reason(f.Reason)) {
		return nil, bad("reason: unknown")
	}
	if text := c.query.Get("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > store.MaxAccounts {
			return nil, bad("count: want 1 to " + strconv.Itoa(store.MaxAccounts))
		}
		f.Count = n
	}
	if text := c.query.Get("could"); text != "" {
		i := slices.Index([]string{"nothing", "some", "all"}, text)
		if i < 0 {
			return nil, bad("could: want nothing, some or all")
		}
		f.Could = &i
	}
	all, err := c.api.Evaluations.Accounts(ctx, tx, c.env.ID, c.run.ID, f)
	next := ""
	if len(all) == f.Count {
		next = all[len(all)-1].ID
	}
	return map[string]any{"accounts": all, "after": next}, err
}

func cancelEvaluation(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"evaluation": c.run.ID, "directory": c.directory.ID}
	return nil, c.api.Evaluations.Cancel(ctx, tx, c.env.ID, c.run.ID)
}

func removeEvaluation(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"evaluation": c.run.ID, "directory": c.directory.ID, "removed": true}
	return nil, tx.RemoveEvaluation(ctx, c.env.ID, c.run.ID)
}
