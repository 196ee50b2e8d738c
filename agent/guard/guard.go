// Package guard decides what this agent does to an account, by the rules of the
// agent's own file and the facts that its directory states now. It knows no hub:
// nothing that a hub sends is an argument that could widen it.
package guard

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// Limits where the file names none: a help desk of a company of ten thousand resets
// about ten passwords an hour.
const (
	defaultPerAccountPerHour = 3
	defaultPerHour           = 60
	defaultPerDay            = 300
)

// What to do for an account whose owner cannot be told.
const (
	noticeRefuse = "refuse"
	noticeAllow  = "allow"
)

// Rules is the table [guard] of the agent's file. The zero value refuses what is
// always refused and keeps the default limits.
type Rules struct {
	// BaseDNs are the branches in which accounts may be changed; empty: all that
	// the directory lists.
	BaseDNs []string `toml:"base_dns" json:"base_dns"`
	// Operations that may be carried out; empty: all that the directory can.
	Operations []protocol.Operation `toml:"operations" json:"operations"`
	// RefusedGroups are names or ids of groups whose members, nested ones included,
	// are always refused.
	RefusedGroups []string `toml:"refused_groups" json:"refused_groups"`
	// SensitiveGroups are groups whose members need evidence that the agent checked
	// itself: a code that it sent by its own mail route.
	SensitiveGroups []string `toml:"sensitive_groups" json:"sensitive_groups"`
	// PerAccountPerHour, PerHour and PerDay bound operations that were carried out;
	// 0: the default (3, 60, 300).
	PerAccountPerHour int `toml:"per_account_per_hour" json:"per_account_per_hour"`
	PerHour           int `toml:"per_hour" json:"per_hour"`
	PerDay            int `toml:"per_day" json:"per_day"`
	// NoNotice says what happens when the account has no mail address besides the
	// one that is being recovered: "refuse" (default) or "allow".
	NoNotice string `toml:"no_notice" json:"no_notice"`

	// Acts are the account operations that the hub's administrators may ask for; empty:
	// none. Nobody proves anything for them: see JudgeAct.
	Acts []protocol.Operation `toml:"acts" json:"acts,omitempty"`
	// ActGroups are the groups, by immutable id or distinguished name, to which accounts
	// may be added and from which they may be removed; empty: none. A name would not do:
	// two groups can have the same.
	ActGroups []string `toml:"act_groups" json:"act_groups,omitempty"`
	// ActAttributes are the attributes, as the directory calls them, that set_attribute may
	// set; empty: none. What says who gets in, who somebody is or what somebody may do
	// cannot stand there.
	ActAttributes []string `toml:"act_attributes" json:"act_attributes,omitempty"`
	// SecondAdministrator are the account operations for which the hub has to ask another
	// administrator; empty: only those of sensitive groups and of attributes that recoveries
	// go by, which always need one.
	SecondAdministrator []protocol.Operation `toml:"second_administrator" json:"second_administrator,omitempty"`
	// ActsPerHour bounds the account operations that were carried out; 0: the default (20).
	ActsPerHour int `toml:"acts_per_hour" json:"acts_per_hour,omitempty"`
}

// A Guard is checked rules with the operations of the last day. Its methods may be
// called from many goroutines.
type Guard struct {
	rules   Rules
	bases   []dn
	hash    string
	limiter limiter
}

