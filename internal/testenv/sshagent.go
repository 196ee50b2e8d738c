package testenv

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Kinds of keys, as ssh-keygen has them.
const (
	SSHP256    = "ecdsa"
	SSHRSA     = "rsa"
	SSHEd25519 = "ed25519"
)

// sshBits are the sizes of kinds that have several.
var sshBits = map[string]string{SSHP256: "256", SSHRSA: "2048"}

// stepWithin bounds one run of a program that sets something up.
const stepWithin = 60 * time.Second

// An SSHAgent is OpenSSH's own agent. A stop loses all keys that it holds.
type SSHAgent struct {
	Socket string
	path   string
	dir    string
	hsm    *SoftHSM // whose module it may load; nil: none

	mu    sync.Mutex
	child *Child // nil while stopped
}

// StartSSHAgent starts an agent without keys. It loads the module of hsm when told to.
func StartSSHAgent(t testing.TB, hsm *SoftHSM) *SSHAgent {
	t.Helper()
	a := &SSHAgent{path: Need(t, "ssh-agent"), dir: Dir(t), hsm: hsm}
	a.Socket = filepath.Join(a.dir, "agent.sock")
	t.Cleanup(a.Stop)
	a.Start(t)
	return a
}

// Start starts a stopped agent again, without keys, at the same socket.
func (a *SSHAgent) Start(t testing.TB) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.child != nil {
		return
	}
	_ = os.Remove(a.Socket) // of one that was killed
	c := Command{Path: a.path, Args: []string{"-D", "-a", a.Socket}, Dir: a.dir, Ready: a.answers}
	if a.hsm != nil {
		c.Args, c.Env = append(c.Args, "-P", a.hsm.Module), a.hsm.Env()
	}
	child, err := StartChild(c)
	if err != nil {
		t.Fatal(err)
	}
	a.child = child
}

func (a *SSHAgent) answers(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", a.Socket)
	if err == nil {
		err = conn.Close()
	}
	return err
}

// Stop ends the agent at once.
func (a *SSHAgent) Stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.child != nil {
		a.child.Kill()
		a.child = nil
	}
}

// Signal sends a signal to the agent's process.
func (a *SSHAgent) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.child.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Make makes a key of a kind, loads it, and returns its fingerprint, and the file from
// which Load loads it again.
func (a *SSHAgent) Make(t testing.TB, kind string) (fingerprint, file string) {
	t.Helper()
	f, err := os.CreateTemp(a.dir, kind)
	if err != nil {
		t.Fatal(err)
	}
	file = f.Name()
	_ = f.Close()
	_ = os.Remove(file) // ssh-keygen writes over nothing
	args := []string{"-q", "-t", kind, "-N", "", "-C", "test", "-f", file}
	if sshBits[kind] != "" {
		args = append(args, "-b", sshBits[kind])
	}
	runIn(t, a.dir, nil, "ssh-keygen", args...)
	a.Load(t, file)
	return fingerprintIn(t, runIn(t, a.dir, nil, "ssh-keygen", "-l", "-f", file+".pub")), file
}

// Load loads the key of a file.
func (a *SSHAgent) Load(t testing.TB, file string) {
	t.Helper()
	runIn(t, a.dir, a.env(), "ssh-add", "-q", file)
}

// Unload takes the key of a file out again.
func (a *SSHAgent) Unload(t testing.TB, file string) {
	t.Helper()
	runIn(t, a.dir, a.env(), "ssh-add", "-q", "-d", file)
}

// LoadModule loads all keys of the token, and returns their fingerprints by label.
func (a *SSHAgent) LoadModule(t testing.TB) map[string]string {
	t.Helper()
	env := append(a.env(), "SSH_ASKPASS="+a.hsm.askpass(t), "SSH_ASKPASS_REQUIRE=force")
	runIn(t, a.dir, env, "ssh-add", "-s", a.hsm.Module)
	found := map[string]string{}
	for line := range strings.Lines(runIn(t, a.dir, a.env(), "ssh-add", "-l")) {
		if words := strings.Fields(line); len(words) > 2 {
			found[words[2]] = words[1]
		}
	}
	return found
}

func (a *SSHAgent) env() []string { return []string{"SSH_AUTH_SOCK=" + a.Socket} }

// fingerprintIn finds the fingerprint in a line of ssh-keygen.
func fingerprintIn(t testing.TB, line string) string {
	t.Helper()
	words := strings.Fields(line)
	if len(words) < 2 || !strings.HasPrefix(words[1], "SHA256:") {
		t.Fatalf("no fingerprint in %q", line)
	}
	return words[1]
}

// runIn runs a program to its end and returns what it wrote.
func runIn(t testing.TB, dir string, env []string, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stepWithin)
	defer cancel()
	cmd, err := command(ctx, Command{Path: Need(t, program), Args: args, Dir: dir, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
	return string(out)
}

// A SoftHSM is a token that is kept in files, behind a real PKCS #11 module.
type SoftHSM struct {
	Module string // path of the module
	dir    string
}

// softPIN is the PIN of the token.
const softPIN = "123456"

// NewSoftHSM makes a token without keys.
func NewSoftHSM(t testing.TB) *SoftHSM {
	t.Helper()
	Need(t, "softhsm2-util")
	Need(t, "pkcs11-tool")
	h := &SoftHSM{dir: Dir(t)}
	for _, pattern := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			h.Module = found[0]
			break
		}
	}
	if h.Module == "" {
		Missing(t, "the module libsofthsm2.so")
	}
	var err error
	if h.Module, err = filepath.EvalSymlinks(h.Module); err != nil { // as ssh-agent holds it against its list
		t.Fatal(err)
	}
	tokens := filepath.Join(h.dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := "directories.tokendir = " + tokens + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := os.WriteFile(filepath.Join(h.dir, "softhsm2.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	runIn(t, h.dir, h.Env(), "softhsm2-util", "--init-token", "--free", "--label", "postern", "--so-pin", softPIN, "--pin", softPIN)
	return h
}

// Env is what a program that loads the module needs in its environment.
func (h *SoftHSM) Env() []string {
	return []string{"SOFTHSM2_CONF=" + filepath.Join(h.dir, "softhsm2.conf")}
}

// Make makes a key in the token: of EC:prime256v1 or rsa:2048.
func (h *SoftHSM) Make(t testing.TB, label, kind, id string) {
	t.Helper()
	runIn(t, h.dir, h.Env(), "pkcs11-tool", "--module", h.Module, "--login", "--pin", softPIN, "--keypairgen", "--key-type", kind, "--label", label, "--id", id)
}

// askpass writes the program that tells ssh-add the PIN.
func (h *SoftHSM) askpass(t testing.TB) string {
	t.Helper()
	file := filepath.Join(h.dir, "askpass")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho "+softPIN+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}
