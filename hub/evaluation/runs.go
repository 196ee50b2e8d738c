package evaluation

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
)

// Agents asks an agent of a directory, on whatever node it is connected. Errors are
// *protocol.Error.
type Agents interface {
	Evaluate(ctx context.Context, env, directory string, q protocol.EvaluateRequest) (protocol.Evaluations, error)
}

// A Config is what runs are made of; every member is needed.
type Config struct {
	Store     *store.Store
	Agents    Agents
	Verifiers []verify.Verifier
	// Addresses reports whether addresses and phones that a person added count for an action.
	Addresses func(ctx context.Context, tx *store.Tx, a store.Account, action protocol.Action) (mails, phones bool, err error)
	Origin    func(domain string) string // of a recovery domain's site
	Log       *slog.Logger
}

// Runs are the evaluations of all directories. Its methods may be called from many
// goroutines and on many nodes at once.
type Runs struct {
	Config
	verifiers map[policy.Method]verify.Verifier
	wake      chan struct{}
}

// New makes Runs. They need Run to go on.
func New(c Config) *Runs {
	r := &Runs{Config: c, verifiers: map[policy.Method]verify.Verifier{}, wake: make(chan struct{}, 1)}
	for _, v := range c.Verifiers {
		r.verifiers[v.Method()] = v
	}
	return r
}

// Times of runs.
const (
	keepFor    = 30 * 24 * time.Hour // a report names people, and is out of date sooner
	lookEvery  = 2 * time.Second
	purgeEvery = time.Hour
	leaseLife  = 90 * time.Second // of the node that works on a page; longer than pageLife
	pageLife   = 75 * time.Second
	agentAway  = 15 * time.Second // until it is asked again
	tooOften   = time.Minute
	giveUp     = 2 * time.Hour // that a run waits for an agent
	lookAtOnce = 4
)

// Problems of a run, as keys of words.
const (
	ProblemAgent     = "agent_away"     // it waits for an agent
	ProblemRate      = "agent_limit"    // it waits because the agent answers no more this hour
	ProblemOff       = "evaluation_off" // the agent's file does not say evaluation = true
	ProblemDirectory = "directory"      // the agent cannot read its directory
	ProblemOldAgent  = "agent_old"      // the agent does not know evaluation
)

// ErrOff says that no agent of the directory says that it evaluates.
var ErrOff = errors.New("evaluation: no agent of the directory says evaluation = true in its own file")

// ErrRunning says that a run over the directory is under way.
var ErrRunning = errors.New("evaluation: a run over this directory is under way")

// Start begins a run in the caller's transaction. Its audit row is the caller's.
func (r *Runs) Start(ctx context.Context, tx *store.Tx, env, dir string, s Scope, by string) (Run, error) {
	d, err := tx.Directory(ctx, env, dir)
	if err != nil {
		return Run{}, err
	}
	if !d.Evaluation {
		return Run{}, ErrOff
	}
	if s.Group, s.Live, err = groupNamed(ctx, tx, env, dir, s.Group); err != nil {
		return Run{}, err
	}
	e := store.Evaluation{Env: env, Directory: dir, StartedBy: by, Expires: tx.Now().Add(keepFor), Total: len(s.Accounts)}
	if !s.everybody() {
		e.Scope = []byte(store.JSON(s))
	}
	if len(s.Accounts) == 0 {
		if e.Total, err = tx.CountMembers(ctx, env, dir, s.stored()); err != nil {
			return Run{}, err
		}
	}
	if err = tx.AddEvaluation(ctx, &e); errors.Is(err, store.ErrConflict) {
		err = ErrRunning
	}
	if err != nil {
		return Run{}, err
	}
	return runOf(e)
}

// ErrGroup says that a directory has no such group.
var ErrGroup = errors.New("evaluation: the directory has no group of this name or id")

// sameName bounds the groups that begin with the name of one.
const sameName = 100

// groupNamed returns the id of a group by its name or id; "" for an empty name. Where the
// directory lists accounts without groups, live says that only its agent knows them.
func groupNamed(ctx context.Context, tx *store.Tx, env, dir, name string) (id string, live bool, err error) {
	if name == "" {
		return "", false, nil
	}
	found, err := tx.Groups(ctx, env, dir, name, sameName)
	if err != nil {
		return "", false, err
	}
	if i := slices.IndexFunc(found, func(g protocol.Group) bool { return strings.EqualFold(g.Name, name) }); i >= 0 {
		return found[i].ID, false, nil
	}
	n, err := tx.CountMembers(ctx, env, dir, name)
	if err != nil || n > 0 {
		return name, false, err
	}
	any, err := tx.Groups(ctx, env, dir, "", 1)
	if err == nil && len(any) > 0 {
		err = ErrGroup
	}
	return name, true, err
}

