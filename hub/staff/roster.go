package staff

import (
	"context"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Reach is what somebody may give to others and take from them: no greater role than
// theirs, and no environment that they do not reach.
type Reach struct {
	Role string
	Envs []string // ids, or store.AllEnvs
}

// covers reports whether somebody is within the reach: as great, and nowhere else.
func (r Reach) covers(who store.Staff) bool {
	return AtLeast(r.Role, Admin) && AtLeast(r.Role, who.Role) && store.Within(who.Envs, r.Envs)
}

// Invite adds a person, or takes the one who has the address already, and makes an
// invitation to a passkey at a place. It returns the person and the link. may is what the
// one who invites may give. Who is invited to vouch does so in the place's environment;
// others have their role in who.Envs.
func (m *Members) Invite(ctx context.Context, who store.Staff, at Place, may Reach, by audit.Principal) (store.Staff, protocol.Secret, error) {
	who, err := m.person(who, at, may)
	if err != nil {
		return who, protocol.Secret{}, err
	}
	token := store.NewToken()
	err = m.cfg.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if who, err = m.invite(ctx, tx, who, at, may, token, by); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Org: who.Org, Env: at.Env, Kind: audit.OrgMemberInvited, Actor: by, Trace: who.ID,
			Detail: map[string]any{"org_member": who.ID, "request": map[string]any{"role": who.Role, "envs": who.Envs}, "rp": at.RPID()}, Personal: map[string]string{"name": who.Name, "mail": who.Mail}})
	})
	if err == nil && m.cfg.Mail != nil {
		m.cfg.Mail.Wake()
	}
	return who, protocol.NewSecret(at.Origin + at.path() + "#" + token), err
}

// InviteIn invites somebody to the console by mail alone, in the caller's transaction, who
// records it. Where no mail is sent it is ErrMail: nobody would have the link.
func (m *Members) InviteIn(ctx context.Context, tx *store.Tx, who store.Staff, at Place, may Reach, by audit.Principal) (store.Staff, error) {
	who, err := m.person(who, at, may)
	if err != nil {
		return who, err
	}
	if m.cfg.Mail == nil || !m.cfg.Mail.Usable() {
		return who, ErrMail
	}
	return m.invite(ctx, tx, who, at, may, store.NewToken(), by)
}

// person checks who is invited, and writes their address in one form.
func (*Members) person(who store.Staff, at Place, may Reach) (store.Staff, error) {
	who.Name, who.Mail = strings.TrimSpace(who.Name), strings.ToLower(strings.TrimSpace(who.Mail))
	addr, err := mail.ParseAddress(who.Mail)
	if err != nil || addr.Address != who.Mail || who.Name == "" || len(who.Name) > 200 || len(who.Mail) > 254 || !AtLeast(who.Role, Approver) || at.RPID() == "" {
		return who, ErrPerson
	}
	if !AtLeast(may.Role, Admin) || !AtLeast(may.Role, who.Role) || at.Env == "" && who.Role == Approver {
		return who, ErrRole
	}
	switch {
	case at.Env != "" && who.Role == Approver:
		who.Envs = []string{at.Env}
	case len(who.Envs) == 0: // none is named
		who.Envs = []string{store.AllEnvs}
	}
	return who, nil
}

// places checks a list of environments that is given to somebody with a role, and writes
// it in one form: in order, each once, or store.AllEnvs alone.
func places(ctx context.Context, tx *store.Tx, org, role string, envs []string, may Reach) ([]string, error) {
	if slices.Contains(envs, store.AllEnvs) {
		envs = []string{store.AllEnvs}
	}
	if len(envs) == 0 || !store.Within(envs, may.Envs) {
		return nil, ErrEnvs
	}
	if envs[0] == store.AllEnvs {
		return envs, nil
	}
	if role == Owner {
		return nil, ErrOwner
	}
	all, err := tx.Environments(ctx, org)
	known := func(id string) bool {
		return slices.ContainsFunc(all, func(e store.Environment) bool { return e.ID == id })
	}
	if err == nil && slices.ContainsFunc(envs, func(id string) bool { return !known(id) }) {
		err = ErrEnvs
	}
	return slices.Compact(slices.Sorted(slices.Values(envs))), err
}

