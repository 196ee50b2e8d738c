package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// A Combination is a set of methods that must all be proven, in the order in which a
// person is asked for them.
type Combination []Method

// maxMethods bounds a combination and a list of them.
const maxMethods = 8

// Methods is the second axis: which combinations are accepted, per action and group.
// The first rule that fits decides, otherwise Default does.
type Methods struct {
	Rules   []MethodRule  `json:"rules,omitempty"`
	Default []Combination `json:"default"`

	Approvals *People `json:"approvals,omitempty"` // who vouches; nil: the account's manager
	Manual    *ByHand `json:"manual,omitempty"`    // nil: as ByHand says
}

// ByHand says for how long staff who verified somebody by hand are sure of them.
type ByHand struct {
	Minutes int `json:"minutes"` // until a recovery begins to count it
}

// Bounds of ByHand.
const (
	byHandMinutes = 60 // where nobody said otherwise: a call to the help desk, and then the recovery
	maxByHand     = 24 * 60
)

// ByHandLife returns for how long a manual verification waits to be counted.
func (m Methods) ByHandLife() time.Duration {
	if m.Manual == nil {
		return byHandMinutes * time.Minute
	}
	return time.Duration(m.Manual.Minutes) * time.Minute
}

// People says who decides about others, and how many must agree.
type People struct {
	Staff   []string `json:"staff,omitempty"` // mail addresses
	Manager bool     `json:"manager"`         // the account's own, as the directory says at that moment
	Count   int      `json:"count"`
}

// maxPeople bounds those who are named.
const maxPeople = 100

// MaxCount is how many can be asked to agree.
const MaxCount = 5

// Vouchers returns who vouches for accounts.
func (m Methods) Vouchers() People {
	if m.Approvals == nil {
		return People{Manager: true, Count: 1}
	}
	return *m.Approvals
}

// Check reports the first thing that an administrator must mend.
func (p People) Check() error {
	all := len(p.Staff)
	if p.Manager {
		all++
	}
	switch {
	case len(p.Staff) > maxPeople:
		return fmt.Errorf("policy: %d people; at most %d", len(p.Staff), maxPeople)
	case p.Count < 1 || p.Count > MaxCount:
		return fmt.Errorf("policy: count must be 1 to %d", MaxCount)
	case all < p.Count:
		return fmt.Errorf("policy: %d must agree, but only %d are named", p.Count, all)
	}
	for i, a := range p.Staff {
		if !strings.Contains(a, "@") || len(a) > maxName || slices.ContainsFunc(p.Staff[:i], func(b string) bool { return strings.EqualFold(a, b) }) {
			return fmt.Errorf("policy: %.40q is not a mail address, or stands twice", a)
		}
	}
	return nil
}

// Names reports whether the person with this address is among p, where manager is the
// address of the account's own.
func (p People) Names(address, manager string) bool {
	return p.Manager && manager != "" && strings.EqualFold(address, manager) ||
		slices.ContainsFunc(p.Staff, func(a string) bool { return strings.EqualFold(a, address) })
}

// A MethodRule fits when the account is in Group (anybody if nil) and asks for Action
// (any if empty).
type MethodRule struct {
	Action protocol.Action `json:"action,omitempty"`
	Group  *Group          `json:"group,omitempty"`
	Accept []Combination   `json:"accept"`
}

// For returns the accepted combinations, in order of preference.
func (m Methods) For(a protocol.Action, groups []Group) []Combination {
	for _, r := range m.Rules {
		if (r.Action == "" || r.Action == a) && (r.Group == nil || memberOf(groups, *r.Group)) {
			return r.Accept
		}
	}
	return m.Default
}

// First lists the methods that anybody who asks for the action is offered before they
// have proven anything: the first of every combination that any rule or the default
// accepts. It says nothing about an account, whose own rule is known only after the
// first proof.
func (m Methods) First(a protocol.Action) []Method {
	lists := [][]Combination{m.Default}
	for _, r := range m.Rules {
		if r.Action == "" || r.Action == a {
			lists = append(lists, r.Accept)
		}
	}
	var first []Method
	for _, c := range slices.Concat(lists...) {
		if lead := c.lead(); !slices.Contains(first, lead) {
			first = append(first, lead)
		}
	}
	return first
}

