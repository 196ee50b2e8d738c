package command

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// unstamped is the stamp of a worker that has none: what became of a lost answer nobody
// can tell then.
const unstamped = "-"

// A step is one request that carries out a part of a change.
type step struct {
	performRequest
	lenient bool // an account that needs no unlocking is no reason to refuse the rest
}

// steps are what tasks ask of a worker. The public protocol knows one operation at a
// time: where the worker cannot do both in one change, a lock is opened before the
// password is set, so that a failure of the first leaves everything as it was, and one
// of the second an account that its owner may unlock anyway.
func steps(tasks []protocol.Task, t traits) ([]step, error) {
	var all []step
	unlock := false
	for i, task := range tasks {
		if slices.ContainsFunc(tasks[:i], func(o protocol.Task) bool { return o.Operation == task.Operation }) {
			return nil, protocol.Err(protocol.CodeBadRequest, "the operation "+string(task.Operation)+" is named twice")
		}
		if task.Operation.Own() || !t.Can(task.Operation) {
			return nil, protocol.Err(protocol.CodeUnsupported, "the worker cannot do "+string(task.Operation))
		}
		if task.Operation == protocol.Unlock && len(tasks) > 1 {
			unlock = true
			continue
		}
		one, err := stepOf(task, t)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) != 1 {
		return nil, protocol.Err(protocol.CodeUnsupported, "a worker does one operation at a time, and unlocks beside it")
	}
	switch {
	case unlock && t.CanUnlockWithPassword && all[0].Operation == protocol.GetTemporaryPassword:
		all[0].Unlock = true
	case unlock:
		all = append([]step{{performRequest: performRequest{Operation: protocol.Unlock}, lenient: true}}, all...)
	}
	return all, nil
}

// stepOf reads one task with its parameters.
func stepOf(task protocol.Task, t traits) (s step, err error) {
	s.Operation = task.Operation
	for name, value := range task.Params {
		switch name {
		case "must_change":
			s.MustChange, err = strconv.ParseBool(value)
		case "reusable":
			s.Reusable, err = strconv.ParseBool(value)
		case "lifetime_minutes":
			s.LifetimeMinutes, err = strconv.Atoi(value)
		default:
			err = strconv.ErrSyntax
		}
		if err != nil {
			return s, protocol.Err(protocol.CodeBadRequest, fmt.Sprintf("%s: the parameter %s is not understood", task.Operation, name))
		}
	}
	if s.MustChange && !t.CanMustChange {
		return s, protocol.Err(protocol.CodeUnsupported, "the worker cannot ask for a new password at the next sign-in")
	}
	return s, nil
}