// Wake hastens what Start has begun, after it has committed.
func (r *Runs) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Cancel ends a run that goes on; one that has ended stays as it is.
func (*Runs) Cancel(ctx context.Context, tx *store.Tx, env, id string) error {
	e, err := tx.Evaluation(ctx, env, id)
	if err != nil || e.State != store.EvaluationRunning {
		return err
	}
	e.State, e.Problem, e.DueAt, e.Finished = store.EvaluationCancelled, "", time.Time{}, tx.Now()
	return tx.SaveEvaluation(ctx, &e)
}

// Get returns one run.
func (*Runs) Get(ctx context.Context, tx *store.Tx, env, id string) (Run, error) {
	e, err := tx.Evaluation(ctx, env, id)
	if err != nil {
		return Run{}, err
	}
	return runOf(e)
}

// List returns the latest runs over a directory, newest first.
func (*Runs) List(ctx context.Context, tx *store.Tx, env, dir string) ([]Run, error) {
	const latest = 20
	rows, err := tx.Evaluations(ctx, env, dir, latest)
	all := []Run{}
	for _, e := range rows {
		run, err := runOf(e)
		if err != nil {
			return nil, err
		}
		all = append(all, run)
	}
	return all, err
}

// Accounts returns what a run found, by account.
func (*Runs) Accounts(ctx context.Context, tx *store.Tx, env, id string, f store.EvaluationFilter) ([]Account, error) {
	rows, err := tx.EvaluationRows(ctx, env, id, f)
	all := []Account{}
	for _, row := range rows {
		var a Account
		if err := json.Unmarshal(row.Detail, &a); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, err
}

// Run goes on with what is due until ctx ends. Every node runs it; a page of a run is
// worked on by one of them.
func (r *Runs) Run(ctx context.Context) error {
	look, purge := time.NewTicker(lookEvery), time.NewTicker(purgeEvery)
	defer look.Stop()
	defer purge.Stop()
	for {
		for r.advance(ctx) {
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-r.wake:
		case <-purge.C:
			err := r.Store.Tx(ctx, func(tx *store.Tx) error { return tx.PurgeEvaluations(ctx, tx.Now()) })
			if err != nil && ctx.Err() == nil {
				r.Log.WarnContext(ctx, "old evaluations cannot be deleted", "error", err)
			}
		}
	}
}

// advance works on a page of each run that is due, and reports whether there was one.
func (r *Runs) advance(ctx context.Context) bool {
	due, err := store.Get(ctx, r.Store, func(tx *store.Tx) ([]store.RecoveryRef, error) { return tx.DueEvaluations(ctx, tx.Now(), lookAtOnce) })
	if err != nil && ctx.Err() == nil {
		r.Log.WarnContext(ctx, "evaluations that are due cannot be read", "error", err)
	}
	worked := false
	for _, ref := range due {
		err := r.page(ctx, ref)
		switch {
		case ctx.Err() != nil:
			return false
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound): // another node, or it was cancelled
		case err != nil:
			r.Log.WarnContext(ctx, "evaluation goes on later", "evaluation", ref.ID, "error", err)
		default:
			worked = true
		}
	}
	return worked
}

// page takes the lease of a run and works on its next accounts. A node that dies leaves
// the lease to end; the accounts of its page are looked at again.
func (r *Runs) page(ctx context.Context, ref store.RecoveryRef) error {
	e, err := r.lease(ctx, ref)
	if err != nil {
		return err
	}
	work, cancel := context.WithTimeout(ctx, pageLife)
	defer cancel()
	err = r.work(work, e)
	if ctx.Err() != nil { // this node stops: another one goes on at once
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookEvery)
		defer cancel()
		return errors.Join(err, r.wait(back, e, e.Problem, 0))
	}
	return err
}

// lease takes the lease of a run that is due. It is not interrupted: a node that stops at
// this moment knows whether it has one to give back.
func (r *Runs) lease(ctx context.Context, ref store.RecoveryRef) (store.Evaluation, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookEvery)
	defer cancel()
	return store.Change(ctx, r.Store, func(tx *store.Tx) (store.Evaluation, error) {
		e, err := tx.Evaluation(ctx, ref.Env, ref.ID)
		if err != nil {
			return e, err
		}
		if e.State != store.EvaluationRunning || e.DueAt.After(tx.Now()) {
			return e, store.ErrConflict
		}
		e.DueAt = tx.Now().Add(leaseLife)
		return e, tx.SaveEvaluation(ctx, &e)
	})
}

