package guard

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// defaultActsPerHour is what a help desk does by hand in a busy hour, and far less than
// what a hub that is not trusted any more would like to.
const defaultActsPerHour = 20

// checkActs refuses switches that mean nothing.
func (r Rules) checkActs() error {
	for _, o := range r.Acts {
		if !o.Act() {
			return fmt.Errorf("guard.acts: unknown account operation %q", o)
		}
	}
	for _, o := range r.SecondAdministrator {
		if !o.Act() {
			return fmt.Errorf("guard.second_administrator: unknown account operation %q", o)
		}
	}
	if r.ActsPerHour < 0 {
		return fmt.Errorf("guard.acts_per_hour: a limit below zero")
	}
	for _, g := range r.ActGroups {
		if strings.TrimSpace(g) == "" {
			return fmt.Errorf("guard.act_groups: an empty name")
		}
	}
	return r.checkAttributes()
}

// An Act is an account operation that an administrator asks for, and of whom.
type Act struct {
	Account string // id that was asked for
	Facts   directory.Facts
	Task    protocol.Task
	// Group is what the directory says of the group that the task names; nil where it
	// names none, or where it was not looked up yet.
	Group *directory.ActGroup
	// Strict says that the file asks for evidence or a delay before anything happens to
	// the account. No person proves anything here, so it is refused.
	Strict bool
}

// JudgeAct returns why an account operation is refused, or nil. The same accounts are
// refused as for recoveries, except that disabled ones are not, and everybody for whom the
// file does not take a hub's word. Limits are not looked at.
func (g *Guard) JudgeAct(a Act) *protocol.Error {
	c := Case{Account: a.Account, Facts: a.Facts, Tasks: []protocol.Task{a.Task}}
	for _, rule := range order {
		if !rule.acts {
			continue
		}
		if why := rule.broken(g, c); why != "" {
			return protocol.Err(protocol.CodePermissionDenied, why).For(rule.reason(c))
		}
	}
	if why := g.attribute(a.Task); why != nil {
		return why
	}
	if a.Strict {
		return protocol.Err(protocol.CodePermissionDenied, "the agent's file asks for evidence or a delay before anything happens to this account; account operations have neither").For(protocol.ReasonNoEvidence)
	}
	if a.Group != nil && a.Group.Privileged != "" {
		return protocol.Err(protocol.CodePermissionDenied, "the group makes administrators of its members: "+a.Group.Privileged).For(protocol.ReasonAdministrator)
	}
	if a.Group != nil && !g.actGroup(*a.Group) {
		return protocol.Err(protocol.CodePermissionDenied, "the group is not among guard.act_groups in the agent's file, which names groups by immutable id or distinguished name")
	}
	return nil
}

// actGroup reports whether the file lets a group be changed.
func (g *Guard) actGroup(group directory.ActGroup) bool {
	at, err := parseDN(group.DN)
	return slices.ContainsFunc(g.rules.ActGroups, func(text string) bool {
		if group.ID != "" && strings.EqualFold(strings.TrimSpace(text), group.ID) {
			return true
		}
		named, bad := parseDN(text)
		return err == nil && bad == nil && slices.Equal(at, named)
	})
}

// NeedsSecond reports whether another administrator has to agree to an operation: because
// the file says so, or because the group is one of guard.sensitive_groups.
func (g *Guard) NeedsSecond(o protocol.Operation, seen directory.Foreseen) bool {
	if slices.Contains(g.rules.SecondAdministrator, o) {
		return true
	}
	return seen.Group != nil && member([]string{seen.Group.ID, seen.Group.Name, seen.Group.DN}, g.rules.SensitiveGroups) != ""
}

// ReserveAct takes a place in the limits of account operations, which are not those of
// recoveries: a hub must not be able to use recoveries up with them (T31).
func (g *Guard) ReserveAct(account string) (*Slot, *protocol.Error) { return g.reserve(account, true) }

func (l *limiter) actsExceededLocked(now time.Time) string {
	n := 0
	for _, p := range l.done {
		if p.Act && now.Sub(p.At) < time.Hour {
			n++
		}
	}
	if n < l.rules.ActsPerHour {
		return ""
	}
	return fmt.Sprintf("%d account operations were carried out within an hour: guard.acts_per_hour in the agent's file", n)
}
