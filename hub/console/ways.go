package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// ways is the page that says how people of a directory prove who they are.
type ways struct {
	Said     []said
	Switches []switches
	Rules    []ruleRow
	Groups   []string // that the directory has, to choose from
	Typed    string   // a group that was typed
	Stamp    string   // of what the forms are about
	Staff    string   // who vouches, one address a line
	Manager  bool
	Count    string
	Warnings []string
}

// said is what holds for everybody or for a group, in words.
type said struct {
	Group string // "": everybody
	Lines []line
}

type line struct{ To, Ways string }

// switches are the three switches of everybody or of one group.
type switches struct {
	Group policy.Group
	All   bool // everybody
	Fine  bool // what holds is finer than three switches can say
	policy.ResetOptions
}

// ruleRow is one rule in the list of those that are tried in order.
type ruleRow struct {
	Name   string // in its address
	Action protocol.Action
	Group  string
	Ways   string
	First  bool
}

// maxShownGroups bounds the groups that a page offers to choose from.
const maxShownGroups = 200

func (v *visit) ways() {
	ctx, cancel := v.context()
	defer cancel()
	v.showWays(ctx, new(settingsPage))
}

// showWays shows the page as it stands now; p holds what is wrong with a form of it.
func (v *visit) showWays(ctx context.Context, p *settingsPage) {
	kept := p.Ways
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p.Env, p.Directory, err = v.servedBy(ctx, tx); err != nil {
			return err
		}
		s, err := directory.Settings(p.Directory)
		if err != nil {
			return err
		}
		p.Ways = v.waysOf(p.Directory, s)
		groups, err := tx.Groups(ctx, p.Env.ID, p.Directory.ID, "", maxShownGroups)
		for _, g := range groups {
			p.Ways.Groups = append(p.Ways.Groups, g.Name)
		}
		if err == nil {
			p.Ways.Warnings, err = v.gaps(ctx, tx, p, s)
		}
		return err
	})
	if err != nil {
		v.fail(err)
		return
	}
	if kept != nil { // what was typed stays
		p.Ways.Typed, p.Ways.Staff, p.Ways.Count, p.Ways.Manager = kept.Typed, kept.Staff, kept.Count, kept.Manager
	}
	v.showSettings("ways", "set.ways.title", p)
}

// waysOf puts settings into the form of the page.
func (v *visit) waysOf(d store.Directory, s policy.Settings) *ways {
	m := s.Methods
	people := m.Vouchers()
	w := &ways{Stamp: stampOf(d), Staff: strings.Join(people.Staff, "\n"), Manager: people.Manager, Count: strconv.Itoa(people.Count)}
	w.Said = append(w.Said, v.saidOf("", s, d.Traits, nil))
	o, ok := policy.ResetOptionsOf(m.Default)
	w.Switches = append(w.Switches, switches{All: true, Fine: !ok, ResetOptions: o})
	for i, r := range m.Rules {
		row := ruleRow{Name: strconv.Itoa(i), Action: r.Action, Ways: v.spoken(r.Accept), First: i == 0}
		if r.Group != nil {
			row.Group = nameOfGroup(*r.Group)
			if !slices.ContainsFunc(w.Said, func(x said) bool { return x.Group == row.Group }) {
				w.Said = append(w.Said, v.saidOf(row.Group, s, d.Traits, []policy.Group{*r.Group}))
			}
		}
		w.Rules = append(w.Rules, row)
	}
	for _, r := range m.ResetRules() {
		if r.Group != nil {
			w.Switches = append(w.Switches, switches{Group: *r.Group, ResetOptions: r.ResetOptions})
		}
	}
	w.Rules = append(w.Rules, ruleRow{Name: defaultRule, Ways: v.spoken(m.Default)})
	return w
}

// nameOfGroup is how people know a group.
func nameOfGroup(g policy.Group) string {
	if g.Name == "" {
		return g.ID
	}
	return g.Name
}

// saidOf says what members of some groups prove for each thing that they can ask for.
func (v *visit) saidOf(name string, s policy.Settings, t protocol.Traits, groups []policy.Group) said {
	actions := policy.Offered(s, t)
	if len(actions) == 0 { // no agent has said yet what the directory can do
		for _, row := range protocol.Actions {
			actions = append(actions, row.Action)
		}
	}
	x := said{Group: name}
	for _, a := range append(actions, protocol.ActionOptions) {
		row, _ := protocol.ActionByName(a)
		how := v.words.T("set.ways.never")
		if accept := s.Methods.For(a, groups); len(accept) > 0 && (a == protocol.ActionOptions || s.Policies[row.Policy].For(groups).Permits()) {
			how = v.spoken(accept)
		}
		to := v.words.T("set.ways.to." + string(a))
		if i := slices.IndexFunc(x.Lines, func(l line) bool { return l.Ways == how }); i >= 0 {
			x.Lines[i].To += " · " + to
			continue
		}
		x.Lines = append(x.Lines, line{to, how})
	}
	return x
}