// lead returns the method with which the combination begins. People are not bothered for
// somebody who has proven nothing yet, so where only people decide, a code by mail comes
// before it.
func (c Combination) lead() Method {
	for _, m := range c {
		if row, _ := MethodByName(m); row.First {
			return m
		}
	}
	return MailCode
}

// Both returns the combinations that satisfy the hub's policy and, where the agent of a
// directory asks for more, the agent's own: each of one with each of the other.
func Both(hub []Combination, agent [][]string) []Combination {
	if len(agent) == 0 {
		return hub
	}
	var both []Combination
	for _, h := range hub {
		for _, names := range agent {
			all := slices.Clone(h)
			for _, name := range names {
				if m := Method(name); !slices.Contains(all, m) {
					all = append(all, m)
				}
			}
			if len(both) < maxBoth {
				both = append(both, all)
			}
		}
	}
	return both
}

// maxBoth bounds what two lists of combinations give together.
const maxBoth = maxMethods * maxMethods

// Holding returns m with those combinations alone that hold one of some methods, and
// that nobody else has to decide about.
func (m Methods) Holding(some []Method) Methods {
	keep := func(list []Combination) []Combination {
		return slices.DeleteFunc(slices.Clone(list), func(c Combination) bool { return len(c.Without(some)) == len(c) || slices.ContainsFunc(c, slow) })
	}
	m.Default, m.Rules = keep(m.Default), slices.Clone(m.Rules)
	for i, r := range m.Rules {
		m.Rules[i].Accept = keep(r.Accept)
	}
	return m
}

func slow(m Method) bool {
	row, _ := MethodByName(m)
	return row.Slow()
}

// Without returns the members that are not among proven, in order. The combination is
// proven when none is left.
func (c Combination) Without(proven []Method) Combination {
	return slices.DeleteFunc(slices.Clone(c), func(m Method) bool { return slices.Contains(proven, m) })
}

// Check reports the first thing about m that an administrator must mend. An empty list
// accepts nothing; an empty combination would ask for no proof and is refused.
func (m Methods) Check() error {
	if len(m.Rules) > maxRules {
		return fmt.Errorf("policy: %d rules for methods; at most %d", len(m.Rules), maxRules)
	}
	for _, r := range m.Rules {
		if r.Action != "" && !known(r.Action) {
			return fmt.Errorf("policy: %.40q is not an operation", r.Action)
		}
		if r.Group != nil {
			if err := r.Group.check(); err != nil {
				return err
			}
		}
		if err := checkCombinations(r.Accept); err != nil {
			return err
		}
	}
	if m.Approvals != nil {
		if err := m.Approvals.Check(); err != nil {
			return err
		}
	}
	if m.Manual != nil && (m.Manual.Minutes < 1 || m.Manual.Minutes > maxByHand) {
		return fmt.Errorf("policy: a verification by hand waits 1 to %d minutes", maxByHand)
	}
	return checkCombinations(m.Default)
}

// known reports whether rules may name the action.
func known(a protocol.Action) bool {
	_, offered := protocol.ActionByName(a)
	_, own := protocol.OwnAction(a)
	return offered || own
}

func checkCombinations(list []Combination) error {
	if len(list) > maxMethods {
		return fmt.Errorf("policy: %d combinations; at most %d", len(list), maxMethods)
	}
	for _, c := range list {
		if len(c) == 0 || len(c) > maxMethods {
			return fmt.Errorf("policy: a combination has 1 to %d methods", maxMethods)
		}
		if slices.Contains(c, SMSConfirm) && !slices.Contains(c, SMSCode) {
			return fmt.Errorf("policy: %s comes after %s; name both", SMSConfirm, SMSCode)
		}
		for i, m := range c {
			if _, known := MethodByName(m); !known || slices.Contains(c[:i], m) {
				return fmt.Errorf("policy: %.40q is not a method, or stands twice", m)
			}
		}
	}
	return nil
}
