package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/guard"
)

// rights says what the agent's account may do to the account, for recoveries and for the
// account operations that the file switches on, and prints what is missing.
func (x *examination) rights(ctx context.Context, dir directory.Directory, g *guard.Guard, id string) {
	advisor, can := dir.(directory.Advisor)
	if !can {
		return
	}
	r, err := advisor.Rights(ctx, id)
	if err != nil {
		x.unusable("rights", err)
		return
	}
	acts, err := actRights(ctx, dir, g, id)
	if err != nil {
		x.unusable("rights for account operations", err)
	}
	acts = merged(r.Needs, acts)
	for _, n := range r.Needs {
		x.right(n, doctor.RightMissing)
	}
	for _, n := range acts {
		if n.Never != "" {
			x.never(g.Rules(), n)
			continue
		}
		x.right(n.Right, doctor.ActRightMissing)
	}
	for _, n := range r.Excess {
		x.Advise(areaAccount, "right: "+n.Name, doctor.RightExcess, doctor.OneLine(n.Why), n.Fix)
	}
}

// actRights asks the directory about what the file lets account operations do.
func actRights(ctx context.Context, dir directory.Directory, g *guard.Guard, id string) ([]directory.ActRight, error) {
	actor, acts := dir.(directory.Actor)
	advisor, can := dir.(directory.ActAdvisor)
	if !acts || !can {
		return nil, nil
	}
	rules := g.Rules()
	of := directory.ActScope{Groups: rules.ActGroups, Attributes: rules.ActAttributes}
	for _, o := range actor.Acts() {
		if g.Allows(o) {
			of.Operations = append(of.Operations, o)
		}
	}
	if len(of.Operations) == 0 {
		return nil, nil
	}
	return advisor.ActRights(ctx, id, of)
}

// merged adds what account operations need to the rights that recoveries need anyway, and
// returns the others: one right is told of once, with the line that gives it.
func merged(needs []directory.Right, acts []directory.ActRight) (others []directory.ActRight) {
	for _, n := range acts {
		i := slices.IndexFunc(needs, func(r directory.Right) bool { return r.Name == n.Name })
		if i < 0 || n.Never != "" {
			others = append(others, n)
			continue
		}
		needs[i].For = append(slices.Clip(needs[i].For), n.For...)
	}
	return others
}

// right notes one right; missing is the finding if it is not there.
func (x *examination) right(n directory.Right, missing int) {
	what, detail := "right: "+n.Name, "for "+strings.Join(n.For, ", ")
	if n.Why != "" {
		detail += ": " + n.Why
	}
	switch {
	case n.Held == directory.HeldYes:
		x.ok(areaAccount, what, "%s", detail)
	case n.Held == directory.HeldUnknown:
		x.Advise(areaAccount, what, doctor.RightUnknown, doctor.OneLine(detail), n.Fix)
	case n.Optional:
		x.Advise(areaAccount, what, doctor.RightOptional, doctor.OneLine(detail), n.Fix)
	default:
		x.Advise(areaAccount, what, missing, doctor.OneLine(detail), n.Fix)
	}
}

// never warns of what the file names and no account operation changes.
func (x *examination) never(r guard.Rules, n directory.ActRight) {
	key := "guard.act_groups"
	if slices.Contains(r.ActAttributes, n.Of) {
		key = "guard.act_attributes"
	}
	x.Found(areaGuard, key, doctor.ActNever, doctor.OneLine(withoutAddresses(fmt.Sprintf("%q: %s", n.Of, n.Never))))
}
