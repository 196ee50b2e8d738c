package operation

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Numbers of a begin.
const (
	askLife     = 10 * time.Second // one question to an agent
	longestLife = 24 * time.Hour   // of a recovery in which other people decide
	clockSkew   = time.Minute      // P28: the agent's clock
)

// Begin asks an agent to begin, checks its answer and writes it down, so that whoever
// goes on after a crash does not begin anew.
func (o *Operations) Begin(ctx context.Context, rec *store.Recovery, c *recovery.Case) error {
	hubPart, err := base64.RawURLEncoding.DecodeString(rec.ID)
	if err != nil {
		return err
	}
	tasks, b, err := o.beginAs(ctx, rec, c, hubPart)
	if err != nil {
		return err
	}
	if again := protocol.CanonicalTasks(c.Decision.Tasks); again != tasks || slow(c.Decision) && time.Unix(b.NotAfter, 0).Before(o.Now().Add(longestLife-clockSkew)) {
		if tasks, b, err = o.beginAs(ctx, rec, c, hubPart); err != nil { // its groups ask for something else
			return err
		}
	}
	rec.Account, rec.Person, rec.Tasks, rec.Strength = c.Account.ImmutableID, c.Account.ID, tasks, string(c.Decision.Strength)
	rec.Agent, rec.AgentPart, rec.NotAfter = b.Agent, base64.RawURLEncoding.EncodeToString(b.Recovery), b.NotAfter
	rec.Problem, rec.Trial = string(o.finding(c, b.Finding)), b.Evaluation
	if in, err := recovery.IntentOf(rec); err != nil {
		return err
	} else if in.StrictHere(b.Terms) {
		rec.Problem = string(recovery.ProblemNotAllowed)
	}
	if b.Terms != nil {
		c.Private.Terms = b.Terms
		rec.Private = []byte(store.JSON(c.Private))
		c.Decision.Accept = policy.Both(c.Decision.Accept, b.Terms.Methods)
	}
	return o.rows.Swap(ctx, rec, func(tx *store.Tx) error {
		return audit.Append(ctx, tx, recovery.Event(rec, c.Private, audit.RecoveryBegun, map[string]any{
			"agent": b.Agent, "operation": tasks, "policy": c.Decision.Strength, "methods": c.Decision.Accept, "link": rec.Link,
			"weaker_policy_ignored": c.Decision.Ignored, "finding": rec.Problem, "photo_lent": c.Account.Photo.Lent(),
		}))
	})
}

// beginAs asks an agent to begin what the policy says now, and applies the policy once more
// to the groups that the agent names: not every directory lists accounts with them.
func (o *Operations) beginAs(ctx context.Context, rec *store.Recovery, c *recovery.Case, hubPart []byte) (tasks string, b protocol.Begun, err error) {
	tasks = protocol.CanonicalTasks(c.Decision.Tasks)
	req := protocol.BeginRequest{Recovery: hubPart, Account: c.Account.ImmutableID, Operation: tasks, Long: slow(c.Decision), Origin: rec.Origin}
	if err := o.Ask(ctx, To{Env: rec.Env, Directory: rec.Directory}, protocol.MethodBegin, req, &b); err != nil {
		return tasks, b, err
	}
	if err := o.checkBegun(ctx, rec, c, b); err != nil {
		return tasks, b, err
	}
	if len(b.Groups) > 0 {
		c.Private.Groups = b.Groups
		rec.Private = []byte(store.JSON(c.Private))
		err := o.Store.Read(ctx, func(tx *store.Tx) (err error) {
			c.Decision, c.Groups, err = recovery.Decide(ctx, tx, rec, c.Directory, c.Account)
			return err
		})
		if err != nil {
			return tasks, b, err
		}
	}
	return tasks, b, o.borrowPhoto(ctx, rec, c, hubPart, b)
}

// slow reports whether other people may have to decide.
func slow(d policy.Decision) bool {
	return slices.ContainsFunc(d.Accept, func(c policy.Combination) bool {
		return slices.ContainsFunc(c, func(m policy.Method) bool {
			row, _ := policy.MethodByName(m)
			return row.Slow()
		})
	})
}

// checkBegun refuses an answer that does not fit the question: the context would bind
// evidence to something else than what was asked (T22).
func (o *Operations) checkBegun(ctx context.Context, rec *store.Recovery, c *recovery.Case, b protocol.Begun) error {
	until := time.Unix(b.NotAfter, 0)
	switch {
	case len(b.Recovery) != protocol.RandomPart:
		return fmt.Errorf("the agent's random part has %d bytes", len(b.Recovery))
	case b.Account != c.Account.ImmutableID:
		return errors.New("the agent began another account than the one asked for")
	case until.Before(o.Now()) || until.After(o.Now().Add(longestLife+clockSkew)):
		return fmt.Errorf("the agent's recovery ends at %s; the clocks of hub and agent differ", until.UTC().Format(time.RFC3339))
	case recovery.Legacy(c.Directory) && b.Agent == protocol.LegacyAgent(rec.Directory): // the hub itself answered for it
		return nil
	}
	a, err := store.Get(ctx, o.Store, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(ctx, rec.Env, b.Agent) })
	if err != nil {
		return fmt.Errorf("the agent that began: %w", err)
	}
	if a.Directory != rec.Directory {
		return errors.New("an agent of another directory began")
	}
	return nil
}

// finding is what the person reads after the first proof, if it cannot be done.
func (o *Operations) finding(c *recovery.Case, f *protocol.Error) recovery.Problem {
	switch {
	case c.Blocked:
		return recovery.ProblemBlocked
	case !c.Decision.Permitted:
		return recovery.ProblemNotAllowed
	case f != nil:
		return problemOf(f.Code, c.Decision.Tasks)
	}
	return recovery.ProblemNone
}

// problemOf turns an agent's code into what a person reads.
func problemOf(code protocol.Code, tasks []protocol.Task) recovery.Problem {
	switch code {
	case protocol.CodePermissionDenied, protocol.CodeAccountNotFound, protocol.CodeUnsupported:
		return recovery.ProblemNotAllowed
	case protocol.CodePasswordPolicy:
		return recovery.ProblemPolicy
	case protocol.CodeUnavailable, protocol.CodeRateLimited, protocol.CodeQuarantined, protocol.CodeServiceAuthentication, protocol.CodeConfiguration,
		protocol.CodeLogUnproven, protocol.CodeLogBehind, protocol.CodeLogInconsistent:
		return recovery.ProblemUnavailable
	case protocol.CodeUnsupportedAccountState:
		switch {
		case len(tasks) == 1 && tasks[0].Operation == protocol.Unlock:
			return recovery.ProblemNotLocked
		case len(tasks) == 1 && tasks[0].Operation == protocol.RemoveAllMFA:
			return recovery.ProblemNothing
		}
		return recovery.ProblemNotAllowed
	}
	return recovery.ProblemInternal
}
