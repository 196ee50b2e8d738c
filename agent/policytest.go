package agent

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// A PolicyTest is what the agent's file says of one account, for the administrator of
// this machine.
type PolicyTest struct {
	Account    string            `json:"account"` // immutable id
	DN         string            `json:"dn"`
	Groups     []string          `json:"groups"`
	Rules      []guard.Ruling    `json:"rules"`
	Operations []OperationPolicy `json:"operations"`
	Acts       []ActPolicy       `json:"acts,omitempty"`     // that the directory can do
	Evidence   *protocol.Terms   `json:"evidence,omitempty"` // what the agent asks for itself; nil: the hub's word is enough
	Evaluation bool              `json:"evaluation,omitempty"`
}

// An OperationPolicy is what would become of one operation.
type OperationPolicy struct {
	Operation protocol.Operation `json:"operation"`
	Allowed   bool               `json:"allowed"`
	// Refused is why: the guard's words, or those of a dry run in the directory.
	Refused string `json:"refused,omitempty"`
	// Strict says that the operation is let through with evidence alone that the agent checks.
	Strict bool `json:"strict,omitempty"`
}

// TestPolicy says what the guard of the file would do with one account, named by
// identifier or immutable id, and why. group is of the account operations that need one,
// or empty. It changes nothing and asks no hub. Limits are not looked at.
func TestPolicy(ctx context.Context, o Options, account, group string) (PolicyTest, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g, err := guard.New(o.Config.Guard, nil, time.Now)
	if err != nil {
		return PolicyTest{}, err
	}
	dir, err := o.Open(ctx, o.Config.Kind(), o.Config.File, o.Log)
	if err != nil {
		return PolicyTest{}, err
	}
	defer dir.Close()
	found, err := named(ctx, dir, account)
	switch {
	case err != nil:
		return PolicyTest{}, err
	case len(found) != 1:
		return PolicyTest{}, fmt.Errorf("%d accounts are found by that name; give the immutable id of one", len(found))
	}
	t := policyTester{o: o, g: g, dir: dir, group: group}
	return t.test(ctx, found[0].ID)
}

// A policyTester looks at one account.
type policyTester struct {
	o   Options
	g   *guard.Guard
	dir directory.Directory

	group  string               // "": none was named
	rights []directory.ActRight // for account operations, on the account
}

func (t *policyTester) test(ctx context.Context, id string) (PolicyTest, error) {
	d, err := t.dir.Describe(ctx)
	if err != nil {
		return PolicyTest{}, err
	}
	facts, err := t.dir.Facts(ctx, id)
	if err != nil {
		return PolicyTest{}, err
	}
	contacts, err := t.dir.Contacts(ctx, id)
	if err != nil {
		return PolicyTest{}, err
	}
	terms, err := t.terms(facts)
	if err != nil {
		return PolicyTest{}, err
	}
	c := guard.Case{
		Account: facts.ID, Facts: facts, Tasks: []protocol.Task{{Operation: protocol.GetTemporaryPassword}}, Notice: len(contacts.Mail) > 0, NoNotice: terms.NoNotice,
	}
	out := PolicyTest{Account: facts.ID, DN: facts.DN, Groups: facts.Groups, Rules: t.g.Explain(c), Evidence: terms.For(), Evaluation: t.o.Config.Evaluation}
	for _, a := range protocol.Actions {
		for _, op := range a.Operations {
			if d.Traits.Can(op) {
				out.Operations = append(out.Operations, t.operation(ctx, c, terms, op))
			}
		}
	}
	out.Acts, err = t.acts(ctx, facts, terms)
	return out, err
}

// terms are what the file asks of the account.
func (t *policyTester) terms(f directory.Facts) (proof.Terms, error) {
	e := t.o.Config.Evidence
	terms := e.TermsFor(f.Groups, t.g.Sensitive(f))
	people, err := known.Approvers(t.o.Config.StateDir)
	if err != nil {
		return terms, err
	}
	for _, a := range people {
		if strings.EqualFold(a.Person, f.ID) {
			return e.Strictest(terms), nil
		}
	}
	return terms, nil
}

// operation asks the guard, with and without strict evidence, and then the directory.
func (t *policyTester) operation(ctx context.Context, c guard.Case, terms proof.Terms, op protocol.Operation) OperationPolicy {
	out := OperationPolicy{Operation: op, Strict: terms.Strict}
	c.Tasks, c.Strict = []protocol.Task{{Operation: op}}, true
	if refused := t.g.Judge(c); refused != nil {
		out.Refused = refused.Message
		return out
	}
	c.Strict = false
	out.Strict = out.Strict || t.g.Judge(c) != nil
	if err := t.dir.DryRun(ctx, c.Account, c.Tasks); err != nil {
		out.Refused = strings.TrimPrefix(err.Error(), string(protocol.CodeOf(err))+": ")
		return out
	}
	out.Allowed = true
	return out
}