// New checks the rules. performed are the operations of the last day, oldest
// first, and now is the agent's clock.
func New(r Rules, performed []Performed, now func() time.Time) (*Guard, error) {
	r.PerAccountPerHour = orDefault(r.PerAccountPerHour, defaultPerAccountPerHour)
	r.PerHour = orDefault(r.PerHour, defaultPerHour)
	r.PerDay = orDefault(r.PerDay, defaultPerDay)
	if len(r.Acts) > 0 { // agents of one directory are compared by a hash of their rules: those without stay as they were
		r.ActsPerHour = orDefault(r.ActsPerHour, defaultActsPerHour)
	}
	if r.NoNotice == "" {
		r.NoNotice = noticeRefuse
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	g := &Guard{rules: r, hash: r.hash(), limiter: limiter{rules: r, now: now, done: slices.Clone(performed)}}
	for _, text := range r.BaseDNs {
		base, err := parseDN(text)
		if err != nil {
			return nil, fmt.Errorf("guard.base_dns: %q: %w", text, err)
		}
		g.bases = append(g.bases, base)
	}
	return g, nil
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func (r Rules) check() error {
	for _, o := range r.Operations {
		if o.Trait() == "" || o.Act() {
			return fmt.Errorf("guard.operations: unknown operation %q", o)
		}
	}
	if err := r.checkActs(); err != nil {
		return err
	}
	if r.PerAccountPerHour < 0 || r.PerHour < 0 || r.PerDay < 0 {
		return fmt.Errorf("guard: a limit below zero")
	}
	if r.NoNotice != noticeRefuse && r.NoNotice != noticeAllow {
		return fmt.Errorf("guard.no_notice: %q; want %q or %q", r.NoNotice, noticeRefuse, noticeAllow)
	}
	for _, g := range slices.Concat(r.RefusedGroups, r.SensitiveGroups) {
		if strings.TrimSpace(g) == "" {
			return fmt.Errorf("guard: an empty group name")
		}
	}
	return nil
}

// hash is SHA-256 over the rules in one order, so that agents of one directory can be compared.
func (r Rules) hash() string {
	for _, list := range []*[]string{&r.BaseDNs, &r.RefusedGroups, &r.SensitiveGroups, &r.ActGroups, &r.ActAttributes} {
		*list = slices.Sorted(slices.Values(*list))
	}
	r.Operations = slices.Sorted(slices.Values(r.Operations))
	r.Acts = slices.Sorted(slices.Values(r.Acts))
	r.SecondAdministrator = slices.Sorted(slices.Values(r.SecondAdministrator))
	js, _ := json.Marshal(r) // strings and numbers always marshal
	sum := sha256.Sum256(js)
	return hex.EncodeToString(sum[:])
}

// Hash names the rules in force, in hex. The hub compares those of a directory's agents.
func (g *Guard) Hash() string { return g.hash }

// Rules returns the rules in force, defaults filled in. The lists are shared: read only.
func (g *Guard) Rules() Rules { return g.rules }

// NeedsNotice reports whether an account without a deliverable address is refused.
// instead replaces guard.no_notice where it is not empty.
func (g *Guard) NeedsNotice(instead string) bool {
	if instead == "" {
		instead = g.rules.NoNotice
	}
	return instead != noticeAllow
}

// A Case is what is asked, of whom, and what this agent itself knows to be proven.
type Case struct {
	Account string // id that was asked for
	Facts   directory.Facts
	Tasks   []protocol.Task
	Notice  bool // the owner, or who is told instead, has an address that a notice reaches
	// NoNotice replaces guard.no_notice for this account where it is not empty (T34).
	NoNotice string
	Strict   bool // the agent itself checked evidence that the hub cannot make
}

// order is what Judge asks, one after another, and what a report calls a case that breaks one.
var order = []struct {
	name   string // for people
	broken func(*Guard, Case) string
	reason func(Case) protocol.Reason
	acts   bool // asked of account operations too
}{
	{"the account is the one that was asked for", sameAccount, always(protocol.ReasonState), true},
	{"built-in administrators, the agent itself", builtIn, reasonBuiltIn, true},
	{"disabled accounts", disabled, reasonDisabled, false},
	{"guard.base_dns", (*Guard).outside, always(protocol.ReasonOutside), true},
	{"guard.operations", (*Guard).operation, always(protocol.ReasonOperationOff), true},
	{"guard.refused_groups", (*Guard).refused, always(protocol.ReasonRefusedGroup), true},
	{"guard.sensitive_groups", (*Guard).sensitive, always(protocol.ReasonNoEvidence), true},
	{"guard.no_notice", (*Guard).unnoticed, always(protocol.ReasonNoNotice), false},
}

func always(r protocol.Reason) func(Case) protocol.Reason {
	return func(Case) protocol.Reason { return r }
}

func reasonBuiltIn(c Case) protocol.Reason {
	if c.Facts.Self {
		return protocol.ReasonAgentAccount
	}
	return protocol.ReasonAdministrator
}

func reasonDisabled(c Case) protocol.Reason {
	if c.Facts.Expired {
		return protocol.ReasonExpired
	}
	return protocol.ReasonDisabled
}

// Judge returns why the case is refused, or nil. Limits are not looked at.
func (g *Guard) Judge(c Case) *protocol.Error {
	for _, rule := range order {
		if why := rule.broken(g, c); why != "" {
			return protocol.Err(protocol.CodePermissionDenied, why).For(rule.reason(c))
		}
	}
	return nil
}

func sameAccount(_ *Guard, c Case) string {
	if c.Account == "" || c.Facts.ID != c.Account {
		return "the directory answered for another account than the one that was asked for"
	}
	return ""
}

func builtIn(_ *Guard, c Case) string {
	switch {
	case c.Facts.Self:
		return "this is the account that the agent itself signs in with"
	case c.Facts.Privileged != "":
		return "built-in administrators are never recovered by an agent: " + c.Facts.Privileged
	}
	return ""
}

func disabled(_ *Guard, c Case) string {
	if c.Facts.Disabled {
		return "the account is disabled; enable it in the directory first"
	}
	return ""
}

func (g *Guard) outside(c Case) string {
	if len(g.bases) == 0 {
		return ""
	}
	at, err := parseDN(c.Facts.DN)
	if err != nil || !slices.ContainsFunc(g.bases, at.under) {
		return "the account stands outside of guard.base_dns in the agent's file"
	}
	return ""
}

func (g *Guard) operation(c Case) string {
	if len(c.Tasks) == 0 {
		return "no operation was named"
	}
	for _, t := range c.Tasks {
		if !g.Allows(t.Operation) {
			list := "guard.operations"
			if t.Operation.Act() {
				list = "guard.acts"
			}
			return fmt.Sprintf("the operation %s is not among %s in the agent's file", t.Operation, list)
		}
	}
	return ""
}

func (g *Guard) refused(c Case) string {
	if name := member(c.Facts.Groups, g.rules.RefusedGroups); name != "" {
		return fmt.Sprintf("the account is a member of %q, one of guard.refused_groups in the agent's file", name)
	}
	return ""
}

func (g *Guard) sensitive(c Case) string {
	if name := member(c.Facts.Groups, g.rules.SensitiveGroups); name != "" && !c.Strict {
		return fmt.Sprintf("the account is a member of %q, one of guard.sensitive_groups in the agent's file: "+
			"evidence that the agent itself checked is needed", name)
	}
	return ""
}

func (g *Guard) unnoticed(c Case) string {
	if g.NeedsNotice(c.NoNotice) && !c.Notice {
		return "the account has no other mail address to which a notice could go, and no_notice in the agent's file does not allow that"
	}
	return ""
}

// Sensitive reports whether the groups of an account ask for evidence that the agent
// checks itself.
func (g *Guard) Sensitive(f directory.Facts) bool {
	return member(f.Groups, g.rules.SensitiveGroups) != ""
}

// member returns the first of the wanted groups among those of an account. Names are
// compared without regard to case, as directories do.
func member(groups, wanted []string) string {
	for _, w := range wanted {
		if slices.ContainsFunc(groups, func(g string) bool { return strings.EqualFold(strings.TrimSpace(g), strings.TrimSpace(w)) }) {
			return w
		}
	}
	return ""
}

// Allows reports whether the file allows the operation at all. What changes nothing,
// here or in the directory, is always allowed.
func (g *Guard) Allows(o protocol.Operation) bool {
	if o.Act() {
		return slices.Contains(g.rules.Acts, o)
	}
	return o.BegunOnly() || len(g.rules.Operations) == 0 || slices.Contains(g.rules.Operations, o)
}
