package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Members signs staff in and looks after them. Errors are those of package staff.
type Members interface {
	SignIn(at staff.Place) (state string, ask json.RawMessage, err error)
	Enter(ctx context.Context, at staff.Place, state string, assertion []byte, device, address string) (session string, err error)
	Invitation(ctx context.Context, at staff.Place, token string) (staff.Invitation, error)
	Join(ctx context.Context, at staff.Place, token string, registration []byte) (staff.Joined, error)
	Ask(ctx context.Context, at staff.Place, org, id string, about []byte) (state string, ask json.RawMessage, err error)
	Confirm(ctx context.Context, at staff.Place, org, id, state string, about, assertion []byte) error
	Roster
}

// Roster changes who works for an organisation.
type Roster interface {
	Invite(ctx context.Context, who store.Staff, at staff.Place, may staff.Reach, by audit.Principal) (store.Staff, protocol.Secret, error)
	Remove(ctx context.Context, org, id string, may staff.Reach, by audit.Principal) error
	Change(ctx context.Context, at staff.Place, org, id string, to staff.Change, may staff.Reach, by audit.Principal) error
}

// staffPath is the page of staff and sessions, minePath of the reader's own.
const (
	staffPath = root + "/staff"
	minePath  = root + "/mine"
)

// members is the page of staff and sessions.
type members struct {
	People   []member
	Sessions []signedIn
	Places   []domainOf
	Where    where  // of an invitation
	Made     string // an invitation, shown once
	For      string // whose
	Wrong    string // key of what is wrong with a form
}

type member struct {
	store.Staff
	Keys      int
	Suspended bool
	NotYet    bool     // decides about others from CountsAt on
	Gives     []string // roles that the reader may give
	Where     where
}

// where is the question in which environments somebody has their role.
type where struct {
	ID      string // of its hint in the page
	All     bool   // may be answered: all of them, those to come among them
	Whole   bool   // is answered so
	Choices []choiceOf
}

// A choiceOf is one environment.
type choiceOf struct {
	ID, Name string
	On       bool
}

// Asked reports whether there is anything to choose.
func (w where) Asked() bool {
	return len(w.Choices) > 1 || len(w.Choices) == 1 && w.All && !w.Whole
}

// An asks is a screen that asks where.
type asks struct {
	*screen
	Where where
}

// Asks returns the question for a template of its own.
func (s *screen) Asks(w where) asks { return asks{s, w} }

// Names are those of the environments that are chosen.
func (w where) Names() (list []string) {
	for _, c := range w.Choices {
		if c.On {
			list = append(list, c.Name)
		}
	}
	return list
}

type signedIn struct {
	store.ConsoleSession
	Name, Device string
	This         bool
}

// domainOf is a recovery domain on which people vouch.
type domainOf struct{ Env, Name string }

func (v *visit) staff() { v.showStaff(http.StatusOK, new(members)) }

func (v *visit) showStaff(status int, m *members) {
	ctx, cancel := v.context()
	defer cancel()
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		m.People, m.Sessions, m.Places = nil, nil, nil
		if err := v.people(ctx, tx, m); err != nil {
			return err
		}
		return errors.Join(v.sessions(ctx, tx, m), v.places(ctx, tx, m))
	})
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen()
	s.Title, s.SignedIn, s.Members = s.T("console.staff.title"), true, m
	v.show(status, "staff", s)
}

// people lists those whose environments are all among the reader's.
func (v *visit) people(ctx context.Context, tx *store.Tx, m *members) error {
	envs, err := v.environments(ctx, tx)
	if err != nil {
		return err
	}
	m.Where = v.where("", v.envs, envs)
	all, err := tx.StaffList(ctx, v.org)
	for _, p := range all {
		if !store.Within(p.Envs, v.envs) {
			continue
		}
		keys, err := tx.StaffKeys(ctx, v.org, p.ID)
		if err != nil {
			return err
		}
		m.People = append(m.People, member{p, len(keys), p.Suspended(tx.Now()), p.CountsAt.After(tx.Now()), v.gives(p), v.where(p.ID, p.Envs, envs)})
	}
	return err
}

