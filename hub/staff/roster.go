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

// Invite adds a person, or takes the one who has the address already, and makes an
// invitation to a passkey at a place. It returns the person and the link. by is who
// invites: nobody gives more than they have.
func (m *Members) Invite(ctx context.Context, who store.Staff, at Place, role string, by audit.Principal) (store.Staff, protocol.Secret, error) {
	who, err := m.person(who, at, role)
	if err != nil {
		return who, protocol.Secret{}, err
	}
	token := store.NewToken()
	err = m.cfg.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if who, err = m.invite(ctx, tx, who, at, role, token, by); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Org: who.Org, Env: at.Env, Kind: audit.OrgMemberInvited, Actor: by, Trace: who.ID,
			Detail: map[string]any{"org_member": who.ID, "request": map[string]string{"role": who.Role}, "rp": at.RPID()}, Personal: map[string]string{"name": who.Name, "mail": who.Mail}})
	})
	if err == nil && m.cfg.Mail != nil {
		m.cfg.Mail.Wake()
	}
	return who, protocol.NewSecret(at.Origin + at.path() + "#" + token), err
}

// InviteIn invites somebody to the console by mail alone, in the caller's transaction, who
// records it. Where no mail is sent it is ErrMail: nobody would have the link.
func (m *Members) InviteIn(ctx context.Context, tx *store.Tx, who store.Staff, at Place, role string, by audit.Principal) (store.Staff, error) {
	who, err := m.person(who, at, role)
	if err != nil {
		return who, err
	}
	if m.cfg.Mail == nil {
		return who, ErrMail
	}
	return m.invite(ctx, tx, who, at, role, store.NewToken(), by)
}

// person checks who is invited, and writes their address in one form.
func (*Members) person(who store.Staff, at Place, role string) (store.Staff, error) {
	who.Name, who.Mail = strings.TrimSpace(who.Name), strings.ToLower(strings.TrimSpace(who.Mail))
	addr, err := mail.ParseAddress(who.Mail)
	if err != nil || addr.Address != who.Mail || who.Name == "" || len(who.Name) > 200 || len(who.Mail) > 254 || !AtLeast(who.Role, Approver) || at.RPID() == "" {
		return who, ErrPerson
	}
	if !AtLeast(role, Admin) || !AtLeast(role, who.Role) || at.Env == "" && who.Role == Approver {
		return who, ErrRole
	}
	return who, nil
}

// bySystem is the actor of commands on the hub's own machine, which may do anything.
const bySystem = "command"

// signsIn reports whether somebody has a key for a place.
func signsIn(keys []store.StaffKey, rp string) bool {
	return slices.ContainsFunc(keys, func(k store.StaffKey) bool { return k.RP == rp })
}

func (m *Members) invite(ctx context.Context, tx *store.Tx, who store.Staff, at Place, role, token string, by audit.Principal) (store.Staff, error) {
	all, err := tx.StaffList(ctx, who.Org)
	if err != nil {
		return who, err
	}
	if i := slices.IndexFunc(all, func(s store.Staff) bool { return s.Mail == who.Mail }); i >= 0 {
		if at.Env == "" && all[i].Role != who.Role || !AtLeast(role, all[i].Role) {
			return who, ErrTaken
		}
		if keys, err := tx.StaffKeys(ctx, who.Org, all[i].ID); err != nil || at.Env == "" && by.System != bySystem && signsIn(keys, at.RPID()) {
			return who, errors.Join(err, ErrTaken) // remove first: a link to somebody's place must not be made without their noticing
		}
		who = all[i]
	} else if who, err = m.add(ctx, tx, who, at, by); err != nil {
		return who, err
	}
	if err := own(ctx, tx, &who); err != nil {
		return who, err
	}
	l := store.StaffLink{Hash: store.HashToken(token), Org: who.Org, Staff: who.ID, RP: at.RPID()}
	if err := tx.AddStaffLink(ctx, &l); err != nil {
		return who, err
	}
	if m.cfg.Mail != nil {
		kind := Invited
		if at.Env == "" {
			kind = Welcome
		}
		err := m.mail(ctx, tx, who.Org, at.Env, Message{Kind: kind, To: who.Mail, Name: who.Name, Origin: at.Origin, Path: at.path(),
			Token: protocol.NewSecret(token), Role: who.Role, Until: l.Expires})
		if err != nil {
			return who, err
		}
	}
	return who, nil
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
func (m *Members) Remove(ctx context.Context, org, id, role string, by audit.Principal) error {
	return m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		who, err := m.RemoveIn(ctx, tx, org, id, role, by)
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Org: org, Kind: audit.OrgMemberRemoved, Actor: by, Detail: map[string]any{"org_member": id, "role": who.Role}})
	})
}

// RemoveIn is Remove in the caller's transaction, who records it. It returns who that was.
func (m *Members) RemoveIn(ctx context.Context, tx *store.Tx, org, id, role string, by audit.Principal) (store.Staff, error) {
	who, err := tx.Staff(ctx, org, id)
	if err != nil {
		return who, err
	}
	if !AtLeast(role, Admin) || !AtLeast(role, who.Role) {
		return who, ErrRole
	}
	if err := m.keepOwner(ctx, tx, who, by); err != nil {
		return who, err
	}
	return who, tx.RemoveStaff(ctx, org, id)
}

// SetRole changes what a person may do in the console. Who is given more decides about
// others after a wait, whatever they decided before, of which the owners hear; ErrLast keeps the last owner. role is
// that of whoever changes it.
func (m *Members) SetRole(ctx context.Context, at Place, org, id, to, role string, by audit.Principal) error {
	err := m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		before, err := m.SetRoleIn(ctx, tx, at, org, id, to, role, by)
		if err != nil || before == to {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Org: org, Kind: audit.OrgMemberUpdated, Actor: by, Trace: id,
			Detail: map[string]any{"org_member": id, "request": map[string]string{"role": to}, "before": before}})
	})
	if err == nil && m.cfg.Mail != nil {
		m.cfg.Mail.Wake()
	}
	return err
}

// SetRoleIn is SetRole in the caller's transaction, who records it. It returns the role
// before.
func (m *Members) SetRoleIn(ctx context.Context, tx *store.Tx, at Place, org, id, to, role string, by audit.Principal) (before string, err error) {
	if !slices.Contains(store.Roles, to) {
		return "", ErrPerson
	}
	who, err := tx.Staff(ctx, org, id)
	if err != nil {
		return "", err
	}
	if !AtLeast(role, Admin) || !AtLeast(role, who.Role) || !AtLeast(role, to) {
		return "", ErrRole
	}
	if before = who.Role; to == before {
		return before, nil
	}
	if to != Owner {
		if err := m.keepOwner(ctx, tx, who, by); err != nil {
			return "", err
		}
	}
	who.Role = to
	if AtLeast(to, User) && AtLeast(to, before) && by.System != bySystem {
		who.CountsAt = later(who.CountsAt, tx.Now().Add(m.trial))
	}
	return before, errors.Join(tx.SetStaffRole(ctx, org, id, to, who.CountsAt), m.announce(ctx, tx, who, at))
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
