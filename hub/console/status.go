package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/tunnel"
	"github.com/postern-id/postern/protocol"
)

// recentLimit is how many of the last recoveries a page shows.
const recentLimit = 25

// A status is the whole page: what there is, what needs somebody, what happened.
type status struct {
	Organisation string
	Environments []environment
	Needs        []need
	NoMail       bool // the hub has no mail server
	NoSigner     bool // the signer that the configuration names does not answer
	Busy         bool // something is under way, so the page loads again by itself
}

type environment struct {
	ID, Name    string
	Domains     []store.Domain
	Bundle      store.Bundle // of its pages; empty: none is recorded yet (T4)
	Directories []served
	Recent      []recent
	Outcomes    []outcome
	MailStuck   []store.MailTrouble // nodes whose mails are not taken
	MailsFull   time.Time           // since when no more mails go to people who answer requests; zero: they do
}

// A served directory is one with its agents. Health is one word: the worst that is true.
type served struct {
	store.Directory
	Health  string // key: ok, off, wait, bad
	Why     string // key of a sentence
	Agents  []tunnel.AgentStatus
	Running bool
	Percent int                   // of the running pass; 0 if unknown
	Trust   []protocol.GroupTrust // whom the hub alone can reset, by the weakest agent that serves (T5)
}

// A need is something that somebody should do, and where.
type need struct {
	Key, Directory, Anchor string
}

type recent struct {
	At                time.Time
	Action, Directory string
	Outcome           string // key
}

type outcome struct {
	Key   string
	Count int
}

// status serves the page.
func (v *visit) status() {
	ctx, cancel := v.context()
	defer cancel()
	st, err := v.read(ctx)
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen()
	s.Title, s.Status, s.SignedIn = s.T("console.title"), st, true
	v.show(http.StatusOK, "status", s)
}

