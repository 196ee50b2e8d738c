package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/directory/kinds"
	"github.com/postern-id/postern/protocol"
)

const policyHelp = `Say what the agent's file does with an account, and why: every rule of the guard, each
operation after a dry run, the evidence that the agent would ask for itself, and what
administrators may ask of the account (guard.acts). It reads the directory and changes
nothing; limits are not looked at. Ends with 1 when no operation of a recovery would be
carried out.

  postern-agent policy test --account kim@example.com
  postern-agent policy test --account kim@example.com --group Sales       # add_to_group, remove_from_group
  postern-agent policy test --account kim@example.com --config new.toml   # before it is in force`

func policy(ctx context.Context, args []string, s std) error {
	f := newFlags("policy", policyHelp, s).withConfig()
	account := f.String("account", "", "identifier or immutable id of the account")
	group := f.String("group", "", "immutable id or name of the group that administrators want the account in, or out of")
	asJSON := f.Bool("json", false, "print the answer for programs")
	test := len(args) > 0 && args[0] == "test"
	if test {
		args = args[1:]
	}
	cfg, log, err := f.load(args, s)
	if err != nil {
		return err
	}
	if !test || *account == "" {
		fmt.Fprintln(s.err, policyHelp)
		return errUsage
	}
	t, err := agent.TestPolicy(ctx, agent.Options{Config: cfg, Open: kinds.Open, Version: version(), Log: log}, *account, *group)
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		err = e.Encode(t)
	} else {
		printPolicy(s.out, t)
	}
	if err != nil {
		return err
	}
	for _, o := range t.Operations {
		if o.Allowed {
			return nil
		}
	}
	return exit(exitFailed)
}

func printPolicy(w io.Writer, t agent.PolicyTest) {
	fmt.Fprintf(w, "account   %s\nstands at %s\ngroups    %s\n\nrules\n", t.Account, t.DN, strings.Join(t.Groups, ", "))
	for _, r := range t.Rules {
		if r.Broken == "" {
			fmt.Fprintf(w, "  passes   %s\n", r.Rule)
		} else {
			fmt.Fprintf(w, "  REFUSES  %s: %s\n", r.Rule, r.Broken)
		}
	}
	fmt.Fprintln(w, "\noperations")
	for _, o := range t.Operations {
		fmt.Fprintf(w, "  %-24s %s\n", o.Operation, verdict(o, t.Evidence))
	}
	if len(t.Acts) > 0 {
		fmt.Fprintln(w, "\nof administrators")
	}
	for _, a := range t.Acts {
		fmt.Fprintf(w, "  %-24s %s\n", a.Operation, actVerdict(a))
		for _, c := range a.Choices {
			fmt.Fprintf(w, "  %-24s   %s: %s\n", "", c.Name, cmp.Or(c.Refused, "may be changed"))
		}
	}
	if t.Evaluation {
		fmt.Fprintln(w, "\nEvaluation is on: whatever is let through is a dry run.")
	}
}

// actVerdict is what would become of an account operation, in one line.
func actVerdict(a agent.ActPolicy) string {
	switch {
	case !a.Allowed:
		return "refused: " + a.Refused
	case a.Open == protocol.ParamGroup:
		return "allowed, as far as the group is: name one with --group"
	case a.Open != "":
		return "allowed, as far as the " + a.Open + " is:"
	}
	var changes []string
	for _, c := range a.Changes {
		changes = append(changes, fmt.Sprintf("%s: %q becomes %q", c.What, c.Before, c.After))
	}
	return "carried out; " + strings.Join(changes, ", ")
}

// verdict is what would become of an operation, in one line.
func verdict(o agent.OperationPolicy, e *protocol.Terms) string {
	switch {
	case !o.Allowed:
		return "refused: " + o.Refused
	case !o.Strict && e == nil:
		return "carried out, on the hub's word"
	case e == nil:
		return "carried out, with evidence that the agent checks"
	}
	text := "carried out"
	if len(e.Methods) > 0 {
		var ways []string
		for _, m := range e.Methods {
			ways = append(ways, strings.Join(m, " and "))
		}
		text += ", with evidence that the agent checks: " + strings.Join(ways, ", or ")
	}
	if e.Approvals > 1 {
		text += fmt.Sprintf(" (approval by %d persons)", e.Approvals)
	}
	if e.Confirm {
		text += ", confirmed by the agent's code"
	}
	if e.Delay > 0 {
		text += ", held for " + (time.Duration(e.Delay) * time.Second).String()
	}
	return text
}
