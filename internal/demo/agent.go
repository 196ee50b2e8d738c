package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/store"
)

// addDirectory registers the directory, once.
func (r *run) addDirectory(ctx context.Context) error {
	if r.desc.Directory != "" {
		return nil
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := r.call(ctx, http.MethodPost, "/api/directories", map[string]string{"env": r.desc.Env, "kind": "demo", "name": company}, &made); err != nil {
		return err
	}
	r.desc.Directory = made.ID
	if err := r.call(ctx, http.MethodPatch, "/api/directories/"+made.ID, map[string]any{"methods": demoMethods}, nil); err != nil {
		return err
	}
	return r.save()
}

// demoMethods are the ways to prove who one is that the demo offers, and by which its
// people add a passkey or codes.
var demoMethods = map[string]any{
	"default": [][]string{{"mail_code"}, {"passkey"}, {"digital_credential"}, {"saved_code"}},
	"rules": []any{
		map[string]any{"action": "options", "accept": [][]string{{"mail_code"}, {"digital_credential"}}},
		map[string]any{"action": "unlock", "accept": [][]string{{"mail_code", "approval"}}},
		map[string]any{"action": "mfa", "accept": [][]string{{"mail_code", "document_review"}}},
	},
	"approvals": map[string]any{"staff": []string{approver.Mail}, "count": 1},
}

// approver vouches for people whose account is locked.
var approver = store.Staff{Name: "Max Winter", Mail: "max.winter@lindenhof.example"}

// invite lets the approver make a key, with a link that is shown once.
func (r *run) invite(ctx context.Context) error {
	list, err := hub.Staff(ctx, r.config())
	if err != nil || slices.ContainsFunc(list, func(s store.Staff) bool { return s.Mail == approver.Mail }) {
		return err
	}
	link, err := hub.InviteStaff(ctx, r.config(), approver, siteHost)
	r.desc.Approver = link.Reveal()
	return err
}

func (r *run) agentDir() string    { return filepath.Join(r.DataDir, "agent") }
func (r *run) agentConfig() string { return filepath.Join(r.agentDir(), "agent.toml") }

// agentFile is the demo agent's configuration.
const agentFile = `# The agent of the demo. Its directory is a real LDAP server inside the agent.
state_dir = "state"

[directory]
kind = "demo"
# Any LDAP client may prove here that a password works:
#   LDAPTLS_CACERT=ca.pem ldapwhoami -x -H ldaps://127.0.0.1:PORT -D DN -W
listen = "127.0.0.1:%d"
ca_file = "ca.pem"
`

// startAgent enrols the agent if need be, by a ticket over standard input, and runs it.
func (r *run) startAgent(ctx context.Context) error {
	if err := os.MkdirAll(r.agentDir(), 0o700); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	r.ldapPort = port
	if err := os.WriteFile(r.agentConfig(), fmt.Appendf(nil, agentFile, port), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(r.agentDir(), "state")); errors.Is(err, os.ErrNotExist) {
		if err := r.enrol(ctx); err != nil {
			return err
		}
	}
	cmd, err := r.agent(ctx, "run")
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.wg.Go(func() {
		if err := cmd.Wait(); ctx.Err() == nil {
			r.agentEnded <- fmt.Errorf("postern-agent run: %w", errors.Join(err, errors.New("unexpected")))
		}
	})
	return nil
}

func (r *run) enrol(ctx context.Context) error {
	var made struct {
		Ticket string `json:"ticket"`
	}
	if err := r.call(ctx, http.MethodPost, "/api/directories/"+r.desc.Directory+"/agent-tickets", struct{}{}, &made); err != nil {
		return err
	}
	cmd, err := r.agent(ctx, "enroll")
	if err != nil {
		return err
	}
	cmd.Stdin = strings.NewReader(made.Ticket)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("postern-agent enroll: %w", err)
	}
	return nil
}

// agentGrace is how long the agent may take to end.
const agentGrace = 10 * time.Second

// agent prepares a command of the agent, which writes to the demo's agent log and ends
// with ctx.
func (r *run) agent(ctx context.Context, command string) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(r.DataDir, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	r.undo = append(r.undo, func() { _ = log.Close() })
	cmd := exec.CommandContext(ctx, r.Agent, command, "--config", r.agentConfig())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = agentGrace
	return cmd, nil
}

// sync waits until the hub knows the company: it synchronises when the agent connects.
func (r *run) sync(ctx context.Context) error {
	path := "/api/directories/" + r.desc.Directory
	return r.poll(ctx, func() (bool, error) {
		var d struct {
			Completed *time.Time `json:"last_sync_completed_at"`
			Count     int        `json:"count"`
			Error     string     `json:"last_sync_error"`
		}
		if err := r.call(ctx, http.MethodGet, path, nil, &d); err != nil {
			return false, err
		}
		return d.Completed != nil && d.Count > 0 && d.Error == "", nil
	})
}
