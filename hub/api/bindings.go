package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	hooks "github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/protocol"
)

// Checks are an organisation's own, which are asked before an account is bound to a person.
type Checks interface {
	// Asks reports whether an environment has any.
	Asks(ctx context.Context, tx *store.Tx, env string) (bool, error)
	// AskEach puts questions; the verdicts stand in their order.
	AskEach(ctx context.Context, env string, all []hooks.Question) ([]hooks.Verdict, error)
}

// A binding is what is asked about: a verdict counts for this and for nothing else.
type binding struct {
	env, account string
	former       string // whom the account is bound to until then; "": nobody
	subject      string
}

// changes reports whether the binding gives the account to somebody who does not have it:
// nobody is asked about others.
func (b binding) changes() bool { return b.subject != "" && b.subject != b.former }

// bindingTo returns what binding the account of the call to a subject would be.
func (c *call) bindingTo(subject string) binding {
	return binding{c.account.Env, c.account.ID, c.account.Subject, subject}
}

// maxAcceptLanguage bounds what is handed on of Accept-Language, in bytes: half a list says
// something else.
const maxAcceptLanguage = 256

// question is what the checks of the account's environment are asked about a binding.
func (c *call) question(subject string) hooks.Question {
	languages := c.r.Header.Get("Accept-Language")
	if len(languages) > maxAcceptLanguage {
		languages = ""
	}
	return hooks.Question{Trace: c.trace, Subject: subject, Language: languages, Directory: c.account.Directory, ExternalID: c.account.ImmutableID, Action: protocol.ActionBinding}
}

// askForAccount asks about the binding of one account.
func askForAccount(ctx context.Context, c *call) error {
	u := c.body.(*accountUpdate)
	return c.askFor(ctx, []store.Environment{c.env}, []accountUpdateItem{{c.account.ID, u.Subject, u.BirthDate}})
}

// askForAccounts asks about the bindings of several accounts.
func askForAccounts(ctx context.Context, c *call) error {
	req := c.body.(*accountUpdates)
	if len(req.Accounts) == 0 || len(req.Accounts) > maxAccountUpdates {
		return bad(fmt.Sprintf("accounts: want 1 to %d", maxAccountUpdates))
	}
	return c.askFor(ctx, nil, req.Accounts)
}

// askFor asks about what an update would bind in environments, nil for all that the key is
// for. What it would refuse anyway is not asked about.
func (c *call) askFor(ctx context.Context, envs []store.Environment, all []accountUpdateItem) error {
	if !bindsAny(all) {
		return nil
	}
	var planned plan
	err := c.api.Store.Read(ctx, func(tx *store.Tx) (err error) {
		planned, err = c.plan(ctx, tx, envs, all)
		return err
	})
	if err != nil {
		return err
	}
	c.verdicts = map[binding]hooks.Verdict{}
	for _, env := range planned.envs {
		bindings := planned.bindings[env]
		verdicts, err := c.api.Checks.AskEach(ctx, env, planned.questions[env])
		if err != nil {
			return err
		}
		for i, b := range bindings {
			c.verdicts[b] = verdicts[i]
		}
		if err := c.recordVetoes(ctx, bindings, planned.questions[env]); err != nil {
			return err
		}
	}
	return nil
}

// vetoWrite bounds the writing down of what was not agreed to, which whoever asked does not
// end by going away.
const vetoWrite = 5 * time.Second

