package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
)

const keyHelp = `List the passkeys that this agent let in, and remove one: because its device was lost, or
because it should never have come in. The owner is told by the agent. A running agent
follows within seconds, and always before it carries anything out; one that is stopped
follows when it starts.

  postern-agent key list
  postern-agent key list --account 5f0e…-…-…
  postern-agent key remove --hash 3f9a…`

func key(_ context.Context, args []string, s std) error {
	word := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		word, args = args[0], args[1:]
	}
	f := newFlags("key", keyHelp, s).withConfig()
	account := f.String("account", "", "list: immutable id of the account; everybody's if empty")
	hash := f.String("hash", "", "remove: the passkey's hash, as list shows it")
	cfg, _, err := f.load(args, s)
	if err != nil {
		return err
	}
	switch word {
	case "list":
		return listKeys(cfg, *account, s.out)
	case "remove":
		return orderRemoval(cfg, *hash, s.out)
	}
	fmt.Fprintln(s.err, keyHelp)
	return errUsage
}

func listKeys(cfg agent.Config, account string, w io.Writer) error {
	all, err := known.ReadKeyring(cfg.StateDir)
	if err != nil {
		return err
	}
	n := 0
	for _, k := range all {
		if account != "" && !strings.EqualFold(k.Account, account) {
			continue
		}
		n++
		fmt.Fprintf(w, "%s\n  account:   %s\n  site:      %s\n  proven by: %s\n  counts:    from %s\n",
			hex.EncodeToString(k.Hash), k.Account, k.RPID, strings.Join(k.Strength, ", "), time.Unix(k.Active, 0).UTC().Format(time.RFC3339))
	}
	if n == 0 {
		fmt.Fprintln(w, "No passkeys.")
	}
	return nil
}

func orderRemoval(cfg agent.Config, text string, w io.Writer) error {
	hash, err := hex.DecodeString(text)
	if err != nil || len(hash) != 32 {
		return errors.New("--hash: want the 64 hexadecimal digits that \"postern-agent key list\" shows")
	}
	all, err := known.ReadKeyring(cfg.StateDir)
	if err != nil {
		return err
	}
	for _, k := range all {
		if string(k.Hash) == string(hash) {
			if err := agent.OrderKeyRemoval(cfg.StateDir, hash); err != nil {
				return err
			}
			fmt.Fprintf(w, "The passkey of account %s is removed as soon as the agent sees the order: within seconds while it runs.\n", k.Account)
			return nil
		}
	}
	return errors.New("the agent has no passkey with this hash")
}

const heldHelp = `List the operations that the agent accepted and holds (delay in a group of its file),
each with the recovery's id. Cancel one with "postern-agent cancel".

  postern-agent held`

func held(_ context.Context, args []string, s std) error {
	cfg, _, err := newFlags("held", heldHelp, s).withConfig().load(args, s)
	if err != nil {
		return err
	}
	list, err := heldBy(cfg)
	if err != nil {
		return err
	}
	for _, h := range list {
		fmt.Fprintf(s.out, "%s\n  account:   %s\n  operation: %s\n  asked at:  %s\n  proven by: %s\n  held:      until %s\n",
			h.Recovery.ID, h.Recovery.Account, h.Recovery.Operation, h.Recovery.Origin, strings.Join(h.Acceptance.Proven, ", "),
			time.Unix(h.Acceptance.Until, 0).UTC().Format(time.RFC3339))
	}
	if len(list) == 0 {
		fmt.Fprintln(s.out, "Nothing is held.")
	}
	return nil
}

func heldBy(cfg agent.Config) ([]journal.Waiting, error) {
	list, err := journal.ReadHeld(cfg.StateDir, time.Now())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return list, err
}

const cancelHelp = `End a recovery for good, whatever the hub says: what the agent holds is then never carried
out, and its evidence opens nothing any more. A running agent follows within seconds, and
always before it carries anything out.

  postern-agent held
  postern-agent cancel --recovery RECOVERY`

func cancel(_ context.Context, args []string, s std) error {
	f := newFlags("cancel", cancelHelp, s).withConfig()
	id := f.String("recovery", "", "the recovery's id, as held and the event log show it")
	cfg, _, err := f.load(args, s)
	if err != nil {
		return err
	}
	if err := agent.OrderCancel(cfg.StateDir, *id); err != nil {
		return fmt.Errorf("--recovery: %w", err)
	}
	fmt.Fprintln(s.out, "The recovery ends as soon as the agent sees the order: within seconds while it runs.\nWhat has been carried out already stays; the event log says which it was.")
	return nil
}