// bySystem is the actor of commands on the hub's own machine, which may do anything.
const bySystem = "command"

// signsIn reports whether somebody has a key for a place.
func signsIn(keys []store.StaffKey, rp string) bool {
	return slices.ContainsFunc(keys, func(k store.StaffKey) bool { return k.RP == rp })
}

// invite is Invite for whom person has checked.
func (m *Members) invite(ctx context.Context, tx *store.Tx, who store.Staff, at Place, may Reach, token string, by audit.Principal) (store.Staff, error) {
	if at.Env != "" && !store.Reaches(may.Envs, at.Env) {
		return who, ErrEnvs
	}
	envs, err := places(ctx, tx, who.Org, who.Role, who.Envs, may)
	if err != nil {
		return who, err
	}
	who.Envs = envs
	if who, err = m.enlist(ctx, tx, who, at, may, by); err != nil {
		return who, err
	}
	if err := own(ctx, tx, &who); err != nil {
		return who, err
	}
	l := store.StaffLink{Hash: store.HashToken(token), Org: who.Org, Staff: who.ID, RP: at.RPID()}
	if l.By, err = inviter(ctx, tx, who.Org, by); err != nil {
		return who, err
	}
	if err := tx.AddStaffLink(ctx, &l); err != nil {
		return who, err
	}
	return who, m.mailLink(ctx, tx, who, at, token, l.Expires)
}

// enlist takes whoever has the address, or adds a person.
func (m *Members) enlist(ctx context.Context, tx *store.Tx, who store.Staff, at Place, may Reach, by audit.Principal) (store.Staff, error) {
	all, err := tx.StaffList(ctx, who.Org)
	if err != nil {
		return who, err
	}
	if i := slices.IndexFunc(all, func(s store.Staff) bool { return s.Mail == who.Mail }); i >= 0 {
		return m.again(ctx, tx, all[i], who, at, may, by)
	}
	return m.add(ctx, tx, who, at, by)
}

// mailLink sends the link of an invitation to whom it is for, where mail is sent.
func (m *Members) mailLink(ctx context.Context, tx *store.Tx, who store.Staff, at Place, token string, until time.Time) error {
	if m.cfg.Mail == nil {
		return nil
	}
	kind := Invited
	if at.Env == "" {
		kind = Welcome
	}
	return m.mail(ctx, tx, who.Org, at.Env, Message{Kind: kind, To: who.Mail, Name: who.Name, Origin: at.Origin, Path: at.path(),
		Token: protocol.NewSecret(token), Role: who.Role, Until: until})
}

// again invites somebody who has the address already: to the console as they are, or to
// vouch in one more environment.
func (m *Members) again(ctx context.Context, tx *store.Tx, is, who store.Staff, at Place, may Reach, by audit.Principal) (store.Staff, error) {
	same := is.Role == who.Role && slices.Equal(is.Envs, who.Envs)
	if at.Env == "" && !same || !may.covers(is) {
		return who, ErrTaken
	}
	keys, err := tx.StaffKeys(ctx, is.Org, is.ID)
	if err != nil || at.Env == "" && by.System != bySystem && signsIn(keys, at.RPID()) {
		return who, errors.Join(err, ErrTaken) // remove first: a link to somebody's place must not be made without their noticing
	}
	if at.Env == "" || is.Reaches(at.Env) {
		return is, nil
	}
	if is.Role != Approver {
		return who, ErrTaken // their role would reach further
	}
	is.Envs = slices.Sorted(slices.Values(append(is.Envs, at.Env)))
	_, err = tx.SetStaffEnvs(ctx, is.Org, is.ID, is.Envs)
	return is, err
}

// add makes a person. Who will decide about others in the console begins with a wait,
// and the owners hear of them.
func (m *Members) add(ctx context.Context, tx *store.Tx, who store.Staff, at Place, by audit.Principal) (store.Staff, error) {
	who.ID = store.NewID()
	if by.System != bySystem && who.Role != Approver {
		who.CountsAt = tx.Now().Add(m.trial)
	}
	if err := tx.AddStaff(ctx, &who); err != nil {
		return who, err
	}
	return who, m.announce(ctx, tx, who, at)
}

