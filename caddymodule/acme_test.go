package caddymodule

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// An authorityEdge is a real edge with the real hub on a real database, an authority
// that issues over ACME, and a name server that both ask.
type authorityEdge struct {
	*running
	dns  *testenv.DNS
	acme *testenv.ACME
	pg   *testenv.Postgres
	hub.Installation
	httpPort, httpsPort int
}

// acmeEdge logs no events, as globals say why.
const acmeEdge = `{
	admin off
	persist_config off
	skip_install_trust
	http_port HTTPPORT
	https_port HTTPSPORT
	default_bind 127.0.0.1
	log {
		output file DIR/log {
			roll_disabled
		}
		level DEBUG
		exclude events
	}
	acme_ca ACMEDIRECTORY
	acme_ca_root ACMEROOT
	email ops@vendor.test
	storage postern
	postern {
		data_dir DIR/data
		store STORE
		public_url https://id.vendor.test:HTTPSPORT
		cname_target edge.vendor.test
		resolvers DNS
	}
	on_demand_tls {
		permission postern
	}
}
id.vendor.test {
	log
	postern
}
https:// {
	log
	tls {
		on_demand
	}
	postern_site
}
`

func startAuthorityEdge(t *testing.T) *authorityEdge {
	t.Helper()
	e := &authorityEdge{running: &running{testenv.Dir(t)}, dns: testenv.StartDNS(t), httpPort: testenv.FreePort(t), httpsPort: testenv.FreePort(t)}
	e.acme = testenv.StartACME(t, e.dns, e.httpPort, e.httpsPort)
	e.pg = testenv.StartPostgres(t)
	e.dns.Set(t, "id.vendor.test", "A 127.0.0.1")
	cfg := e.caddyfile(t)
	if err := os.MkdirAll(e.dir+"/data", 0o700); err != nil {
		t.Fatal(err)
	}
	own, err := ReadConfig([]byte(cfg), "Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	if e.Installation, err = hub.Install(t.Context(), own, "Example AG", "production"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(e.log(t), e.acme.Log())
		}
	})
	if err := loadText(t, cfg); err != nil {
		t.Fatal(err)
	}
	e.dns.Set(t, e.Environment+".edge.vendor.test", "A 127.0.0.1")
	testenv.Eventually(t, "a certificate for the console", func() bool { return e.handshake("id.vendor.test") == nil })
	return e
}

func (e *authorityEdge) caddyfile(t *testing.T) string {
	t.Helper()
	store := e.pg.URL("postgres")
	return strings.NewReplacer("HTTPSPORT", fmt.Sprint(e.httpsPort), "HTTPPORT", fmt.Sprint(e.httpPort), "DIR", e.dir, "ACMEDIRECTORY", e.acme.Directory,
		"ACMEROOT", e.acme.CAFile, "STORE", store, "DNS", e.dns.Addr).Replace(acmeEdge)
}

// handshake makes a TLS connection to a name, as a browser that trusts the authority.
func (e *authorityEdge) handshake(name string) error {
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{ServerName: name, RootCAs: e.acme.Roots}}
	c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", e.httpsPort))
	if err != nil {
		return err
	}
	return c.Close()
}

// call asks the REST API over the edge.
func (e *authorityEdge) call(t *testing.T, method, path string, body any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	code, answer := e.fetch(t, method, fmt.Sprintf("https://id.vendor.test:%d%s", e.httpsPort, path), bytes.NewReader(b))
	if code >= 300 {
		t.Fatalf("%s %s = %d %s", method, path, code, answer)
	}
}

