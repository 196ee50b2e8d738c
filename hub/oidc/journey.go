package oidc

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// An Opened is what a ticket led to.
type Opened struct {
	Phone             string // what a phone waits by that has read the ticket off a screen; "": it was no phone
	Recovery, Session string // the proof of an account; "": there is none
	Use               string // the proof of who somebody is, with its Session; "": there is none
	To                string // otherwise: the address to go back to
}

// ErrTicket says that a ticket leads nowhere: unknown, used, too old, or of another
// environment. Nobody is told which.
var ErrTicket = errors.New("oidc: the ticket leads nowhere")

// Open begins, for the browser that brought a ticket to the recovery domain of an
// environment, the proof that a client asked for. A ticket is good once.
func (p *Provider) Open(ctx context.Context, env, ticket, lang string, by recovery.Client) (Opened, error) {
	if ticket, ok := strings.CutPrefix(ticket, phoneMark); ok {
		secret, err := p.claim(ctx, env, ticket, by)
		return Opened{Phone: secret}, err
	}
	return p.open(ctx, env, ticket, stateAsked, lang, by)
}

// open begins the proof of an exchange in a state.
func (p *Provider) open(ctx context.Context, env, secret, state, lang string, by recovery.Client) (Opened, error) {
	var x exchange
	var c party.Party
	err := p.cfg.Store.Early(ctx, func(tx *store.Tx) (err error) {
		if x, c, err = p.find(ctx, tx, secret, state); err != nil {
			return err
		}
		if x.Env != env {
			return errGone
		}
		next := p.move
		if c.Terms.People && x.Use == "" { // begun before an upgrade
			x.Use, next = request.NewUse(), p.save
		}
		_, err = next(ctx, tx, &x, stateProving, 0)
		return err
	})
	if errors.Is(err, errGone) {
		return Opened{}, ErrTicket
	}
	if err != nil {
		return Opened{}, err
	}
	if c.Terms.People {
		return p.openPeople(ctx, c, x, lang, by)
	}
	id, session, err := p.cfg.SignIns.SignIn(ctx, flow.SignIn{
		Env: env, Directory: c.Directory, Account: x.Account, Hint: x.Hint, Methods: methodsFor(x.AMR), Strict: c.Settings.AllowStrict,
		Exchange: x.ID, Language: lang, Client: by,
	})
	if err == nil {
		return Opened{Recovery: id, Session: session}, nil
	}
	p.cfg.Log.WarnContext(ctx, "a sign-in cannot begin", "client", c.ID, "directory", c.Directory, "error", err)
	return p.giveUp(ctx, x, "temporarily_unavailable")
}

// giveUp ends an exchange without a proof.
func (p *Provider) giveUp(ctx context.Context, x exchange, code string) (o Opened, err error) {
	err = p.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		try, c, err := p.named(ctx, tx, x.Env, x.ID, stateProving)
		if err != nil {
			return err
		}
		o.To, err = p.answered(ctx, tx, c, &try, answer{Error: code})
		return err
	})
	return o, err
}

// answered writes the answer down, and returns the address at which the browser that
// began takes it. It is empty where that browser waits for it: whoever proved on a phone
// has nothing to hand on.
func (p *Provider) answered(ctx context.Context, tx *store.Tx, c party.Party, x *exchange, a answer) (string, error) {
	a.At = p.cfg.Now()
	x.Answer = &a
	if x.shared() {
		_, err := p.save(ctx, tx, x, stateAnswered, answerLife)
		return "", err
	}
	code, err := p.save(ctx, tx, x, stateAnswered, codeLife)
	if err != nil {
		return "", err
	}
	return p.cfg.Origin() + c.Terms.Endpoints + returnPath + "?" + url.Values{"code": {code}}.Encode(), nil
}

// Finish ends a proof of an account, whatever came of it and whether or not the person
// gives it, and returns the address to go
// back to. recovery.ErrStep and recovery.ErrNotFound say that there is none to end.
func (p *Provider) Finish(ctx context.Context, env, id, session string, give bool) (to string, err error) {
	err = p.cfg.SignIns.FinishSignIn(ctx, env, id, session, give, func(tx *store.Tx, s flow.SignedIn) error {
		x, c, err := p.named(ctx, tx, env, s.Exchange, stateProving)
		if err != nil {
			return err
		}
		to, err = p.answered(ctx, tx, c, &x, judge(x, s))
		return err
	})
	if errors.Is(err, errGone) {
		err = recovery.ErrStep
	}
	return to, err
}

// judge turns a proof into an answer. It counts for the account that the client meant and
// for nobody else.
func judge(x exchange, s flow.SignedIn) answer {
	a := answer{Person: s.Person, Proven: s.Proven, Strict: s.Strict, Recovery: s.Recovery}
	acr, met := metBy(x.ACR)
	a.ACR, a.AMR = acr, reference(x.AMR, s.Proven)
	if !met || a.AMR == "" || x.Account == "" || s.Account != x.Account {
		a.ACR, a.AMR, a.Error = "", "", "access_denied"
	}
	return a
}
