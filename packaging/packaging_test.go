package packaging

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestT35_TheUnitIsHardened(t *testing.T) {
	program := testenv.Need(t, "systemd-analyze")
	// The threshold is in tenths: 2.0 of 10, where less is better.
	out, err := exec.CommandContext(t.Context(), program, "security", "--offline=true", "--threshold=20", "postern.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestT26_ThePackageKeepsTheMasterKeyOutsideTheDataFolder(t *testing.T) {
	unit, post, config := read(t, "postern.service"), read(t, "scripts/postinst.sh"), read(t, "../Caddyfile.example")
	for what, ok := range map[string]bool{
		"the unit hands the key over as a credential":       strings.Contains(unit, "\nLoadCredential=master.key:/etc/postern/master.key\n"),
		"the shipped configuration reads that credential":   strings.Contains(config, "master_key credential master.key\n"),
		"the key is made outside the data folder":           strings.Contains(post, "/dev/urandom > /etc/postern/master.key"),
		"nobody but root and the service reads it":          strings.Contains(post, "chmod 0640 /etc/postern/master.key") && strings.Contains(post, "umask 027"),
		"the data folder is the service's":                  strings.Contains(unit, "\nStateDirectory=postern\nStateDirectoryMode=0700\n"),
		"the admin socket lies in the service's own folder": strings.Contains(config, "admin unix//run/postern/admin.sock|0600\n") && strings.Contains(unit, "\nRuntimeDirectoryMode=0700\n"),
	} {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
}

func TestMaintainerScriptsAreSound(t *testing.T) {
	for _, name := range []string{"dist.sh", "scripts/postinst.sh", "scripts/prerm.sh", "scripts/postrm.sh",
		"agent/agent.sh", "agent/postinst.sh", "agent/prerm.sh", "agent/postrm.sh", "windows/msi.sh"} {
		if out, err := exec.CommandContext(t.Context(), "bash", "-n", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", name, err, out)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s is not executable: %v", name, err)
		}
		if !strings.Contains(read(t, name), "\nset -e") {
			t.Errorf("%s goes on after an error", name)
		}
	}
}
