package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// archive returns the provisioned state of a domain as a tarball, made once per
// Samba version and user. It holds keys and hashes: it stays in the cache directory.
// Processes that arrive together wait for the first.
func (s *Samba) archive(ctx context.Context) (string, error) {
	version, err := exec.CommandContext(ctx, s.tools["samba"], "--version").Output()
	if err != nil {
		return "", fmt.Errorf("samba --version: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "postern-test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	name := "samba-" + strings.Map(versionRune, strings.TrimSpace(string(version))) + strings.TrimSuffix("-"+s.domain, "-corp") + ".tgz"
	archive := filepath.Join(dir, name)
	lock, err := provisionLock(ctx)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	return archive, s.provision(ctx, archive)
}

func versionRune(r rune) rune {
	if r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return '_'
}

// provisionLock waits until no other process provisions. The lock is an address, so
// that the kernel releases it with the process.
func provisionLock(ctx context.Context) (net.Listener, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:%d", sambaFirst-1, sambaClaimPort))
		if err == nil {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another process has been provisioning Samba for too long: %w", err)
		case <-tick.C:
		}
	}
}

// provision makes a domain in a directory in memory (fsync dominates: 6 s there,
// 20 s on disk) and moves the finished tarball into place.
func (s *Samba) provision(ctx context.Context, archive string) error {
	dir, err := ShortDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// An empty configuration keeps Debian's /etc/samba/smb.conf out.
	empty := filepath.Join(dir, "empty.conf")
	if err := os.WriteFile(empty, []byte("[global]\n"), 0o600); err != nil {
		return err
	}
	target := filepath.Join(dir, "d")
	err = RunAs(ctx, "", dir, s.tools["samba-tool"], "domain", "provision", "--configfile="+empty, "--targetdir="+target,
		"--realm="+s.realm(), "--domain="+strings.ToUpper(s.domain), "--server-role=dc", "--dns-backend=NONE",
		"--adminpass="+SambaAdminPassword, "--host-name=dc1", "--host-ip=127.0.0.50",
		"--option=interfaces=127.0.0.50/8", "--option=bind interfaces only=yes", "--option=server services=ldap")
	if err != nil {
		return err
	}
	if err := RunAs(ctx, "", dir, s.tools["tar"], "-C", target, "-czf", archive+".new", "."); err != nil {
		return err
	}
	return os.Rename(archive+".new", archive)
}

// sambaConf is the configuration of one instance; the databases hold only relative paths.
func sambaConf(s *Samba) string {
	return strings.NewReplacer("DIR", s.Dir, "ADDR", s.Addr, "NAME", strings.ToUpper(s.name()), "SERVICES", s.services, "REALM", s.realm(), "SHORT", strings.ToUpper(s.domain)).Replace(`[global]
	netbios name = NAME
	workgroup = SHORT
	realm = REALM
	server role = active directory domain controller
	server services = SERVICES
	interfaces = ADDR/8
	bind interfaces only = yes
	private dir = DIR/private
	state directory = DIR/state
	cache directory = DIR/cache
	lock directory = DIR
	pid directory = DIR
	ncalrpc dir = DIR/ncalrpc
	binddns dir = DIR/bind-dns
	winbindd socket directory = DIR/winbindd
	ntp signd socket directory = DIR/ntp_signd
	tls keyfile = DIR/tls/key.pem
	tls certfile = DIR/tls/cert.pem
	tls cafile = DIR/tls/ca.pem
	log file = DIR/samba.log
	ldap server require strong auth = yes
	old password allowed period = 0
	disable spoolss = yes
	load printers = no
[sysvol]
	path = DIR/state/sysvol
	read only = No
`)
}
