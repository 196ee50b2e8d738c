package policy

import (
	"slices"

	"github.com/postern-id/postern/protocol"
)

// ResetOptions are the three switches of older products: reset by mail, reset by text
// message, and whether a code of an authenticator app is asked for besides. They are a
// way to write Methods, not a second truth.
type ResetOptions struct {
	RequireCode bool `json:"require_code"`
	ByMail      bool `json:"by_mail"`
	BySMS       bool `json:"by_sms"`
}

// Combinations returns what the switches accept. Both ways off accept the code of the
// app alone, where it is asked for, and otherwise nothing.
func (o ResetOptions) Combinations() []Combination {
	list := []Combination{}
	for _, way := range []struct {
		on     bool
		method Method
	}{{o.ByMail, MailCode}, {o.BySMS, SMSCode}} {
		switch {
		case way.on && o.RequireCode:
			list = append(list, Combination{way.method, TOTP})
		case way.on:
			list = append(list, Combination{way.method})
		}
	}
	if len(list) == 0 && o.RequireCode {
		list = append(list, Combination{TOTP})
	}
	return list
}

// ResetOptionsOf returns the switches that stand for the combinations, and whether any
// do.
func ResetOptionsOf(list []Combination) (ResetOptions, bool) {
	for i := range 8 {
		o := ResetOptions{RequireCode: i&1 != 0, ByMail: i&2 != 0, BySMS: i&4 != 0}
		if slices.EqualFunc(o.Combinations(), list, func(a, b Combination) bool { return slices.Equal(a, b) }) {
			return o, true
		}
	}
	return ResetOptions{}, false
}

// A ResetRule is the switches of everybody (no group) or of one group.
type ResetRule struct {
	Group *Group `json:"group,omitempty"`
	ResetOptions
}

// ResetRules reads the switches out of m, as far as it can be read so: everybody's first.
func (m Methods) ResetRules() []ResetRule {
	list := []ResetRule{}
	if o, ok := ResetOptionsOf(m.Default); ok {
		list = append(list, ResetRule{nil, o})
	}
	for _, r := range m.Rules {
		if o, ok := ResetOptionsOf(r.Accept); ok && r.Action == "" && r.Group != nil {
			list = append(list, ResetRule{r.Group, o})
		}
	}
	return list
}

// SetReset writes the switches of everybody (group nil) or of one group into m. Where a
// code of an app is asked for, people enrol the app by the rest: otherwise nobody ever
// could (T17). Rules of groups come before those of everybody.
func (m *Methods) SetReset(group *Group, o ResetOptions) {
	m.Rules = slices.DeleteFunc(m.Rules, func(r MethodRule) bool {
		return sameGroup(r.Group, group) && (r.Action == protocol.ActionOptions || r.Action == "" && group != nil)
	})
	var rules []MethodRule
	if o.RequireCode {
		rules = append(rules, MethodRule{Action: protocol.ActionOptions, Group: group, Accept: o.enrolment()})
	}
	if group == nil {
		m.Default, m.Rules = o.Combinations(), append(m.Rules, rules...)
		return
	}
	m.Rules = slices.Concat(rules, []MethodRule{{Group: group, Accept: o.Combinations()}}, m.Rules)
}

// enrolment returns by what an app is enrolled: the ways alone, or mail where there is none.
func (o ResetOptions) enrolment() []Combination {
	o.RequireCode = false
	o.ByMail = o.ByMail || !o.BySMS
	return o.Combinations()
}

func sameGroup(a, b *Group) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
