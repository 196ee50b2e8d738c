//go:build unix

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/protocol"
)

// A crashPlan is what the process that is to die reads: whom to serve, what to ask,
// and where to die.
type crashPlan struct {
	State, Company string
	Kill           string
	Guard          guard.Rules
	Frame          protocol.PerformRequest
}

// The points around the modify at which the process dies.
const (
	killInFacts    = "before the journal knows"
	killBefore     = "the journal knows, the directory does not"
	killAfter      = "the directory has it, the journal does not"
	killAfterWrite = "the journal has the outcome, nobody was answered"
)

// crashEnv names the plan in the environment of the process that is to die.
const crashEnv = "POSTERN_TEST_CRASH"

// TestMain lets the test binary be the agent that dies.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		if err := crash(path); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
		}
		os.Exit(3) // it should have been killed
	}
	code := m.Run()
	removeProgram()
	os.Exit(code)
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// dyingLog is a log handler that kills the process at one message.
type dyingLog struct {
	slog.Handler
	at string
}

// Handle implements slog.Handler.
func (h dyingLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == h.at {
		die()
	}
	return h.Handler.Handle(ctx, r)
}

// crash is the process that dies.
func crash(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var plan crashPlan
	if err := json.Unmarshal(text, &plan); err != nil {
		return err
	}
	c := &company{path: plan.Company}
	log := dyingLog{Handler: slog.DiscardHandler}
	switch plan.Kill {
	case killInFacts:
		c.hold = die
	case killBefore:
		c.before = func(directory.Change) { die() }
	case killAfter:
		c.after = func(directory.Change) error { die(); return nil }
	case killAfterWrite:
		log = dyingLog{Handler: slog.NewTextHandler(os.Stderr, nil), at: "operation ended"}
	}
	id, err := LoadIdentity(plan.State)
	if err != nil {
		return err
	}
	s, err := newService(context.Background(), Config{Guard: plan.Guard}, id, plan.State, c, slog.New(log), time.Now)
	if err != nil {
		return err
	}
	_, err = askWith[protocol.Outcome](context.Background(), s, protocol.MethodPerform, plan.Frame)
	return err
}

// crashAt begins a recovery, kills the process that performs it at the point, and
// starts the agent again on what it left.
func crashAt(t *testing.T, point string, meanwhile func(*rig)) (*rig, protocol.PerformRequest) {
	t.Helper()
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	frame := r.kill(t, point, r.request(q, b))
	if meanwhile != nil {
		meanwhile(r)
	}
	r.start(t)
	return r, frame
}

// kill ends the agent and has the frame performed by a process that is killed at the
// point. It returns the frame as that process got it.
func (r *rig) kill(t *testing.T, point string, frame protocol.PerformRequest) protocol.PerformRequest {
	t.Helper()
	if err := r.id.save(r.state); err != nil {
		t.Fatal(err)
	}
	frame = logged(frame, r.id, 0) // its process has another log
	r.halt(t)
	plan := filepath.Join(t.TempDir(), "plan.json")
	if err := writeJSON(plan, crashPlan{r.state, r.company.path, point, r.cfg.Guard, frame}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+plan)
	var out bytes.Buffer
	cmd.Stderr = &out
	_ = cmd.Run()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the process was not killed: %v %s", cmd.ProcessState, out.String())
	}
	return frame
}

