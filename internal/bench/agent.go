package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// build compiles a program as the Makefile ships it, and returns its path.
func build(s *stage, pkg string) string {
	path := filepath.Join(s.disk(), filepath.Base(pkg))
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", path, pkg}
	if pkg == agentPackage {
		args = slices.Concat([]string{"build"}, agentFlags(s), []string{"-ldflags", "-s -w -funcalign=16", "-o", path, pkg})
	}
	cmd := exec.CommandContext(s.ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("go build %s: %v: %s", pkg, err, out)
	}
	return path
}

// agentFlags are the arguments with which the agent is built to be shipped.
func agentFlags(s *stage) (flags []string) {
	mod, err := exec.CommandContext(s.ctx, "go", "env", "GOMOD").Output()
	s.need(err)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "packaging/agent/build.flags"))
	s.need(err)
	for line := range strings.Lines(string(text)) {
		if flag := strings.TrimSpace(line); !strings.HasPrefix(flag, "#") {
			flags = append(flags, flag)
		}
	}
	return flags
}

const agentPackage = "github.com/postern-id/postern/cmd/postern-agent"

// A program is an agent that can be started: the product's own, or one of this
// program's with another directory in it.
type program struct {
	path string
	args []string // before the agent's own
}

// enrol enrols the agent of a new directory, whose table the file has, and starts it as a
// child. It returns when the hub can call it.
func (h *hub) enrol(s *stage, p program, kind, table string) (*testenv.Child, protocol.Ticket) {
	ticket := h.register(s, kind)
	child := p.enrol(s, string(ticket.Encode().Reveal()), h.caFile, table, func(ctx context.Context) error { return h.connected(ctx, ticket.Directory) })
	return child, ticket
}

// enrol enrols an agent with a ticket and starts it as a child until the hub says that it
// is ready.
func (p program) enrol(s *stage, ticket, caFile, table string, ready func(context.Context) error) *testenv.Child {
	dir := s.disk()
	text := fmt.Sprintf("state_dir = %q\n[hub]\nca_file = %q\n[guard]\nno_notice = \"allow\"\nper_account_per_hour = 1000000\nper_hour = 1000000\nper_day = 1000000\n[directory]\n%s",
		filepath.Join(dir, "state"), caFile, table)
	if caFile == "" {
		text = strings.Replace(text, "ca_file = \"\"\n", "", 1)
	}
	file := filepath.Join(dir, "agent.toml")
	s.need(os.WriteFile(file, []byte(text), 0o600))
	enrol := exec.CommandContext(s.ctx, p.path, append(p.args, "enroll", "--config", file)...)
	enrol.Stdin = strings.NewReader(ticket)
	if out, err := enrol.CombinedOutput(); err != nil {
		s.Fatalf("enrol: %v: %s", err, out)
	}
	return testenv.Start(s, testenv.Command{Path: p.path, Args: append(p.args, "run", "--config", file), Dir: dir, Ready: ready})
}
