package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func tasks(t *testing.T, text string) []protocol.Task {
	t.Helper()
	list, err := protocol.ParseTasks(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// change is what the core gives a directory that makes its passwords.
func change(t *testing.T, id, text string) directory.Change {
	t.Helper()
	return directory.Change{ID: id, Tasks: tasks(t, text), Stamp: unstamped}
}

const resetText = "get_temporary_password"

// gone waits until a process has ended.
func gone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d still runs: %s", n, stat)
		}
		pause()
	}
}

// pause is between two looks.
func pause() { <-time.After(10 * time.Millisecond) }

// works fails the test unless the directory answers.
func works(t *testing.T, d *Directory) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; pause() {
		got, err := d.Get(t.Context(), protocol.Ref{Identifier: "anna"})
		if err == nil && len(got) == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the directory does not work any more: %+v, %v", got, err)
		}
	}
}

func TestAPublicWorkerMakesTheSecretAndItsTraitsAreOurs(t *testing.T) {
	r := start(t, "plain", nil)
	about, err := r.Describe(t.Context())
	tr := about.Traits
	if err != nil || about.Kind != Kind || tr.Name != "Scripted" || !tr.CanGetTemporaryPassword || !tr.CanUnlock || !tr.CanGetPasswordLink || !tr.CanAuthenticate || !tr.CanGetTemporaryAccessPass {
		t.Errorf("%+v, %v", about, err)
	}
	if tr.CanRemoveAllMFA || tr.CanMustChange || tr.CanUpdateAccountsList {
		t.Errorf("traits that the worker does not have: %+v", tr)
	}
	f, err := r.Facts(t.Context(), "anna")
	if err != nil || !f.MakesPassword || f.ID != "anna" {
		t.Errorf("facts: %+v, %v", f, err)
	}
	for text, want := range map[string]string{
		resetText: "Made-Passw0rd-1", "get_password_link": "https://sso.corp.example/reset/1", "get_temporary_password,unlock": "Made-Passw0rd-1",
		"get_temporary_access_pass?lifetime_minutes=60": "Made-Passw0rd-1", "unlock": "",
	} {
		if err := r.DryRun(t.Context(), "anna", tasks(t, text)); err != nil {
			t.Errorf("%s, dry: %v", text, err)
		}
		if got, err := r.Perform(t.Context(), change(t, "anna", text)); err != nil || got.Secret.Reveal() != want {
			t.Errorf("%s: %q, %v", text, got.Secret.Reveal(), err)
		}
	}
	for _, text := range []string{"remove_all_mfa", "get_temporary_password?must_change=true", "get_temporary_password,get_password_link"} {
		if _, err := r.Perform(t.Context(), change(t, "anna", text)); protocol.CodeOf(err) != protocol.CodeUnsupported {
			t.Errorf("%s: %v", text, err)
		}
	}
	c := change(t, "anna", resetText)
	c.Password = protocol.NewSecret("not taken")
	if _, err := r.Perform(t.Context(), c); protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Errorf("a password that the worker does not take: %v", err)
	}
	for _, line := range notes(t, r.dir, "performed") {
		if strings.Contains(line, "dry_run") || strings.Contains(line, "password\":") || strings.Contains(line, "stamp") {
			t.Errorf("a public worker was asked %s", line)
		}
	}
	if i := slices.Index(notes(t, r.dir, "performed"), `{"operation":"unlock","account_immutable_id":"anna"}`); i < 0 {
		t.Error("nothing was unlocked beside the reset")
	}
}