// recordVetoes writes down what was not agreed to, as it is of recoveries: apart from the
// update, of which a refusal leaves nothing.
func (c *call) recordVetoes(ctx context.Context, bindings []binding, asked []hooks.Question) error {
	var events []audit.Event
	for i, b := range bindings {
		if v := c.verdicts[b]; v.Message() != "" {
			events = append(events, c.vetoed(b, asked[i], v))
		}
	}
	if len(events) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), vetoWrite)
	defer cancel()
	return c.api.Store.Tx(ctx, func(tx *store.Tx) error {
		for _, e := range events {
			if err := audit.Append(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// vetoed is the audit event of a binding that was not agreed to.
func (c *call) vetoed(b binding, q hooks.Question, v hooks.Verdict) audit.Event {
	detail := map[string]any{"denied": !v.Silent(), "action": protocol.RecoveryKind(q.Action), "account": b.account, "directory": q.Directory, "subject": b.subject}
	if v.Silent() {
		detail["error"] = "no answer"
	}
	e := c.eventOf(audit.RecoveryVetoed, b.env, detail)
	e.Account = b.account
	return e
}

func bindsAny(all []accountUpdateItem) bool {
	for _, item := range all {
		if item.Subject != nil && *item.Subject != "" {
			return true
		}
	}
	return false
}

// A plan is what is to be asked, by environment.
type plan struct {
	envs      []string // in the order in which they come up
	bindings  map[string][]binding
	questions map[string][]hooks.Question
	asks      map[string]bool
	now       map[string]string // whom an account is bound to by the items before
}

// plan finds what has to be asked. Where no environment has a check it looks nothing up.
func (c *call) plan(ctx context.Context, tx *store.Tx, envs []store.Environment, all []accountUpdateItem) (p plan, err error) {
	if envs == nil {
		if envs, err = c.environments(ctx, tx); err != nil {
			return p, err
		}
	}
	p = plan{bindings: map[string][]binding{}, questions: map[string][]hooks.Question{}, asks: map[string]bool{}, now: map[string]string{}}
	for _, e := range envs {
		asks, err := c.api.Checks.Asks(ctx, tx, e.ID)
		if err != nil {
			return p, err
		}
		if asks {
			p.asks[e.ID] = true
		}
	}
	if len(p.asks) == 0 {
		return p, nil
	}
	defer func(a store.Account, e store.Environment) { c.account, c.env = a, e }(c.account, c.env)
	for _, item := range all {
		if item.Subject == nil {
			continue
		}
		if err := c.planOne(ctx, tx, &p, item); err != nil {
			return p, err
		}
	}
	return p, nil
}

// planOne adds what has to be asked about one account, if it has a check and the update
// would be made.
func (c *call) planOne(ctx context.Context, tx *store.Tx, p *plan, item accountUpdateItem) error {
	u := accountUpdate{item.Subject, item.BirthDate}
	err := c.findAccount(ctx, tx, item.ID)
	if err == nil && p.asks[c.account.Env] {
		if now, changed := p.now[c.account.ID]; changed {
			c.account.Subject = now
		}
		_, err = c.fits(ctx, tx, u)
	}
	if result, err := resultOf(item.ID, err); err != nil || result.Status != http.StatusNoContent {
		return err
	}
	if p.asks[c.account.Env] {
		p.add(c.bindingTo(*item.Subject), c.question(*item.Subject))
	}
	return nil
}

// add notes a binding, and asks about it if it changes something and is new.
func (p *plan) add(b binding, q hooks.Question) {
	p.now[b.account] = b.subject
	if !b.changes() || slices.Contains(p.bindings[b.env], b) {
		return
	}
	if p.bindings[b.env] == nil {
		p.envs = append(p.envs, b.env)
	}
	p.bindings[b.env], p.questions[b.env] = append(p.bindings[b.env], b), append(p.questions[b.env], q)
}

// agreed refuses a binding that the environment's checks did not agree to within the last
// minute, or that is not the one that they were asked about.
func (c *call) agreed(ctx context.Context, tx *store.Tx, b binding) error {
	if !b.changes() {
		return nil
	}
	v, asked := c.verdicts[b]
	if !asked {
		asks, err := c.asks(ctx, tx, b.env)
		if err != nil || !asks {
			return err
		}
	}
	switch {
	case asked && v.Allows(tx.Now()):
		return nil
	case !asked || v.Message() == "":
		return refusal{http.StatusConflict, b.says("this is not what the recover webhook was asked about, or its answer is older than a minute; nothing was changed: send it again")}
	case v.Silent():
		return refusal{http.StatusServiceUnavailable, b.says(v.Message())}
	}
	return refusal{http.StatusForbidden, b.says(v.Message())}
}

// says is a refusal that names the account.
func (b binding) says(why string) string { return "subject: account " + b.account + ": " + why }

// asks reports whether an environment has checks, and reads it once.
func (c *call) asks(ctx context.Context, tx *store.Tx, env string) (bool, error) {
	if asks, known := c.checked[env]; known {
		return asks, nil
	}
	asks, err := c.api.Checks.Asks(ctx, tx, env)
	if err == nil {
		c.checked[env] = asks
	}
	return asks, err
}