// announce tells the owners of somebody who will decide about others.
func (m *Members) announce(ctx context.Context, tx *store.Tx, who store.Staff, at Place) error {
	if !AtLeast(who.Role, User) || !who.CountsAt.After(tx.Now()) {
		return nil
	}
	return m.tell(ctx, tx, "", who, Message{Kind: NewMember, Origin: at.Origin, Who: who.Name, Role: who.Role, Until: who.CountsAt})
}

// Remove removes a person with passkeys, invitations and sessions. ErrLast keeps the
// last owner.
func (m *Members) Remove(ctx context.Context, org, id string, may Reach, by audit.Principal) error {
	return m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		r, err := m.RemoveIn(ctx, tx, org, id, may, by)
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Org: org, Kind: audit.OrgMemberRemoved, Actor: by, Detail: r.Detail()})
	})
}

// Removed is who was removed.
type Removed struct {
	Who  store.Staff
	Keys []string // API keys of programs that they made, may know, and that go on
}

// Detail is what the audit record says.
func (r Removed) Detail() map[string]any {
	detail := map[string]any{"org_member": r.Who.ID, "role": r.Who.Role, "envs": r.Who.Envs}
	if len(r.Keys) > 0 {
		detail["remaining_api_keys"] = r.Keys
	}
	return detail
}

// RemoveIn is Remove in the caller's transaction, who records it.
func (m *Members) RemoveIn(ctx context.Context, tx *store.Tx, org, id string, may Reach, by audit.Principal) (r Removed, err error) {
	if r.Who, err = within(ctx, tx, org, id, may); err != nil {
		return r, err
	}
	if err := m.keepOwner(ctx, tx, r.Who, by); err != nil {
		return r, err
	}
	if r.Keys, err = tx.KeysMadeBy(ctx, org, id); err != nil {
		return r, err
	}
	return r, tx.RemoveStaff(ctx, org, id)
}

// within finds somebody whom others may change or remove. For whoever does not reach all
// of their environments there is no such person; whoever has none left is for those who
// reach everything.
func within(ctx context.Context, tx *store.Tx, org, id string, may Reach) (store.Staff, error) {
	who, err := tx.Staff(ctx, org, id)
	switch {
	case err != nil:
		return who, err
	case !store.Within(who.Envs, may.Envs):
		return who, store.ErrNotFound
	case !may.covers(who):
		return who, ErrRole
	}
	return who, nil
}

// A Change is what becomes of somebody; what is empty stays.
type Change struct {
	Role string
	Envs []string
}

// Changed is what became of somebody.
type Changed struct {
	Before, Now store.Staff
	Keys        []string // API keys that they made and that reach less now, or may do less
}

// role reports whether they have another role.
func (c Changed) role() bool { return c.Before.Role != c.Now.Role }

// envs reports whether they have it elsewhere.
func (c Changed) envs() bool { return !slices.Equal(c.Before.Envs, c.Now.Envs) }

// more reports whether they were given more than they had.
func (c Changed) more() bool {
	return c.role() && AtLeast(c.Now.Role, c.Before.Role) || c.envs() && !store.Within(c.Now.Envs, c.Before.Envs)
}

// Record adds to an audit record what was before, and what ended with it.
func (c Changed) Record(detail map[string]any) {
	if c.role() {
		detail["before"] = c.Before.Role
	}
	if c.envs() {
		detail["before_envs"] = c.Before.Envs
	}
	if len(c.Keys) > 0 {
		detail["limited_api_keys"] = c.Keys
	}
}

// Change changes what a person may do in the console, and where. Who is given more decides
// about others after a wait, whatever they decided before, of which the owners hear; who is
// given less has it at once, with all that they hold. ErrLast keeps the last owner. may is
// what the one who changes it may give.
func (m *Members) Change(ctx context.Context, at Place, org, id string, to Change, may Reach, by audit.Principal) error {
	err := m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		c, err := m.ChangeIn(ctx, tx, at, org, id, to, may, by)
		if err != nil || !c.role() && !c.envs() {
			return err
		}
		request := map[string]any{}
		if c.role() {
			request["role"] = c.Now.Role
		}
		if c.envs() {
			request["envs"] = c.Now.Envs
		}
		detail := map[string]any{"org_member": id, "request": request}
		c.Record(detail)
		return audit.Append(ctx, tx, audit.Event{Org: org, Kind: audit.OrgMemberUpdated, Actor: by, Trace: id, Detail: detail})
	})
	if err == nil && m.cfg.Mail != nil {
		m.cfg.Mail.Wake()
	}
	return err
}

