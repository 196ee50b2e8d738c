package ldapconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// served is the server that serves the next look-up.
func served(t *testing.T, p *Pool) string {
	t.Helper()
	var at string
	if err := p.Do(t.Context(), "", func(c *Conn) error { at = c.Server(); return find(t.Context(), c) }); err != nil {
		t.Fatal(err)
	}
	return at
}

// age makes every idle connection and every breaker older.
func (p *Pool) age(d time.Duration) {
	p.mu.Lock()
	for _, c := range p.idle {
		c.born = c.born.Add(-d)
	}
	p.mu.Unlock()
	p.roster.mu.Lock()
	for _, m := range p.roster.members {
		m.until = m.until.Add(-d)
	}
	p.roster.looked = p.roster.looked.Add(-d)
	p.roster.mu.Unlock()
}

// three are proxies before one server, and the authorities of all.
func three(t *testing.T, addr string) (cutters []*testenv.Cutter, urls []string, ca []byte) {
	t.Helper()
	for range 3 {
		c := testenv.NewCutter(t, addr)
		cutters, urls, ca = append(cutters, c), append(urls, "ldaps://"+c.Addr), append(ca, c.CA(t)...)
	}
	return cutters, urls, ca
}

func TestTheFirstServerServesAgainOnceItIsBack(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	cutters, urls, ca := three(t, s.Addr())
	p := open(t, Config{URLs: urls, CA: ca})
	if at := served(t, p); !strings.Contains(at, cutters[0].Addr) {
		t.Fatalf("served by %s, want %s", at, cutters[0].Addr)
	}
	cutters[0].Refuse(true)
	cutters[0].Break()
	if at := served(t, p); !strings.Contains(at, cutters[1].Addr) {
		t.Fatalf("served by %s, want %s", at, cutters[1].Addr)
	}
	tried := cutters[0].Accepted()
	p.mu.Lock()
	for _, c := range p.idle {
		c.Close()
	}
	p.mu.Unlock()
	if served(t, p); cutters[0].Accepted() != tried {
		t.Error("the server that failed a moment ago was asked again")
	}
	p.age(returnAfter + time.Second)
	if at := served(t, p); !strings.Contains(at, cutters[1].Addr) || cutters[0].Accepted() != tried+1 {
		t.Errorf("served by %s; the first one was tried %d times, want once", at, cutters[0].Accepted()-tried)
	}
	cutters[0].Refuse(false)
	p.age(returnAfter + time.Second)
	if at := served(t, p); !strings.Contains(at, cutters[0].Addr) {
		t.Errorf("served by %s, want the first again: %s", at, cutters[0].Addr)
	}
}

// hole accepts connections and says nothing, as a server does whose disk is gone.
func hole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

func TestASilentServerCostsAMomentOnce(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	p := open(t, Config{URLs: []string{"ldaps://" + hole(t), s.URL()}, CAFile: s.CAFile})
	begin := time.Now()
	if at := served(t, p); !strings.Contains(at, s.Addr()) {
		t.Errorf("served by %s", at)
	}
	if took := time.Since(begin); took < headStart || took > dialTimeout {
		t.Errorf("the first look-up took %v, want the head start of %v and little more", took, headStart)
	}
	begin = time.Now()
	c, err := p.Fresh(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if took := time.Since(begin); took >= headStart { // what a try at the silent one costs
		t.Errorf("the second one took %v: its breaker is not open", took)
	}
}

// A server may let everybody in and answer nothing.
func TestAServerThatAnswersNoRequestIsLeft(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	c := testenv.NewCutter(t, s.Addr())
	c.On(func(op byte) testenv.Cut {
		if op == testenv.LDAPBind {
			return testenv.CutBefore
		}
		return testenv.Pass
	})
	p := open(t, Config{URLs: []string{"ldaps://" + c.Addr, s.URL()}, CA: append(c.CA(t), readFile(t, s.CAFile)...)})
	if at := served(t, p); !strings.Contains(at, s.Addr()) {
		t.Errorf("served by %s", at)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// resolver asks a name server of the test.
func resolver(d *testenv.DNS) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, d.Addr)
	}}
}

func TestDNSNamesTheServers(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	cutters, _, ca := three(t, s.Addr())
	d := testenv.StartDNS(t)
	record := func(priority int, i int) string {
		_, port, _ := net.SplitHostPort(cutters[i].Addr)
		return fmt.Sprintf("SRV %d 1 %s dc%d.corp.example.", priority, port, i)
	}
	for i := range cutters {
		d.Set(t, fmt.Sprintf("dc%d.corp.example", i), "A 127.0.0.1")
	}
	const name = "_ldap._tcp.corp.example"
	d.Set(t, name, record(20, 0), record(10, 1))
	p := open(t, Config{SRV: []string{"_ldap._tcp.berlin._sites.corp.example", name}, CA: ca, ServerName: "localhost", Resolver: resolver(d)})
	if at := served(t, p); !strings.Contains(at, "dc1.corp.example") {
		t.Errorf("served by %s, want the priority 10", at)
	}
	if server, listed := p.Host("DC0.corp.example."); !listed {
		t.Error("a server of the second choice is not listed")
	} else if c, err := p.Fresh(t.Context(), server); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	served(t, p)
	if n := d.Asked(name); n > 2 { // one question each for the search of IPv4 and IPv6 resolvers
		t.Errorf("DNS was asked %d times for one list", n)
	}
	cutters[1].Refuse(true)
	cutters[1].Break()
	if at := served(t, p); !strings.Contains(at, "dc0.corp.example") {
		t.Errorf("served by %s, want the other", at)
	}
	d.Set(t, name, record(5, 2))
	p.age(srvLife + time.Second)
	if at := served(t, p); !strings.Contains(at, "dc2.corp.example") {
		t.Errorf("served by %s, want the one that DNS names now", at)
	}
	d.Break(true)
	p.age(srvLife + time.Second)
	served(t, p) // what DNS said last still holds, and connections stay
	before := d.Asked(name)
	if err := p.roster.refresh(t.Context()); err == nil || p.roster.empty() {
		t.Errorf("while DNS is away: %v, %d servers", err, p.roster.size())
	}
	_, _ = p.roster.order(t.Context())
	if d.Asked(name) > before+2 {
		t.Error("DNS that is away is asked at each request")
	}
}

func TestDNSThatNamesNobodyIsSaid(t *testing.T) {
	d := testenv.StartDNS(t)
	p := open(t, Config{SRV: []string{"_ldap._tcp.corp.example"}, Resolver: resolver(d)})
	if err := p.look(t.Context()); protocol.CodeOf(err) != protocol.CodeConfiguration || !strings.Contains(err.Error(), "_ldap._tcp.corp.example") {
		t.Errorf("no record: %v", err)
	}
	d.Break(true)
	if err := p.look(t.Context()); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("no answer: %v", err)
	}
	for _, name := range []string{"", "_ldap._tcp/x", "a b"} {
		if _, err := Open(Config{SRV: []string{name}, BindDN: "x", Password: protocol.NewSecret("x")}); protocol.CodeOf(err) != protocol.CodeConfiguration {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Directories register port 389 alone, though nothing is said there in the clear.
func TestServersOfDNSAreAskedOverTLS(t *testing.T) {
	for _, c := range []struct {
		name     string
		port     uint16
		startTLS bool
		want     string
	}{
		{"_ldap._tcp.dc._msdcs.corp.example", 389, false, "ldaps://dc1.corp.example:636"},
		{"_ldap._tcp.corp.example", 389, true, "ldap://dc1.corp.example:389"},
		{"_ldap._tcp.corp.example", 6360, false, "ldaps://dc1.corp.example:6360"},
		{"_ldaps._tcp.corp.example", 389, false, "ldaps://dc1.corp.example:389"},
	} {
		if got := (Config{StartTLS: c.startTLS}).urlOf(c.name, &net.SRV{Target: "dc1.corp.example.", Port: c.port}); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// asking stands before a server and lets only those in who show a certificate.
func asking(t *testing.T, upstream string) (addr, ca, cert, key string) {
	t.Helper()
	dir := testenv.Dir(t)
	ca, err := testenv.WriteCertificate(dir, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	check := func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) == 0 || string(raw[0]) != string(pair.Certificate[0]) {
			return fmt.Errorf("another certificate")
		}
		return nil
	}
	l, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)), &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, VerifyPeerCertificate: check,
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { relay(client, upstream) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String(), ca, cert, key
}

func relay(client net.Conn, upstream string) {
	defer client.Close()
	server, err := tls.Dial("tcp", upstream, &tls.Config{InsecureSkipVerify: true}) // the test's own
	if err != nil {
		return
	}
	defer server.Close()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	_, _ = io.Copy(server, client)
	_ = server.Close()
	wg.Wait()
}

func TestAServerMayAskForACertificate(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	addr, ca, cert, key := asking(t, s.Addr())
	good := Config{URLs: []string{"ldaps://" + addr}, CAFile: ca, CertFile: cert, KeyFile: key}
	if err := open(t, good).look(t.Context()); err != nil {
		t.Error(err)
	}
	without := good
	without.CertFile, without.KeyFile = "", ""
	if err := open(t, without).look(t.Context()); err == nil {
		t.Error("let in without a certificate")
	}
	for name, change := range map[string]func(*Config){
		"half":  func(c *Config) { c.KeyFile = "" },
		"mixed": func(c *Config) { c.CertFile = ca },
		"gone":  func(c *Config) { c.CertFile = "/nonexistent" },
	} {
		cfg := good
		change(&cfg)
		cfg.BindDN, cfg.Password = "x", protocol.NewSecret("x")
		if _, err := Open(cfg); protocol.CodeOf(err) != protocol.CodeConfiguration {
			t.Errorf("%s: %v", name, err)
		}
	}
}
