package admin

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// id returns the first word after a line's first one, such as of "request 5f0c…".
func id(t *testing.T, line string) string {
	t.Helper()
	words := strings.Fields(line)
	if len(words) < 2 {
		t.Fatalf("no id in %q", line)
	}
	return words[1]
}

// proven registers a recovery domain and proves it: links need one.
func (st *stack) proven(t *testing.T) {
	t.Helper()
	want(t, "env", "domain", "add", "recover.example.test")
	st.dns.Set(t, "recover.example.test", "CNAME "+st.Environment+".edge.test")
	want(t, "env", "domain", "check", "recover.example.test")
}

func TestARequestIsMadeFoundLabelledAndCancelled(t *testing.T) {
	st := start(t)
	st.proven(t)
	made := id(t, want(t, "request", "create", "--claim", "name", "--claim", "birth_date", "--label", "ticket 4711", "--ttl", "24h", "--max-usages", "2"))
	if out := want(t, "request", "list", "--query", "4711", "--status", "active", "--sort", "-last_created"); !strings.Contains(out, made) || !strings.Contains(out, "pending") {
		t.Errorf("list printed %s", out)
	}
	want(t, "request", "label", made, "ticket 4712")
	if out := want(t, "request", "get", made); !strings.Contains(out, `"ticket 4712"`) {
		t.Errorf("get printed %s", out)
	}
	want(t, "request", "cancel", made)
	if out := want(t, "request", "get", made); !strings.Contains(out, `"cancelled"`) {
		t.Errorf("after cancel: %s", out)
	}
	want(t, "request", "create", "--claim", "name")
	if out := want(t, "request", "list", "--count", "1"); !strings.Contains(out, "1 of 2; the next ones: --offset 1") {
		t.Errorf("a page printed %s", out)
	}
	if out := want(t, "audit", "list", "--kind", "request_created", "--json"); !strings.Contains(out, `"user_agent":"postern-cli/`) {
		t.Errorf("the log does not say who asked: %s", out)
	}
	if _, _, err := run(t, "", "request", "create", "--claim", "shoe_size"); err == nil || !strings.Contains(err.Error(), "shoe_size") {
		t.Errorf("an unknown claim: %v", err)
	}
}

func TestAnAPIKeyIsMadeUsedDisabledAndRemoved(t *testing.T) {
	st := start(t)
	file := filepath.Join(st.dir, "key")
	if err := os.WriteFile(file, []byte("of before"), 0o644); err != nil {
		t.Fatal(err)
	}
	made := id(t, want(t, "apikey", "create", "--name", "reports", "--role", "limited_plus", "--expires-in", "1h", "--out", file))
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key's file: %v, %v", info, err)
	}
	if out := want(t, "env", "list", "--key-file", file); !strings.Contains(out, st.Environment) {
		t.Errorf("with the new key: %s", out)
	}
	if _, _, err := run(t, "", "apikey", "list", "--key-file", file); err == nil {
		t.Error("a key of a smaller role lists keys")
	}
	want(t, "apikey", "set", made, "--disable", "--never-expires")
	if out := want(t, "apikey", "list"); !strings.Contains(out, "reports") || !strings.Contains(out, "disabled") {
		t.Errorf("list printed %s", out)
	}
	if _, _, err := run(t, "", "env", "list", "--key-file", file); err == nil {
		t.Error("a disabled key works")
	}
	want(t, "apikey", "set", made, "--enable", "--name", "monthly reports")
	if out := want(t, "apikey", "get", made); !strings.Contains(out, `"monthly reports"`) || strings.Contains(out, "expires_at") {
		t.Errorf("get printed %s", out)
	}
	want(t, "apikey", "delete", made)
	if _, _, err := run(t, "", "apikey", "get", made); err == nil {
		t.Error("a removed key is shown")
	}
}

// A script that has a key written to a file and reads the rest as JSON has it in no log.
func TestP06_AKeyThatGoesToAFileStandsNowhereElse(t *testing.T) {
	st := start(t)
	file := filepath.Join(st.dir, "key")
	var made map[string]string
	if err := json.Unmarshal([]byte(want(t, "apikey", "create", "--name", "reports", "--json", "--out", file)), &made); err != nil || made["id"] == "" || len(made) != 1 {
		t.Errorf("printed %v, %v", made, err)
	}
	if out := want(t, "env", "list", "--key-file", file); !strings.Contains(out, st.Environment) {
		t.Errorf("with the new key: %s", out)
	}
	if err := json.Unmarshal([]byte(want(t, "apikey", "create", "--name", "other", "--json")), &made); err != nil || made["key"] == "" {
		t.Errorf("without a file: %v, %v", made, err)
	}
}