// spoken says combinations as one sentence: "a passkey and a code by mail, or …".
func (v *visit) spoken(accept []policy.Combination) string {
	if len(accept) == 0 {
		return v.words.T("set.ways.never")
	}
	var all []string
	for _, c := range accept {
		var names []string
		for _, m := range c {
			names = append(names, v.words.T("set.method."+string(m)))
		}
		all = append(all, strings.Join(names, " "+v.words.T("set.ways.and")+" "))
	}
	return strings.Join(all, ", "+v.words.T("set.ways.or")+" ")
}

// gaps lists methods that are accepted and cannot work: what they need is not there.
func (v *visit) gaps(ctx context.Context, tx *store.Tx, p *settingsPage, s policy.Settings) ([]string, error) {
	sms, err1 := tx.SMSSettings(ctx, p.Env.ID)
	providers, err2 := tx.IdentityProviders(ctx, p.Env.ID)
	trust, err3 := tx.TrustSources(ctx, p.Env.ID)
	lists := [][]policy.Combination{s.Methods.Default}
	for _, r := range s.Methods.Rules {
		lists = append(lists, r.Accept)
	}
	used := func(m policy.Method) bool {
		return slices.ContainsFunc(slices.Concat(lists...), func(c policy.Combination) bool { return slices.Contains(c, m) })
	}
	var warnings []string
	for _, w := range []struct {
		is    bool
		words string
	}{
		{used(policy.SMSCode) && sms == nil, "sms"},
		{used(policy.IdentityProvider) && len(providers) == 0, "provider"},
		{used(policy.DigitalCredential) && len(trust) == 0, "trust"},
		{stuck(s.Methods), "enrol"},
	} {
		if w.is {
			warnings = append(warnings, v.words.T("set.ways.warn."+w.words))
		}
	}
	return warnings, errors.Join(err1, err2, err3)
}

// stuck reports whether somebody is asked for what they enrolled for themselves, and can
// never begin to.
func stuck(m policy.Methods) bool {
	scopes := [][]policy.Group{nil}
	for _, r := range m.Rules {
		if r.Group != nil {
			scopes = append(scopes, []policy.Group{*r.Group})
		}
	}
	return slices.ContainsFunc(scopes, func(groups []policy.Group) bool {
		return !m.CanEnrol(groups) && slices.ContainsFunc(protocol.Actions, func(row protocol.ActionRow) bool {
			return slices.ContainsFunc(m.For(row.Action, groups), func(c policy.Combination) bool { return slices.ContainsFunc(c, policy.Kept) })
		})
	})
}

// stampOf says what a form is about: one that was filled in for something else is not taken.
func stampOf(d store.Directory) string {
	sum := sha256.Sum256(d.Settings.Methods)
	return hex.EncodeToString(sum[:8])
}

// saveWays takes one of the forms of the page.
func (v *visit) saveWays() {
	ctx, cancel := v.context()
	defer cancel()
	p := new(settingsPage)
	switch v.field("do") {
	case "switches":
		v.saveSwitches(ctx, p)
	case "people":
		v.savePeople(ctx, p)
	default:
		v.fail(errNoPage)
	}
}

// afterSave leads on, or shows the page again with what is wrong.
func (v *visit) afterSave(ctx context.Context, p *settingsPage, err error) {
	switch {
	case errors.Is(err, errStale):
		v.wrong(p, "page", "stale")
		fallthrough
	case err == nil && len(p.Problems) > 0:
		v.showWays(ctx, p)
	case err != nil:
		v.fail(err)
	default:
		v.done(v.r.URL.Path, "saved")
	}
}

