package testenv

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the seeded domain is called, and who signs in to it with which password.
const (
	SambaRealm            = "CORP.EXAMPLE"
	SambaBase             = "DC=corp,DC=example"
	SambaStaff            = "OU=Staff," + SambaBase    // delegated to the service account
	SambaPartners         = "OU=Partners," + SambaBase // not delegated
	SambaAdmin            = "administrator@corp.example"
	SambaAdminPassword    = "Adm1n-Passw0rd!"
	SambaService          = "svc-recovery@corp.example" // has the three rights on SambaStaff and sees deletions
	SambaServicePassword  = "Svc-Passw0rd!!1"
	SambaEmployeePassword = "Init-Passw0rd-2024-and-longer-still" // long enough for the stricter policy of Finance
)

// Sizes and patience of a throw-away domain controller.
const (
	sambaFirst, sambaLast = 60, 250            // 127.0.0.N: Samba has no option for the LDAP port, so each instance has an address
	sambaClaimPort        = 6360               // held while an instance runs, so that two tests never choose one address
	sambaProvision        = 5 * time.Minute    // 6 s on an idle machine
	sambaStart            = 60 * time.Second   // 0.4–2.5 s on an idle machine
	sambaStop             = 10 * time.Second   // 0.5 s
	sambaPython           = "/usr/bin/python3" // only Debian's own has the bindings
)

//go:embed samba_seed.py
var sambaSeed []byte

// A Samba is a real Active Directory domain controller of Samba, seeded with the
// company of samba_seed.py: anna.berg, juergen (non-ASCII names), fritz (stricter
// password policy, 24 characters), dora (disabled), vera (outside the delegated OU),
// emp001 to emp005; chief, deputy, primus, opera and keeper are privileged, each in
// another way; "Domain Admins" bears a German name. Three failed binds lock an
// account for 30 minutes; passwords need ten characters; there is no grace for old
// ones.
type Samba struct {
	Addr   string // 127.0.0.N; serves 389 and 636
	Host   string // a name in the certificate
	CAFile string // PEM of the throw-away CA
	Dir    string // everything it writes

	claim net.Listener // holds the address
	child *exec.Cmd
	stdin interface{ Close() error }
	ended chan error
}

// StartSamba starts a domain controller for one test and stops it with the test.
// Without the packages or root the test is skipped.
func StartSamba(tb testing.TB) *Samba {
	tb.Helper()
	NeedSamba(tb)
	s, err := OpenSamba(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// NeedSamba skips the test where Samba cannot run, and fails it when CI=true.
func NeedSamba(tb testing.TB) {
	tb.Helper()
	if err := sambaMissing(); err != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatal(err)
		}
		tb.Skip(err)
	}
}

func sambaMissing() error {
	for _, p := range []string{"samba", "samba-tool", sambaPython, "tar"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("no Samba AD DC here: apt-get install samba-ad-dc samba-ad-provision (%w)", err)
		}
	}
	if os.Getuid() != 0 {
		return errors.New("a Samba AD DC needs root: it binds ports 389 and 636")
	}
	return nil
}

