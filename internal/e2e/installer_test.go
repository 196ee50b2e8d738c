//go:build installer

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/postern-id/postern/agent/directory/demo"
	"github.com/postern-id/postern/internal/testenv"
)

// packed packs the agent of this tree in one version and returns the folder.
func packed(t *testing.T, version, formats string) string {
	t.Helper()
	tools, out := testenv.Dir(t), testenv.Dir(t)
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(t.Context(), "go", "-C", "../tools", "build", "-o", tools, "github.com/goreleaser/nfpm/v2/cmd/nfpm"),
		exec.CommandContext(t.Context(), "bash", "../../packaging/agent/agent.sh"),
	} {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "VERSION="+version, "NFPM="+filepath.Join(tools, "nfpm"), "OUT="+out, "ARCHS=amd64", "FORMATS="+formats)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, text)
		}
	}
	return out
}

// somebody is the n-th plain employee of the demo's company: an agent changes each account
// a few times an hour.
func somebody(t *testing.T, n int) demo.Account {
	t.Helper()
	for _, a := range demo.Accounts() {
		if a.PersonalEmail == "" || a.Note != "" {
			continue
		}
		if n--; n < 0 {
			return a
		}
	}
	t.Fatal("the demo's company has not so many plain people")
	return demo.Account{}
}

// recovers lets the n-th employee of the demo's company get a temporary password, which
// proves that the installed agent does its work.
func (v *environment) recovers(n int) {
	v.t.Helper()
	who := somebody(v.t, n)
	before := v.codes(who.PersonalEmail)
	secret := v.visit().reset(who.Email, func() string { return v.code(who.PersonalEmail, before) })
	if len(secret) < 12 {
		v.t.Errorf("the temporary password has %d characters", len(secret))
	}
}
