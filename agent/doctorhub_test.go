package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// certified makes an authority and a certificate of it.
func certified(t *testing.T, names ...string) (ca string, cert *tls.Certificate) {
	t.Helper()
	auth, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := auth.Issue(names...)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, auth.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return ca, &pair
}

// ownCertificate makes one that signs itself, in a name, for a time.
func ownCertificate(t *testing.T, subject string, from, to time.Time) (ca string, cert *tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject}, NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return ca, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// answering serves HTTP, with TLS if there is a certificate, and gives its address.
func answering(t *testing.T, cert *tls.Certificate, h http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if cert != nil {
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*cert}})
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return addr
}

// upgraded answers as a websocket of another protocol.
func upgraded(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
	_ = conn.Close()
}

// seen is what the report says of one step on the way.
type seen struct {
	number int
	says   string
}

// onTheWay examines an agent whose hub is at an address, and expects one finding.
func onTheWay(t *testing.T, hub string, set func(*HubConfig), want seen) *doctor.Report {
	t.Helper()
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.Guard.SensitiveGroups = nil
	if hub != "" {
		edited(t, cfg, func(id *Identity) { id.Hub = hub })
	}
	if set != nil {
		set(&cfg.Hub)
	}
	r := examined(t, cfg, newCompany(t), "")
	s := step(r, want.number)
	if s.Number != want.number || !strings.Contains(s.Detail+" "+strings.Join(s.Lines, " "), want.says) {
		t.Errorf("want %d saying %q, got %+v", want.number, want.says, r.Steps)
	}
	if len(h.hellosSoFar()) != 0 {
		t.Error("who this is was said on a way that does not lead to the hub")
	}
	return r
}

func TestDoctorNamesWhatIsWrongOnTheWayToTheHub(t *testing.T) {
	ca, cert := certified(t, "127.0.0.1")
	trust := func(c *HubConfig) { c.CAFile = ca }
	t.Run("no such name", func(t *testing.T) {
		onTheWay(t, "https://no-such-hub.invalid", nil, seen{doctor.HubName, "no-such-hub.invalid"})
	})
	t.Run("nobody there", func(t *testing.T) {
		onTheWay(t, "https://127.0.0.1:1", nil, seen{doctor.HubAway, "connection refused"})
	})
	t.Run("untrusted", func(t *testing.T) {
		onTheWay(t, "https://"+answering(t, cert, http.NotFound), nil, seen{doctor.HubUntrusted, "issued by CN=throw-away test CA"})
	})
	t.Run("another name", func(t *testing.T) {
		other, pair := certified(t, "elsewhere.example")
		onTheWay(t, "https://"+answering(t, pair, http.NotFound), func(c *HubConfig) { c.CAFile = other }, seen{doctor.HubOtherName, "elsewhere.example"})
	})
	t.Run("a certificate that ended", func(t *testing.T) {
		now := time.Now()
		ended, pair := ownCertificate(t, "hub", now.Add(-48*time.Hour), now.Add(-24*time.Hour))
		onTheWay(t, "https://"+answering(t, pair, http.NotFound), func(c *HubConfig) { c.CAFile = ended }, seen{doctor.HubCertificateOld, now.Add(-24 * time.Hour).UTC().Format(time.DateOnly)})
	})
	t.Run("no TLS", func(t *testing.T) {
		onTheWay(t, "https://"+answering(t, nil, http.NotFound), nil, seen{doctor.HubNoTLS, "TLS"})
	})
	t.Run("upgrade blocked", func(t *testing.T) {
		page := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Via", "1.1 filter.example")
			w.WriteHeader(http.StatusForbidden)
		}
		onTheWay(t, "https://"+answering(t, cert, page), trust, seen{doctor.UpgradeBlocked, "403 Forbidden instead of 101 Via: 1.1 filter.example"})
	})
	t.Run("another protocol", func(t *testing.T) {
		onTheWay(t, "https://"+answering(t, cert, upgraded), trust, seen{doctor.OtherProtocol, `"chat" instead of ` + protocol.Subprotocol})
	})
	t.Run("broken settings", func(t *testing.T) {
		onTheWay(t, "", func(c *HubConfig) { c.CAFile = "/nonexistent/ca.pem" }, seen{doctor.HubSettings, "hub.ca_file"})
	})
}

func TestDoctorNamesWhatIsWrongWithTheProxy(t *testing.T) {
	proxy, _ := startProxy(t)
	refusing := answering(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "category: remote access", http.StatusForbidden)
	})
	for name, c := range map[string]struct {
		proxy string
		want  seen
	}{
		"away":    {"127.0.0.1:1", seen{doctor.ProxyAway, "connection refused"}},
		"sign-in": {proxy, seen{doctor.ProxySignIn, "407"}},
		"refuses": {refusing, seen{doctor.ProxyRefuses, "403 Forbidden"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := onTheWay(t, "https://hub.example", func(cfg *HubConfig) { cfg.Proxy = "http://" + c.proxy }, c.want)
			if s := step(r, 0); s.What == "" {
				t.Error("no step is well")
			}
			var out strings.Builder
			if err := r.Text(&out, false); err != nil || !strings.Contains(out.String(), "through the proxy "+c.proxy+", which hub.proxy names") {
				t.Errorf("the way is not shown: %s", out.String())
			}
		})
	}
}

// A device that opens TLS is no fault: Noise runs inside. It is named all the same.
func TestDoctorNamesWhoOpensTLSOnTheWay(t *testing.T) {
	now := time.Now()
	ca, cert := ownCertificate(t, "Zscaler Intermediate Root CA (zscaler.net)", now.Add(-time.Hour), now.Add(30*24*time.Hour))
	h := newTestHub(t, 1, cert)
	cfg := h.enrolled(t, "https")
	cfg.Guard.SensitiveGroups, cfg.Hub.CAFile = nil, ca
	r := examined(t, cfg, newCompany(t), "")
	if s := step(r, doctor.Inspected); !strings.Contains(s.Detail, "Zscaler") || len(problems(r)) != 0 || len(h.hellosSoFar()) != 1 {
		t.Errorf("findings = %v: %+v", problems(r), r.Steps)
	}
}

// The whole way through a real proxy to a hub with a private authority.
func TestDoctorGoesThroughAProxyWithASignInToAHubWithAPrivateAuthority(t *testing.T) {
	ca, cert := certified(t, "hub.test", "127.0.0.1")
	h := newTestHub(t, 1, cert)
	cfg := h.enrolled(t, "https")
	cfg.Guard.SensitiveGroups = nil
	proxy, asked := startProxy(t)
	password := filepath.Join(t.TempDir(), "proxy-password")
	if err := os.WriteFile(password, []byte("pr0xy"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Hub = HubConfig{CAFile: ca, Proxy: "http://" + proxy, ProxyUser: "agent", ProxyPasswordFile: password}
	r := examined(t, cfg, newCompany(t), "")
	if found := problems(r); len(found) != 0 {
		t.Errorf("findings = %v: %+v", found, r.Steps)
	}
	if asked.Load() != 2 || len(h.hellosSoFar()) != 1 { // the walk, and the hello
		t.Errorf("the proxy was asked %d times, %d hellos", asked.Load(), len(h.hellosSoFar()))
	}
	if text := fmt.Sprintf("%+v", r.Steps); strings.Contains(text, "pr0xy") {
		t.Error("the report has the proxy's password")
	}
}
