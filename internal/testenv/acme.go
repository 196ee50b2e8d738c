package testenv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An ACME is a certificate authority (pebble) that asks a test's name server.
type ACME struct {
	Directory string         // its address, for Caddy's acme_ca
	CAFile    string         // what signed that address, for Caddy's acme_ca_root
	Roots     *x509.CertPool // what signs the certificates that it issues

	child *Child
}

// pebbleConfig is what pebble reads; the ports are those that it validates against.
type pebbleConfig struct {
	ListenAddress           string         `json:"listenAddress"`
	ManagementListenAddress string         `json:"managementListenAddress"`
	Certificate             string         `json:"certificate"`
	PrivateKey              string         `json:"privateKey"`
	HTTPPort                int            `json:"httpPort"`
	TLSPort                 int            `json:"tlsPort"`
	OCSPResponderURL        string         `json:"ocspResponderURL"`
	RetryAfter              map[string]int `json:"retryAfter"`
	KeyAlgorithm            string         `json:"keyAlgorithm"`
	Profiles                map[string]any `json:"profiles"`
}

// StartACME starts a certificate authority that resolves names by d and proves them
// on these ports of the addresses it finds. It ends with the test.
func StartACME(t testing.TB, d *DNS, httpPort, tlsPort int) *ACME {
	t.Helper()
	program, dir := buildPebble(t), Dir(t)
	ca, err := WriteCertificate(dir, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	listen, manage := fmt.Sprintf("127.0.0.1:%d", FreePort(t)), fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	cfg, err := json.Marshal(map[string]any{"pebble": pebbleConfig{
		ListenAddress: listen, ManagementListenAddress: manage,
		Certificate: filepath.Join(dir, "cert.pem"), PrivateKey: filepath.Join(dir, "key.pem"),
		HTTPPort: httpPort, TLSPort: tlsPort, RetryAfter: map[string]int{"authz": 1, "order": 1}, KeyAlgorithm: "ecdsa",
		Profiles: map[string]any{"default": map[string]any{"description": "the only one", "validityPeriod": 7776000}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, cfg, 0o600); err != nil {
		t.Fatal(err)
	}
	a := &ACME{Directory: "https://" + listen + "/dir", CAFile: ca}
	a.child = Start(t, Command{
		Path: program, Args: []string{"-config", file, "-dnsserver", d.Addr}, Dir: dir,
		Env:   []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"},
		Ready: func(ctx context.Context) error { return a.readRoots(ctx, "https://"+manage+"/roots/0") },
	})
	return a
}

// readRoots asks the authority for the root of what it issues.
func (a *ACME) readRoots(ctx context.Context, address string) error {
	pem, err := os.ReadFile(a.CAFile)
	if err != nil {
		return err
	}
	own := x509.NewCertPool()
	own.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own}, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	root, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	a.Roots = x509.NewCertPool()
	if err == nil && !a.Roots.AppendCertsFromPEM(root) {
		err = errors.New("no certificate in the answer")
	}
	return err
}

// Orders returns how many orders the authority was given so far.
func (a *ACME) Orders(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile(a.child.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "Added order ")
}

// Log returns what the authority logged, for a test that failed.
func (a *ACME) Log() string { return a.child.Tail() }

// buildPebble builds the authority into Go's cache, if it is not there. The build needs
// the Go module proxy or a warm module cache.
func buildPebble(t testing.TB) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "-C", filepath.Join(moduleRoot(t), "internal", "tools"), "tool", "-n", "pebble")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Logf("go tool -n pebble: %v", err)
		Missing(t, "the test CA pebble (its build failed)")
	}
	return strings.TrimSpace(string(out))
}

// moduleRoot returns the folder of the module whose test is running.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}
