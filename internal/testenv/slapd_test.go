package testenv_test

import (
	"net"
	"os"
	"slices"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

func TestSlapdServesTheCompanyAndLeavesNothing(t *testing.T) {
	var dir, addr string
	t.Run("serves", func(t *testing.T) {
		s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 30})
		dir, addr = s.Dir, s.Addr()
		for _, uid := range []string{"anna", "jürgen", "emp000029"} {
			if err := s.WhoAmI(testenv.SlapdDN(uid), testenv.SlapdEmployeePassword); err != nil {
				t.Error(err)
			}
		}
		if err := s.WhoAmI(testenv.SlapdAgent, testenv.SlapdAgentPassword); err != nil {
			t.Error(err)
		}
		if got := s.Values(t, testenv.SlapdDN("anna"), "entryUUID"); !slices.Equal(got, []string{testenv.SlapdID(testenv.SlapdDN("anna"))}) {
			t.Errorf("entryUUID %v", got)
		}
		if err := s.WhoAmI(testenv.SlapdDN("dora"), testenv.SlapdEmployeePassword); err == nil {
			t.Error("an account that an administrator locked signs in")
		}
		s.Lock(t, testenv.SlapdDN("cleo"))
		if err := s.WhoAmI(testenv.SlapdDN("cleo"), testenv.SlapdEmployeePassword); err == nil {
			t.Error("a locked account signs in")
		}
		s.Modify(t, "dn: "+testenv.SlapdDN("ben")+"\nchangetype: modify\nreplace: title\ntitle: Boss\n")
		if got := s.Changes(t, testenv.SlapdDN("ben"), testenv.SlapdRoot); !slices.Equal(got, []string{"modify"}) {
			t.Errorf("access log: %v", got)
		}
		s.Stop()
		s.Start(t)
		if err := s.WhoAmI(testenv.SlapdDN("ben"), testenv.SlapdEmployeePassword); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(dir); dir != "" && !os.IsNotExist(err) {
		t.Errorf("the server's directory is still there: %v", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("something still listens on the server's port")
	}
}

func TestSlapdRunsWithoutPolicy(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{NoPolicy: true})
	if err := s.WhoAmI(testenv.SlapdDN("dora"), testenv.SlapdEmployeePassword); err != nil {
		t.Error(err)
	}
}