func TestNoKeyIsMadeThatCouldNotBeKept(t *testing.T) {
	st := start(t)
	for _, out := range []string{filepath.Join(st.dir, "nowhere", "key"), st.dir} {
		if _, _, err := run(t, "", "apikey", "create", "--name", "lost", "--role", "user", "--out", out); err == nil {
			t.Errorf("a key was written to %s", out)
		}
	}
	if list := want(t, "apikey", "list"); strings.Contains(list, "lost") {
		t.Errorf("a key was made whose text nobody has: %s", list)
	}
	if _, err := os.Stat(filepath.Join(st.dir, "key.try")); err == nil {
		t.Error("a trial is left")
	}
}

// An organisation is made once, and a key is shown once.
func TestNothingIsBegunWhereTheKeyCouldNotBeKept(t *testing.T) {
	st := start(t)
	blocked := filepath.Join(st.caddyfile, "client.json") // below a file
	if _, said, err := run(t, "", "auth", "login", "--no-browser", "--client-config", blocked, "--server", "http://127.0.0.1:1"); err == nil || strings.Contains(said, "Waiting") {
		t.Errorf("%v: %s", err, said)
	}
	other := filepath.Join(st.dir, "other")
	text := "{\n\tpostern {\n\t\tpublic_url http://localhost:8080\n\t\tdata_dir " + other + "\n\t}\n}\n"
	if err := errors.Join(os.Mkdir(other, 0o700), os.WriteFile(other+".conf", []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t, "", "init", "--config", other+".conf", "--organisation", "Example AG", "--save", "--client-config", blocked); err == nil {
		t.Error("a key was kept below a file")
	}
	if out := want(t, "init", "--config", other+".conf", "--organisation", "Example AG", "--json"); !strings.Contains(out, "api_key") {
		t.Error(out)
	}
}

// P25: a node that is restarted while somebody approves ends no sign-in of a command line.
func TestP25_ACommandLineWaitsForItsApprovalWhileANodeRestarts(t *testing.T) {
	var asked atomic.Int64
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1:
			w.WriteHeader(http.StatusNoContent)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			panic(http.ErrAbortHandler) // killed while it answers
		default:
			_, _ = w.Write([]byte("sealed"))
		}
	}))
	defer hub.Close()
	if got, err := approved(t.Context(), hub.URL, "key", time.Millisecond); err != nil || string(got) != "sealed" {
		t.Errorf("%q, %v", got, err)
	}
	asked.Store(1) // another command line, whose hub is away from the beginning
	if _, err := approved(t.Context(), hub.URL, "key", time.Millisecond); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a hub that never answered: %v", err)
	}
}

