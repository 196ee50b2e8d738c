package directory

import (
	"context"
	"slices"

	"github.com/postern-id/postern/protocol"
)

// An Advisor can say which rights the agent's own account has in its directory. It is for
// people who set an agent up: what it says stays on the agent's machine.
type Advisor interface {
	// Rights reads, now, what operations on an account need and what the agent's account
	// has. It changes nothing. CodeAccountNotFound if id names none.
	Rights(ctx context.Context, id string) (Rights, error)
}

// Rights are what the agent's account may do to one account.
type Rights struct {
	Agent   string  // the agent's account, as in the lines of Fix
	Account string  // DN of the account that was looked at
	Needs   []Right // in the order of the documentation
	Excess  []Right // held, needed by nothing, and dangerous in wrong hands
}

// A Right is one thing that a directory's access rules allow or do not.
type Right struct {
	Name     string   // as administrators of that directory call it: "Reset Password"
	For      []string // what needs it: operations, and words such as "must_change"
	Held     Held
	Optional bool     // without it less works, and nothing fails
	Why      string   // why it is missing or dangerous, in plain words; empty if it is as it should be
	Fix      []string // lines that an administrator pastes, whole and with names filled in
}

// Held says whether a right is there.
type Held string

// What can be known of a right.
const (
	HeldYes     Held = "yes"
	HeldNo      Held = "no"
	HeldUnknown Held = "unknown" // the directory does not let the agent see it
)

// Missing are the rights that stop something: the optional ones are left out.
func (r Rights) Missing() []Right {
	var all []Right
	for _, n := range r.Needs {
		if n.Held == HeldNo && !n.Optional {
			all = append(all, n)
		}
	}
	return all
}

// An ActAdvisor is an Advisor for account operations, too.
type ActAdvisor interface {
	// ActRights is Rights for what the agent's file lets account operations do, in the order
	// of the documentation. It changes nothing. CodeAccountNotFound if id names none.
	ActRights(ctx context.Context, id string, of ActScope) ([]ActRight, error)
}

// An ActScope is what the agent's file lets account operations do.
type ActScope struct {
	Operations []protocol.Operation
	Groups     []string // whose members may change, by immutable id or DN
	Attributes []string // that may be set
}

// Among are those of the operations that the file switches on, for Right.For.
func (s ActScope) Among(operations ...protocol.Operation) (names []string) {
	for _, o := range operations {
		if slices.Contains(s.Operations, o) {
			names = append(names, string(o))
		}
	}
	return names
}

// An ActRight is a right that account operations need, on an account or on a group.
type ActRight struct {
	Right
	Of    string // the entry of Groups or Attributes that it is for; "" for the account as a whole
	Never string // why nothing is done with Of, whatever the rights are; "" if it is
}

// A Refusal is why a directory does not let the agent's own account in. It stands in the
// chain of the error that Describe and all others return then.
type Refusal string

// Refusals that a directory tells apart.
const (
	RefusedPassword        Refusal = "wrong_password" // or there is no such account: servers do not say
	RefusedLocked          Refusal = "locked"
	RefusedDisabled        Refusal = "disabled"
	RefusedExpired         Refusal = "account_expired"
	RefusedPasswordExpired Refusal = "password_expired"
	RefusedMustChange      Refusal = "must_change_password"
	RefusedHours           Refusal = "outside_logon_hours"
	RefusedWorkstation     Refusal = "workstation_not_allowed"
	RefusedBinding         Refusal = "channel_binding"
	RefusedUnread          Refusal = "password_unread" // it was not asked: the file with its password cannot be used
)

// Error implements error.
func (r Refusal) Error() string { return "directory: the agent's account is refused: " + string(r) }