// changeMethods changes how people prove who they are, with an audit row. change may add
// problems to p: then nothing is written.
func (v *visit) changeMethods(ctx context.Context, p *settingsPage, change func(ctx context.Context, tx *store.Tx, d store.Directory, m *policy.Methods) error) error {
	return v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		p.Problems = nil
		_, d, err := v.servedBy(ctx, tx)
		if err != nil {
			return err
		}
		if v.field("as") != stampOf(d) {
			return errStale
		}
		s, err := directory.Settings(d)
		if err != nil {
			return err
		}
		if err := change(ctx, tx, d, &s.Methods); err != nil || len(p.Problems) > 0 {
			return err
		}
		if err := s.Methods.Check(); err != nil {
			v.wrong(p, "page", "other", "why", v.why(strings.TrimPrefix(err.Error(), "policy: ")))
			return nil
		}
		if d.Settings, err = directory.Store(s, d.Settings); err != nil {
			return err
		}
		return errors.Join(tx.UpdateDirectory(ctx, d),
			v.decided(ctx, tx, d.Env, audit.DirectoryUpdated, map[string]any{"directory": d.ID, "request": map[string]any{"methods": s.Methods}}))
	})
}

// saveSwitches sets the three switches of everybody or of one group.
func (v *visit) saveSwitches(ctx context.Context, p *settingsPage) {
	o := policy.ResetOptions{RequireCode: v.checked("require_code"), ByMail: v.checked("by_mail"), BySMS: v.checked("by_sms")}
	scope := v.field("scope") // names the form, so that what is wrong stands beside it
	err := v.changeMethods(ctx, p, func(ctx context.Context, tx *store.Tx, d store.Directory, m *policy.Methods) error {
		var group *policy.Group
		switch scope {
		case "everybody":
		case "new":
			p.Ways = &ways{Typed: v.field("group"), Staff: v.field("staff"), Count: strconv.Itoa(m.Vouchers().Count), Manager: m.Vouchers().Manager}
			p.Ways.Staff = strings.Join(m.Vouchers().Staff, "\n")
			g, err := v.groupNamed(ctx, tx, p, d, v.field("group"))
			if err != nil {
				return err
			}
			group = &g
		default:
			group = &policy.Group{ID: v.field("group_id"), Name: v.field("group_name")}
		}
		if o == (policy.ResetOptions{}) {
			v.wrong(p, "switches-"+scope, "none")
		}
		m.SetReset(group, o)
		return nil
	})
	v.afterSave(ctx, p, err)
}

// groupNamed finds a group of the directory by its name. Before the directory was listed
// for the first time any name is taken.
func (v *visit) groupNamed(ctx context.Context, tx *store.Tx, p *settingsPage, d store.Directory, name string) (policy.Group, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		v.wrong(p, "group", "group.empty")
		return policy.Group{}, nil
	}
	found, err := tx.Groups(ctx, d.Env, d.ID, name, maxShownGroups)
	i := slices.IndexFunc(found, func(g protocol.Group) bool { return strings.EqualFold(g.Name, name) })
	if err != nil || i >= 0 {
		if err != nil {
			return policy.Group{}, err
		}
		return policy.Group{ID: found[i].ID, Name: found[i].Name}, nil
	}
	some, err := tx.Groups(ctx, d.Env, d.ID, "", 1)
	if len(some) > 0 {
		v.wrong(p, "group", "group.unknown", "name", name)
	}
	return policy.Group{Name: name}, err
}

// savePeople says who vouches for others, and how many must agree.
func (v *visit) savePeople(ctx context.Context, p *settingsPage) {
	typed := &ways{Staff: v.field("staff"), Count: v.field("count"), Manager: v.checked("manager")}
	people := policy.People{Staff: strings.Fields(typed.Staff), Manager: typed.Manager}
	var notNumber error
	people.Count, notNumber = strconv.Atoi(strings.TrimSpace(typed.Count))
	err := v.changeMethods(ctx, p, func(_ context.Context, _ *store.Tx, _ store.Directory, m *policy.Methods) error {
		p.Ways = typed
		all := len(people.Staff)
		if people.Manager {
			all++
		}
		bad := slices.IndexFunc(people.Staff, func(a string) bool { return !strings.Contains(a, "@") })
		switch err := people.Check(); {
		case err == nil && notNumber == nil:
			m.Approvals = &people
		case bad >= 0:
			v.wrong(p, "staff", "staff.address", "address", people.Staff[bad])
		case notNumber != nil || people.Count < 1 || people.Count > policy.MaxCount:
			v.wrong(p, "count", "count", "n", policy.MaxCount)
		case all < people.Count:
			v.wrong(p, "count", "count.more", "n", people.Count, "of", all)
		default:
			v.wrong(p, "staff", "other", "why", v.why(strings.TrimPrefix(err.Error(), "policy: ")))
		}
		return nil
	})
	v.afterSave(ctx, p, err)
}