func TestSigningOutSaysInJSONWhichFileWasChanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "client.json")
	if err := os.WriteFile(file, []byte(`{"server":"https://id.example.com","key":"k"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var kept map[string]string
	if err := json.Unmarshal([]byte(want(t, "auth", "logout", "--json", "--client-config", file)), &kept); err != nil || kept["client_config"] != file || kept["server"] != "https://id.example.com" {
		t.Errorf("%v, %v", kept, err)
	}
}

// JSON knows text alone: other bytes would be sealed as something else.
func TestASecretIsSealedAsItIsOrNotAtAll(t *testing.T) {
	st := start(t)
	if out, _, err := run(t, "pässword\n", "secrets", "encrypt", "-e", st.Environment); err != nil || !strings.HasPrefix(out, "postern-sealed-") {
		t.Errorf("%q, %v", out, err)
	}
	if out, _, err := run(t, "p\xe4ssword", "secrets", "encrypt", "-e", st.Environment); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestLoadingPhotosFailsWhereOneWasNotSet(t *testing.T) {
	st := start(t)
	var dir struct{ ID string }
	if err := json.Unmarshal([]byte(want(t, "directory", "create", "--json")), &dir); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if _, err := z.Create("nobody@example.com.jpeg"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(st.dir, "photos.zip")
	if err := errors.Join(z.Close(), os.WriteFile(file, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--json"}} {
		if out, _, err := run(t, "", append([]string{"account", "photo", "load", dir.ID, file}, args...)...); err == nil || !strings.Contains(out, "nobody@example.com.jpeg") {
			t.Errorf("%q, %v", out, err)
		}
	}
}

func TestAnEnvironmentIsMadeChangedAndRemovedOnlyWhenItsIDIsSaidTwice(t *testing.T) {
	start(t)
	made := strings.TrimSpace(want(t, "env", "create", "Testing"))
	if _, errs, err := run(t, `{"public_name":"Example AG"}`, "env", "set", made, "-"); err != nil {
		t.Fatal(err, errs)
	}
	if out := want(t, "env", "get", made); !strings.Contains(out, `"Example AG"`) {
		t.Errorf("get printed %s", out)
	}
	if _, _, err := run(t, "", "env", "delete", made); err == nil || !strings.Contains(err.Error(), "--yes "+made) {
		t.Errorf("without being sure: %v", err)
	}
	want(t, "env", "delete", made, "--yes", made)
	if out := want(t, "env", "list"); strings.Contains(out, made) {
		t.Errorf("it is still there: %s", out)
	}
}

// Published examples of the command line work with the program's name changed.
func TestPublishedAgentCommandsWork(t *testing.T) {
	st := start(t)
	var made struct{ ID, Agent_token string }
	if err := json.Unmarshal([]byte(want(t, "dir", "agent", "register", "-e", st.Environment, "--json")), &made); err != nil || made.Agent_token == "" {
		t.Fatal(made, err)
	}
	if out := want(t, "dir", "agent", "regenerate", "-d", made.ID); !strings.Contains(out, "token for the agent") || strings.Contains(out, made.Agent_token) {
		t.Errorf("regenerate printed %s", out)
	}
	if _, _, err := run(t, "", "dir", "agent", "regenerate"); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("without a directory: %v", err)
	}
	if out := want(t, "dir", "get", made.ID); !strings.Contains(out, made.ID) {
		t.Errorf("get printed %s", out)
	}
	want(t, "directory", "delete", made.ID, "--yes", made.ID)
}

func TestEveryOperationIsReachedByTheCommandAPI(t *testing.T) {
	st := start(t)
	if out := want(t, "api", "get", "/api/envs/"+st.Environment); !strings.Contains(out, `  "id": "`+st.Environment) {
		t.Errorf("GET printed %s", out)
	}
	if _, errs, err := run(t, `{"name":"Live"}`, "api", "PATCH", "/api/envs/"+st.Environment, "--data", "-"); err != nil {
		t.Fatal(err, errs)
	}
	if out := want(t, "env", "list"); !strings.Contains(out, "Live") {
		t.Errorf("after PATCH: %s", out)
	}
	for _, args := range [][]string{{"api", "STEAL", "/api/envs"}, {"api", "GET", "https://example.com/"}, {"api", "GET"}} {
		if _, _, err := run(t, "", args...); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

// A sign that is wrong, or an hour that a script worked out to be none, makes no key: of a
// zero it would be one without an end.
func TestNoKeyIsMadeThatIsOver(t *testing.T) {
	st := start(t)
	for _, life := range []string{"0s", "-1h"} {
		for _, args := range [][]string{{"create"}, {"set", "5f0c"}} {
			if _, _, err := run(t, "", append(append([]string{"apikey"}, args...), "--expires-in", life)...); !errors.Is(err, errOver) {
				t.Errorf("%s of %s: %v", args, life, err)
			}
		}
	}
	if out := want(t, "apikey", "list"); strings.Count(out, "\n") != 2 {
		t.Errorf("at %s there is more than the first key: %s", st.dir, out)
	}
}

// What is not there is looked for with the command that lists it.
func TestWhereToLookForWhatIsNotThereIsSaid(t *testing.T) {
	for path, command := range map[string]string{
		"/api/requests/x": "request list", "/api/apikeys/x": "apikey list", "/api/envs/x": "env list", "/api/envs/x/domains/y": "env domain list",
		"/api/directories/x": "directory list", "/api/directories/x/agents/y": "directory agents list", "/api/audit/events/x/proof": "audit list", "/x": "env list",
	} {
		if got := lister(path); got != `"postern `+command+`"` {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestAccountsAreListedShownAndHaveNoPhotoOfAnUnknownKind(t *testing.T) {
	st := start(t)
	if out := want(t, "account", "list", "--query", "ada", "--verified=false", "--count", "5"); !strings.HasPrefix(out, "ID") {
		t.Errorf("list printed %s", out)
	}
	if _, _, err := run(t, "", "account", "get", "nobody@example.com"); err == nil || !strings.Contains(err.Error(), `"postern account list"`) {
		t.Errorf("nobody is shown, or where to look is not said: %v", err)
	}
	if out := want(t, "account", "list", "--help"); strings.Contains(out, "(default true)") {
		t.Errorf("only accounts that are bound seem to be listed: %s", out)
	}
	for name, known := range map[string]bool{"face.unknown": false, "face.html": false, "face.jpg": true, "face.TIF": true, "face.webp": true, "faces.zip": true} {
		file := filepath.Join(st.dir, name)
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := run(t, "", "account", "photo", "set", "ada@example.com", file); err == nil || strings.Contains(err.Error(), ".jpg, ") == known {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := run(t, "", "account", "set", "ada@example.com"); err == nil {
		t.Error("a change of nothing was taken")
	}
}
