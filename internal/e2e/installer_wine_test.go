//go:build installer

package e2e

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// What wine makes of the installer's codes, modulo 256: 1627 for an action that fails,
// 1603 for a condition that does not hold. Windows says 1603 for both.
const (
	msiDone    = 0
	msiFailed  = 1627 % 256
	msiRefused = 1603 % 256
)

// windowsConfig is what an administrator prepares for a silent installation.
const windowsConfig = "state_dir = 'C:\\ProgramData\\Postern\\state'\n[directory]\nkind = \"demo\"\n"

// Folders of the installed agent on drive C:.
const (
	programFolder = "Program Files/Postern Agent"
	dataFolder    = "ProgramData/Postern"
)

// A windows is a machine on which the agent is installed.
type windows struct {
	*testing.T
	wine *testenv.Wine
	dir  string // files that the administrator brings
}

func newWindows(t *testing.T) *windows {
	w := &windows{t, testenv.NewWine(t), testenv.Dir(t)}
	w.bring("agent.toml", windowsConfig)
	return w
}

// bring puts a file there and returns what the machine calls it.
func (w *windows) bring(name, text string) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	return testenv.Z(path)
}

// msiexec runs the installer silently and expects a code.
func (w *windows) msiexec(want int, args ...string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 3*time.Minute)
	defer cancel()
	code, out, err := w.wine.Run(ctx, append([]string{"msiexec", "/qn", "/l*v", `C:\msi.log`}, args...)...)
	if err != nil || code != want {
		log, _ := os.ReadFile(w.wine.C("msi.log"))
		w.Fatalf("msiexec %v: code %d, want %d: %v\n%s\n%s", args, code, want, err, out, failures(string(log)))
	}
}

// failures are the lines of an installer's log that speak of one, and those before them.
func failures(log string) string {
	lines, shown := strings.Split(strings.ReplaceAll(log, "\x00", ""), "\n"), ""
	for i, line := range lines {
		if strings.Contains(line, "Return value 3") || strings.Contains(line, "Error") {
			shown += strings.Join(lines[max(0, i-6):i+1], "\n") + "\n"
		}
	}
	return shown
}

// agent runs the installed program and returns code and output.
func (w *windows) agent(args ...string) (int, string) {
	w.Helper()
	code, out, err := w.wine.Run(w.Context(), append([]string{`C:\Program Files\Postern Agent\postern-agent.exe`}, args...)...)
	if err != nil {
		w.Fatal(err)
	}
	return code, out
}

// registry is what a key and all below it hold, or "" where there is none.
func (w *windows) registry(key string) string {
	w.Helper()
	code, out, err := w.wine.Run(w.Context(), "reg", "query", key, "/s")
	if err != nil {
		w.Fatal(err)
	}
	if code != 0 {
		return ""
	}
	return out
}

