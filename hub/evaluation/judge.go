package evaluation

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/match"
)

// A place is what one page of accounts shares.
type place struct {
	directory store.Directory
	settings  policy.Settings
	offered   []protocol.Action
	site      string // host of a recovery domain; "" if none is proven
	origin    string
	texts     bool // the environment sends text messages
}

// A person is one account with what the store knows of it.
type person struct {
	account      store.Account
	groups       []policy.Group
	named        []string          // of the groups, for people
	decisions    []policy.Decision // of the offered actions, in their order
	ownMail      []bool            // of each action: an address that the person added counts
	ownPhone     []bool
	common, bare bool // somebody else bears the name; it has no letters to compare
	lent         bool // the directory has a picture, as its agent says
}

// photo reports whether there is a photo that people could compare under the policy photo.
func (who person) photo() bool { return who.account.Photo.Given() || who.lent }

// look reads what a page of accounts shares.
func (r *Runs) look(ctx context.Context, tx *store.Tx, env, id string) (place, error) {
	d, err := tx.Directory(ctx, env, id)
	if err != nil {
		return place{}, err
	}
	p := place{directory: d}
	if p.settings, err = directory.Settings(d); err != nil {
		return p, err
	}
	p.offered = policy.Offered(p.settings, d.Traits)
	domains, err := tx.Domains(ctx, env)
	if i := slices.IndexFunc(domains, func(d store.Domain) bool { return !d.Proven.IsZero() }); i >= 0 {
		p.site, p.origin = domains[i].Name, r.Origin(domains[i].Name)
	}
	sms, err2 := tx.SMSSettings(ctx, env)
	p.texts = sms != nil
	return p, errors.Join(err, err2)
}

// read reads what the store knows of one account.
func (r *Runs) read(ctx context.Context, tx *store.Tx, p place, a store.Account) (person, error) {
	out := person{account: a}
	groups, err := tx.AccountGroups(ctx, a.Env, a.ID)
	if err != nil {
		return out, err
	}
	for _, g := range groups {
		out.groups, out.named = append(out.groups, policy.Group{ID: g.ID, Name: g.Name}), append(out.named, g.Name)
	}
	for _, action := range p.offered {
		out.decisions = append(out.decisions, policy.Decide(policy.Request{Action: action, Settings: p.settings, Traits: p.directory.Traits, Groups: out.groups, Photo: a.Photo.Given()}))
		mails, phones, err := r.Addresses(ctx, tx, a, action)
		if err != nil {
			return out, err
		}
		out.ownMail, out.ownPhone = append(out.ownMail, mails), append(out.ownPhone, phones)
	}
	out.bare = len(match.Name{Full: a.Name}.Keys()) == 0
	out.common, err = directory.Namesake(ctx, tx, a)
	return out, err
}

// judge joins what hub and agent know of one account.
func (r *Runs) judge(ctx context.Context, p place, who person, e protocol.Evaluation) Account {
	who.lent = slices.Contains(e.Has, protocol.FactPhoto)
	who = r.regroup(p, who, e.Groups)
	a := Account{ID: who.account.ID, ImmutableID: who.account.ImmutableID, Name: who.account.Name, Identifiers: who.account.Identifiers, Notes: e.Notes}
	a.Groups = who.named
	could := 0
	var reasons []protocol.Reason
	for i, action := range p.offered {
		o := r.operation(ctx, p, who, e, i, action)
		a.Operations = append(a.Operations, o)
		if o.Could {
			could++
			continue
		}
		reasons = append(reasons, o.Reasons...)
		for _, w := range o.Ways {
			for _, why := range w.Lacks {
				reasons = append(reasons, why)
			}
		}
	}
	switch {
	case could == len(p.offered) && could > 0:
		a.Could = store.CouldAll
	case could > 0:
		a.Could = store.CouldSome
	}
	a.Reasons, a.Notes = distinct(reasons), distinct(a.Notes)
	return a
}

// regroup applies the policy to the groups that the agent names, too: not every directory
// lists accounts with them; and to the picture that the directory would lend.
func (r *Runs) regroup(p place, who person, words []string) person {
	if len(words) == 0 && !who.lent {
		return who
	}
	who.groups = append(slices.Clone(who.groups), policy.GroupsNamed(words)...)
	if len(who.named) == 0 && len(words) > 0 {
		who.named = forPeople(words)
	}
	who.decisions = nil
	for _, action := range p.offered {
		who.decisions = append(who.decisions, policy.Decide(policy.Request{Action: action, Settings: p.settings, Traits: p.directory.Traits, Groups: who.groups, Photo: who.account.Photo.Given(), Lent: who.lent}))
	}
	return who
}

// forPeople keeps the words that are names, not ids.
func forPeople(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool {
		return strings.Contains(w, "=") || strings.HasPrefix(w, "S-1-") || len(w) == len("00000000-0000-0000-0000-000000000000") && strings.Count(w, "-") == 4
	})
}

