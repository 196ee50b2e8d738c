package policy

import (
	"slices"
	"strconv"

	"github.com/postern-id/postern/protocol"
)

// Offered lists the actions that a directory with these traits offers to somebody, in
// the order of protocol.Actions. It says nothing about any account.
func Offered(s Settings, t protocol.Traits) []protocol.Action {
	var list []protocol.Action
	for _, row := range protocol.Actions {
		if _, ok := operation(row, t); ok && s.Policies[row.Policy].Permits() && accepts(s.Methods, row.Action) {
			list = append(list, row.Action)
		}
	}
	return list
}

// accepts reports whether anybody can prove anything for the action.
func accepts(m Methods, a protocol.Action) bool {
	return len(m.Default) > 0 || slices.ContainsFunc(m.Rules, func(r MethodRule) bool {
		return (r.Action == "" || r.Action == a) && len(r.Accept) > 0
	})
}

// operation returns the action's preferred operation among those of the traits.
func operation(row protocol.ActionRow, t protocol.Traits) (protocol.Operation, bool) {
	for _, o := range row.Operations {
		if t.Can(o) {
			return o, true
		}
	}
	return "", false
}

// A Request is all that a decision about one account depends on.
type Request struct {
	Action   protocol.Action
	Settings Settings
	Traits   protocol.Traits
	Groups   []Group  // of the account, nested ones included
	Wish     Strength // of a presigned link; "" none
	Key      string   // enroll-key: hash of the credential, in hex
	Photo    bool     // an operator gave the account a photo that people can compare
	Lent     bool     // its directory lent one, which counts under the policy photo alone
}

// A Decision says whether the account may have the action, by which proofs, and what
// the agent is asked to do. Proofs and tasks are there for a refusal too, because the
// person must not learn of it before they have proven who they are.
type Decision struct {
	Permitted bool
	Strength  Strength        // how a proof that bears a name must match
	Accept    []Combination   // accepted combinations, in order of preference
	Tasks     []protocol.Task // in order
	Ignored   bool            // the wish was weaker than the directory's own policy
}

// Decide is the whole policy. A directory that cannot do the action gives a decision
// without tasks.
func Decide(r Request) Decision {
	if row, own := protocol.OwnAction(r.Action); own {
		return r.own(row)
	}
	row, ok := protocol.ActionByName(r.Action)
	if !ok {
		return Decision{Strength: Disabled}
	}
	var d Decision
	d.Strength, d.Ignored = Stricter(r.Settings.Policies[row.Policy].For(r.Groups), r.Wish)
	d.Accept = r.Settings.Methods.For(r.Action, r.Groups)
	op, can := operation(row, r.Traits)
	d.Permitted = can && d.Strength.Permits() && len(d.Accept) > 0
	if can {
		d.Tasks = r.tasks(op)
	}
	if len(d.Accept) == 0 {
		d.Accept = r.Settings.Methods.Default
	}
	return r.compared(d, false)
}

// tasks names everything that the agent will do, so that the evidence is for exactly
// that: a new password is to be changed at the next sign-in where that takes effect,
// and opens the lock where a lock can be opened and this account may have that, because
// a locked account with a new password is still shut out.
func (r Request) tasks(op protocol.Operation) []protocol.Task {
	t := protocol.Task{Operation: op}
	switch op {
	case protocol.GetTemporaryAccessPass:
		t.Params = r.Settings.accessPass()
	case protocol.GetTemporaryPassword:
		if r.Traits.CanMustChange {
			t.Params = map[string]string{"must_change": "true"}
		}
		if r.Traits.CanUnlock && r.mayUnlock() {
			return []protocol.Task{t, {Operation: protocol.Unlock}}
		}
	}
	return []protocol.Task{t}
}

func (r Request) mayUnlock() bool {
	row, _ := protocol.ActionByName(protocol.ActionUnlock)
	return r.Settings.Policies[row.Policy].For(r.Groups).Permits()
}

// accessPass returns the parameters of an access pass, nil where nothing was decided.
func (s Settings) accessPass() map[string]string {
	p := map[string]string{}
	if s.AccessPassMinutes > 0 {
		p["lifetime_minutes"] = strconv.Itoa(s.AccessPassMinutes)
	}
	if s.AccessPassReusable {
		p["reusable"] = "true"
	}
	if len(p) == 0 {
		return nil
	}
	return p
}