// state are the files of the state folder that make the agent who it is.
func (w *windows) state() map[string]string {
	w.Helper()
	files := map[string]string{}
	for _, name := range []string{"keys.json", "identity.json"} {
		text, err := os.ReadFile(w.wine.C(dataFolder + "/state/" + name))
		if err != nil {
			w.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}

// gone fails the test where something of the installation is left.
func (w *windows) gone(what string, paths ...string) {
	w.Helper()
	for _, path := range paths {
		if _, err := os.Stat(w.wine.C(path)); !errors.Is(err, fs.ErrNotExist) {
			w.Errorf("%s: %s is left (%v)", what, path, err)
		}
	}
	for _, key := range []string{`HKLM\System\CurrentControlSet\Services\PosternAgent`, `HKLM\Software\Postern\Agent`, `HKLM\System\CurrentControlSet\Services\EventLog\Application\PosternAgent`} {
		if text := w.registry(key); strings.Contains(text, "REG_") {
			w.Errorf("%s: %s is left:\n%s", what, key, text)
		}
	}
}

// msi is the installer in a folder that packed made.
func msi(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.msi"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	return testenv.Z(found[0])
}

func TestInstallerForWindowsIsSignedAndAChangedByteShows(t *testing.T) {
	program := testenv.Need(t, "osslsigncode")
	dir := packed(t, "1.0.0", "msi")
	path := filepath.Join(dir, "postern-agent-1.0.0-amd64-testsigned.msi")
	verify := func(file string) error {
		return exec.CommandContext(t.Context(), program, "verify", "-CAfile", filepath.Join(dir, "postern-agent-testsigned.crt"), "-in", file).Run()
	}
	if err := verify(path); err != nil {
		t.Errorf("the installer's signature: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	changed := filepath.Join(t.TempDir(), "changed.msi")
	if err := os.WriteFile(changed, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if verify(changed) == nil {
		t.Error("a changed installer verifies")
	}
}

func TestInstallerIsSignedByTheKeyThatTheOperatorGives(t *testing.T) {
	dir, program := testenv.Dir(t), testenv.Need(t, "osslsigncode")
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	openssl := func(args ...string) error {
		return exec.CommandContext(t.Context(), testenv.Need(t, "openssl"), args...).Run()
	}
	if err := openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", key, "-out", cert, "-subj", "/CN=Operator",
		"-addext", "extendedKeyUsage=critical,codeSigning", "-addext", "keyUsage=critical,digitalSignature"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SIGN_KEY", key)
	t.Setenv("SIGN_CERT", cert)
	out := packed(t, "1.0.0", "msi")
	path := filepath.Join(out, "postern-agent-1.0.0-amd64.msi")
	if text, err := exec.CommandContext(t.Context(), program, "verify", "-CAfile", cert, "-in", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	public, sums := filepath.Join(dir, "public.pem"), filepath.Join(out, "postern-agent-checksums.txt")
	if err := openssl("x509", "-in", cert, "-pubkey", "-noout", "-out", public); err != nil {
		t.Fatal(err)
	}
	if err := openssl("dgst", "-sha256", "-verify", public, "-signature", sums+".sig", sums); err != nil {
		t.Errorf("the checksums' signature: %v", err)
	}
}

func TestInstallerForWindowsEnrolsUpgradesRefusesAndLeavesNothing(t *testing.T) {
	env := startEdge(t, edgeConfig{}).environment(t, "windows", "demo")
	env.permit()
	w := newWindows(t)
	old, newer, newest := msi(t, packed(t, "1.0.0", "msi")), msi(t, packed(t, "1.1.0", "msi")), msi(t, packed(t, "1.2.0", "msi"))
	config := w.bring("agent.toml", windowsConfig)

	// A ticket that is none, and one of another hub: the installation is taken back.
	w.msiexec(msiFailed, "/i", old, "CONFIGFILE="+config, "TICKETFILE="+w.bring("broken", "no ticket"))
	w.gone("enrolment failed", programFolder, dataFolder)
	ticket := w.bring("ticket", env.ticket())
	w.msiexec(msiFailed, "/i", old, "CONFIGFILE="+config, "TICKETFILE="+ticket, "HUB=https://id.example.net")
	w.gone("the ticket is another hub's", programFolder, dataFolder)

	began := time.Now()
	w.msiexec(msiDone, "/i", old, "CONFIGFILE="+config, "TICKETFILE="+ticket, "HUB="+env.edge.url)
	if code, out := w.agent("status"); code != 0 || !strings.Contains(out, "PosternAgent runs") || !strings.Contains(out, env.directory) {
		t.Fatalf("status after the installation: %d\n%s", code, out)
	}
	env.waitSynced(began)
	env.recovers(0)
	first := w.state()
	if strings.Contains(first["keys.json"], "noise_private") || !strings.Contains(first["keys.json"], "dpapi") {
		t.Error("the keys are not sealed by DPAPI")
	}
	service := w.registry(`HKLM\System\CurrentControlSet\Services\PosternAgent`)
	for _, want := range []string{`NT SERVICE\PosternAgent`, `run --service --config "C:\ProgramData\Postern\agent.toml"`} {
		if !strings.Contains(service, want) {
			t.Errorf("the service lacks %s:\n%s", want, service)
		}
	}
	if events := w.registry(`HKLM\System\CurrentControlSet\Services\EventLog\Application\PosternAgent`); !strings.Contains(events, "EventCreate.exe") {
		t.Errorf("the source of events: %s", events)
	}

	w.msiexec(msiDone, "/i", newer)
	if code, out := w.agent("version"); code != 0 || !strings.Contains(out, "1.1.0") {
		t.Errorf("after the upgrade: %d %s", code, out)
	}
	if code, out := w.agent("status"); code != 0 {
		t.Errorf("status after the upgrade: %d\n%s", code, out)
	}
	env.recovers(1)
	same(t, "the upgrade", first, w.state())

	w.msiexec(msiRefused, "/i", old)
	if code, out := w.agent("status"); code != 0 || !strings.Contains(out, "runs") {
		t.Errorf("after a refused downgrade: %d\n%s", code, out)
	}

	// An upgrade whose agent does not start fails, and the agent stays who it is.
	path := w.wine.C(dataFolder + "/agent.toml")
	if err := os.WriteFile(path, []byte(windowsConfig+"[gaurd]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.msiexec(msiFailed, "/i", newest)
	same(t, "a failing upgrade", first, w.state())
	if err := os.WriteFile(path, []byte(windowsConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	w.msiexec(msiDone, "/i", newest)
	env.recovers(2)
	same(t, "the upgrade after it", first, w.state())

	w.msiexec(msiDone, "/x", newest)
	w.gone("removal", programFolder)
	same(t, "removal", first, w.state())
	w.msiexec(msiDone, "/i", newest)
	env.recovers(3)
	w.msiexec(msiDone, "/x", newest, "PURGE=1")
	w.gone("removal with PURGE=1", programFolder, dataFolder)
}

// same fails the test unless the agent is who it was.
func same(t *testing.T, what string, want, got map[string]string) {
	t.Helper()
	for name := range want {
		if want[name] != got[name] {
			t.Errorf("%s changed %s", what, name)
		}
	}
}

// Without an installer the program installs itself, and says how it is.
func TestInstallerInTheProgramItselfWorksOnWindows(t *testing.T) {
	env := startEdge(t, edgeConfig{}).environment(t, "byhand", "demo")
	w := newWindows(t)
	exe := w.wine.C(programFolder + "/postern-agent.exe")
	if err := os.MkdirAll(filepath.Dir(exe), 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", exe, "../../cmd/postern-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if code, out := w.agent("status"); code != 4 || !strings.Contains(out, "not installed") {
		t.Errorf("before: %d %s", code, out)
	}
	if code, out := w.agent("install", "--account", `NT AUTHORITY\SYSTEM`); code != 1 || !strings.Contains(out, "needs none of the rights") {
		t.Errorf("as the system: %d %s", code, out)
	}
	ticket := w.bring("ticket", env.ticket())
	if code, out := w.agent("install", "--from", w.bring("agent.toml", windowsConfig), "--ticket-file", ticket); code != 0 {
		t.Fatalf("install: %d %s", code, out)
	}
	if code, out := w.agent("status"); code != 3 || !strings.Contains(out, "stopped") {
		t.Errorf("installed: %d %s", code, out)
	}
	began := time.Now()
	if code, out := w.agent("start"); code != 0 {
		t.Fatalf("start: %d %s", code, out)
	}
	env.waitSynced(began)
	if code, out := w.agent("status"); code != 0 || !strings.Contains(out, `NT SERVICE\PosternAgent`) {
		t.Errorf("started: %d %s", code, out)
	}
	if code, out := w.agent("stop"); code != 0 {
		t.Errorf("stop: %d %s", code, out)
	}
	// What does not work does not look as if it did.
	if err := os.WriteFile(w.wine.C(dataFolder+"/agent.toml"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := w.agent("start"); code != 1 || !strings.Contains(out, "ended with code 1") {
		t.Errorf("start of what cannot work: %d %s", code, out)
	}
	if code, out := w.agent("uninstall", "--purge"); code != 0 {
		t.Errorf("uninstall: %d %s", code, out)
	}
	w.gone("uninstall --purge", dataFolder)
}

// What only Windows has is tested where something like it is.
func TestInstallerTestsOfTheAgentForWindowsPass(t *testing.T) {
	w := &windows{t, testenv.NewWine(t), testenv.Dir(t)}
	program := filepath.Join(w.dir, "agent.test.exe")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, "../../agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	code, out, err := w.wine.Run(t.Context(), testenv.Z(program), "-test.v", "-test.run", "TestT29_TheKeysAreSealedForThisMachineByDPAPI")
	if err != nil || code != 0 || !strings.Contains(out, "--- PASS: TestT29_TheKeysAreSealedForThisMachineByDPAPI") {
		t.Errorf("%d %v\n%s", code, err, out)
	}
}
