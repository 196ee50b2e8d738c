package caddymodule

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/postern-id/postern/internal/testenv"
)

// A running is a Caddy in this process. Caddy has one configuration in each process,
// so tests of this package do not run in parallel.
type running struct {
	dir string // short, since paths of unix sockets are
}

// globals begin every configuration of the tests. DIR is the test's folder. Everything is
// logged but events: to log one of a certificate, Caddy copies its TLS app (Origin().CaddyModule(),
// whose receiver is a value), which it may not have finished starting (TLS.Start), and the
// race detector fails the test for that. Without anybody who hears of an event nothing is copied.
const globals = `	admin off
	persist_config off
	skip_install_trust
	storage file_system DIR/caddy
	local_certs
	log {
		output file DIR/log {
			roll_disabled
		}
		level DEBUG
		exclude events
	}
`

// start runs Caddy with a Caddyfile, whose first block lacks its closing brace and
// what globals say. It stops when the test ends.
func start(t *testing.T, caddyfile string) *running {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "edge")
	if err != nil {
		t.Fatal(err)
	}
	c := &running{dir}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(c.log(t))
		}
		_ = os.RemoveAll(dir)
	})
	if err := c.load(t, caddyfile); err != nil {
		t.Fatal(err)
	}
	return c
}

// load gives Caddy another configuration, as a reload does.
func (c *running) load(t *testing.T, caddyfile string) error {
	t.Helper()
	return loadText(t, strings.ReplaceAll("{\n"+globals+caddyfile, "DIR", c.dir))
}

// loadText gives Caddy a configuration.
func loadText(t *testing.T, text string) error {
	t.Helper()
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	return caddy.Load(cfg, true)
}

// dial connects to one of the sockets in the test's folder.
func (c *running) dial(socket string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(c.dir, socket))
	}
}

// client speaks HTTP over a socket and follows no redirects. TLS takes any certificate.
func (c *running) client(t *testing.T, socket string) *http.Client {
	tr := &http.Transport{DialContext: c.dial(socket), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// waitTLS waits until Caddy has made the certificates of the names.
func (c *running) waitTLS(t *testing.T, socket string, names ...string) {
	t.Helper()
	for _, n := range names {
		testenv.Eventually(t, "a certificate for "+n, func() bool {
			raw, err := c.dial(socket)(t.Context(), "", "")
			if err != nil {
				return false
			}
			defer raw.Close()
			return tls.Client(raw, &tls.Config{ServerName: n, InsecureSkipVerify: true}).Handshake() == nil
		})
	}
}

// get asks for an address and returns status, body and header. It asks again when the
// connection breaks: for a moment after a reload the former listener may still take
// connections, and drop them.
func get(t *testing.T, client *http.Client, address string, change ...func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(req)
	}
	var resp *http.Response
	testenv.Eventually(t, "an answer of "+address, func() bool {
		resp, err = client.Do(req)
		return err == nil || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET)
	})
	if err != nil {
		t.Fatalf("GET %s: %v", address, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// lines returns the access-log lines written so far, once there are at least n.
func (c *running) lines(t *testing.T, n int) []map[string]any {
	t.Helper()
	var out []map[string]any
	testenv.Eventually(t, fmt.Sprintf("%d access-log lines", n), func() bool {
		out = nil
		for _, line := range strings.Split(c.log(t), "\n") {
			var m map[string]any
			if json.Unmarshal([]byte(line), &m) == nil && strings.HasPrefix(fmt.Sprint(m["logger"]), "http.log.access") {
				out = append(out, m)
			}
		}
		return len(out) >= n
	})
	return out
}

// log returns everything that Caddy has logged.
func (c *running) log(t *testing.T) string {
	var all string
	for _, name := range []string{"log", "named"} {
		b, err := os.ReadFile(filepath.Join(c.dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		all += string(b)
	}
	return all
}