func (v *visit) read(ctx context.Context) (*status, error) {
	st := &status{NoMail: !v.console.cfg.Mail.Usable(), NoSigner: v.signerAway(ctx)}
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		st.Environments = nil
		org, err := tx.Organisation(ctx, v.org)
		if err != nil {
			return err
		}
		st.Organisation = org.Name
		envs, err := v.environments(ctx, tx)
		for _, e := range envs {
			if err == nil {
				err = st.add(ctx, tx, e)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range st.Environments {
		agents, err := v.console.cfg.Agents.Status(ctx, st.Environments[i].ID)
		if err != nil {
			return nil, err
		}
		st.judge(&st.Environments[i], agents, v.console.cfg.Store.Now())
	}
	return st, nil
}

// signerWithin is how long the page waits for the signer.
const signerWithin = time.Second

// signerAway reports whether there is a signer outside of the hub that does not answer.
func (v *visit) signerAway(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, signerWithin)
	defer cancel()
	return v.console.cfg.Signer.Named() && v.console.cfg.Signer.Ping(ctx) != nil
}

// add reads one environment.
func (st *status) add(ctx context.Context, tx *store.Tx, e store.Environment) error {
	env := environment{ID: e.ID, Name: e.Name}
	var err error
	if env.Domains, err = tx.Domains(ctx, e.ID); err != nil {
		return err
	}
	if env.Bundle, err = tx.Bundle(ctx, e.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	rows, err := tx.Directories(ctx, e.ID)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, d := range rows {
		env.Directories = append(env.Directories, served{Directory: d})
		names[d.ID] = nameOf(d)
	}
	if env.MailsFull, err = tx.RequestMailsFull(ctx, e.ID); err != nil {
		return err
	}
	if env.MailStuck, err = tx.MailTroubles(ctx, e.ID); err != nil {
		return err
	}
	last, err := tx.RecentRecoveries(ctx, e.ID, recentLimit)
	if err != nil {
		return err
	}
	for _, r := range last {
		env.Recent = append(env.Recent, recent{r.CreatedAt, cmp.Or(r.Action, "none"), names[r.Directory], outcomeOf(r)})
	}
	env.Outcomes = count(env.Recent)
	st.Environments = append(st.Environments, env)
	return nil
}

// Unaddressed reports whether agents of the public protocol serve the directory: they
// tell of no address but the account's own, so that no code reaches its owner.
func (d served) Unaddressed() bool { return d.NativeSince.IsZero() && d.HasLegacyToken }

func nameOf(d store.Directory) string {
	if d.Name != "" {
		return d.Name
	}
	return d.ID
}

// outcomes translates the states of a recovery into what became of it.
var outcomes = map[string]string{"done": "done", "failed": "failed", "unknown": "unknown", "refused": "refused"}

func outcomeOf(r store.Recovery) string {
	if r.Trial && (r.State == "evaluated" || r.Ending == "acknowledged") {
		return "trial"
	}
	if o, ok := outcomes[r.State]; ok {
		return o
	}
	switch {
	case r.State != "ended":
		return "open"
	case r.Ending == "acknowledged":
		return "done"
	case r.Problem != "":
		return "refused"
	}
	return "left"
}

// count sums outcomes up, in the order in which pages name them.
func count(list []recent) []outcome {
	var sums []outcome
	for _, key := range []string{"done", "failed", "unknown", "refused", "trial", "left", "open"} {
		n := 0
		for _, r := range list {
			if r.Outcome == key {
				n++
			}
		}
		if n > 0 {
			sums = append(sums, outcome{key, n})
		}
	}
	return sums
}

// judge gives each directory its agents, finds how it stands, and what somebody must do.
func (st *status) judge(e *environment, agents []tunnel.AgentStatus, now time.Time) {
	for _, d := range e.Domains {
		if d.Proven.IsZero() {
			st.Needs = append(st.Needs, need{"console.need.domain", d.Name, "domains-" + e.ID})
		}
	}
	switch {
	case st.NoMail:
		st.Needs = append(st.Needs, need{"console.need.mail.none", e.Name, "m-" + e.ID})
	case len(e.MailStuck) > 0:
		st.Needs = append(st.Needs, need{"console.need.mail", e.Name, "m-" + e.ID})
	}
	if !e.MailsFull.IsZero() {
		st.Needs = append(st.Needs, need{"console.need.mails", e.Name, "e-" + e.ID})
	}
	for i := range e.Directories {
		d := &e.Directories[i]
		for _, a := range agents {
			if a.Directory == d.ID && a.State != protocol.AgentRevoked {
				d.Agents = append(d.Agents, a)
			}
		}
		d.Trust = trust(d.Agents)
		d.Running = d.Sync.Running(now)
		if d.Running && d.Sync.Expected > 0 {
			d.Percent = min(100, 100*d.Sync.Listed/d.Sync.Expected)
		}
		st.Busy = st.Busy || d.Running
		d.Health, d.Why = d.stand()
		st.needs(d)
	}
}

// trust joins what agents say of their groups: a hub resets by the agent that lets it.
// It is nil while no agent is connected.
func trust(agents []tunnel.AgentStatus) []protocol.GroupTrust {
	var all []protocol.GroupTrust
	for _, a := range agents {
		for _, t := range a.Tunnels {
			if t.State != protocol.AgentActive {
				continue
			}
			said := t.Groups
			if len(said) == 0 {
				return []protocol.GroupTrust{{Group: everybody, HubCanReset: true}}
			}
			for _, g := range said {
				i := slices.IndexFunc(all, func(o protocol.GroupTrust) bool { return o.Group == g.Group })
				if i < 0 {
					all = append(all, g)
					continue
				}
				all[i].HubCanReset = all[i].HubCanReset || g.HubCanReset
				all[i].Confirm, all[i].Delay = all[i].Confirm && g.Confirm, min(all[i].Delay, g.Delay)
			}
		}
	}
	return all
}

// everybody is the group of those who are in none of the others.
const everybody = "*"

// stand finds the worst that is true of a directory.
func (d *served) stand() (health, why string) {
	connected := slices.ContainsFunc(d.Agents, func(a tunnel.AgentStatus) bool { return working(a) })
	switch {
	case len(d.Agents) == 0:
		return "off", "console.why.none"
	case !connected:
		return "bad", "console.why.away"
	case d.Sync.NeedsReconnect:
		return "bad", "console.why.credential"
	case d.Sync.Pending.Reason != "" && !d.Sync.Pending.Confirmed:
		return "wait", "console.why.question"
	case d.Sync.Error != "":
		return "wait", "console.why.sync"
	case d.Sync.Completed.IsZero():
		return "wait", "console.why.first"
	}
	return "ok", "console.why.ok"
}

// working reports whether an agent is given calls now.
func working(a tunnel.AgentStatus) bool {
	return a.State == protocol.AgentActive &&
		slices.ContainsFunc(a.Tunnels, func(t tunnel.TunnelStatus) bool { return t.State == protocol.AgentActive })
}

// needs lists what somebody must decide or mend, worst first.
func (st *status) needs(d *served) {
	add := func(key string) { st.Needs = append(st.Needs, need{key, nameOf(d.Directory), d.ID}) }
	for _, a := range d.Agents {
		switch {
		case !a.ConflictSince.IsZero():
			add("console.need.conflict")
		case a.State == protocol.AgentPending:
			add("console.need.pending")
		case a.Witness.Stopped != "":
			add("console.need.log")
		case slices.ContainsFunc(a.Tunnels, func(t tunnel.TunnelStatus) bool { return t.SkewWarn }):
			add("console.need.clock")
		}
	}
	if d.Health == "bad" || d.Health == "off" {
		add(d.Why)
	}
	if p := d.Sync.Pending; p.Reason != "" && !p.Confirmed {
		add("console.need." + p.Reason)
	}
	if d.Sync.Error != "" && d.Sync.Pending.Reason == "" && d.Health != "bad" {
		add("console.need.sync")
	}
}
