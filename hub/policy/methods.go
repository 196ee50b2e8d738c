package policy

import (
	"fmt"
	"slices"

	"github.com/postern-id/postern/protocol"
)

// A Method is a way of proving: the name of a verifier.
type Method string

// The methods that verifiers of this release offer.
const (
	MailCode  Method = "mail_code"  // a code made and sent by the hub
	AgentCode Method = "agent_code" // a code made, sent and checked by the agent
)

// KnownMethods are the methods that a policy may name.
var KnownMethods = []Method{MailCode, AgentCode}

// A Combination is a list of methods that must all be proven.
type Combination []Method

// maxMethods bounds a combination and a list of them.
const maxMethods = 8

// Methods is the second axis: which combinations are accepted, per action and group.
// The first rule that fits decides, otherwise Default does.
type Methods struct {
	Rules   []MethodRule  `json:"rules,omitempty"`
	Default []Combination `json:"default"`
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

// Check reports the first thing about m that an administrator must mend. An empty list
// accepts nothing; an empty combination would ask for no proof and is refused.
func (m Methods) Check() error {
	if len(m.Rules) > maxRules {
		return fmt.Errorf("policy: %d rules for methods; at most %d", len(m.Rules), maxRules)
	}
	for _, r := range m.Rules {
		if _, ok := protocol.ActionByName(r.Action); r.Action != "" && !ok {
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
	return checkCombinations(m.Default)
}

func checkCombinations(list []Combination) error {
	if len(list) > maxMethods {
		return fmt.Errorf("policy: %d combinations; at most %d", len(list), maxMethods)
	}
	for _, c := range list {
		if len(c) == 0 || len(c) > maxMethods {
			return fmt.Errorf("policy: a combination has 1 to %d methods", maxMethods)
		}
		for i, m := range c {
			if !slices.Contains(KnownMethods, m) || slices.Contains(c[:i], m) {
				return fmt.Errorf("policy: %.40q is not a method, or stands twice", m)
			}
		}
	}
	return nil
}
