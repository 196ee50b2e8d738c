package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// checkLife bounds each step of Check.
const checkLife = 30 * time.Second

// checkSample is how many accounts of the first page Check looks at to find one that
// the guard lets pass.
const checkSample = 20

// A Finding is one step of Check. Problem is empty when all is well; Fix says what
// to do about it.
type Finding struct {
	What    string
	Detail  string
	Problem string
	Fix     string
	Warning bool // the agent works, but somebody should know
}

// check walks through everything that the agent needs and changes nothing.
type check struct {
	o        Options
	account  string
	findings []Finding
}

// Check tries out hub, directory and mail, lists one page and dry-runs the allowed
// operations on one account: the one that account names by immutable id or
// identifier, else one of the first page. It changes nothing anywhere, and works
// beside a running agent.
func Check(ctx context.Context, o Options, account string) []Finding {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &check{o: o, account: account}
	c.hub(ctx)
	c.directory(ctx)
	c.mail(ctx)
	c.sms()
	c.evidence()
	if o.Config.Evaluation {
		c.warn("evaluation", "is on: this agent changes nothing, every operation is a dry run", "take evaluation = true out of the file and start the agent again to go live")
	}
	return c.findings
}

func (c *check) ok(what, detail string) {
	c.findings = append(c.findings, Finding{What: what, Detail: detail})
}

func (c *check) warn(what, problem, fix string) {
	c.findings = append(c.findings, Finding{What: what, Problem: problem, Fix: fix, Warning: true})
}

func (c *check) fail(what string, err error, fix string) {
	c.findings = append(c.findings, Finding{What: what, Problem: withoutAddresses(strings.TrimPrefix(err.Error(), "agent: ")), Fix: fix})
}

// hub connects. Beside a running agent it stops before it says who it is, because a
// second process with the same keys would be quarantined.
func (c *check) hub(ctx context.Context) {
	const what = "hub"
	ctx, cancel := context.WithTimeout(ctx, checkLife)
	defer cancel()
	id, err := LoadIdentity(c.o.Config.StateDir)
	if err != nil {
		c.fail("identity", err, "enrol: ask the hub for a ticket, then run postern-agent enroll --ticket-file FILE")
		return
	}
	c.ok("identity", fmt.Sprintf("agent %s of directory %s, fingerprint %s", id.Agent, id.Directory, id.Fingerprint()))
	d, err := newDialer(id.Hub, c.o.Config.Hub)
	if err != nil {
		c.fail(what, err, "look at the table [hub] of the file")
		return
	}
	w, address, err := d.open(ctx, nil)
	if err != nil {
		c.fail(what, err, "outbound connections to "+d.host+" must be allowed; behind a proxy set hub.proxy, with a private CA set hub.ca_file")
		return
	}
	j, err := journal.Open(c.o.Config.StateDir, time.Now)
	if err != nil {
		_ = w.Close(protocol.CloseNormal, "check")
		if errors.Is(err, journal.ErrLocked) {
			c.ok(what, address+" answers; the agent is running, so nothing more is tried")
			return
		}
		c.fail("journal", err, "the state folder must belong to the account that runs the agent")
		return
	}
	defer j.Close()
	c.welcome(ctx, w, id, address)
}

// welcome says hello as the agent would.
func (c *check) welcome(ctx context.Context, w *wire, id *Identity, address string) {
	hello := helloOf(c.o.Config, c.o.Version, "", time.Now())
	hello.Agent = id.Agent
	link, welcome, err := protocol.Dial(ctx, w, id.keys.noise, id.HubKey, id.HubName, hello, refusing{})
	if err != nil {
		c.fail("hub", err, "if the hub has a new key or has revoked this agent, enrol anew")
		return
	}
	link.Close(protocol.CloseNormal, "check")
	c.ok("hub", fmt.Sprintf("%s answers and knows this agent: %s, %d node(s)", address, welcome.State, welcome.Nodes))
	if skew := time.Since(welcome.Time); skew.Abs() > skewWarning {
		c.warn("clock", fmt.Sprintf("differs from the hub's by %v; %v are tolerated", skew.Round(time.Second), maxSkew), "set the clock of this machine or of the hub")
	}
	if welcome.State != protocol.AgentActive {
		c.warn("hub", "this agent is "+welcome.State, "an administrator compares the fingerprint above with the one on the hub's status page and decides there")
	}
}

