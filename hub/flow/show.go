package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// lookLife is how long a page says that the agent is at work; after it, that somebody
// must look. The hub keeps asking.
const lookLife = 10 * time.Minute

// steps is what the employee sees of a state.
var steps = map[string]Step{
	recovery.Choosing: StepChoose, recovery.Preparing: StepProve, recovery.Proving: StepProve,
	recovery.Ready: StepReady, recovery.Refused: StepRefused,
	recovery.Asking: StepPerforming, recovery.Cleared: StepPerforming, recovery.Sent: StepPerforming,
	recovery.Done: StepDone, recovery.Failed: StepFailed, recovery.Unknown: StepUnknown, recovery.Ended: StepEnded,
	recovery.Evaluated: StepEvaluated,
}

// View returns what a page may show. Nothing of it depends on an account before the
// first proof.
func (r *Recoveries) View(ctx context.Context, env, id, session string) (View, error) {
	v, err := store.Get(ctx, r.Store, func(tx *store.Tx) (View, error) {
		rec, err := recovery.Owned(ctx, tx, env, id, session)
		if errors.Is(err, store.ErrNotFound) {
			return r.watched(ctx, tx, env, id, session)
		} else if err != nil {
			return View{}, err
		}
		return r.show(ctx, tx, &rec)
	})
	if err != nil {
		return View{}, recovery.Plain(err)
	}
	if v.Step == StepChoose && !r.anyReachable(ctx, env, v.Directories) {
		v.Problem = recovery.ProblemUnavailable
	}
	asks := v.Step == StepProve || v.Step == StepMethod
	if asks && !v.Proven && !r.anyReachable(ctx, env, v.Directories) {
		v.Problem = recovery.ProblemUnavailable
	}
	if asks {
		v.Directories = nil
	}
	return v, nil
}

func (r *Recoveries) show(ctx context.Context, tx *store.Tx, rec *store.Recovery) (View, error) {
	in, err := recovery.IntentOf(rec)
	if err != nil {
		return View{}, err
	}
	v := View{ID: rec.ID, Step: steps[rec.State], Flow: in.Flow, Language: rec.Language, ExpiresAt: rec.ExpiresAt,
		Action: protocol.Action(rec.Action), Ended: recovery.Ending(rec.Ending)}
	if recovery.IsOpen(rec.State) && !rec.ExpiresAt.After(r.Now()) { // nobody has come to end it yet
		v.Step, v.Ended = StepEnded, recovery.EndExpired
	}
	if err := showTrial(ctx, tx, rec, &v); err != nil {
		return View{}, err
	}
	switch v.Step {
	case StepEnded:
	case StepChoose:
		err = r.showChoice(ctx, tx, rec, in, &v)
	case StepProve:
		err = r.showProof(ctx, tx, rec, &v)
	default:
		err = r.showProven(ctx, tx, rec, &v)
	}
	return v, err
}

// showTrial says whether nothing but trials can come of the directory that was chosen. What
// the agent began is said only after the proof: before it, there may be nobody for whom
// anything began, and as long as one agent changes things it may be the one that begins.
func showTrial(ctx context.Context, tx *store.Tx, rec *store.Recovery, v *View) error {
	if rec.Directory == "" {
		return nil
	}
	d, err := tx.Directory(ctx, rec.Env, rec.Directory)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	v.Trial = d.TrialsOnly
	return err
}

func (r *Recoveries) showChoice(ctx context.Context, tx *store.Tx, rec *store.Recovery, in recovery.Intent, v *View) error {
	dirs, err := tx.Directories(ctx, rec.Env)
	if err != nil {
		return err
	}
	v.Directories = r.choices(ctx, dirs, in)
	v.Actions, v.Trial = union(v.Directories), allTrials(v.Directories)
	return nil
}

// showProof shows what is asked for, or what may be. After the first of several methods
// the person is known.
func (r *Recoveries) showProof(ctx context.Context, tx *store.Tx, rec *store.Recovery, v *View) error {
	ver, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if err != nil {
		return err
	}
	v.Directories = []DirectoryChoice{{ID: rec.Directory}}
	v.Methods, v.HandOver = methodChoices(ver), mayHandOver(rec, ver)
	if v.Claimed, err = waitsForPhone(ctx, tx, rec); err != nil {
		return err
	}
	if ver.Shown == "" {
		v.Step = StepMethod
	} else if err := r.showAsk(ctx, tx, rec, ver, v); err != nil {
		return err
	}
	if len(ver.Proven) > 0 {
		return r.showPerson(ctx, tx, rec, v)
	}
	return nil
}

