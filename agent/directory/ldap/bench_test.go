package ldap

import (
	"os"
	"os/exec"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/internal/testenv"
)

// BenchmarkList reads 100,000 accounts; ldapsearch reads the same attributes beside it,
// as the measure of the machine.
func BenchmarkList(b *testing.B) {
	s := testenv.StartSlapd(b, testenv.SlapdOptions{People: 100_000})
	cfg := configFor(b, s.Addr(), s.CAFile)
	b.Run("ldapsearch", func(b *testing.B) {
		complete, err := cfg.complete()
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			args := append([]string{"-x", "-LLL", "-H", s.URL(), "-D", testenv.SlapdAgent, "-w", testenv.SlapdAgentPassword,
				"-b", testenv.SlapdPeople, "-E", "pr=1000/noprompt", complete.Filter}, complete.accountAttributes()...)
			cmd := exec.CommandContext(b.Context(), testenv.Need(b, "ldapsearch"), args...)
			cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+s.CAFile)
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		d := openAt(b, cfg)
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			if _, err := d.List(b.Context(), "", 1000, func(p directory.Page) error { n += len(p.Accounts); return nil }); err != nil || n < 100_000 {
				b.Fatalf("%d accounts, %v", n, err)
			}
		}
	})
}