// fetch sends a request to the edge, whatever the name resolves to.
func (e *authorityEdge) fetch(t *testing.T, method, address string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.Key.Reveal())
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.acme.Roots}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", e.httpsPort))
		}}
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestT25_CertificatesAreOnlyForProvenDomains(t *testing.T) {
	e := startAuthorityEdge(t)
	domains := "/api/envs/" + e.Environment + "/domains"
	orders := e.acme.Orders(t)

	e.dns.Set(t, "recover.customer.test", "CNAME "+e.Environment+".edge.vendor.test")
	e.dns.Set(t, "unproven.customer.test", "A 127.0.0.1")
	e.dns.Set(t, "stranger.test", "A 127.0.0.1")
	e.call(t, "POST", domains, map[string]string{"name": "unproven.customer.test"})
	for _, name := range []string{"recover.customer.test", "unproven.customer.test", "stranger.test", e.Environment + ".edge.vendor.test", "x.id.vendor.test"} {
		if err := e.handshake(name); err == nil {
			t.Errorf("%s got a certificate", name)
		}
	}
	if got := e.acme.Orders(t); got != orders {
		t.Fatalf("%d orders for names that are not proven", got-orders)
	}

	e.call(t, "POST", domains, map[string]string{"name": "recover.customer.test"})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := e.handshake("recover.customer.test"); err != nil {
				t.Errorf("first visit of a proven domain: %v", err)
			}
		})
	}
	wg.Wait()
	if got := e.acme.Orders(t); got != orders+1 {
		t.Errorf("%d orders for six parallel first visits", got-orders)
	}
	if code, body := e.fetch(t, "GET", fmt.Sprintf("https://recover.customer.test:%d/", e.httpsPort), nil); code != 200 || !strings.Contains(body, "Example AG") {
		t.Errorf("the recovery site: %d %.200s", code, body)
	}
	e.call(t, "DELETE", domains+"/recover.customer.test", nil)
	if code, body := e.fetch(t, "GET", fmt.Sprintf("https://recover.customer.test:%d/", e.httpsPort), nil); code != 404 || strings.Contains(body, "customer") {
		t.Errorf("a removed domain: %d %.200s", code, body)
	}
}

func TestP26_ProvenDomainsKeepTheirCertificatesWhileTheStoreIsStopped(t *testing.T) {
	e := startAuthorityEdge(t)
	e.dns.Set(t, "recover.customer.test", "CNAME "+e.Environment+".edge.vendor.test")
	e.call(t, "POST", "/api/envs/"+e.Environment+"/domains", map[string]string{"name": "recover.customer.test"})
	if err := e.handshake("recover.customer.test"); err != nil {
		t.Fatal(err)
	}
	e.pg.Stop()
	if err := e.handshake("recover.customer.test"); err != nil {
		t.Errorf("with the store stopped: %v", err)
	}
	e.coldCache(t)
	if err := e.handshake("recover.customer.test"); err != nil {
		t.Errorf("with the store stopped and nothing in Caddy's memory: %v", err)
	}
	if got := strings.Count(e.log(t), `"msg":"loaded certificate from storage"`); got < 2 {
		t.Error("Caddy did not read the certificate again: its memory was not cold")
	}
	if err := e.handshake("stranger.test"); err == nil {
		t.Error("with the store stopped a stranger got a certificate")
	}
	code, _ := e.fetch(t, "GET", fmt.Sprintf("https://id.vendor.test:%d/readyz", e.httpsPort), nil)
	if code != http.StatusServiceUnavailable {
		t.Errorf("ready without a store: %d", code)
	}
	e.pg.Start(t)
	testenv.Eventually(t, "ready again", func() bool {
		code, _ := e.fetch(t, "GET", fmt.Sprintf("https://id.vendor.test:%d/readyz", e.httpsPort), nil)
		return code == http.StatusOK
	})
}

// coldCache makes Caddy forget its certificates while the hub goes on: a reload with
// the hub alone, then one with everything.
func (e *authorityEdge) coldCache(t *testing.T) {
	t.Helper()
	cfg := e.caddyfile(t)
	_, own, _ := strings.Cut(cfg, "\tpostern {")
	own, _, _ = strings.Cut(own, "\ton_demand_tls")
	for _, text := range []string{"{\n\tadmin off\n\tpersist_config off\n\tpostern {" + own + "}\n", cfg} {
		if err := loadText(t, text); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "the edge after the reload", func() bool { return e.handshake("id.vendor.test") == nil })
}

func TestT26_CertificatesOnDiskAndInTheStoreAreSealed(t *testing.T) {
	e := startAuthorityEdge(t)
	found := 0
	for _, dir := range []string{e.dir + "/data/certificates", e.dir + "/data"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range entries {
			b, err := os.ReadFile(dir + "/" + f.Name())
			if err != nil {
				continue // a folder
			}
			found++
			if bytes.Contains(b, []byte("PRIVATE KEY")) {
				t.Errorf("%s/%s holds a private key in clear", dir, f.Name())
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d files below the data folder", found)
	}
}