// ChangeIn is Change in the caller's transaction, who records it.
func (m *Members) ChangeIn(ctx context.Context, tx *store.Tx, at Place, org, id string, to Change, may Reach, by audit.Principal) (c Changed, err error) {
	if c.Before, err = within(ctx, tx, org, id, may); err != nil {
		return c, err
	}
	if c.Now, err = to.of(ctx, tx, c.Before, may); err != nil {
		return c, err
	}
	if c.Now.Role != Owner {
		if err := m.keepOwner(ctx, tx, c.Before, by); err != nil {
			return c, err
		}
	}
	if c.more() && AtLeast(c.Now.Role, User) && by.System != bySystem {
		c.Now.CountsAt = later(c.Now.CountsAt, tx.Now().Add(m.trial))
	}
	return c, m.keep(ctx, tx, at, &c)
}

// of is what becomes of who; ErrRole, ErrEnvs and ErrOwner say why nothing does.
func (to Change) of(ctx context.Context, tx *store.Tx, who store.Staff, may Reach) (_ store.Staff, err error) {
	if to.Role != "" {
		if !slices.Contains(store.Roles, to.Role) {
			return who, ErrPerson
		}
		if !AtLeast(may.Role, to.Role) {
			return who, ErrRole
		}
		who.Role = to.Role
	}
	if len(to.Envs) > 0 {
		who.Envs, err = places(ctx, tx, who.Org, who.Role, to.Envs, may)
	} else if who.Role == Owner && !slices.Contains(who.Envs, store.AllEnvs) {
		err = ErrOwner
	}
	return who, err
}

// keep writes what became of somebody, and tells of it.
func (m *Members) keep(ctx context.Context, tx *store.Tx, at Place, c *Changed) (err error) {
	if c.envs() {
		if c.Keys, err = tx.SetStaffEnvs(ctx, c.Now.Org, c.Now.ID, c.Now.Envs); err != nil {
			return err
		}
	}
	if !c.role() && c.Now.CountsAt.Equal(c.Before.CountsAt) {
		return nil
	}
	less, err := tx.SetStaffRole(ctx, c.Now.Org, c.Now.ID, c.Now.Role, c.Now.CountsAt)
	if err != nil {
		return err
	}
	c.Keys = slices.Compact(slices.Sorted(slices.Values(append(c.Keys, less...))))
	return m.announce(ctx, tx, c.Now, at)
}

// keepOwner is ErrLast if nobody but who could act as an owner now. An owner who still
// waits is none yet: somebody's second self must not be rid of those who read of it before
// the wait is over (T18); on the hub's own machine one will do. Transactions that change
// staff are serial, so of two who remove each other at once one fails.
func (m *Members) keepOwner(ctx context.Context, tx *store.Tx, who store.Staff, by audit.Principal) error {
	if who.Role != Owner {
		return nil
	}
	works, err := m.works(ctx, tx, who)
	if err != nil || !works {
		return err // they never came in
	}
	all, err := tx.StaffList(ctx, who.Org)
	if err != nil {
		return err
	}
	for _, o := range all {
		counts := o.Decides(tx.Now()) || by.System == bySystem && !o.Suspended(tx.Now())
		if o.ID == who.ID || o.Role != Owner || !counts {
			continue
		}
		if works, err := m.works(ctx, tx, o); err != nil || works {
			return err
		}
	}
	return ErrLast
}

// works reports whether a person has a passkey for the console.
func (m *Members) works(ctx context.Context, tx *store.Tx, who store.Staff) (bool, error) {
	keys, err := tx.StaffKeys(ctx, who.Org, who.ID)
	if err != nil || m.cfg.Console == nil {
		return len(keys) > 0, err
	}
	return signsIn(keys, Place{Origin: m.cfg.Console()}.RPID()), nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
