package testenv

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sambaJoin bounds how long a second controller takes to join: 4 s on an idle machine.
const sambaJoin = 2 * time.Minute

// StartSambaPair starts two domain controllers of one domain, of the test's own. The
// first one has every role, the PDC emulator's too. Changes reach the other one when a
// test pulls them.
func StartSambaPair(t testing.TB) (first, second *Samba) {
	t.Helper()
	first = prepareSamba(t, "dc1")
	first.services = "ldap cldap rpc"
	t.Cleanup(first.remove)
	if err := first.init(); err != nil {
		t.Fatal(err)
	}
	second = prepareSamba(t, "dc2")
	second.services = "ldap cldap rpc"
	t.Cleanup(second.remove)
	if err := second.join(first); err != nil {
		t.Fatal(err)
	}
	return first, second
}

// join makes s another controller of a domain and starts it.
func (s *Samba) join(of *Samba) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), sambaJoin)
	defer cancel()
	if s.claim, s.Addr, err = claimLoopback(); err != nil {
		return err
	}
	if s.root, err = ShortDir(); err != nil {
		return err
	}
	empty := filepath.Join(s.root, "empty.conf")
	if err := os.WriteFile(empty, []byte("[global]\n"), 0o600); err != nil {
		return err
	}
	target := filepath.Join(s.root, "d")
	err = RunAs(ctx, "", s.root, s.tools["samba-tool"], "domain", "join", strings.ToLower(SambaRealm), "DC", "--configfile="+empty,
		"--server="+of.Addr, `-UCORP\administrator%`+SambaAdminPassword, "--targetdir="+target, "--dns-backend=NONE",
		"--option=interfaces="+s.Addr+"/8", "--option=bind interfaces only=yes", "--option=netbios name="+strings.ToUpper(s.name()),
		"--option=workgroup=CORP", "--option=realm="+SambaRealm, "--option=server services=ldap")
	if err != nil {
		return err
	}
	s.Dir = target
	if err := s.prepare(); err != nil {
		return err
	}
	return s.start()
}

// Pull brings what another controller of the domain knows to this one, as replication
// does after a while.
func (s *Samba) Pull(t testing.TB, from *Samba) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sambaJoin)
	defer cancel()
	err := RunAs(ctx, "", s.Dir, s.tools["samba-tool"], "drs", "replicate", s.Addr, from.Addr, SambaBase, "--local",
		"-s", s.conf(), `-UCORP\administrator%`+SambaAdminPassword)
	if err != nil {
		t.Fatal(err)
	}
}

// Keep copies everything that the controller has. It stops for that moment.
func (s *Samba) Keep(t testing.TB) {
	t.Helper()
	s.copyState(t, "private", "kept")
}

// Restore puts the controller back to what Keep copied, as somebody does who restores an
// old image of its disk: it keeps its identity and does not know that it was away.
func (s *Samba) Restore(t testing.TB) {
	t.Helper()
	s.copyState(t, "kept", "private")
}

func (s *Samba) copyState(t testing.TB, from, to string) {
	t.Helper()
	s.Stop()
	if err := os.RemoveAll(filepath.Join(s.Dir, to)); err != nil {
		t.Fatal(err)
	}
	if err := RunAs(t.Context(), "", s.Dir, "cp", "-a", from, to); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
}

// Up reports whether the controller takes connections.
func (s *Samba) Up() bool {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(s.Addr, "636"), time.Second)
	return err == nil && c.Close() == nil
}
