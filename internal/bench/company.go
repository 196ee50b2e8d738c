package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// agentChild is postern-agent with the directory below in it: everything else of the
// agent is the product's. Its arguments are those of postern-agent.
func agentChild(ctx context.Context, args []string) error {
	if len(args) != 3 || args[1] != "--config" {
		return errors.New("want: enroll|run --config FILE")
	}
	cfg, err := agent.LoadConfig(args[2])
	if err != nil {
		return err
	}
	if args[0] == "enroll" {
		return enrolFrom(ctx, cfg)
	}
	open := func(context.Context, string, settings.File, *slog.Logger) (directory.Directory, error) {
		return &slow{}, nil
	}
	return agent.Run(ctx, agent.Options{Config: cfg, Open: open, Version: "bench"})
}

// enrolFrom redeems the ticket that stands on standard input.
func enrolFrom(ctx context.Context, cfg agent.Config) error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	ticket, err := protocol.ParseTicket(string(text))
	if err != nil {
		return err
	}
	_, err = agent.Enroll(ctx, cfg, "bench", ticket, quiet)
	return err
}

// slow is a directory whose operations take as long as the account's id says: "50ms/7"
// is the seventh account whose operations take 50 ms. Look-ups take no time.
type slow struct{ working atomic.Int32 }

// working finds an account while an operation is under way; everything else always does.
const working = "working"

// Describe implements directory.Reader.
func (*slow) Describe(context.Context) (protocol.Description, error) {
	return protocol.Description{Fingerprint: "slow", Kind: "bench", Traits: protocol.Traits{Name: "slow", CanGetTemporaryPassword: true}}, nil
}

// List implements directory.Reader.
func (*slow) List(_ context.Context, _ string, _ int, yield func(directory.Page) error) (string, error) {
	return "", yield(directory.Page{Full: true})
}

// Get implements directory.Reader.
func (d *slow) Get(_ context.Context, ref protocol.Ref) ([]protocol.Account, error) {
	if ref.Identifier == working && d.working.Load() == 0 {
		return nil, nil
	}
	return []protocol.Account{{ID: "0s/1", Name: "Kim Example", Identifiers: []string{"kim@example.com", "kim"},
		Groups: []protocol.Group{{ID: "g1", Name: "Staff"}, {ID: "g2", Name: "Berlin"}}}}, nil
}

// Groups implements directory.Reader.
func (*slow) Groups(context.Context, protocol.GroupsRequest) ([]protocol.Group, error) {
	return nil, nil
}

// Contacts implements directory.Reader.
func (*slow) Contacts(context.Context, string) (protocol.Contacts, error) {
	return protocol.Contacts{Mail: []string{"kim@home.example"}}, nil
}

// Facts implements directory.Writer.
func (*slow) Facts(_ context.Context, id string) (directory.Facts, error) {
	return directory.Facts{ID: id, DN: "cn=" + id}, nil
}

// DryRun implements directory.Writer.
func (*slow) DryRun(context.Context, string, []protocol.Task) error { return nil }

// Stamp implements directory.Writer.
func (*slow) Stamp(context.Context, string, []protocol.Task) (string, error) { return "1", nil }

// Perform implements directory.Writer.
func (d *slow) Perform(ctx context.Context, c directory.Change) (directory.Result, error) {
	text, _, _ := strings.Cut(c.ID, "/")
	takes, err := time.ParseDuration(text)
	if err != nil {
		return directory.Result{}, protocol.Err(protocol.CodeAccountNotFound, "the id names no duration")
	}
	d.working.Add(1)
	defer d.working.Add(-1)
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return directory.Result{}, nil
	case <-ctx.Done():
		return directory.Result{}, ctx.Err()
	}
}

// Settle implements directory.Writer.
func (*slow) Settle(context.Context, directory.Change) (protocol.State, error) {
	return protocol.Done, nil
}

// Close implements directory.Directory.
func (*slow) Close() error { return nil }
