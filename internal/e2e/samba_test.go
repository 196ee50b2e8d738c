package e2e

import (
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// TestAnEmployeeInActiveDirectoryGetsBackIn runs over TLS: Chromium has the edge's
// authority in its own store, the agent in its file, and the recovery domain gets its
// certificate on demand.
func TestAnEmployeeInActiveDirectoryGetsBackIn(t *testing.T) {
	t.Parallel()
	s := testenv.SharedSamba(t)
	e := startEdge(t, edgeConfig{TLS: true})
	v := e.environment(t, "corp", "ad")
	file := sambaAgent(s)
	file.Hub = `ca_file = "` + e.caFile() + `"`
	v.startAgent(file)
	b := testenv.ChromiumTrusting(t, e.caFile())
	j := v.on(b)

	const mail, private, upn = "anna.berg@corp.example", "anna@home.example", "anna.berg@corp.example"
	j.start(mail, "password")
	j.prove(v.code(private, 0))
	b.Reload() // in the middle: it goes on, and the key stays
	secret := j.reset()
	b.WaitText("choose a new password")
	if err := s.Bind(t, upn, secret); !said(err, "data 773") {
		t.Errorf("the temporary password: %v, want that it must be changed", err)
	}
	if err := s.Bind(t, upn, testenv.SambaEmployeePassword); !said(err, "data 52e") {
		t.Errorf("the old password: %v, want that it is wrong", err)
	}
	j.pressAgain()
	if err := s.Bind(t, upn, secret); !said(err, "data 773") {
		t.Errorf("a second press reset again: %v", err)
	}
	j.acknowledge(secret)

	const locked = "emp001@corp.example"
	s.Lock(t, locked)
	if err := s.Bind(t, locked, testenv.SambaEmployeePassword); !said(err, "data 775") {
		t.Fatalf("the right password of a locked account: %v", err)
	}
	j.start(locked, "unlock")
	j.prove(v.code("emp001@home.example", 0))
	j.press("Your account is unlocked")
	if err := s.Bind(t, locked, testenv.SambaEmployeePassword); err != nil {
		t.Errorf("after the unlock: %v", err)
	}
}

// said reports whether an error of a directory holds the text.
func said(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }
