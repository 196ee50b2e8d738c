package flow

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// begin asks an agent to begin, checks its answer and writes it down, so that whoever
// goes on after a crash does not begin anew.
func (r *Recoveries) begin(ctx context.Context, rec *store.Recovery, c *personCase) error {
	hubPart, err := base64.RawURLEncoding.DecodeString(rec.ID)
	if err != nil {
		return err
	}
	tasks, b, err := r.beginAs(ctx, rec, c, hubPart)
	if err != nil {
		return err
	}
	if again := protocol.CanonicalTasks(c.decision.Tasks); again != tasks || slow(c.decision) && unixTime(b.NotAfter).Before(r.Now().Add(longestLife-clockSkew)) {
		if tasks, b, err = r.beginAs(ctx, rec, c, hubPart); err != nil { // its groups ask for something else
			return err
		}
	}
	rec.Account, rec.Person, rec.Tasks, rec.Strength = c.account.ImmutableID, c.account.ID, tasks, string(c.decision.Strength)
	rec.Agent, rec.AgentPart, rec.NotAfter = b.Agent, base64.RawURLEncoding.EncodeToString(b.Recovery), b.NotAfter
	rec.Problem, rec.Trial = string(r.finding(c, b.Finding)), b.Evaluation
	if in, err := intentOf(rec); err != nil {
		return err
	} else if in.strictHere(b.Terms) {
		rec.Problem = string(ProblemNotAllowed)
	}
	if b.Terms != nil {
		c.private.Terms = b.Terms
		rec.Private = []byte(store.JSON(c.private))
		c.decision.Accept = policy.Both(c.decision.Accept, b.Terms.Methods)
	}
	return r.swap(ctx, rec, func(tx *store.Tx) error {
		return audit.Append(ctx, tx, r.event(rec, c.private, audit.RecoveryBegun, map[string]any{
			"agent": b.Agent, "operation": tasks, "policy": c.decision.Strength, "methods": c.decision.Accept, "link": rec.Link,
			"weaker_policy_ignored": c.decision.Ignored, "finding": rec.Problem,
		}))
	})
}

// beginAs asks an agent to begin what the policy says now, and applies the policy once more
// to the groups that the agent names: not every directory lists accounts with them.
func (r *Recoveries) beginAs(ctx context.Context, rec *store.Recovery, c *personCase, hubPart []byte) (tasks string, b protocol.Begun, err error) {
	tasks = protocol.CanonicalTasks(c.decision.Tasks)
	req := protocol.BeginRequest{Recovery: hubPart, Account: c.account.ImmutableID, Operation: tasks, Long: slow(c.decision), Origin: rec.Origin}
	if err := r.askAgent(ctx, To{Env: rec.Env, Directory: rec.Directory}, protocol.MethodBegin, req, &b); err != nil {
		return tasks, b, err
	}
	if err := r.checkBegun(ctx, rec, c, b); err != nil || len(b.Groups) == 0 {
		return tasks, b, err
	}
	c.private.Groups = b.Groups
	rec.Private = []byte(store.JSON(c.private))
	return tasks, b, r.Store.Read(ctx, func(tx *store.Tx) (err error) {
		c.decision, c.groups, err = r.decide(ctx, tx, rec, c.directory, c.account)
		return err
	})
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
func (r *Recoveries) checkBegun(ctx context.Context, rec *store.Recovery, c *personCase, b protocol.Begun) error {
	until := unixTime(b.NotAfter)
	switch {
	case len(b.Recovery) != protocol.RandomPart:
		return fmt.Errorf("the agent's random part has %d bytes", len(b.Recovery))
	case b.Account != c.account.ImmutableID:
		return errors.New("the agent began another account than the one asked for")
	case until.Before(r.Now()) || until.After(r.Now().Add(longestLife+clockSkew)):
		return fmt.Errorf("the agent's recovery ends at %s; the clocks of hub and agent differ", until.UTC().Format(time.RFC3339))
	case legacy(c.directory) && b.Agent == protocol.LegacyAgent(rec.Directory): // the hub itself answered for it
		return nil
	}
	a, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(ctx, rec.Env, b.Agent) })
	if err != nil {
		return fmt.Errorf("the agent that began: %w", err)
	}
	if a.Directory != rec.Directory {
		return errors.New("an agent of another directory began")
	}
	return nil
}

// finding is what the person reads after the first proof, if it cannot be done.
func (r *Recoveries) finding(c *personCase, f *protocol.Error) Problem {
	switch {
	case c.blocked:
		return ProblemBlocked
	case !c.decision.Permitted:
		return ProblemNotAllowed
	case f != nil:
		return problemOf(f.Code, c.decision.Tasks)
	}
	return ProblemNone
}

// problemOf turns an agent's code into what a person reads.
func problemOf(code protocol.Code, tasks []protocol.Task) Problem {
	switch code {
	case protocol.CodePermissionDenied, protocol.CodeAccountNotFound, protocol.CodeUnsupported:
		return ProblemNotAllowed
	case protocol.CodePasswordPolicy:
		return ProblemPolicy
	case protocol.CodeUnavailable, protocol.CodeRateLimited, protocol.CodeQuarantined, protocol.CodeServiceAuthentication, protocol.CodeConfiguration,
		protocol.CodeLogUnproven, protocol.CodeLogBehind, protocol.CodeLogInconsistent:
		return ProblemUnavailable
	case protocol.CodeUnsupportedAccountState:
		switch {
		case len(tasks) == 1 && tasks[0].Operation == protocol.Unlock:
			return ProblemNotLocked
		case len(tasks) == 1 && tasks[0].Operation == protocol.RemoveAllMFA:
			return ProblemNothing
		}
		return ProblemNotAllowed
	}
	return ProblemInternal
}

// joined is the recovery's id as hub and agent know it.
func joined(rec *store.Recovery) (string, error) {
	hub, err1 := base64.RawURLEncoding.DecodeString(rec.ID)
	agent, err2 := base64.RawURLEncoding.DecodeString(rec.AgentPart)
	if err := errors.Join(err1, err2); err != nil {
		return "", fmt.Errorf("flow: id of a recovery: %w", err)
	}
	return protocol.RecoveryID(hub, agent), nil
}

func unixTime(seconds int64) time.Time { return time.Unix(seconds, 0) }

func toAgent(rec *store.Recovery) To {
	return To{Env: rec.Env, Directory: rec.Directory, Agent: rec.Agent}
}

func (r *Recoveries) askAgent(ctx context.Context, to To, m protocol.Method, req, resp any) error {
	ctx, cancel := context.WithTimeout(ctx, askAgent)
	defer cancel()
	return r.Agents.Call(ctx, to, m, protocol.PriorityRecovery, req, resp)
}
