package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/witness"
)

const acceptHelp = `Say which history of the hub's audit log counts. The agent does nothing once the hub has
shown a log that is not a continuation of what this agent saw: somebody restored the hub's
database from an old copy, or runs another hub with its keys. Without a hash this prints
both heads. Compare them with what the console's status page shows and with what other
sinks have, find out what happened, and give the hash of the head that the hub shows. A
running agent goes on within seconds.

  postern-agent accept-log
  postern-agent accept-log 3f9a…`

func acceptLog(_ context.Context, args []string, s std) error {
	f := newFlags("accept-log", acceptHelp, s).withConfig()
	hash := ""
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		hash, args = args[0], args[1:]
	}
	cfg, _, err := f.load(args, s)
	if err != nil {
		return err
	}
	v, err := agent.Heads(cfg.StateDir)
	if err != nil {
		return err
	}
	printHead(s.out, "Seen by this agent:", v.Seen)
	if v.Offered == nil {
		fmt.Fprintln(s.out, "The hub has shown nothing else. There is nothing to accept.")
		if hash != "" {
			return witness.ErrNotOffered
		}
		return nil
	}
	printHead(s.out, "Shown by the hub, and no continuation of it:", *v.Offered)
	switch {
	case hash == "":
		fmt.Fprintf(s.out, "The agent does nothing until somebody decides. To go on with what the hub shows:\n\n  postern-agent accept-log %s\n", v.Offered.Hash)
		return nil
	case hash != v.Offered.Hash:
		return errors.New("that is not the hash of the head that the hub shows now; nothing was accepted")
	}
	if err := agent.OrderAcceptLog(cfg.StateDir, hash); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "Accepted. The agent goes on as soon as it sees the order: within seconds while it runs.")
	return nil
}

func printHead(w io.Writer, title string, h witness.Head) {
	fmt.Fprintf(w, "%s\n  entries:   %d\n  hash:      %s\n  signed at: %s\n\n", title, h.Size, h.Hash, h.Time.Format(time.RFC3339))
}