// operation judges one action.
func (r *Runs) operation(ctx context.Context, p place, who person, e protocol.Evaluation, i int, action protocol.Action) Operation {
	o := Operation{Action: action, Reasons: who.reasons(p, e, i)}
	accept := who.decisions[i].Accept
	if e.Terms != nil {
		accept = policy.Both(accept, e.Terms.Methods)
	}
	provable := false
	for _, combination := range accept {
		w := r.way(ctx, p, who, e, i, combination)
		provable = provable || len(w.Lacks) == 0
		o.Ways = append(o.Ways, w)
	}
	o.Could = provable && len(o.Reasons) == 0
	return o
}

// way says what somebody lacks of a combination.
func (r *Runs) way(ctx context.Context, p place, who person, e protocol.Evaluation, i int, combination policy.Combination) Way {
	w := Way{Methods: combination}
	for _, m := range combination {
		if why := r.lacks(ctx, p, who, e, i, m); why != "" {
			if w.Lacks == nil {
				w.Lacks = protocol.Lacks{}
			}
			w.Lacks[string(m)] = why
		}
	}
	return w
}

// reasons are what stands in the way of an operation, whatever is proven.
func (who person) reasons(p place, e protocol.Evaluation, i int) (all []protocol.Reason) {
	switch d := who.decisions[i]; {
	case !d.Strength.Permits():
		all = append(all, ReasonNotPermitted)
	case d.Strength == policy.Photo && !who.photo():
		all = append(all, ReasonNoPhoto)
	case !d.Permitted:
		all = append(all, ReasonNoMethods)
	}
	if p.site == "" {
		all = append(all, ReasonNoDomain)
	}
	if who.account.Disabled && !slices.Contains(e.Reasons, protocol.ReasonExpired) {
		all = append(all, protocol.ReasonDisabled)
	}
	if i < len(e.Reasons) && e.Reasons[i] != "" {
		all = append(all, e.Reasons[i])
	}
	return distinct(all)
}

// lacks returns why a person cannot prove a method, "" if they can.
func (r *Runs) lacks(ctx context.Context, p place, who person, e protocol.Evaluation, i int, m policy.Method) protocol.Reason {
	if why, known := e.Unprovable[string(m)]; known {
		return why
	}
	v := r.verifiers[m]
	if v == nil {
		return ReasonMethodOff
	}
	has := func(f protocol.Fact) bool { return slices.Contains(e.Has, f) }
	switch m {
	case policy.MailCode:
		return unless(has(protocol.FactMail) || who.ownMail[i], protocol.ReasonNoMail)
	case policy.SMSCode, policy.SMSConfirm:
		if !p.texts {
			return ReasonMethodOff
		}
		return unless(has(protocol.FactPhone) || who.ownPhone[i], protocol.ReasonNoPhone)
	case policy.AgentCode:
		return unless(p.directory.Traits.CanSendCode, protocol.ReasonNoMailRoute) // whether it reaches this person the agent has said
	case policy.Approval:
		people := p.settings.Methods.Vouchers()
		manager := people.Manager && people.Count == 1 && has(protocol.FactManager)
		return unless(manager || v.Usable(ctx, r.subject(p, who, i)), protocol.ReasonFewApprovers)
	}
	if !v.Usable(ctx, r.subject(p, who, i)) {
		return unusable(m)
	}
	if row, _ := policy.MethodByName(m); row.Names {
		return unnamed(who, who.decisions[i].Strength)
	}
	return ""
}

func unless(ok bool, why protocol.Reason) protocol.Reason {
	if ok {
		return ""
	}
	return why
}

// unusable says what a method lacks whose verifier cannot ask this person.
func unusable(m policy.Method) protocol.Reason {
	why, known := map[policy.Method]protocol.Reason{
		policy.Passkey: protocol.ReasonNoPasskey, policy.TOTP: ReasonNoApp, policy.SavedCode: ReasonNoSavedCodes,
		policy.DigitalCredential: protocol.ReasonNoIssuer, policy.IdentityProvider: protocol.ReasonNoIssuer,
	}[m]
	if !known {
		return ReasonMethodUnknown
	}
	return why
}

// unnamed says why no proof that bears a name could match the account, however it is
// spelt on it.
func unnamed(who person, s policy.Strength) protocol.Reason {
	switch {
	case s == policy.Photo && !who.photo():
		return ReasonNoPhoto
	case who.account.Name == "":
		return protocol.ReasonNoName
	case who.bare:
		return ReasonUnmatchable
	case (s == policy.NameMatch || s == policy.Photo) && who.common:
		return ReasonCommonName
	case s == policy.NameAndBirthDate && who.account.BirthDate == "" && !who.account.GivenBirthDate:
		return protocol.ReasonNoBirthDate
	}
	return ""
}

// subject is whom verifiers are asked about: as in a recovery, but without addresses.
func (r *Runs) subject(p place, who person, i int) verify.Subject {
	d := who.decisions[i]
	return verify.Subject{
		Env: who.account.Env, Directory: who.account.Directory, Action: p.offered[i], Operation: protocol.CanonicalTasks(d.Tasks),
		Account: who.account.ImmutableID, Person: who.account.ID, Name: who.account.Name, Groups: who.groups, Strength: d.Strength,
		Traits: p.directory.Traits, Origin: p.origin, RPID: p.site, Verification: "evaluation",
	}
}
