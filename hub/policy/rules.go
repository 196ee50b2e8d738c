package policy

import (
	"fmt"
	"strings"
)

// maxRules bounds the group rules of one policy: every account is compared with each.
const maxRules = 512

// maxName bounds a group's id and name, in bytes; a DN of a deep directory fits.
const maxName = 1024

// Rules is the wire type RecoveryPolicyRules: groups are tried in order, the first
// that the account is a member of decides, otherwise Default does.
type Rules struct {
	Groups  []GroupRule `json:"groups"`
	Default Strength    `json:"default"`
}

// A GroupRule is the wire type GroupRecoveryPolicy.
type GroupRule struct {
	Group  Group    `json:"group"`
	Policy Strength `json:"policy"`
}

// A Group is the wire type DirectoryGroup. The id decides; the name does only where a
// rule has no id.
type Group struct {
	ID   string `json:"directory_immutable_identifier"`
	Name string `json:"name"`
}

// names reports whether the rule's group g is the account's group of.
func (g Group) names(of Group) bool {
	if g.ID != "" {
		return strings.EqualFold(g.ID, of.ID)
	}
	return g.Name != "" && strings.EqualFold(g.Name, of.Name)
}

func (g Group) check() error {
	if g.ID == "" && g.Name == "" {
		return fmt.Errorf("policy: a group needs directory_immutable_identifier or name")
	}
	if len(g.ID) > maxName || len(g.Name) > maxName {
		return fmt.Errorf("policy: a group's identifier or name has more than %d bytes", maxName)
	}
	return nil
}

// GroupsNamed makes groups of names and ids in one list, as agents give them: each word may
// be either.
func GroupsNamed(words []string) []Group {
	groups := make([]Group, len(words))
	for i, w := range words {
		groups[i] = Group{ID: w, Name: w}
	}
	return groups
}

// memberOf reports whether one of the account's groups is g.
func memberOf(groups []Group, g Group) bool {
	for _, of := range groups {
		if g.names(of) {
			return true
		}
	}
	return false
}

// For returns what holds for an account with these groups. Rules without a default
// permit nothing beyond their groups.
func (r Rules) For(groups []Group) Strength {
	for _, rule := range r.Groups {
		if memberOf(groups, rule.Group) {
			return rule.Policy
		}
	}
	return r.Default
}

// Permits reports whether the rules let anybody do anything.
func (r Rules) Permits() bool {
	for _, rule := range r.Groups {
		if rule.Policy.Permits() {
			return true
		}
	}
	return r.Default.Permits()
}

// Check reports the first thing about r that an administrator must mend.
func (r Rules) Check() error {
	if len(r.Groups) > maxRules {
		return fmt.Errorf("policy: %d groups; at most %d", len(r.Groups), maxRules)
	}
	if _, err := ParseStrength(string(r.Default)); err != nil {
		return err
	}
	for _, rule := range r.Groups {
		if _, err := ParseStrength(string(rule.Policy)); err != nil {
			return err
		}
		if err := rule.Group.check(); err != nil {
			return err
		}
	}
	return nil
}