func TestT14_AgentKilledAroundTheModifyNeitherResetsTwiceNorLosesTheResult(t *testing.T) {
	for _, c := range []struct {
		point  string
		writes int            // by the killed process
		state  protocol.State // as the journal then settles; "" if it knows nothing
	}{
		{killInFacts, 0, ""},
		{killBefore, 0, protocol.Unchanged},
		{killAfter, 1, protocol.Done},
		{killAfterWrite, 1, protocol.Done},
	} {
		t.Run(c.point, func(t *testing.T) {
			r, frame := crashAt(t, c.point, nil)
			if n := r.company.writes(t); n != c.writes {
				t.Fatalf("%d writes by the killed process, want %d", n, c.writes)
			}
			out, err := ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: frame.Context})
			if c.state == "" {
				wantCode(t, err, protocol.CodeNotBegun)
			} else if err != nil || out.State != c.state || !out.Verify(r.id.keys.signPublic()) {
				t.Fatalf("outcome = %+v, %v; want %s", out, err, c.state)
			}
			// The recorded frame again, and the hub's own second try.
			for i := range 5 {
				again := frame
				if i > 0 {
					again.ID += "x"
				}
				out = r.performed(t, again)
			}
			if n := r.company.writes(t); n != 1 || out.State != protocol.Done || !out.Replayed {
				t.Errorf("%d writes, outcome %+v; want exactly one", n, out)
			}
			if r.opened(t, out) != r.company.person(t, accountID(1)).Password {
				t.Error("the sealed result is not the password that the account has")
			}
		})
	}
}

func TestT14_WhatNobodyCanKnowAfterACrashIsUnknownAndNeverRetried(t *testing.T) {
	somebody := func(r *rig) {
		r.company.edit(t, accountID(1), func(p *person) { p.Password, p.Writes = "by an administrator", p.Writes+1 })
	}
	r, frame := crashAt(t, killAfter, somebody)
	for i := range 3 {
		frame.ID += "x"
		out := r.performed(t, frame)
		if out.State != protocol.Unknown || out.Sealed != nil || out.Error == nil {
			t.Errorf("try %d: %+v", i, out)
		}
		r.restart(t)
	}
	if p := r.company.person(t, accountID(1)); p.Writes != 2 || p.Password != "by an administrator" {
		t.Errorf("account = %+v", p)
	}
}

func TestCrashedOperationIsSettledWithoutBeingAsked(t *testing.T) {
	r, frame := crashAt(t, killAfter, nil)
	r.company.setDown(protocol.Err(protocol.CodeUnavailable, "no route"))
	r.settleAll(t.Context())
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: frame.Context})
	wantCode(t, err, protocol.CodeInternal) // not known to be nothing
	r.company.setDown(nil)
	r.settleAll(t.Context())
	if row := rowOf(t, r, frame.Context); row.Settlement == nil || row.Settlement.State != protocol.Done {
		t.Errorf("settlement = %+v", row.Settlement)
	}
}

func TestP13_WhatCannotBeWrittenDownIsNotCalledNothing(t *testing.T) {
	r, frame := crashAt(t, killAfter, nil)
	if err := r.journal.Close(); err != nil { // a broken disk: nothing can be written any more
		t.Fatal(err)
	}
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, frame)
	wantCode(t, err, protocol.CodeInternal) // the hub takes every other code for "nothing was done"
	if err := r.events.close(); err != nil {
		t.Error(err)
	}
	r.start(t) // after the disk was mended
	if out := r.performed(t, frame); out.State != protocol.Done || r.company.writes(t) != 1 {
		t.Errorf("after a restart: %+v", out)
	}
}

func TestCrashedOperationThatCannotBeSettledInTimeIsUnknown(t *testing.T) {
	r, frame := crashAt(t, killAfter, nil)
	r.company.setDown(protocol.Err(protocol.CodeUnavailable, "no route"))
	r.clock.forward(settleUntil + time.Second)
	r.settleAll(t.Context())
	if row := rowOf(t, r, frame.Context); row.Settlement == nil || row.Settlement.State != protocol.Unknown {
		t.Errorf("settlement = %+v", row.Settlement)
	}
}

func TestT27_SecretThatIsTooOldAfterACrashIsAnHonestUnknown(t *testing.T) {
	r, frame := crashAt(t, killAfter, nil)
	r.clock.forward(settleUntil + time.Second)
	out, err := ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: frame.Context})
	if err != nil || out.State != protocol.Unknown || out.Sealed != nil || !strings.Contains(out.Error.Message, "its secret is lost") {
		t.Errorf("outcome = %+v, %v", out, err)
	}
}