// A worker that looks for beginnings and patterns finds nobody by them (P27), and a GUID
// is found however the worker writes it.
func TestP27_OnlyWhoWasAskedForIsFound(t *testing.T) {
	r := start(t, "plain", nil)
	for _, ref := range []protocol.Ref{{ID: "an"}, {ID: "*"}, {Identifier: "an"}, {Identifier: "*"}, {Identifier: "anna@corp"}} {
		if got, err := r.Get(t.Context(), ref); err != nil || len(got) != 0 {
			t.Errorf("%+v: %+v, %v", ref, got, err)
		}
		if ref.ID == "" {
			continue
		}
		if _, err := r.Perform(t.Context(), change(t, ref.ID, resetText)); protocol.CodeOf(err) != protocol.CodeAccountNotFound {
			t.Errorf("%+v: %v", ref, err)
		}
	}
	if notes(t, r.dir, "performed") != nil {
		t.Error("an operation was carried out")
	}
	if got, err := r.Get(t.Context(), protocol.Ref{Identifier: "info@corp.example"}); err != nil || len(got) != 3 {
		t.Errorf("an identifier of three: %+v, %v", got, err)
	}
	const id = "0b5e54e3-2c0b-4b43-9e63-ab6c0f8f4a01"
	if _, err := r.Perform(t.Context(), change(t, id, resetText)); err != nil {
		t.Error(err)
	}
	if got := notes(t, r.dir, "performed"); len(got) != 1 || !strings.Contains(got[0], strings.ToUpper(id)) {
		t.Errorf("the worker was asked for %v", got)
	}
}