func (c *check) directory(ctx context.Context) {
	const what = "directory"
	ctx, cancel := context.WithTimeout(ctx, 2*checkLife)
	defer cancel()
	dir, err := c.o.Open(ctx, c.o.Config.Kind(), c.o.Config.File, c.o.Log)
	if err != nil {
		c.fail(what, err, "look at the table [directory] of the file")
		return
	}
	defer dir.Close()
	d, err := dir.Describe(ctx)
	if err != nil {
		c.fail(what, err, fixFor(err))
		return
	}
	c.ok(what, fmt.Sprintf("%s (%s): signed in", d.Traits.Name, d.Kind))
	first, err := firstPage(ctx, dir)
	if err != nil {
		c.fail("accounts", err, fixFor(err))
		return
	}
	if len(first.Accounts) == 0 {
		c.warn("accounts", "the first page is empty", "look at base and filter in the table [directory]")
		return
	}
	c.ok("accounts", fmt.Sprintf("%d on the first page", len(first.Accounts)))
	c.guard(ctx, dir, d.Traits, first)
}

// errEnough ends a listing after its first page.
var errEnough = errors.New("agent: one page is enough")

func firstPage(ctx context.Context, dir directory.Reader) (directory.Page, error) {
	var first directory.Page
	_, err := dir.List(ctx, "", defaultPage, func(p directory.Page) error {
		first = p
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return first, err
}

// guard dry-runs every operation that the file allows, on one account.
func (c *check) guard(ctx context.Context, dir directory.Directory, can protocol.Traits, first directory.Page) {
	g, err := guard.New(c.o.Config.Guard, nil, time.Now)
	if err != nil {
		c.fail("guard", err, "look at the table [guard] of the file")
		return
	}
	if len(g.Rules().BaseDNs) == 0 {
		c.warn("guard", "every account that the directory lists may be changed, but for those that are always refused",
			"name the branches of employees in guard.base_dns")
	}
	c.groups(ctx, dir, g.Rules())
	facts, why := c.sample(ctx, dir, g, first)
	if why != nil {
		c.fail("sample account", why, "name an account of an employee with --account")
		return
	}
	for _, op := range operationsOf(can, g) {
		what := "dry run of " + string(op)
		err := dir.DryRun(ctx, facts.ID, []protocol.Task{{Operation: op}})
		switch protocol.CodeOf(err) {
		case "":
			c.ok(what, "would be carried out on "+withoutAddresses(facts.ID))
		case protocol.CodeUnsupportedAccountState:
			c.ok(what, withoutAddresses(err.Error()))
		default:
			c.fail(what, err, fixFor(err))
		}
	}
}

// operationsOf lists what directory and file both allow, in the order of the pages.
func operationsOf(can protocol.Traits, g *guard.Guard) []protocol.Operation {
	var ops []protocol.Operation
	for _, a := range protocol.Actions {
		for _, op := range a.Operations {
			if can.Can(op) && g.Allows(op) {
				ops = append(ops, op)
			}
		}
	}
	return ops
}

// sample finds the account to dry-run on.
func (c *check) sample(ctx context.Context, dir directory.Directory, g *guard.Guard, first directory.Page) (directory.Facts, error) {
	accounts := first.Accounts[:min(len(first.Accounts), checkSample)]
	if c.account != "" {
		var err error
		if accounts, err = named(ctx, dir, c.account); err != nil {
			return directory.Facts{}, err
		}
	}
	why := errors.New("the directory has no such account")
	for _, a := range accounts {
		facts, err := dir.Facts(ctx, a.ID)
		if err != nil {
			why = err
			continue
		}
		contacts, err := dir.Contacts(ctx, a.ID)
		if err != nil {
			return facts, err
		}
		refused := g.Judge(guard.Case{
			Account: facts.ID, Facts: facts, Tasks: []protocol.Task{{Operation: protocol.Unlock}},
			Notice: len(contacts.Mail) > 0, Strict: c.o.Config.SMTP.on() || c.o.Config.SMS.on(),
		})
		if refused == nil || !g.Allows(protocol.Unlock) {
			return facts, nil
		}
		why = fmt.Errorf("the guard refuses every account that was tried, the last one because: %s", refused.Message)
	}
	return directory.Facts{}, why
}

// named finds an account by identifier, else by immutable id.
func named(ctx context.Context, dir directory.Reader, name string) ([]protocol.Account, error) {
	found, err := dir.Get(ctx, protocol.Ref{Identifier: name})
	if err == nil && len(found) > 0 {
		return found, nil
	}
	return dir.Get(ctx, protocol.Ref{ID: name})
}

func (c *check) mail(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkLife)
	defer cancel()
	m, err := newMailer(c.o.Config.SMTP)
	switch {
	case err != nil:
		c.fail("mail", err, "look at the table [smtp] of the file")
	case m == nil && len(c.o.Config.Guard.SensitiveGroups) > 0 && !c.o.Config.SMS.on():
		c.warn("mail", "guard.sensitive_groups is set and there is no mail route, so those accounts are always refused", "add a table [smtp]")
	case m == nil:
		c.ok("mail", "no route of its own; the hub sends the codes")
	default:
		if err := m.probe(ctx); err != nil {
			c.fail("mail", err, "look at the table [smtp] of the file; the server must offer what smtp.tls says")
			return
		}
		c.ok("mail", c.o.Config.SMTP.Host+" accepts this agent")
	}
}

// sms reads what a message needs, and sends none: it would cost money.
func (c *check) sms() {
	cfg := c.o.Config.SMS
	t, err := newTexter(cfg, time.Now)
	if t == nil && err == nil {
		return
	}
	if err == nil && cfg.SecretFile != "" {
		_, err = settings.ReadSecret(cfg.SecretFile)
	}
	if err != nil {
		c.fail("text messages", err, "look at the table [sms] of the file")
		return
	}
	c.ok("text messages", fmt.Sprintf("codes go to numbers that begin with %s; none was sent now", strings.Join(cfg.Prefixes, ", ")))
}

// evidence reads what the file names, as the agent does when it starts.
func (c *check) evidence() {
	e := c.o.Config.Evidence
	if !e.On() {
		return
	}
	checker, err := proof.Open(e)
	if err == nil {
		_, err = newVeto(e)
	}
	if err != nil {
		c.fail("evidence", err, "look at the tables [evidence] of the file and the files that they name")
		return
	}
	people, err := known.Approvers(c.o.Config.StateDir)
	if err != nil {
		c.fail("approvers", err, "look at approvers.json in the state folder; enter approvers anew with postern-agent approver add")
		return
	}
	c.ok("evidence", fmt.Sprintf("%d groups, %d issuers, %d providers, %d approvers", len(e.Groups), checker.Issuers(), len(e.Providers), len(people)))
}

// fixFor says what to do about an error of a directory.
func fixFor(err error) string {
	switch protocol.CodeOf(err) {
	case protocol.CodeServiceAuthentication:
		return "look at the account and the password file that the table [directory] names"
	case protocol.CodePermissionDenied:
		return "give the agent's account the rights that the documentation of directories lists"
	case protocol.CodeUnavailable:
		return "the directory server must be reachable from this machine; look at its address, certificate and firewall"
	}
	return "look at the table [directory] of the file"
}
