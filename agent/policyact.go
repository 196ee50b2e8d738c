package agent

import (
	"context"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// An ActPolicy is what would become of one account operation.
type ActPolicy struct {
	Operation protocol.Operation `json:"operation"`
	Allowed   bool               `json:"allowed"`
	// Refused is why: the guard's words, the directory's, or that nothing would change.
	Refused string                `json:"refused,omitempty"`
	Changes []protocol.Difference `json:"changes,omitempty"`
	// Open is the parameter that decides, too, and was not named: nothing was asked of the
	// directory.
	Open string `json:"open,omitempty"`
}

// acts looks at what administrators may ask of the account, as far as the directory can
// do it.
func (t *policyTester) acts(ctx context.Context, f directory.Facts, terms proof.Terms) (all []ActPolicy) {
	d, can := t.dir.(directory.Actor)
	if !can {
		return nil
	}
	for _, row := range protocol.Acts {
		if slices.Contains(d.Acts(), row.Operation) {
			all = append(all, t.act(ctx, d, row, guard.Act{Account: f.ID, Facts: f, Strict: terms.Strict || terms.Delay > 0}))
		}
	}
	return all
}

// act asks the guard, then the directory, and the guard once more about the group that the
// directory found: as an order does.
func (t *policyTester) act(ctx context.Context, d directory.Actor, row protocol.ActRow, a guard.Act) ActPolicy {
	out := ActPolicy{Operation: row.Operation}
	value := ""
	if row.Param == protocol.ParamGroup {
		value = t.group
	}
	task, whole := row.Task(value)
	a.Task = task
	if refused := t.g.JudgeAct(a); refused != nil {
		out.Refused = refused.Message
		return out
	}
	if !whole {
		out.Allowed, out.Open = true, row.Param
		return out
	}
	seen, err := d.Foresee(ctx, a.Account, task)
	if err != nil {
		out.Refused = strings.TrimPrefix(err.Error(), string(protocol.CodeOf(err))+": ")
		return out
	}
	if a.Group = seen.Group; a.Group != nil {
		if refused := t.g.JudgeAct(a); refused != nil {
			out.Refused = refused.Message
			return out
		}
	}
	if out.Changes = seen.Changes; len(seen.Changes) == 0 {
		out.Refused = "the account is so already"
	}
	out.Allowed = out.Refused == ""
	return out
}