// where asks in which of the reader's environments somebody has their role.
func (v *visit) where(id string, has []string, envs []store.Environment) where {
	w := where{ID: "env-" + id, All: v.reaches(store.AllEnvs), Whole: slices.Contains(has, store.AllEnvs)}
	for _, e := range envs {
		w.Choices = append(w.Choices, choiceOf{e.ID, e.Name, slices.Contains(has, e.ID)})
	}
	return w
}

// sees reports whether a session is the reader's own, or of somebody whom they may remove.
func (v *visit) sees(s store.ConsoleSession, people []member) bool {
	return v.reaches(store.AllEnvs) || s.ID == v.session.ID || slices.ContainsFunc(people, func(p member) bool { return s.Staff != "" && s.Staff == p.ID })
}

func (v *visit) sessions(ctx context.Context, tx *store.Tx, m *members) error {
	all, err := tx.ConsoleSessions(ctx, v.org)
	for _, c := range all {
		s := signedIn{ConsoleSession: c, Device: v.words.Language.Device(c.Device), This: c.ID == v.session.ID}
		for _, p := range m.People {
			if p.ID == c.Staff {
				s.Name = p.Name
			}
		}
		if v.sees(c, m.People) || c.Staff == v.session.Staff {
			m.Sessions = append(m.Sessions, s)
		}
	}
	return err
}

func (v *visit) places(ctx context.Context, tx *store.Tx, m *members) error {
	envs, err := v.environments(ctx, tx)
	for _, e := range envs {
		domains, err := tx.Domains(ctx, e.ID)
		if err != nil {
			return err
		}
		for _, d := range domains {
			if !d.Proven.IsZero() {
				m.Places = append(m.Places, domainOf{e.ID, d.Name})
			}
		}
	}
	return err
}

// envsField names the boxes of environments; whereField says that the form has them.
const (
	envsField  = "envs"
	whereField = "where"
)

// envsTyped are the environments that the form chooses; none where it asks for none. ok is
// false where it asks and nothing is chosen.
func (v *visit) envsTyped() (envs []string, ok bool) {
	envs = v.r.PostForm[envsField]
	return envs, len(envs) > 0 || !v.checked(whereField)
}

// everywhere lists where the reader works, without environments that were removed.
func (v *visit) everywhere(ctx context.Context) ([]string, error) {
	if v.reaches(store.AllEnvs) {
		return v.envs, nil
	}
	return store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) (ids []string, err error) {
		all, err := v.environments(ctx, tx)
		for _, e := range all {
			ids = append(ids, e.ID)
		}
		return ids, err
	})
}

// reach is what the reader may give to others.
func (v *visit) reach() staff.Reach { return staff.Reach{Role: v.role, Envs: v.envs} }

// invite makes an invitation, whose link is shown once.
func (v *visit) invite() {
	ctx, cancel := v.context()
	defer cancel()
	who, at, err := v.invited(ctx)
	if err != nil {
		v.notStaffed(err)
		return
	}
	who, link, err := v.console.cfg.Members.Invite(ctx, who, at, v.reach(), v.actor())
	switch {
	case errors.Is(err, staff.ErrPerson), errors.Is(err, staff.ErrTaken), errors.Is(err, staff.ErrRole):
		v.showStaff(http.StatusUnprocessableEntity, &members{Wrong: "console.staff.error"})
	case err != nil:
		v.notStaffed(err)
	default:
		v.showStaff(http.StatusOK, &members{Made: link.Reveal(), For: who.Name})
	}
}

// invited is who is invited by the form, and where they make their passkey.
func (v *visit) invited(ctx context.Context) (who store.Staff, at staff.Place, err error) {
	envs, ok := v.envsTyped()
	if envs == nil {
		if envs, err = v.everywhere(ctx); err != nil {
			return who, at, err
		}
		ok = ok && len(envs) > 0
	}
	who = store.Staff{Org: v.org, Name: v.field("name"), Mail: v.field("mail"), Role: v.field("role"), Envs: envs}
	if who.Role == "approver" {
		who.Role = staff.Approver
		at, err = v.placeTyped(ctx)
		return who, at, err
	}
	if !ok {
		err = staff.ErrEnvs
	}
	return who, v.place(), err
}