// waitsForPhone reports whether another browser has read a ticket and shows its code.
func waitsForPhone(ctx context.Context, tx *store.Tx, rec *store.Recovery) (bool, error) {
	_, err := tx.Claim(ctx, rec.Env, rec.ID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func methodChoices(ver store.Verification) []MethodChoice {
	var list []MethodChoice
	for _, name := range ver.Offered {
		if row, known := policy.MethodByName(policy.Method(name)); known {
			list = append(list, MethodChoice{Method: row.Method, Form: row.Form, Bound: row.Bound, Asked: name == ver.Shown})
		}
	}
	return list
}

// showAfter is the least time until a page has its request: the time that is needed to
// make one for somebody must not tell them from nobody.
const showAfter = time.Second

// showAsk shows the challenge of the method that is asked for.
func (r *Recoveries) showAsk(ctx context.Context, tx *store.Tx, rec *store.Recovery, ver store.Verification, v *View) (err error) {
	code, err := tx.Code(ctx, rec.Env, ver.ID)
	if err != nil {
		return err
	}
	row, _ := policy.MethodByName(policy.Method(ver.Shown))
	v.Ask = Ask{Method: row.Method, Form: row.Form, Waiting: slices.Contains(ver.Waiting, ver.Shown), Since: code.SentAt}
	switch {
	case row.Form == policy.FormCode:
		v.Ask.Open = true // at once: whether something was sent must not show
	case rec.State == recovery.Proving && !r.Now().Before(code.SentAt.Add(showAfter)):
		v.Ask.Open = code.Ask != "" || code.Case != ""
		v.Ask.Failed, v.Ask.Case = !v.Ask.Open, code.Case
		if code.Ask != "" {
			v.Ask.Request = []byte(code.Ask)
		}
	}
	v.Code, err = r.codeView(ctx, tx, rec, ver)
	return err
}

func (r *Recoveries) showPerson(ctx context.Context, tx *store.Tx, rec *store.Recovery, v *View) error {
	v.Proven, v.Trial = true, rec.Trial
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	if len(p.Masked) > 0 {
		v.Masked = p.Masked[0]
	}
	a, err := tx.AccountOf(ctx, rec.Env, rec.Directory, rec.Account)
	if errors.Is(err, store.ErrNotFound) { // swept meanwhile
		return nil
	}
	v.Account = a.Name
	return err
}

// showProven shows what comes after the proof.
func (r *Recoveries) showProven(ctx context.Context, tx *store.Tx, rec *store.Recovery, v *View) error {
	if err := r.showPerson(ctx, tx, rec, v); err != nil {
		return err
	}
	tasks, err := protocol.ParseTasks(rec.Tasks)
	if err != nil {
		return err
	}
	v.Secret, v.Problem, v.Message = recovery.HasSecret(tasks), recovery.Problem(rec.Problem), rec.Message
	v.Since, v.MustChange = rec.PressedAt, rec.MustChange
	switch {
	case v.Step == StepReady:
		v.RetryAt = rec.RetryAt
		ver, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
		if err != nil {
			return err
		}
		v.HandOver = mayHandOver(rec, ver)
		if v.Claimed, err = waitsForPhone(ctx, tx, rec); err != nil {
			return err
		}
	case rec.State == recovery.Sent && r.Now().Sub(rec.PressedAt) > lookLife:
		v.Step = StepUnknown
	case v.Step == StepDone && rec.ResultUntil.After(r.Now()):
		v.Sealed = rec.Result
		if err := v.Context.UnmarshalText([]byte(rec.Context)); err != nil {
			return err
		}
	}
	v.Clear = v.Secret && recovery.Unsealed(rec)
	if v.Step == StepDone {
		v.CodeUsed, err = usedSavedCode(ctx, tx, rec)
	}
	return err
}
