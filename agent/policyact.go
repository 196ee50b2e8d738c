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
	// Choices are what the file lets that parameter be.
	Choices []ActChoice `json:"choices,omitempty"`
}

// An ActChoice is an attribute or a group of the agent's file.
type ActChoice struct {
	Name    string `json:"name"`
	Refused string `json:"refused,omitempty"` // why nothing is done with it all the same
}

// acts looks at what administrators may ask of the account, as far as the directory can
// do it.
func (t *policyTester) acts(ctx context.Context, f directory.Facts, terms proof.Terms) (all []ActPolicy, err error) {
	d, can := t.dir.(directory.Actor)
	if !can {
		return nil, nil
	}
	if t.rights, err = actRights(ctx, t.dir, t.g, f.ID); err != nil {
		return nil, err
	}
	for _, row := range protocol.Acts {
		if slices.Contains(d.Acts(), row.Operation) {
			all = append(all, t.act(ctx, d, row, guard.Act{Account: f.ID, Facts: f, Strict: terms.Strict || terms.Delay > 0}))
		}
	}
	return all, nil
}

// choices are the attributes or groups of the file, and why some are refused.
func (t *policyTester) choices(param string) (all []ActChoice) {
	names := t.g.Rules().ActAttributes
	if param == protocol.ParamGroup {
		names = t.g.Rules().ActGroups
	}
	for _, name := range names {
		c := ActChoice{Name: name}
		for _, r := range t.rights {
			if r.Of != name {
				continue
			}
			if c.Refused = r.Never; c.Refused == "" && r.Held == directory.HeldNo {
				c.Refused = "the agent's account lacks the right '" + r.Name + "'; postern-agent doctor --account has the line that gives it"
			}
		}
		all = append(all, c)
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
	if names := t.g.Rules().ActAttributes; row.Param == protocol.ParamAttribute && len(names) > 0 {
		task.Params[row.Param] = names[0] // any that the file names: the choices say of each
	}
	a.Task = task
	if refused := t.g.JudgeAct(a); refused != nil {
		out.Refused = refused.Message
		return out
	}
	if !whole {
		out.Open, out.Choices = row.Param, t.choices(row.Param)
		out.Allowed = slices.ContainsFunc(out.Choices, func(c ActChoice) bool { return c.Refused == "" })
		if !out.Allowed {
			out.Refused = "the file names no " + row.Param + " that would be let through"
		}
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