func TestWhatAWorkerDoesWrongEndsItAndNothingElse(t *testing.T) {
	for mode, words := range map[string]string{
		"crash": "ended", "garbage": "something else", "hang": "in time", "huge": "longer", "orphan": "ended", "silent": "no usable secret", "script": "no usable secret",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := start(t, mode, func(c *Config) {
				if mode == "hang" {
					c.Timeout.Duration = 2 * time.Second
				}
			})
			works(t, r.Directory)
			text := resetText
			if mode == "script" {
				text = "get_password_link"
			}
			_, err := r.Perform(t.Context(), change(t, "anna", text))
			if !errors.Is(err, directory.ErrUnsure) || !strings.Contains(err.Error(), words) {
				t.Errorf("%v; want unsure, and %q", err, words)
			}
			if strings.Contains(err.Error(), "Passw0rd") {
				t.Errorf("P15: %v", err)
			}
			if mode != "silent" && mode != "script" {
				gone(t, notes(t, r.dir, "started")[0])
			}
			if mode == "orphan" {
				gone(t, notes(t, r.dir, "orphan")[0])
			}
			works(t, r.Directory)
			if state, err := r.Settle(t.Context(), change(t, "anna", resetText)); err != nil || state != protocol.Unknown {
				t.Errorf("settled as %q, %v", state, err)
			}
			if n := len(notes(t, r.dir, "performed")); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestAReadThatAWorkerDoesNotSurviveMayBeTriedAgain(t *testing.T) {
	r := start(t, "crash", nil)
	works(t, r.Directory)
	if _, err := r.Get(t.Context(), protocol.Ref{ID: "later"}); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("%v", err)
	}
	works(t, r.Directory)
}

// A worker that writes a reply twice never gives the second one to somebody else.
func TestP15_OnesSecretIsNeverTakenForAnothers(t *testing.T) {
	r := start(t, "twice", func(c *Config) { c.Workers = 1 })
	for range 4 {
		for _, id := range []string{"anna", "ben"} {
			got, err := r.Perform(t.Context(), change(t, id, resetText))
			if err == nil && got.Secret.Reveal() != "of-"+id {
				t.Fatalf("%s was given %q", id, got.Secret.Reveal())
			}
			if err != nil && protocol.CodeOf(err) != protocol.CodeUnavailable && !errors.Is(err, directory.ErrUnsure) {
				t.Error(err)
			}
		}
	}
}

func TestP15_WhatAWorkerSaysHoldsNoSecret(t *testing.T) {
	for _, mode := range []string{"chatty", "refuses"} {
		r := start(t, mode, nil)
		_, err := r.Perform(t.Context(), change(t, "anna", resetText))
		if mode == "refuses" && (protocol.CodeOf(err) != protocol.CodePasswordPolicy || strings.Contains(err.Error(), "Passw0rd")) {
			t.Errorf("%v", err)
		}
		works(t, r.Directory)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if text := r.log.String(); strings.Contains(text, "Passw0rd") || strings.Contains(text, "4d6164652d") || strings.Contains(text, "anna@") {
			t.Errorf("%s: logged %s", mode, text)
		}
	}
	r := start(t, "takes", nil)
	c := change(t, "anna", resetText)
	c.Password = protocol.NewSecret("Given-Passw0rd-1")
	_, err := r.Perform(t.Context(), c)
	if protocol.CodeOf(err) != protocol.CodePasswordPolicy || strings.Contains(err.Error(), "Passw0rd") || !strings.Contains(err.Error(), "used before") {
		t.Errorf("%v", err)
	}
	args, err := os.ReadFile("/proc/" + notes(t, r.dir, "started")[0] + "/cmdline")
	if err == nil && strings.Contains(string(args), "Passw0rd") {
		t.Errorf("a password is an argument: %q", args)
	}
}

func TestAWorkerThatDoesNotHonourDryRunIsAskedOnce(t *testing.T) {
	r := start(t, "liar", nil)
	for range 3 {
		err := r.DryRun(t.Context(), "anna", tasks(t, resetText))
		if n := len(notes(t, r.dir, "performed")); n != 1 {
			t.Fatalf("asked %d times, %v", n, err)
		}
	}
	if !r.log.Has("no more dry runs") {
		t.Error("nobody was told")
	}
}

func TestListsSweepAndFollowChanges(t *testing.T) {
	pass := func(r rig, since string) (ids, deleted []string, full bool, state string) {
		t.Helper()
		state, err := r.List(t.Context(), since, 1, func(p directory.Page) error {
			if full = p.Full; len(p.Accounts) > 1 {
				t.Errorf("a page of %d accounts", len(p.Accounts))
			}
			for _, a := range p.Accounts {
				ids = append(ids, a.ID)
			}
			deleted = append(deleted, p.Deleted...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids, deleted, full, state
	}
	const third = "0b5e54e3-2c0b-4b43-9e63-ab6c0f8f4a01"
	plain := start(t, "plain", nil)
	_, _, _, state := pass(plain, "")
	if ids, deleted, full, _ := pass(plain, state); !full || deleted != nil || !slices.Equal(ids, []string{"anna", "ben", third}) {
		t.Errorf("a worker without changes: %v, %v, full=%v", ids, deleted, full)
	}
	r := start(t, "changes", nil)
	_, _, full, state := pass(r, "")
	ids, deleted, again, next := pass(r, state)
	if !full || again || !slices.Equal(ids, []string{third}) || !slices.Equal(deleted, []string{"BEN"}) {
		t.Errorf("changes: %v, %v, full=%v", ids, deleted, again)
	}
	if got := notes(t, r.dir, "listed"); got[2] != "2026-01-02T03:04:01Z|" {
		t.Errorf("asked for %v", got)
	}
	for _, bad := range []string{"{}", "x", next + "x", strings.Replace(next, `"of":"`, `"of":"0`, 1), strings.Replace(next, `"full":"20`, `"full":"19`, 1)} {
		if _, _, full, _ := pass(r, bad); !full {
			t.Errorf("%s gives no full pass", bad)
		}
	}
	for _, mode := range []string{"circles", "nameless"} {
		_, err := start(t, mode, nil).List(t.Context(), "", 10, func(directory.Page) error { return nil })
		if protocol.CodeOf(err) != protocol.CodeConfiguration {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestASlowListKeepsNobodyWaiting(t *testing.T) {
	for _, workers := range []int{1, 3} {
		r := start(t, "plain", func(c *Config) { c.Workers = workers })
		_, err := r.List(t.Context(), "", 1, func(directory.Page) error {
			works(t, r.Directory) // while the hub is slow
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestCancellingEndsTheWorkerAndItsWork(t *testing.T) {
	r := start(t, "hang", nil)
	works(t, r.Directory)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := r.Perform(ctx, change(t, "anna", resetText))
		done <- err
	}()
	for notes(t, r.dir, "performed") == nil {
		pause()
	}
	cancel()
	if err := <-done; !errors.Is(err, directory.ErrUnsure) {
		t.Errorf("%v", err)
	}
	gone(t, notes(t, r.dir, "started")[0])
}

func TestClosingLeavesNoProcess(t *testing.T) {
	dir := testenv.Dir(t)
	// It ignores the end of its input and every polite signal, and so does its child.
	script := `trap '' TERM HUP INT; (trap '' TERM HUP INT; echo $(exec sh -c 'echo $PPID') >> pids; while :; do sleep 1; done) & echo $$ >> pids
		read q; echo '{"configure":{"immutable_id":"x","traits":{"name":"X"}}}'
		while :; do read q && echo '{}'; sleep 0.1; done`
	r := start(t, "plain", func(c *Config) { c.Command, c.WorkDir = script, dir })
	if _, err := r.Describe(t.Context()); err == nil {
		t.Error("a reply without its member was taken")
	}
	for len(notes(t, dir, "pids")) < 2 {
		pause()
	}
	began := time.Now()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("closing took %v", took)
	}
	for _, pid := range notes(t, dir, "pids") {
		gone(t, pid)
	}
	if _, err := r.Get(t.Context(), protocol.Ref{ID: "anna"}); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("after the close: %v", err)
	}
}

func TestAWorkerGetsNoSecretOfTheAgent(t *testing.T) {
	for _, name := range []string{"NAMETAG_AGENT_TOKEN", "CREDENTIALS_DIRECTORY", "POSTERN_SECRET", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "leak")
	}
	t.Setenv("PASSED", "yes")
	dir := testenv.Dir(t)
	r := start(t, "plain", func(c *Config) {
		c.Command, c.WorkDir = `env > env.txt; read q; echo '{"error":{"code":"service_authentication_failed","message":"wrong"}}'`, dir
		c.PassEnvironment, c.Environment = []string{"PASSED"}, map[string]string{"OWN": "a b"}
	})
	if _, err := r.Describe(t.Context()); protocol.CodeOf(err) != protocol.CodeServiceAuthentication {
		t.Errorf("%v", err)
	}
	env := notes(t, dir, "env.txt")
	for _, want := range []string{"NAMETAG_AGENT_WORKER=true", "PASSED=yes", "OWN=a b", "PATH=" + os.Getenv("PATH")} {
		if !slices.Contains(env, want) {
			t.Errorf("%q is missing in %q", want, env)
		}
	}
	if strings.Contains(strings.Join(env, "\n"), "leak") {
		t.Errorf("a worker sees %q", env)
	}
}

// What a hub says is a value on standard input: neither form of the command runs it.
func TestP04_AHubsWordsAreNoCommand(t *testing.T) {
	r := start(t, "plain", nil)
	self := r.cfg.argv
	line := fmt.Sprintf("exec '%s' worker plain '%s'", self[0], r.dir)
	shell := start(t, "plain", func(c *Config) { c.Command, c.WorkDir = line, r.dir })
	for _, d := range []*Directory{r.Directory, shell.Directory} {
		works(t, d)
		for _, text := range []string{"$(touch owned)", "`touch owned`", "; touch owned", "' ; touch owned ; '", "\" & touch owned & \"", "|touch owned", "\ntouch owned\n"} {
			_, _ = d.Get(t.Context(), protocol.Ref{ID: text})
			_, _ = d.Get(t.Context(), protocol.Ref{Identifier: text})
			_, _ = d.Groups(t.Context(), protocol.GroupsRequest{Prefix: text})
			_, _ = d.Perform(t.Context(), change(t, text, resetText))
		}
	}
	if _, err := os.Stat(filepath.Join(r.dir, "owned")); err == nil {
		t.Error("a word of the hub was run")
	}
}

func TestAWorkerThatOthersMayChangeIsRefused(t *testing.T) {
	dir := testenv.Dir(t)
	path := filepath.Join(dir, "worker")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ntouch ran\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	r := start(t, "plain", func(c *Config) { c.Command, c.WorkDir = []string{path}, dir })
	if _, err := r.Describe(t.Context()); protocol.CodeOf(err) != protocol.CodeConfiguration || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("it ran")
	}
}

func TestAWorkerThatDoesNotStayIsStartedLessOften(t *testing.T) {
	dir := testenv.Dir(t)
	r := start(t, "plain", func(c *Config) { c.Command, c.WorkDir = "echo x >> starts; exit 1", dir })
	for range 50 {
		if _, err := r.Describe(t.Context()); protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Fatalf("%v", err)
		}
	}
	if n := len(notes(t, dir, "starts")); n > 3 {
		t.Errorf("started %d times in a moment", n)
	}
}

// The example of the documentation is a whole worker.
func TestTheDocumentedWorker(t *testing.T) {
	testenv.Need(t, "python3")
	dir := testenv.Dir(t)
	worker := writeExample(t, dir)
	r := start(t, "plain", func(c *Config) {
		c.Command, c.WorkDir = []string{worker}, dir
		c.Timeout = settings.Duration{Duration: 30 * time.Second}
	})
	got, err := r.Get(t.Context(), protocol.Ref{Identifier: "anna@corp.example"})
	if err != nil || len(got) != 1 || got[0].Name != "Anna Berg" {
		t.Fatalf("%+v, %v", got, err)
	}
	if c, err := r.Contacts(t.Context(), "anna"); err != nil || !slices.Equal(c.Mail, []string{"anna@home.example"}) || !slices.Equal(c.Primary, []string{"anna@corp.example"}) {
		t.Errorf("%+v, %v", c, err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, "people.json"))
	for text, want := range map[string]protocol.Code{resetText: "", "get_temporary_password,unlock": "", "unlock": protocol.CodeUnsupportedAccountState} {
		if err := r.DryRun(t.Context(), "anna", tasks(t, text)); protocol.CodeOf(err) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "people.json")); string(after) != string(before) {
		t.Error("a dry run changed something")
	}
	made, err := r.Perform(t.Context(), change(t, "anna", "get_temporary_password,unlock"))
	var people map[string]map[string]any
	text, _ := os.ReadFile(filepath.Join(dir, "people.json"))
	if err != nil || made.Secret.Empty() || json.Unmarshal(text, &people) != nil || people["anna"]["hash"] == nil || people["ben"]["hash"] != nil {
		t.Errorf("%v, %s", err, text)
	}
	if _, err := r.List(t.Context(), "", 100, func(p directory.Page) error {
		if !p.Full || len(p.Accounts) != 2 {
			t.Errorf("%+v", p)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// writeExample takes the worker out of the documentation, with people for it.
func writeExample(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/directories.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(text), "```python\n")
	code, _, found := strings.Cut(code, "```\n")
	if !found {
		t.Fatal("the documentation has no worker")
	}
	if n := strings.Count(code, "\n"); n > 55 {
		t.Errorf("the example has %d lines", n)
	}
	path := filepath.Join(dir, "worker.py")
	const people = `{"anna": {"work": "anna@corp.example", "private": "anna@home.example", "name": "Anna Berg"}, "ben": {"work": "ben@corp.example", "private": "ben@home.example", "name": "Ben Bo", "locked": true}}`
	if err := errors.Join(os.WriteFile(path, []byte(code), 0o700), os.WriteFile(filepath.Join(dir, "people.json"), []byte(people), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// A line that a worker wrote before its answer may be read after it. Where nobody knows the
// secret it is dropped then too, and what the worker says later is not.
func TestP15_WhatIsReadAfterALostAnswerHoldsNoSecret(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	c := &chatter{log: slog.New(slog.NewTextHandler(&said, nil)), pipe: w}
	c.begin(protocol.Secret{})
	if _, err := w.WriteString("tried Made-Passw0rd-2\nand Made-Pass"); err != nil {
		t.Fatal(err)
	}
	c.end(false)
	if _, err := w.WriteString("all is well\n"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	c.read(r)
	if text := said.String(); strings.Contains(text, "Made") || !strings.Contains(text, "all is well") {
		t.Errorf("logged: %s", text)
	}
}
