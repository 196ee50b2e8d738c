package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/protocol"
)

// examineSample is how many accounts of the first page are looked at to find one that the
// guard lets pass.
const examineSample = 20

// guard looks at the rules, and at one account under them.
func (x *examination) guard(ctx context.Context, dir directory.Directory, can protocol.Traits, first directory.Page) {
	g, err := guard.New(x.o.Config.Guard, nil, time.Now)
	if err != nil {
		x.found(areaGuard, "settings", doctor.GuardSettings, err)
		return
	}
	if len(g.Rules().BaseDNs) == 0 {
		x.Found(areaGuard, "guard.base_dns", doctor.GuardUnbounded, "none is named; only those that are always refused are", "the line below has what is listed now; better is what has employees alone")
		x.unbounded(ctx, dir)
	} else {
		x.branches(ctx, dir, g.Rules().BaseDNs)
	}
	if g.NeedsNotice("") {
		x.ok(areaGuard, "guard.no_notice", "accounts without another mail address are refused")
	} else {
		x.Found(areaGuard, "guard.no_notice", doctor.NoticesOff, "accounts without another mail address are let through")
	}
	x.groups(ctx, dir, g.Rules())
	if x.o.Config.Evaluation {
		x.Found(areaGuard, "evaluation", doctor.Evaluating, "every operation is a dry run")
	}
	facts, found := x.sample(ctx, dir, g, first)
	if !found {
		return
	}
	x.untried(ctx, dir, facts.DN)
	x.rights(ctx, dir, g, facts.ID)
	x.dryRuns(ctx, dir, facts.ID, operationsOf(can, g))
	x.policy(facts)
}

// unbounded prints the line that keeps the guard to what is listed now, where the
// directory can be asked.
func (x *examination) unbounded(ctx context.Context, dir directory.Reader) {
	step := &x.Steps[len(x.Steps)-1]
	s, can := dir.(directory.Surveyor)
	if !can {
		step.Lines = nil
		return
	}
	bases, err := s.Bases(ctx)
	var dns []string
	for _, b := range bases {
		if b.Key == "base_dns" && b.Found {
			dns = append(dns, strconv.Quote(b.DN))
		}
	}
	if err != nil || len(dns) == 0 {
		step.Lines = nil
		return
	}
	x.Write("guard", "base_dns = ["+strings.Join(dns, ", ")+"]")
}

// branches look whether the branches that the guard lets pass exist, where the directory
// can be asked.
func (x *examination) branches(ctx context.Context, dir directory.Reader, names []string) {
	const what = "guard.base_dns"
	all, meant := make([]directory.Base, 0, len(names)), names
	if s, can := dir.(directory.Surveyor); can {
		var err error
		if all, err = guarded(ctx, s, names); err != nil {
			x.unusable(what, err)
			return
		}
		meant = x.meant(ctx, s, all)
	}
	others := elsewhere(all, meant)
	line, well := listed(directory.Base{Key: "base_dns"}, all, meant), true
	for i, b := range all {
		if b.Found || others[i] {
			continue
		}
		x.missing(areaGuard, what, doctor.NoSuchBranch, b, meant[i])
		if well && line != "" {
			x.Write("guard", line)
		}
		well = false
	}
	if !well {
		return
	}
	for i, b := range all {
		if others[i] {
			names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == b.DN })
			x.ok(areaGuard, what, "%s is of no part of this directory: it is taken for a branch of another one, whose agent has the same table", b.DN)
		}
	}
	x.ok(areaGuard, what, "%s", strings.Join(names, "; "))
}

// elsewhere are the branches of the guard that are of another directory, where agents of
// several have the same table: nothing of them exists here, they are no slip of the keys,
// and others of the table are found. Their names stay as they are.
func elsewhere(all []directory.Base, meant []string) []bool {
	others := make([]bool, len(all))
	if !slices.ContainsFunc(all, func(b directory.Base) bool { return b.Found }) {
		return others // somebody has to be let through
	}
	for i, b := range all {
		here := func(context string) bool { return doctor.Under(b.DN, context) }
		if b.Found || meant[i] != "" || b.Near != "" || len(b.Below) == 0 || slices.ContainsFunc(b.Below, here) {
			continue
		}
		others[i], meant[i] = true, b.DN
	}
	return others
}

// untried notes the base DNs of which no account is looked at, unless one was named:
// rights are given branch by branch.
func (x *examination) untried(ctx context.Context, dir directory.Reader, tried string) {
	s, can := dir.(directory.Surveyor)
	if !can || x.account != "" {
		return
	}
	bases, err := s.Bases(ctx)
	if err != nil {
		x.unusable("base DNs", err)
		return
	}
	for _, b := range bases {
		if b.Key != "group_base_dns" && !doctor.Under(tried, b.DN) {
			x.Untried = append(x.Untried, b.DN)
		}
	}
}