// DryRun implements directory.Writer. Only a worker that honours dry_run is asked: one
// that does not know the word would carry the operation out.
func (d *Directory) DryRun(ctx context.Context, id string, tasks []protocol.Task) error {
	return d.one(ctx, id, func(a account, p *process) error {
		t := p.about.Traits
		all, err := steps(tasks, t)
		if err != nil {
			return err
		}
		if len(tasks) == 1 && tasks[0].Operation == protocol.Unlock && a.Locked != nil && !*a.Locked {
			return protocol.Err(protocol.CodeUnsupportedAccountState, "the account is not locked")
		}
		if !d.cfg.DryRun && !t.CanDryRun || d.noDryRuns.Load() {
			return nil
		}
		for _, s := range all {
			if err := d.dry(ctx, p, a, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// dry tries one step. A worker that makes a secret meanwhile did not try: it is never
// asked again.
func (d *Directory) dry(ctx context.Context, p *process, a account, s step) error {
	s.Account, s.DryRun = a.ImmutableID, true
	r, err := d.read(ctx, p, request{PerformOperation: &s.performRequest})
	switch {
	case s.lenient && protocol.CodeOf(err) == protocol.CodeUnsupportedAccountState:
		return nil
	case err != nil:
		return err
	case r.PerformOperation == nil:
		return missing("perform_operation")
	case len(r.PerformOperation.secrets()) > 0:
		d.noDryRuns.Store(true)
		d.cfg.Log.Error("worker made a secret in a dry run; it is asked for no more dry runs", "operation", s.Operation)
		return protocol.Err(protocol.CodeConfiguration, "the worker does not honour dry_run: take it out of the agent's file, or of the worker's traits, and look at the account")
	}
	return nil
}

// Stamp implements directory.Writer.
func (d *Directory) Stamp(ctx context.Context, id string, tasks []protocol.Task) (stamp string, err error) {
	err = d.one(ctx, id, func(a account, p *process) error {
		if stamp = unstamped; !p.about.Traits.CanSettle {
			return nil
		}
		r, err := d.read(ctx, p, request{GetStamp: &accountsRequest{Account: a.ImmutableID, Operations: protocol.CanonicalTasks(tasks)}})
		switch {
		case err != nil:
			return err
		case r.GetStamp == nil || !clean(r.GetStamp.Stamp) || r.GetStamp.Stamp == unstamped:
			return missing("get_stamp")
		}
		stamp = r.GetStamp.Stamp
		return nil
	})
	return stamp, err
}

// Settle implements directory.Writer. The worker that was asked has ended before: a
// question to another one comes after everything that it did.
func (d *Directory) Settle(ctx context.Context, c directory.Change) (out protocol.State, err error) {
	if c.Stamp == unstamped || c.Stamp == "" {
		return protocol.Unknown, nil
	}
	err = d.with(ctx, d.pool.calls, func(p *process) error {
		if out = protocol.Unknown; !p.about.Traits.CanSettle {
			return nil
		}
		r, err := d.read(ctx, p, request{Settle: &accountsRequest{Account: d.native(ctx, p, c.ID), Operations: protocol.CanonicalTasks(c.Tasks), Stamp: c.Stamp}})
		switch {
		case err != nil:
			return err
		case r.Settle == nil:
			return missing("settle")
		case r.Settle.State == protocol.Done || r.Settle.State == protocol.Unchanged:
			out = r.Settle.State
		}
		return nil
	})
	return out, err
}

// native is the id as the worker writes it, as far as it can be found.
func (d *Directory) native(ctx context.Context, p *process, id string) string {
	if a, err := d.find(ctx, p, id); err == nil {
		return a.ImmutableID
	}
	return id
}

// Perform implements directory.Writer.
func (d *Directory) Perform(ctx context.Context, c directory.Change) (out directory.Result, err error) {
	for range 2 { // a worker that ended unnoticed has done nothing: the next one is asked
		var unsent bool
		out, unsent, err = d.try(ctx, c)
		if !unsent || ctx.Err() != nil {
			return out, err
		}
	}
	return out, err
}

// try carries out a change by one worker. unsent says that the worker was gone before it
// was asked for any change.
func (d *Directory) try(ctx context.Context, c directory.Change) (out directory.Result, unsent bool, err error) {
	err = d.with(ctx, d.pool.calls, func(p *process) error {
		a, err := d.find(ctx, p, c.ID)
		if err == nil {
			err = d.fence(ctx, p)
		}
		if err != nil {
			unsent = p.ended() != nil
			return err
		}
		all, err := steps(c.Tasks, p.about.Traits)
		if err != nil {
			return err
		}
		for i := range all {
			if err := all[i].fill(a, c, p.about.Traits); err != nil {
				return err
			}
		}
		for _, s := range all {
			if out, err = d.perform(ctx, p, s, c.Password); err != nil {
				return err
			}
		}
		return nil
	})
	return out, unsent, err
}

// fence pings: what a worker wrote unasked is found before it could be taken for the
// secret of somebody else. A worker may also say that it does not know the word.
func (d *Directory) fence(ctx context.Context, p *process) error {
	r, err := d.read(ctx, p, request{Ping: true})
	if r.Error != nil {
		return nil
	}
	return err
}

// fill adds what is the same for the whole change. A password is given only to a worker
// that takes one, and must be given to that one.
func (s *step) fill(a account, c directory.Change, t traits) error {
	s.Account = a.ImmutableID
	if t.CanSettle && c.Stamp != unstamped {
		s.Stamp = c.Stamp
	}
	if s.Operation != protocol.GetTemporaryPassword {
		return nil
	}
	if c.Password.Empty() == t.CanSetPassword {
		return protocol.Err(protocol.CodeBadRequest, "a password is given exactly to a worker that takes one")
	}
	s.Password = c.Password.Reveal()
	return nil
}

// perform carries out one step, and keeps what the worker says on stderr back until the
// secret is known.
func (d *Directory) perform(ctx context.Context, p *process, s step, password protocol.Secret) (directory.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout.Duration)
	defer cancel()
	p.chatter.begin(password)
	r, err := p.ask(ctx, request{PerformOperation: &s.performRequest}, maxReply)
	known := err == nil && (r.PerformOperation != nil || s.makesNone())
	if r.PerformOperation != nil {
		p.chatter.end(known, r.PerformOperation.secrets()...)
	} else {
		p.chatter.end(known)
	}
	switch {
	case err != nil:
		return directory.Result{}, notSaid(err)
	case r.Error != nil:
		return directory.Result{}, s.refused(r.Error.err(), password)
	case r.PerformOperation == nil:
		return directory.Result{}, fmt.Errorf("%w: %w", directory.ErrUnsure, missing("perform_operation"))
	}
	return s.result(*r.PerformOperation)
}

// notSaid tells a request that was never read from one whose answer is lost.
func notSaid(err error) error {
	var l *lost
	if errors.As(err, &l) && l.unsent {
		return protocol.Err(protocol.CodeUnavailable, err.Error())
	}
	return fmt.Errorf("%w: %w", directory.ErrUnsure, err)
}

// makesNone reports whether the worker makes no secret in this step, so that its words
// hold none that the agent does not know.
func (s step) makesNone() bool { return !s.Operation.Secret() || s.Password != "" }

// refused is the worker's refusal. Where the worker makes the secret itself nobody knows
// what its words hold: they are left out (P15). What an internal error left behind nobody
// knows either.
func (s step) refused(e *protocol.Error, password protocol.Secret) error {
	if s.makesNone() {
		e.Message = without(e.Message, []protocol.Secret{password})
	} else {
		e.Message = "the worker refused the operation; its words may hold the secret and are not shown"
	}
	if e.Code == protocol.CodeInternal {
		return fmt.Errorf("%w: %w", directory.ErrUnsure, e)
	}
	if s.lenient && e.Code == protocol.CodeUnsupportedAccountState {
		return nil
	}
	return e
}

// result reads the secret that the operation gives. A success without it is a change of
// which nobody has the result.
func (s step) result(r performed) (directory.Result, error) {
	out := directory.Result{MustChange: r.MustChange}
	if s.makesNone() {
		return out, nil
	}
	text, isLink := r.of(s.Operation)
	if !clean(text) || isLink && !safeLink(text) {
		return directory.Result{}, fmt.Errorf("%w: the worker gave no usable secret for %s", directory.ErrUnsure, s.Operation)
	}
	out.Secret = protocol.NewSecret(text)
	return out, nil
}

// of is the member that holds the secret of an operation, and whether it is a link. The
// public protocol has none for the access pass: workers use that of the password.
func (r performed) of(o protocol.Operation) (text string, link bool) {
	switch o {
	case protocol.GetPasswordLink:
		return r.PasswordLink, true
	case protocol.GetMFALink:
		return r.MFAResetLink, true
	case protocol.GetMFABypassCode:
		return r.MFABypassCode, false
	}
	return r.TemporaryPassword, false
}

// secrets are all that a reply holds.
func (r performed) secrets() []protocol.Secret {
	var all []protocol.Secret
	for _, text := range []string{r.TemporaryPassword, r.PasswordLink, r.MFABypassCode, r.MFAResetLink} {
		if text != "" {
			all = append(all, protocol.NewSecret(text))
		}
	}
	return all
}

// safeLink reports whether a link leads to a page, and runs nothing in the browser.
func safeLink(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
