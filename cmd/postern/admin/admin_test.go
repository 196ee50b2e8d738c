package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// run runs a command line as the program would, and returns what it printed.
func run(t *testing.T, stdin string, args ...string) (out, errors string, err error) {
	t.Helper()
	root := &cobra.Command{Use: "postern", SilenceUsage: true, SilenceErrors: true}
	for _, row := range Commands() {
		c := &cobra.Command{Use: row.Name, Short: row.Short, Long: row.Long}
		row.CobraFunc(c)
		root.AddCommand(c)
	}
	var o, e bytes.Buffer
	root.SetOut(&o)
	root.SetErr(&e)
	root.SetIn(strings.NewReader(stdin))
	root.SetArgs(CommandFirst(args))
	err = root.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

// want runs a command that must succeed.
func want(t *testing.T, args ...string) string {
	t.Helper()
	out, errors, err := run(t, "", args...)
	if err != nil {
		t.Fatalf("%q: %v %s", args, err, errors)
	}
	return out
}

// stack is a real hub that init has set up, served on loopback.
type stack struct {
	made
	caddyfile, dir string
	smtp           hub.SMTP
	dns            *testenv.DNS
	server         *httptest.Server
}

func start(t *testing.T) *stack {
	t.Helper()
	return startMailing(t, hub.SMTP{})
}

// startMailing is start with a mail server.
func startMailing(t *testing.T, smtp hub.SMTP) *stack {
	t.Helper()
	st := &stack{smtp: smtp, dir: testenv.Dir(t), dns: testenv.StartDNS(t)}
	t.Setenv(serverVariable, "")
	t.Setenv(keyVariable, "")
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(st.dir, "config"))
	st.caddyfile = filepath.Join(st.dir, "Caddyfile")
	text := "{\n\tpostern {\n\t\tpublic_url http://localhost:8080\n\t\tdata_dir " + st.dir + "/data\n\t\tresolvers " + st.dns.Addr + "\n\t\tcname_target edge.test\n\t}\n}\n"
	if err := os.WriteFile(st.caddyfile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(st.dir+"/data", 0o700); err != nil {
		t.Fatal(err)
	}
	out := want(t, "init", "--config", st.caddyfile, "--organisation", "Example AG", "--json")
	if err := json.Unmarshal([]byte(out), &st.made); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	st.serve(t)
	t.Setenv(serverVariable, st.server.URL)
	t.Setenv(keyVariable, st.Key)
	return st
}

// serve opens the hub on the same store.
func (st *stack) serve(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	h, err := hub.Open(ctx, hub.Config{DataDir: st.dir + "/data", PublicURL: "http://localhost:8080", Resolvers: []string{st.dns.Addr}, CNAMETarget: "edge.test", SMTP: st.smtp,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- h.Run(run) }()
	st.server = httptest.NewServer(h.Handler())
	t.Cleanup(func() {
		st.server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestInitMakesAnOrganisationOnceAndPrintsKeyAndLinkOnce(t *testing.T) {
	st := start(t)
	if st.Environment == "" || st.Organisation == "" || !strings.HasPrefix(st.Console, "http://localhost:8080/") {
		t.Errorf("init printed %+v", st.made)
	}
	if _, _, err := run(t, "", "init", "--config", st.caddyfile, "--organisation", "Again"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second init: %v", err)
	}
	link := want(t, "init", "--config", st.caddyfile, "--console-link")
	if !strings.Contains(link, "http://localhost:8080/") || strings.Contains(link, st.Console) {
		t.Errorf("one more link: %q", link)
	}
	if _, _, err := run(t, "", "init", "--config", st.caddyfile); err == nil || !strings.Contains(err.Error(), "--organisation") {
		t.Errorf("without a name: %v", err)
	}
	if _, _, err := run(t, "", "init", "--config", st.dir+"/none", "--organisation", "x"); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("without a Caddyfile: %v", err)
	}
}

func TestADomainIsRegisteredCheckedAndListed(t *testing.T) {
	st := start(t)
	out := want(t, "env", "domain", "add", "Recover.Example.test")
	if !strings.Contains(out, "recover.example.test.  CNAME  "+st.Environment+".edge.test.") || !strings.Contains(out, `_postern.recover.example.test.  TXT  "`) {
		t.Errorf("add printed\n%s", out)
	}
	st.dns.Set(t, "recover.example.test", "CNAME "+st.Environment+".edge.test")
	if out := want(t, "env", "domain", "check", "recover.example.test"); !strings.Contains(out, "is proven") {
		t.Errorf("check printed %s", out)
	}
	for _, args := range [][]string{{"env", "domain", "list"}, {"env", "domain", "list", "--env", st.Environment}, {"-e", st.Environment, "env", "domain", "list"},
		{"--env=" + st.Environment, "env", "domain", "list"}, {"env", "list"}} {
		if out := want(t, args...); !strings.Contains(out, "recover.example.test") {
			t.Errorf("%q printed %s", args, out)
		}
	}
}

func TestADirectoryIsMadeShownSynchronisedAndGivenATicket(t *testing.T) {
	st := start(t)
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(want(t, "directory", "create", "--kind", "ad", "--name", "Head office", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	neverYet := regexp.MustCompile(`never|running|failed`) // the hub looks at it at once, and finds no agent
	if out := want(t, "directory", "list"); !strings.Contains(out, made.ID) || !strings.Contains(out, "Head office") || !neverYet.MatchString(out) {
		t.Errorf("list printed %s", out)
	}
	if out := want(t, "directory", "get", made.ID); !strings.Contains(out, `"mail_code"`) {
		t.Errorf("get printed %s", out)
	}
	file := st.dir + "/ticket"
	out, errors, err := run(t, "", "directory", "ticket", made.ID, "--ttl", "5m", "--out", file)
	if err != nil || out != "" || !strings.Contains(errors, "one agent") {
		t.Errorf("ticket printed %q %q, %v", out, errors, err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := protocol.ParseTicket(string(b))
	if err != nil || ticket.Directory != made.ID || ticket.Hub != "http://localhost:8080" || time.Until(ticket.Expires) > 5*time.Minute {
		t.Errorf("ticket %+v, %v", ticket, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the ticket's file: %v, %v", info, err)
	}
	if _, err := protocol.ParseTicket(want(t, "directory", "ticket", made.ID)); err != nil {
		t.Errorf("ticket on standard output: %v", err)
	}
	for range 2 { // the second failure reads like the first one
		if _, _, err := run(t, "", "directory", "sync", made.ID, "--wait"); err == nil {
			t.Error("a directory without an agent was synchronised")
		}
	}
	for want, args := range map[string][]string{
		"directory ticket ID":    {"directory", "ticket"},
		"postern directory list": {"directory", "ticket", "none"},
		"env domain list":        {"env", "domain", "check", "none.example.com"},
	} {
		if _, _, err := run(t, "", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", args, err, want)
		}
	}
	if out := want(t, "directory", "create", "--kind", "custom"); !strings.Contains(out, "shown this once") || !strings.Contains(out, "no second address") {
		t.Errorf("a custom directory: %s", out)
	}
}

func TestT32_PresignTakesTheSeedsFlags(t *testing.T) {
	st := start(t)
	want(t, "env", "domain", "add", "recover.localhost")
	var dir struct{ ID string }
	if err := json.Unmarshal([]byte(want(t, "directory", "create", "--json")), &dir); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"self-service", "presign"},
		{"-e", st.Environment, "self-service", "presign", "--email", "alice@example.com", "--operation", "mfa", "--operation", "password",
			"--directory", dir.ID, "--flow", "enroll", "--ttl", "1h", "--recovery-policy", "mfa=photo", "--one-shot", "--domain", "recover.localhost"},
	} {
		if out := want(t, args...); !strings.HasPrefix(out, "http://recover.localhost:8080/?id_token=") || strings.Count(out, "\n") != 1 {
			t.Errorf("%q printed %q", args, out)
		}
	}
	for want, args := range map[string][]string{
		"ttl":              {"--ttl", "48h"},
		"operation":        {"--operation", "delete"},
		"OPERATION=POLICY": {"--recovery-policy", "photo"},
		"flow":             {"--flow", "Recover"},
		"unknown flag":     {"--password"},
		"directories":      {"--directory", "none"},
	} {
		if _, _, err := run(t, "", append([]string{"self-service", "presign"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", args, err, want)
		}
	}
}

func TestFlagsOfEveryCommandMayStandBeforeIt(t *testing.T) {
	st := start(t)
	for _, before := range [][]string{{"--json"}, {"-e", st.Environment, "--json"}, {"--server=" + st.server.URL, "--json", "--env", st.Environment}} {
		if out := want(t, append(before, "env", "list")...); !strings.HasPrefix(out, `{"envs":`) {
			t.Errorf("%q printed %s", before, out)
		}
	}
}

func TestServerAndKeyAreFoundInTheirOrder(t *testing.T) {
	st := start(t)
	t.Setenv(serverVariable, "")
	t.Setenv(keyVariable, "")
	if _, _, err := run(t, "", "env", "list"); err == nil || !strings.Contains(err.Error(), "--key-file") {
		t.Errorf("without anything: %v", err)
	}
	if _, _, err := run(t, st.Key+"\n", "env", "list", "--server", st.server.URL, "--key-file", "-"); err != nil {
		t.Errorf("key on standard input: %v", err)
	}
	file := st.dir + "/key"
	if err := os.WriteFile(file, []byte("two words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t, "", "env", "list", "--server", st.server.URL, "--key-file", file); err == nil || !strings.Contains(err.Error(), "one line") {
		t.Errorf("a file that holds no key: %v", err)
	}
	f := new(flags)
	path, err := f.writeConfig(saved{st.server.URL, st.Key})
	if err != nil {
		t.Fatal(err)
	}
	if out := want(t, "env", "list"); !strings.Contains(out, st.Environment) {
		t.Errorf("by the configuration file: %s", out)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t, "", "env", "list"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a configuration file that others may read: %v", err)
	}
	t.Setenv(keyVariable, "wrong")
	if _, _, err := run(t, "", "env", "list", "--server", st.server.URL); err == nil || !strings.Contains(err.Error(), "API key") {
		t.Errorf("a wrong key: %v", err)
	}
}

func TestP06_TheKeyGoesToTheNamedServerOnly(t *testing.T) {
	seen := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") }))
	defer other.Close()
	first := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer first.Close()
	t.Setenv(serverVariable, first.URL)
	t.Setenv(keyVariable, "postern_canary")
	if _, _, err := run(t, "", "env", "list"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a redirecting server: %v", err)
	}
	if len(seen) != 0 {
		t.Errorf("another server saw %q", <-seen)
	}
}

// A key that is kept is for the hub that gave it, whatever a variable or a flag names: what a
// folder's environment or a pasted command says gets no key.
func TestP06_AKeptKeyGoesToNoOtherHub(t *testing.T) {
	seen := make(chan string, 2)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`{"envs":[]}`))
	}))
	defer other.Close()
	t.Setenv("XDG_CONFIG_HOME", testenv.Dir(t))
	t.Setenv(serverVariable, "")
	t.Setenv(keyVariable, "")
	if _, err := new(flags).writeConfig(saved{"https://id.example.com", "postern_canary"}); err != nil {
		t.Fatal(err)
	}
	for _, how := range []func() error{
		func() error { _, _, err := run(t, "", "env", "list", "--server", other.URL); return err },
		func() error { t.Setenv(serverVariable, other.URL); _, _, err := run(t, "", "env", "list"); return err },
	} {
		if err := how(); err == nil || !strings.Contains(err.Error(), "https://id.example.com") || strings.Contains(err.Error(), "canary") {
			t.Errorf("want the hub of the key named: %v", err)
		}
	}
	if len(seen) != 0 {
		t.Fatalf("another hub saw %q", <-seen)
	}
	t.Setenv(keyVariable, "postern_own")
	if _, _, err := run(t, "", "env", "list"); err != nil || <-seen != "Bearer postern_own" {
		t.Errorf("with a key of its own: %v", err)
	}
}

// A key travels encrypted, or does not leave the machine.
func TestP06_NoKeyGoesOverPlainHTTPToAnotherMachine(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", testenv.Dir(t))
	t.Setenv(keyVariable, "postern_canary")
	for _, args := range [][]string{{"env", "list", "--server", "http://id.example.com"}, {"auth", "login", "--no-browser", "--server", "http://192.0.2.7:8080"}} {
		if _, _, err := run(t, "", args...); err == nil || !strings.Contains(err.Error(), "https://") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestEveryCommandHasAnExampleAndAShortHelp(t *testing.T) {
	for _, row := range Commands() {
		c := &cobra.Command{Use: row.Name}
		row.CobraFunc(c)
		check(t, c, row.Name)
	}
}

func check(t *testing.T, c *cobra.Command, path string) {
	t.Helper()
	if c.HasSubCommands() {
		for _, sub := range c.Commands() {
			check(t, sub, path+" "+sub.Name())
		}
		return
	}
	if c.Example == "" {
		t.Errorf("%s has no example", path)
	}
}

func TestCommandsThatReplaceTheProgramAreRefused(t *testing.T) {
	for _, args := range [][]string{{"upgrade"}, {"add-package", "x"}} {
		if Refused(args) == nil {
			t.Errorf("%q is not refused", args)
		}
	}
	for _, args := range [][]string{nil, {"run"}, {"env", "upgrade"}} {
		if err := Refused(args); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestInstalledKeysAreOwnersOfEveryEnvironment(t *testing.T) {
	st := start(t)
	s := storetest.Open(t, store.Config{Dir: st.dir + "/data", MasterKey: masterKey(t, st.dir), Log: slog.New(slog.DiscardHandler)})
	k, err := store.Get(t.Context(), s, func(tx *store.Tx) (store.APIKey, error) { return tx.APIKeyByHash(t.Context(), store.HashToken(st.Key)) })
	if err != nil || k.Role != "owner" || !k.Admits("any") {
		t.Errorf("%+v, %v", k, err)
	}
}

func masterKey(t *testing.T, dir string) []byte {
	t.Helper()
	k, err := store.LoadMasterKey(filepath.Join(dir, "data", "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