// guarded looks at branches of the guard. What stands above a base DN that exists does,
// whether or not the agent's account may see it.
func guarded(ctx context.Context, s directory.Surveyor, names []string) ([]directory.Base, error) {
	bases, err := s.Bases(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.Branches(ctx, names...)
	for i, b := range all {
		all[i].Key, all[i].Part = "base_dns", 0
		all[i].Found = b.Found || slices.ContainsFunc(bases, func(base directory.Base) bool { return base.Found && doctor.Under(base.DN, b.DN) })
	}
	return all, err
}

// sample finds the account to look at.
func (x *examination) sample(ctx context.Context, dir directory.Directory, g *guard.Guard, first directory.Page) (directory.Facts, bool) {
	accounts := first.Accounts[:min(len(first.Accounts), examineSample)]
	if x.account != "" {
		x.Persons = append(x.Persons, x.account)
		var err error
		if accounts, err = named(ctx, dir, x.account); protocol.CodeOf(err) == protocol.CodeUnavailable || protocol.CodeOf(err) == protocol.CodeServiceAuthentication {
			x.unusable("account", err)
			return directory.Facts{}, false
		}
		if len(accounts) == 0 {
			x.Found(areaAccount, "account", doctor.NoSuchAccount, "nobody is found by "+doctor.OneLine(withoutAddresses(x.account)))
			return directory.Facts{}, false
		}
	}
	why, number := errors.New("no account is listed"), doctor.GuardRefuses
	for _, a := range accounts {
		facts, refused, err := x.judged(ctx, dir, g, a.ID)
		switch {
		case err != nil:
			why, number = err, numberOf(err)
		case refused == nil:
			x.ok(areaAccount, "account", "%s: the guard lets it pass", facts.ID)
			return facts, true
		case x.account != "":
			x.found(areaAccount, "account", doctor.GuardRefuses, refused)
			return facts, true
		default:
			number = doctor.GuardRefuses
			why = fmt.Errorf("the guard refuses every account that was tried, the last one because: %s", refused.Message)
		}
	}
	if len(accounts) > 0 {
		x.found(areaAccount, "account", number, why)
	}
	return directory.Facts{}, false
}

// judged asks the guard about an account as if strict evidence were there.
func (x *examination) judged(ctx context.Context, dir directory.Directory, g *guard.Guard, id string) (directory.Facts, *protocol.Error, error) {
	facts, err := dir.Facts(ctx, id)
	if err != nil {
		return facts, nil, err
	}
	x.Persons = append(x.Persons, facts.ID, facts.DN)
	contacts, err := dir.Contacts(ctx, id)
	if err != nil || !g.Allows(protocol.Unlock) {
		return facts, nil, err
	}
	return facts, g.Judge(guard.Case{
		Account: facts.ID, Facts: facts, Tasks: []protocol.Task{{Operation: protocol.Unlock}},
		Notice: len(contacts.Mail) > 0, Strict: x.o.Config.SMTP.on() || x.o.Config.SMS.on() || x.o.Config.Evidence.On(),
	}), nil
}

// dryRuns tries every operation that directory and file allow.
func (x *examination) dryRuns(ctx context.Context, dir directory.Directory, id string, ops []protocol.Operation) {
	for _, op := range ops {
		what := "dry run of " + string(op)
		err := dir.DryRun(ctx, id, []protocol.Task{{Operation: op}})
		switch code := protocol.CodeOf(err); {
		case code == "":
			x.ok(areaAccount, what, "would be carried out")
		case code == protocol.CodeUnsupportedAccountState:
			x.found(areaAccount, what, doctor.OperationNotNow, err)
		case code == protocol.CodePermissionDenied && x.Has(doctor.RightMissing):
			// the right was named above, with the line that gives it
		default:
			x.found(areaAccount, what, doctor.OperationRefused, err)
		}
	}
}

// policy says which passwords the directory wants for the account.
func (x *examination) policy(f directory.Facts) {
	p := f.Policy
	if p.MinLength == 0 {
		x.Found(areaAccount, "password policy", doctor.PolicyUnknown, "its length is not told")
	} else {
		x.ok(areaAccount, "password policy", "at least %d characters%s", p.MinLength, map[bool]string{true: ", of three kinds"}[p.Complexity])
	}
	if f.Lasting {
		x.Found(areaAccount, "password", doctor.PasswordLasting, "it never expires")
	}
}

// operationsOf lists what directory and file both allow, in the order of the pages.
func operationsOf(can protocol.Traits, g *guard.Guard) []protocol.Operation {
	var ops []protocol.Operation
	for _, a := range protocol.Actions {
		for _, op := range a.Operations {
			if can.Can(op) && g.Allows(op) {
				ops = append(ops, op)
			}
		}
	}
	return ops
}