// work looks at the next accounts and writes down what was found.
func (r *Runs) work(ctx context.Context, e store.Evaluation) error {
	run, err := runOf(e)
	if err != nil {
		return err
	}
	var p place
	var people []person
	var next string
	seen := 0
	err = r.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p, err = r.look(ctx, tx, e.Env, e.Directory); err != nil {
			return err
		}
		people, next, seen, err = r.next(ctx, tx, p, e, run.Scope)
		return err
	})
	if err != nil {
		return err
	}
	found, err := r.ask(ctx, e, people)
	if err != nil {
		return r.stand(ctx, e, err)
	}
	var rows []store.EvaluationRow
	for i, who := range people {
		if run.Scope.Live && !slices.ContainsFunc(found[i].Groups, func(g string) bool { return strings.EqualFold(g, run.Scope.Group) }) {
			continue
		}
		a := r.judge(ctx, p, who, found[i])
		run.Totals.add(a)
		rows = append(rows, rowOf(a))
	}
	return r.Store.Tx(ctx, func(tx *store.Tx) error {
		try := e
		try.Place, try.Done, try.Problem, try.DueAt = next, e.Done+seen, "", tx.Now()
		try.Could, try.Totals = run.Totals.All, store.JSON(run.Totals)
		if next == "" {
			try.State, try.DueAt, try.Finished, try.Total = store.EvaluationDone, time.Time{}, tx.Now(), try.Done
		}
		return errors.Join(tx.AddEvaluationRows(ctx, e.Env, e.ID, rows), tx.SaveEvaluation(ctx, &try))
	})
}

func rowOf(a Account) store.EvaluationRow {
	var reasons strings.Builder
	for _, why := range slices.Concat(a.Reasons, a.Notes) {
		reasons.WriteString("," + string(why))
	}
	reasons.WriteString(",")
	return store.EvaluationRow{Account: a.ID, Could: a.Could, Reasons: reasons.String(), Detail: []byte(store.JSON(a))}
}

// ask has the agent look at the people of a page, in their order.
func (r *Runs) ask(ctx context.Context, e store.Evaluation, people []person) ([]protocol.Evaluation, error) {
	if len(people) == 0 {
		return nil, nil
	}
	var q protocol.EvaluateRequest
	for _, who := range people {
		a := protocol.EvaluateAccount{ID: who.account.ImmutableID}
		for _, d := range who.decisions {
			a.Operations = append(a.Operations, protocol.CanonicalTasks(d.Tasks))
			a.Photo = a.Photo || d.Strength == policy.Photo && !who.account.Photo.Given()
		}
		q.Accounts = append(q.Accounts, a)
	}
	answer, err := r.Agents.Evaluate(ctx, e.Env, e.Directory, q)
	if err != nil {
		return nil, err
	}
	for i, who := range people {
		if len(answer.Accounts) != len(people) || answer.Accounts[i].ID != who.account.ImmutableID || len(answer.Accounts[i].Reasons) != len(who.decisions) {
			return nil, protocol.Err(protocol.CodeInternal, "the agent answered for other accounts than those asked about")
		}
	}
	return answer.Accounts, nil
}

// stand decides what an error means for a run: wait, or end.
func (r *Runs) stand(ctx context.Context, e store.Evaluation, err error) error {
	r.Log.WarnContext(ctx, "evaluation is held up", "evaluation", e.ID, "directory", e.Directory, "error", err)
	switch protocol.CodeOf(err) {
	case protocol.CodePermissionDenied:
		return r.fail(ctx, e, ProblemOff)
	case protocol.CodeUnsupported:
		return r.fail(ctx, e, ProblemOldAgent)
	case protocol.CodeServiceAuthentication, protocol.CodeConfiguration, protocol.CodeBadRequest:
		return r.fail(ctx, e, ProblemDirectory)
	case protocol.CodeRateLimited:
		return r.wait(ctx, e, ProblemRate, tooOften)
	}
	if r.Store.Now().Sub(e.Created) > giveUp {
		return r.fail(ctx, e, ProblemAgent)
	}
	return r.wait(ctx, e, ProblemAgent, agentAway)
}

func (r *Runs) wait(ctx context.Context, e store.Evaluation, problem string, d time.Duration) error {
	return r.Store.Tx(ctx, func(tx *store.Tx) error {
		try := e
		try.Problem, try.DueAt = problem, tx.Now().Add(d)
		return tx.SaveEvaluation(ctx, &try)
	})
}

func (r *Runs) fail(ctx context.Context, e store.Evaluation, problem string) error {
	return r.Store.Tx(ctx, func(tx *store.Tx) error {
		try := e
		try.State, try.Problem, try.DueAt, try.Finished = store.EvaluationFailed, problem, time.Time{}, tx.Now()
		return tx.SaveEvaluation(ctx, &try)
	})
}
