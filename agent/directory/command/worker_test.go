package command

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/internal/testenv"
)

// TestMain makes the test binary a worker too: "binary worker MODE …".
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "worker" {
		var w func(request) any
		if os.Args[2] == "bridge" {
			w = newBridge(os.Args[3:]).answer
		} else {
			w = (&scripted{mode: os.Args[2], dir: os.Args[3]}).answer
		}
		os.Exit(serve(w))
	}
	os.Exit(testenv.Run(m))
}

// serve is the loop of a worker.
func serve(answer func(request) any) int {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return 2
		}
		out, _ := json.Marshal(answer(q))
		_, _ = os.Stdout.Write(append(out, '\n'))
	}
	return 0
}

// A scripted worker has three people and does what its mode says when it is asked to
// perform an operation, or to list.
type scripted struct {
	mode, dir string
	pinged    int
}

func people() []account {
	var all []account
	for _, name := range []string{"anna", "ben", "0B5E54E3-2C0B-4B43-9E63-AB6C0F8F4A01"} {
		all = append(all, account{ImmutableID: name, IDs: []string{name + "@corp.example", name, "info@corp.example"}, Name: "Person " + name})
	}
	return all
}

func (s *scripted) answer(q request) any {
	say := func(member string, v any) any { return map[string]any{member: v} }
	switch {
	case q.Configure != nil:
		note(s.dir, "started", fmt.Sprint(os.Getpid()))
		return say("configure", map[string]any{"immutable_id": "scripted", "traits": map[string]any{
			"name": "Scripted", "can_get_temporary_password": true, "can_get_password_link": true, "can_unlock": true,
			"can_update_accounts_list": s.mode == "changes", "can_dry_run": s.mode == "liar", "can_set_password": s.mode == "takes",
			"can_get_temporary_access_pass": true, "can_authenticate": true,
		}})
	case q.ListAccounts != nil:
		return say("list_accounts", s.list(*q.ListAccounts))
	case q.GetAccount != nil:
		return say("get_account", map[string]any{"accounts": s.get(q.GetAccount.Ref.ID, q.GetAccount.Ref.Identifier)})
	case q.ListGroups != nil:
		return say("list_groups", map[string]any{"groups": []any{map[string]any{"immutable_id": "g1", "name": "Staff", "kind": "x"}}})
	case q.PerformOperation != nil:
		text, _ := json.Marshal(q.PerformOperation)
		note(s.dir, "performed", string(text))
		return say("perform_operation", s.perform(*q.PerformOperation))
	case q.Ping:
		s.pinged++
		return map[string]any{}
	}
	return say("error", failure{"internal_error", "unknown operation"})
}

// get looks for beginnings, as a careless worker does.
func (s *scripted) get(id, identifier string) []account {
	var out []account
	for _, a := range people() {
		if id != "" && strings.HasPrefix(a.ImmutableID, id) || identifier != "" && strings.HasPrefix(a.IDs[0], identifier) || id == "*" || identifier == "*" || identifier == "info@corp.example" {
			out = append(out, a)
		}
	}
	if id == "later" && s.mode == "crash" {
		os.Exit(3)
	}
	return out
}

func (s *scripted) list(q listRequest) map[string]any {
	note(s.dir, "listed", q.UpdatedAfter+"|"+q.Cursor)
	all := people()
	for i := range all {
		all[i].UpdatedAt = moment{time.Date(2026, 1, 2, 3, 4, i, 0, time.UTC)}
	}
	page := func(next string, accounts ...account) map[string]any {
		var list []map[string]any
		for _, a := range accounts {
			list = append(list, map[string]any{"immutable_id": a.ImmutableID, "ids": a.IDs, "name": a.Name, "updated_at": a.UpdatedAt.Time})
		}
		return map[string]any{"accounts": list, "next_cursor": next}
	}
	switch {
	case s.mode == "circles":
		return page(map[string]string{"": "a", "a": "b", "b": "a"}[q.Cursor], all...)
	case s.mode == "nameless":
		return page("", account{IDs: []string{"x"}})
	case q.UpdatedAfter != "":
		out := page("", all[2])
		out["deleted_ids"] = []string{"BEN"}
		return out
	case q.Cursor == "":
		return page("more", all[0], all[1])
	}
	return page("", all[1], all[2]) // pages overlap
}

func (s *scripted) perform(q performRequest) any {
	switch s.mode {
	case "crash":
		os.Exit(3)
	case "garbage":
		fmt.Println("Traceback (most recent call last): Made-Passw0rd-1")
	case "hang":
		<-time.After(time.Hour)
	case "huge":
		junk := strings.Repeat("a", 1<<16)
		fmt.Print(`{"perform_operation":{"temporary_password":"`)
		for {
			if _, err := fmt.Print(junk); err != nil {
				os.Exit(4)
			}
		}
	case "twice":
		fmt.Println(`{"perform_operation":{"temporary_password":"of-` + q.Account + `"}}`)
		return performed{TemporaryPassword: "of-" + q.Account}
	case "orphan":
		child := exec.Command("/bin/sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done")
		child.Stdout = os.Stdout // it holds the pipe open
		_ = child.Start()
		note(s.dir, "orphan", fmt.Sprint(child.Process.Pid))
		os.Exit(5)
	case "script":
		return performed{PasswordLink: "javascript:alert(1)"}
	case "silent":
		return performed{}
	case "chatty":
		fmt.Fprintln(os.Stderr, "setting Made-Passw0rd-1 for anna@corp.example, in hex 4d6164652d50617373773072642d31")
		return performed{TemporaryPassword: "Made-Passw0rd-1"}
	case "refuses":
		fmt.Fprintln(os.Stderr, "tried Made-Passw0rd-2")
		fmt.Println(`{"error":{"code":"password_policy","message":"Made-Passw0rd-2 is too short"}}`)
		os.Exit(0)
	case "takes":
		fmt.Println(`{"error":{"code":"password_policy","message":"` + q.Password + ` was used before"}}`)
		os.Exit(0)
	}
	if q.Operation == "unlock" {
		return map[string]any{}
	}
	return performed{TemporaryPassword: "Made-Passw0rd-1", PasswordLink: "https://sso.corp.example/reset/1"}
}

// note appends a line to a file of the test.
func note(dir, name, line string) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintln(f, line)
		f.Close()
	}
}

func notes(t *testing.T, dir, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// a rig is a directory with a worker, and what it left.
type rig struct {
	*Directory
	dir string
	log *testenv.Buffer
}

// start opens a directory of a scripted worker.
func start(t *testing.T, mode string, change func(*Config)) rig {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := rig{dir: testenv.Dir(t), log: &testenv.Buffer{}}
	cfg := Config{Command: []string{self, "worker", mode, r.dir}, WorkDir: r.dir, Workers: 2, Timeout: settings.Duration{Duration: 20 * time.Second}}
	cfg.Log = slog.New(slog.NewTextHandler(r.log, nil))
	if change != nil {
		change(&cfg)
	}
	r.Directory, err = Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}
