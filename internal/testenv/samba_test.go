package testenv_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/postern-id/postern/internal/testenv"
)

func dialSamba(t *testing.T, s *testenv.Samba) *ldap.Conn {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := ldap.DialURL(s.URL(), ldap.DialWithTLSConfig(&tls.Config{RootCAs: roots, ServerName: s.Host}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSambaServesTheSeededCompanyAndLeavesNothing(t *testing.T) {
	testenv.NeedSamba(t)
	s, err := testenv.OpenSamba(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			s.Close()
		}
	}()
	c := dialSamba(t, s)
	if err := c.Bind(testenv.SambaService, testenv.SambaServicePassword); err != nil {
		t.Fatal(err)
	}
	r, err := c.Search(ldap.NewSearchRequest(testenv.SambaStaff, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 10, false,
		"(&(objectClass=user)(objectCategory=person))", []string{"cn"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Entries) != 14 {
		t.Errorf("%d people in the staff unit, want 14", len(r.Entries))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	closed = true
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("the server's directory is still there: %v", err)
	}
	if c, err := net.Dial("tcp", s.Addr+":636"); err == nil {
		c.Close()
		t.Error("something still listens on the server's port")
	}
}
