// Package staff looks after the people who work in the console or vouch for others:
// invitations, their passkeys, and how they sign in. There are no passwords. Keys of
// recovery domains approve and keys of the console's host sign in; neither answers for
// the other (T1). It knows no pages and no recovery.
package staff

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Roles of the console, strongest first, as the REST API spells them. Approver is no
// role of the console: such a person only vouches.
const (
	Owner       = store.RoleOwner
	Admin       = store.RoleAdmin
	User        = store.RoleUser
	LimitedPlus = store.RoleLimitedPlus
	Limited     = store.RoleLimited
	Approver    = store.RoleNone
)

// AtLeast reports whether a role reaches what another one reaches.
func AtLeast(role, least string) bool { return store.AtLeast(role, least) }

// Errors that pages and commands tell apart.
var (
	ErrAddress = errors.New("staff: the organisation lets nobody in from this address")
	ErrGone    = errors.New("staff: the link is unknown, used or too old")
	ErrKey     = errors.New("staff: the passkey does not fit")
	ErrPerson  = errors.New("staff: a name, a mail address and a known role are needed")
	ErrTaken   = errors.New("staff: somebody has this address already")
	ErrRole    = errors.New("staff: the role does not reach this")
	ErrEnvs    = errors.New("staff: an environment is unknown here, none is named, or whoever gives it does not reach it")
	ErrOwner   = errors.New("staff: an owner works in all environments")
	ErrMail    = errors.New("staff: no mail is sent, so nobody would have the link")
	ErrLast    = errors.New("staff: the last owner stays; make somebody else an owner first, and wait until they decide")
)

// Wait is how long a key that vouches does not count, so that the others hear of it
// before it opens anything (T17).
const Wait = 72 * time.Hour

// Trial is how long somebody who is new to the console, or was given more, does not
// decide about others: an administrator must not make the second reviewer that a rule
// asks for at the moment they need one. There is no setting for it, because whoever it
// stops could change that. Who is invited on the hub's own machine decides at once:
// that is how the first ones come in.
const Trial = 24 * time.Hour

// A Message carries an invitation, or tells administrators of somebody new.
type Message struct {
	Env, To, Name string // Env: whose mails these are; every organisation has one
	Kind          Kind
	Origin        string
	Path          string          // of the page; the token is its fragment
	Token         protocol.Secret // empty: news
	Role          string
	Who           string    // news: of whom
	Until         time.Time // the invitation works; news: from when on it counts
}

// A Kind of message.
type Kind string

// The kinds.
const (
	Invited   Kind = "staff"       // to vouch
	Welcome   Kind = "staffin"     // to the console
	NewKey    Kind = "staffkey"    // news: somebody will vouch
	NewMember Kind = "staffmember" // news: somebody will decide in the console
)

// Messages puts mails into the outbox.
type Messages interface {
	// Usable reports whether what is put there is ever sent.
	Usable() bool
	// QueueStaff puts a mail into the outbox in the caller's transaction. ErrPerson says that
	// an invitation to the console cannot be sent to its address.
	QueueStaff(ctx context.Context, tx *store.Tx, m Message) error
	// Wake hastens the sending of what has committed.
	Wake()
}

// A Config is what Members are made of.
type Config struct {
	Store   *store.Store
	Mail    Messages // nil: nobody is told; links are shown to whoever makes them
	Log     *slog.Logger
	Wait    time.Duration // of keys that vouch; 0: Wait, below 0: nobody waits for anything (demonstrations)
	Console func() string // origin of the console: who has a key there works there
}

// Members looks after the staff of every organisation.
type Members struct {
	cfg   Config
	trial time.Duration
}

// New makes Members.
func New(cfg Config) *Members {
	m := &Members{cfg: cfg, trial: Trial}
	if cfg.Wait == 0 {
		m.cfg.Wait = Wait
	}
	if cfg.Wait < 0 {
		m.cfg.Wait, m.trial = 0, 0
	}
	return m
}

// Paths of the pages that invitations lead to; the secret is the fragment.
const (
	ConsolePath  = "/console/join"
	ApproverPath = "/approver"
)

// A Place is where a passkey is made and used: a recovery domain, or the console.
type Place struct {
	Env    string // of a recovery domain; "": the console
	Origin string
}

// RPID is the relying party: the host, exactly.
func (p Place) RPID() string { return evidence.RPID(p.Origin) }

func (p Place) path() string {
	if p.Env == "" {
		return ConsolePath
	}
	return ApproverPath
}

// Run keeps it right, until ctx ends, which accounts are the staff's own. Any node may.
func (m *Members) Run(ctx context.Context) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		if err := m.Upkeep(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Log.WarnContext(ctx, "accounts of staff cannot be looked up", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// upkeepEvery is how long an account that was created after its owner was invited may
// not be known as theirs; until then their mail address tells (store.Staff.Is).
const upkeepEvery = 15 * time.Minute

// Upkeep does what Run does, once.
func (m *Members) Upkeep(ctx context.Context) error {
	return m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		orgs, err := tx.Organisations(ctx)
		if err != nil {
			return err
		}
		for _, o := range orgs {
			all, err := tx.StaffList(ctx, o.ID)
			if err != nil {
				return err
			}
			for _, who := range all {
				if err := own(ctx, tx, &who); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// own links a person to their account: the one that bears their mail address, if exactly
// one of the organisation's does. A link stays as long as the account is there, whatever
// address it bears later.
func own(ctx context.Context, tx *store.Tx, who *store.Staff) error {
	envs, err := tx.Environments(ctx, who.Org)
	if err != nil {
		return err
	}
	var found []store.Account
	for _, e := range envs {
		if who.Account != "" {
			if _, err := tx.AccountOf(ctx, e.ID, who.Directory, who.Account); !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		all, err := tx.FindAccounts(ctx, e.ID, who.Mail)
		if err != nil {
			return err
		}
		found = append(found, all...)
	}
	before := [2]string{who.Directory, who.Account}
	who.Directory, who.Account = "", ""
	if len(found) == 1 {
		who.Directory, who.Account = found[0].Directory, found[0].ImmutableID
	}
	if before == [2]string{who.Directory, who.Account} {
		return nil
	}
	return tx.LinkStaff(ctx, who.Org, who.ID, who.Directory, who.Account)
}

// tell sends news to owners and administrators, but not to those whom they are about, nor
// to administrators of other environments.
func (m *Members) tell(ctx context.Context, tx *store.Tx, env string, about store.Staff, news Message) error {
	if m.cfg.Mail == nil {
		return nil
	}
	all, err := tx.StaffList(ctx, about.Org)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.ID == about.ID || !AtLeast(s.Role, Admin) || !concerns(s, env, about) {
			continue
		}
		news.To, news.Name = s.Mail, s.Name
		if err := m.mail(ctx, tx, about.Org, env, news); err != nil {
			return err
		}
	}
	return nil
}

// concerns reports whether news about somebody are for one of the staff: in an environment
// for who reaches that, otherwise for who reaches all that they reach.
func concerns(s store.Staff, env string, about store.Staff) bool {
	if env != "" {
		return s.Reaches(env)
	}
	return store.Within(about.Envs, s.Envs)
}

// mail queues a message in an environment, or for the console in the organisation's first.
func (m *Members) mail(ctx context.Context, tx *store.Tx, org, env string, message Message) error {
	if env == "" {
		envs, err := tx.Environments(ctx, org)
		if err != nil || len(envs) == 0 {
			return err
		}
		env = envs[0].ID
	}
	message.Env = env
	return m.cfg.Mail.QueueStaff(ctx, tx, message)
}