// placeTyped is the recovery domain on which somebody is to vouch.
func (v *visit) placeTyped(ctx context.Context) (at staff.Place, err error) {
	env, name, _ := strings.Cut(v.field("place"), " ")
	if err := v.owns(ctx, env); err != nil {
		return at, err
	}
	d, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) (store.Domain, error) { return tx.Domain(ctx, name) })
	if err != nil || d.Env != env || d.Proven.IsZero() {
		return at, errNoPage
	}
	return staff.Place{Env: env, Origin: v.console.cfg.SiteOrigin(name)}, nil
}

// gives lists the roles that the reader may give to somebody.
func (v *visit) gives(p store.Staff) (list []string) {
	for _, role := range []string{staff.Limited, staff.LimitedPlus, staff.User, staff.Admin, staff.Owner} {
		if staff.AtLeast(v.role, p.Role) && staff.AtLeast(v.role, role) && p.Role != staff.Approver {
			list = append(list, role)
		}
	}
	return list
}

// notStaffed says what is wrong with the environments of a form, or fails.
func (v *visit) notStaffed(err error) {
	words := ""
	switch {
	case errors.Is(err, staff.ErrOwner):
		words = "console.staff.error.owner"
	case errors.Is(err, staff.ErrEnvs):
		words = "console.staff.error.envs"
	default:
		v.fail(err)
		return
	}
	v.showStaff(http.StatusUnprocessableEntity, &members{Wrong: words})
}

// setRole changes what somebody may do, and where.
func (v *visit) setRole() {
	ctx, cancel := v.context()
	defer cancel()
	envs, ok := v.envsTyped()
	if !ok {
		v.notStaffed(staff.ErrEnvs)
		return
	}
	v.backToStaff(v.console.cfg.Members.Change(ctx, v.place(), v.org, v.field("member"), staff.Change{Role: v.field("role"), Envs: envs}, v.reach(), v.actor()))
}

func (v *visit) removeStaff() {
	ctx, cancel := v.context()
	defer cancel()
	v.backToStaff(v.console.cfg.Members.Remove(ctx, v.org, v.field("member"), v.reach(), v.actor()))
}

// endSession signs somebody out, perhaps the one who asks.
func (v *visit) endSession() {
	ctx, cancel := v.context()
	defer cancel()
	id := v.field("session")
	v.backToStaff(v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		s, err := tx.SessionByID(ctx, v.org, id)
		if err != nil {
			return err
		}
		m := new(members)
		if err := v.people(ctx, tx, m); err != nil {
			return err
		}
		if !v.sees(s, m.People) {
			return store.ErrNotFound
		}
		return errors.Join(tx.EndSession(ctx, v.org, id), v.ended(ctx, tx, s))
	}))
}

func (v *visit) backToStaff(err error) {
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		v.notStaffed(err)
		return
	}
	v.see(staffPath)
}

// mine lists where the reader is signed in.
func (v *visit) mine() {
	ctx, cancel := v.context()
	defer cancel()
	m := new(members)
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		m.Sessions = nil
		if err := v.sessions(ctx, tx, m); err != nil {
			return err
		}
		m.Sessions = slices.DeleteFunc(m.Sessions, func(s signedIn) bool { return s.Staff != v.session.Staff || s.Staff == "" && !s.This })
		return nil
	})
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen()
	s.Title, s.SignedIn, s.Members = s.T("console.mine.title"), true, m
	v.show(http.StatusOK, "mine", s)
}

// endMine ends a session of the reader, perhaps this one.
func (v *visit) endMine() {
	ctx, cancel := v.context()
	defer cancel()
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		s, err := tx.SessionByID(ctx, v.org, v.field("session"))
		if err != nil {
			return err
		}
		if s.Staff != v.session.Staff || s.Staff == "" && s.ID != v.session.ID {
			return store.ErrNotFound
		}
		return errors.Join(tx.EndSession(ctx, v.org, s.ID), v.ended(ctx, tx, s))
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		v.fail(err)
		return
	}
	v.see(minePath)
}
