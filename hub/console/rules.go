package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Names of rules that have no place among the others.
const (
	defaultRule = "default" // what holds where no rule fits
	newRule     = "new"
)

// maxWays is how many combinations a rule holds.
const maxWays = 8

// spareWays is how many empty combinations a page shows, to be filled in.
const spareWays = 2

// rule is the page on which one rule is changed.
type rule struct {
	Name    string
	Action  protocol.Action
	Group   string
	Actions []protocol.Action // to choose from
	Groups  []string
	Ways    []way
	Stamp   string
	First   bool
}

// Fixed reports whether what the rule is for can no longer be chosen.
func (r *rule) Fixed() bool { return r.Name != newRule }

// Default reports whether it is what holds where no rule fits.
func (r *rule) Default() bool { return r.Name == defaultRule }

// way is one combination.
type way struct {
	Field   string // of the form
	Number  int
	Methods []tick
}

type tick struct {
	Method policy.Method
	On     bool
}

func (v *visit) rule() {
	ctx, cancel := v.context()
	defer cancel()
	v.showRule(ctx, new(settingsPage), nil)
}

// showRule shows the page; accept is what was ticked, nil for what stands.
func (v *visit) showRule(ctx context.Context, p *settingsPage, accept []policy.Combination) {
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p.Env, p.Directory, err = v.servedBy(ctx, tx); err != nil {
			return err
		}
		s, err := directory.Settings(p.Directory)
		if err != nil {
			return err
		}
		if p.Rule, err = v.ruleOf(s.Methods, accept); err != nil {
			return err
		}
		p.Rule.Stamp = stampOf(p.Directory)
		groups, err := tx.Groups(ctx, p.Env.ID, p.Directory.ID, "", maxShownGroups)
		for _, g := range groups {
			p.Rule.Groups = append(p.Rule.Groups, g.Name)
		}
		return err
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.showSettings("rule", "set.rule.title", p)
}

// ruleOf puts the rule of the address into the form of the page.
func (v *visit) ruleOf(m policy.Methods, accept []policy.Combination) (*rule, error) {
	r := &rule{Name: v.r.PathValue("rule")}
	stands := m.Default
	switch r.Name {
	case defaultRule:
	case newRule:
		stands, r.Action, r.Group = nil, protocol.Action(v.field("action")), v.field("group")
		for _, row := range protocol.Actions {
			r.Actions = append(r.Actions, row.Action)
		}
		r.Actions = append(r.Actions, protocol.ActionOptions)
	default:
		i, err := strconv.Atoi(r.Name)
		if err != nil || i < 0 || i >= len(m.Rules) {
			return nil, errNoPage
		}
		stands, r.Action, r.First = m.Rules[i].Accept, m.Rules[i].Action, i == 0
		if m.Rules[i].Group != nil {
			r.Group = nameOfGroup(*m.Rules[i].Group)
		}
	}
	if accept == nil {
		accept = stands
	}
	for i := range min(len(accept)+spareWays, maxWays) {
		w := way{Field: fmt.Sprint("way", i), Number: i + 1}
		for _, row := range policy.MethodTable {
			w.Methods = append(w.Methods, tick{row.Method, i < len(accept) && slices.Contains(accept[i], row.Method)})
		}
		r.Ways = append(r.Ways, w)
	}
	return r, nil
}

// ticked reads the combinations of the form. Methods stand in the order in which old had
// them, as people are asked for them.
func (v *visit) ticked(old []policy.Combination) []policy.Combination {
	all := []policy.Combination{}
	for i := range maxWays {
		var c policy.Combination
		for _, name := range v.r.PostForm[fmt.Sprint("way", i)] {
			if m := policy.Method(name); !slices.Contains(c, m) {
				c = append(c, m)
			}
		}
		same := func(d policy.Combination) bool { return len(d) == len(c) && len(d.Without(c)) == 0 }
		if len(c) == 0 || slices.ContainsFunc(all, same) {
			continue
		}
		if j := slices.IndexFunc(old, same); j >= 0 {
			c = old[j]
		}
		all = append(all, c)
	}
	return all
}

// saveRule keeps, removes or moves a rule.
func (v *visit) saveRule() {
	ctx, cancel := v.context()
	defer cancel()
	p := new(settingsPage)
	var accept []policy.Combination
	done := map[string]string{"save": "saved", "remove": "removed", "earlier": "moved"}[v.field("do")]
	err := v.changeMethods(ctx, p, func(ctx context.Context, tx *store.Tx, d store.Directory, m *policy.Methods) error {
		if done == "" {
			return errNoPage
		}
		if done != "saved" {
			return v.arrange(m, done)
		}
		accept = v.ticked(standing(m, v.r.PathValue("rule")))
		if len(accept) == 0 {
			v.wrong(p, "ways", "ways.empty")
		}
		return v.setRule(ctx, tx, p, d, m, accept)
	})
	switch {
	case errors.Is(err, errStale):
		p.Problems = nil
		v.wrong(p, "page", "stale")
		v.showWays(ctx, p)
	case err != nil:
		v.fail(err)
	case len(p.Problems) > 0:
		v.showRule(ctx, p, accept)
	default:
		v.done(settingsPath+"/"+v.r.PathValue("env")+"/directories/"+v.r.PathValue("directory"), done)
	}
}

// standing returns the combinations of the rule of an address.
func standing(m *policy.Methods, name string) []policy.Combination {
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(m.Rules) {
		return m.Rules[i].Accept
	}
	return m.Default
}

// setRule writes what a rule accepts. A new one for a group goes before those that are
// there: it is the narrower one.
func (v *visit) setRule(ctx context.Context, tx *store.Tx, p *settingsPage, d store.Directory, m *policy.Methods, accept []policy.Combination) error {
	switch name := v.r.PathValue("rule"); name {
	case defaultRule:
		m.Default = accept
	case newRule:
		r := policy.MethodRule{Action: protocol.Action(v.field("action")), Accept: accept}
		if v.field("group") != "" {
			g, err := v.groupNamed(ctx, tx, p, d, v.field("group"))
			if err != nil {
				return err
			}
			r.Group = &g
			m.Rules = slices.Insert(m.Rules, 0, r)
			return nil
		}
		if r.Action == "" {
			v.wrong(p, "action", "rule.all")
		}
		m.Rules = append(m.Rules, r)
	default:
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(m.Rules) {
			return errNoPage
		}
		m.Rules[i].Accept = accept
	}
	return nil
}

// arrange removes a rule or moves it before the one that is tried before it.
func (v *visit) arrange(m *policy.Methods, done string) error {
	i, err := strconv.Atoi(v.r.PathValue("rule"))
	if err != nil || i < 0 || i >= len(m.Rules) {
		return errNoPage
	}
	switch {
	case done == "removed":
		m.Rules = slices.Delete(m.Rules, i, i+1)
	case i > 0:
		m.Rules[i], m.Rules[i-1] = m.Rules[i-1], m.Rules[i]
	}
	return nil
}