// OpenSamba starts a domain controller that several tests share; TestMain closes it.
// It dies with this process too. ctx bounds the start only.
func OpenSamba(ctx context.Context) (*Samba, error) {
	archive, err := sambaArchive(ctx)
	if err != nil {
		return nil, err
	}
	s := &Samba{Host: "dc1.corp.example"}
	if s.claim, s.Addr, err = claimLoopback(); err != nil {
		return nil, err
	}
	if s.Dir, err = os.MkdirTemp(shortTemp(), "dc"); err == nil {
		err = s.prepare(ctx, archive)
	}
	if err == nil {
		err = s.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// URL returns the LDAPS address.
func (s *Samba) URL() string { return "ldaps://" + s.Addr + ":636" }

// PlainURL returns the address of port 389, which takes StartTLS.
func (s *Samba) PlainURL() string { return "ldap://" + s.Addr + ":389" }

// Close stops the server and removes everything that it wrote.
func (s *Samba) Close() error {
	err := s.stop()
	if s.Dir != "" {
		err = errors.Join(err, os.RemoveAll(s.Dir))
	}
	return errors.Join(err, s.claim.Close())
}

func (s *Samba) stop() error {
	if s.child == nil {
		return nil
	}
	_ = s.child.Process.Signal(syscall.SIGTERM)
	defer s.stdin.Close()
	select {
	case <-s.ended:
		return nil
	case <-time.After(sambaStop):
		_ = s.child.Process.Kill()
		<-s.ended
		return errors.New("samba had to be killed")
	}
}

func (s *Samba) prepare(ctx context.Context, archive string) error {
	if err := run(ctx, "tar", "-C", s.Dir, "-xzf", archive); err != nil {
		return err
	}
	for _, d := range []string{"cache", "ncalrpc", "tls"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, d), 0o700); err != nil {
			return err
		}
	}
	var err error
	if s.CAFile, err = sambaCertificate(filepath.Join(s.Dir, "tls"), s.Addr, s.Host, "localhost"); err != nil {
		return err
	}
	if err := os.WriteFile(s.conf(), []byte(sambaConf(s.Dir, s.Addr)), 0o600); err != nil {
		return err
	}
	return s.seed(ctx)
}

func (s *Samba) conf() string { return filepath.Join(s.Dir, "etc", "smb.conf") }

func (s *Samba) seed(ctx context.Context) error {
	script := filepath.Join(s.Dir, "seed.py")
	if err := os.WriteFile(script, sambaSeed, 0o600); err != nil {
		return err
	}
	passwords, err := json.Marshal(map[string]string{"employee": SambaEmployeePassword, "service": SambaServicePassword})
	if err != nil {
		return err
	}
	return run(ctx, sambaPython, script, s.Dir, string(passwords))
}

// start runs the server in the foreground. Its stdin is a pipe of this process: Samba
// ends when that closes, so it never outlives a test that was killed.
func (s *Samba) start(ctx context.Context) error {
	log, err := os.Create(filepath.Join(s.Dir, "stdout.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("samba", "-i", "-M", "single", "--debug-stdout", "-d1", "-s", s.conf())
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.child, s.stdin, s.ended = cmd, stdin, make(chan error, 1)
	go func() { s.ended <- cmd.Wait(); close(s.ended) }()
	return s.await(ctx, log.Name())
}

// await returns when the LDAPS port answers.
func (s *Samba) await(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, sambaStart)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", net.JoinHostPort(s.Addr, "636")); err == nil {
			return c.Close()
		}
		select {
		case <-s.ended:
			text, _ := os.ReadFile(log)
			return fmt.Errorf("samba ended while starting: %s", tail(text))
		case <-ctx.Done():
			return fmt.Errorf("samba did not answer on %s:636: %w", s.Addr, ctx.Err())
		case <-tick.C:
		}
	}
}

// claimLoopback finds an address of its own and holds it.
func claimLoopback() (net.Listener, string, error) {
	for n := sambaFirst; n <= sambaLast; n++ {
		addr := fmt.Sprintf("127.0.0.%d", n)
		claim, err := net.Listen("tcp", fmt.Sprintf("%s:%d", addr, sambaClaimPort))
		if err != nil {
			continue
		}
		if free(addr, "389") && free(addr, "636") {
			return claim, addr, nil
		}
		claim.Close()
	}
	return nil, "", errors.New("no free loopback address for a domain controller")
}

func free(addr, port string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(addr, port))
	if err == nil {
		l.Close()
	}
	return err == nil
}

// shortTemp is where directories of servers go: in memory where possible, and short,
// because a unix socket's path has at most 107 bytes.
func shortTemp() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// run waits for a tool and puts the end of its output into the error.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, tail(out))
	}
	return nil
}

func tail(out []byte) string {
	const most = 1500
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return strings.TrimSpace(string(out))
}
