package main

import (
	"context"
	"fmt"

	"github.com/postern-id/postern/agent"
)

const logKeyHelp = `Print the fingerprint of the key of the hub's audit log, as this agent's ticket pinned it:
what postern audit takes as --log-key. A hub names its key itself; this one it cannot
change.

  postern-agent log-key
  postern audit verify log.json --log-key $(postern-agent log-key)`

func logKey(_ context.Context, args []string, s std) error {
	cfg, _, err := newFlags("log-key", logKeyHelp, s).withConfig().load(args, s)
	if err != nil {
		return err
	}
	key, err := agent.LogKey(cfg.StateDir)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%x\n", key)
	return nil
}
