package testenv

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

	domain   string // corp; others are empty
	root     string // what remove takes away, if it is not Dir
	services string // of smb.conf
	tools    map[string]string
	claim    net.Listener // holds the address
	child    *Child
}

var sharedSamba struct {
	sync.Mutex
	server *Samba
}

// SharedSamba returns the one domain controller of this test process, starting it at
// first. The package's TestMain must call Run.
func SharedSamba(t testing.TB) *Samba {
	t.Helper()
	sharedSamba.Lock()
	defer sharedSamba.Unlock()
	if sharedSamba.server == nil {
		s := newSamba(t)
		AtEnd(t, s.remove)
		sharedSamba.server = s
	}
	return sharedSamba.server
}

// StartSamba starts a domain controller of the test's own, to be stopped and started
// by it.
func StartSamba(t testing.TB) *Samba {
	t.Helper()
	s := newSamba(t)
	t.Cleanup(s.remove)
	return s
}

func newSamba(t testing.TB) *Samba {
	t.Helper()
	s := prepareSamba(t, "dc1")
	if err := s.init(); err != nil {
		s.remove()
		t.Fatal(err)
	}
	return s
}

// prepareSamba looks for what a controller needs.
func prepareSamba(t testing.TB, name string) *Samba {
	t.Helper()
	s := &Samba{Host: name + ".corp.example", domain: "corp", services: "ldap", tools: map[string]string{}}
	for _, p := range []string{"samba", "samba-tool", sambaPython, "tar"} {
		s.tools[p] = Need(t, p)
	}
	if os.Getuid() != 0 {
		Missing(t, "Samba AD DC as root (ports 389 and 636)")
	}
	return s
}

// name is the controller's own.
func (s *Samba) name() string { name, _, _ := strings.Cut(s.Host, "."); return name }

// realm is the Kerberos realm of its domain.
func (s *Samba) realm() string { return strings.ToUpper(s.domain) + ".EXAMPLE" }

// StartSambaDomain starts the domain controller of another domain, DC=name,DC=example, of
// the test's own, with nobody but its administrator in it.
func StartSambaDomain(t testing.TB, name string) *Samba {
	t.Helper()
	s := prepareSamba(t, "dc1")
	s.Host, s.domain = "dc1."+name+".example", name
	t.Cleanup(s.remove)
	if err := s.init(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Base is the domain's DN.
func (s *Samba) Base() string { return "DC=" + s.domain + ",DC=example" }

func (s *Samba) init() error {
	ctx, cancel := context.WithTimeout(context.Background(), sambaProvision)
	defer cancel()
	archive, err := s.archive(ctx)
	if err != nil {
		return err
	}
	if s.claim, s.Addr, err = claimLoopback(); err != nil {
		return err
	}
	if s.Dir, err = ShortDir(); err != nil {
		return err
	}
	if err := s.unpack(ctx, archive); err != nil {
		return err
	}
	return s.start()
}

// URL returns the LDAPS address.
func (s *Samba) URL() string { return "ldaps://" + s.Addr + ":636" }

// PlainURL returns the address of port 389, which takes StartTLS.
func (s *Samba) PlainURL() string { return "ldap://" + s.Addr + ":389" }

// Stop stops the server; its database stays.
func (s *Samba) Stop() {
	if s.child != nil {
		s.child.Stop()
		s.child = nil
	}
}

// Kill ends the server as a crash would.
func (s *Samba) Kill() {
	if s.child != nil {
		s.child.Kill()
		s.child = nil
	}
}

// Start starts a stopped server again at the same address.
func (s *Samba) Start(t testing.TB) {
	t.Helper()
	if s.child != nil {
		return
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

func (s *Samba) remove() {
	s.Stop()
	for _, dir := range []string{s.root, s.Dir} {
		if dir != "" {
			_ = os.RemoveAll(dir)
		}
	}
	if s.claim != nil {
		_ = s.claim.Close()
	}
}

func (s *Samba) unpack(ctx context.Context, archive string) error {
	if err := RunAs(ctx, "", s.Dir, s.tools["tar"], "-C", s.Dir, "-xzf", archive); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	if s.domain != "corp" {
		return nil
	}
	return s.seed(ctx)
}

// prepare makes what a controller's folder needs besides its databases.
func (s *Samba) prepare() error {
	for _, d := range []string{"cache", "ncalrpc", "tls"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, d), 0o700); err != nil {
			return err
		}
	}
	var err error
	if s.CAFile, err = WriteCertificate(filepath.Join(s.Dir, "tls"), s.Addr, s.Host, "localhost"); err != nil {
		return err
	}
	return os.WriteFile(s.conf(), []byte(sambaConf(s)), 0o600)
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
	return RunAs(ctx, "", s.Dir, sambaPython, script, s.Dir, string(passwords))
}

// start runs the server in the foreground as one process.
func (s *Samba) start() (err error) {
	s.child, err = StartChild(Command{
		Path: s.tools["samba"], Dir: s.Dir,
		Args: []string{"-i", "-M", "single", "--debug-stdout", "-d1", "-s", s.conf()},
		Ready: func(ctx context.Context) error {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(s.Addr, "636"))
			if err != nil {
				return err
			}
			return c.Close()
		},
	})
	return err
}

// claimLoopback finds an address of its own and holds it.
func claimLoopback() (net.Listener, string, error) {
	for n := sambaFirst; n <= sambaLast; n++ {
		addr := fmt.Sprintf("127.0.0.%d", n)
		claim, err := net.Listen("tcp", fmt.Sprintf("%s:%d", addr, sambaClaimPort))
		if err != nil {
			continue
		}
		if bindable(addr, "389") && bindable(addr, "636") {
			return claim, addr, nil
		}
		_ = claim.Close()
	}
	return nil, "", errors.New("testenv: no free loopback address for a domain controller")
}

func bindable(addr, port string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(addr, port))
	return err == nil && l.Close() == nil
}
