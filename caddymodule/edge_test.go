package caddymodule

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/internal/testenv"
)

// both is one node with both handlers, as an operator writes it.
const both = `	postern {
		public_url https://id.localhost
		data_dir DIR/data
		cname_target edge.localhost
	}
	on_demand_tls {
		permission postern
	}
	servers {
		trusted_proxies static 10.0.0.0/8
	}
}
id.localhost {
	bind unix/DIR/s
	log
	postern
}
www.localhost {
	bind unix/DIR/s
	respond "another site"
}
https:// {
	bind unix/DIR/s
	log
	tls {
		on_demand
	}
	postern_site
}
`

func TestControlAndSiteAnswerBesideAnotherSite(t *testing.T) {
	useRecorder(t)
	c := start(t, both)
	c.waitTLS(t, "s", "id.localhost", "www.localhost")
	client := c.client(t, "s")
	for address, want := range map[string]string{
		"https://id.localhost/api/envs":  "control ",
		"https://recover.localhost/":     "site recover.localhost",
		"https://www.localhost/anything": "another site",
	} {
		if code, body, _ := get(t, client, address); code != 200 || !strings.HasPrefix(body, want) {
			t.Errorf("%s = %d %q; want 200 %q", address, code, body, want)
		}
	}
}

func TestP05_TLSNameOtherThanHostIs421(t *testing.T) {
	useRecorder(t)
	c := start(t, both)
	c.waitTLS(t, "s", "id.localhost", "www.localhost")
	for sni, host := range map[string]string{
		"id.localhost":      "recover.localhost",
		"recover.localhost": "id.localhost",
		"www.localhost":     "unknown.example.com",
	} {
		client := c.client(t, "s")
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{ServerName: sni, InsecureSkipVerify: true}
		code, body, header := get(t, client, "https://x/", func(r *http.Request) { r.Host = host })
		if code != http.StatusMisdirectedRequest || strings.Contains(body, host) {
			t.Errorf("TLS name %s, Host %s: %d %q; want a plain 421", sni, host, code, body)
		}
		if header.Get("Location") != "" {
			t.Errorf("TLS name %s, Host %s: redirected to %s", sni, host, header.Get("Location"))
		}
	}
}

// plainHTTP is a node behind a proxy that ends TLS.
const plainHTTP = `	postern {
		public_url http://id.localhost
		data_dir DIR/data
	}
	servers {
		trusted_proxies static 10.0.0.0/8 127.0.0.0/8
	}
}
http:// {
	bind unix/DIR/s
	log
	postern
}
`

func TestP05_ControlAnswersOnItsHostOnly(t *testing.T) {
	useRecorder(t)
	client := start(t, plainHTTP).client(t, "s")
	for host, want := range map[string]int{
		"id.localhost": 200, "ID.localhost:8080": 200, "id.localhost.": 200,
		"evil.example.com": 404, "id.localhost.evil.example.com": 404, "127.0.0.1": 404, "": 404,
	} {
		code, body, _ := get(t, client, "http://x/", func(r *http.Request) { r.Host = host })
		if host == "" {
			host = "x" // net/http fills it in
		}
		if code != want || code != 200 && strings.Contains(body, "evil") {
			t.Errorf("Host %q: %d %q; want %d", host, code, body, want)
		}
	}
}

func TestP05_NoForwardingHeaderReachesTheHub(t *testing.T) {
	useRecorder(t)
	client := start(t, plainHTTP).client(t, "s")
	_, body, _ := get(t, client, "http://id.localhost/", func(r *http.Request) {
		for _, h := range forwarding {
			r.Header.Set(h, "evil.example.com")
		}
		r.Header.Set("X-Kept", "yes")
	})
	if strings.Contains(body, "evil") || !strings.Contains(body, "X-Kept") {
		t.Errorf("the hub saw %s", body)
	}
}

func TestT35_ClientAddressComesFromTrustedProxiesOnly(t *testing.T) {
	useRecorder(t)
	trusting := start(t, strings.ReplaceAll(plainHTTP, "trusted_proxies static 10.0.0.0/8 127.0.0.0/8", "trusted_proxies static 127.0.0.0/8\n\t\ttrusted_proxies_unix"))
	forged := func(r *http.Request) { r.Header.Set("X-Forwarded-For", "203.0.113.9") }
	if _, body, _ := get(t, trusting.client(t, "s"), "http://id.localhost/", forged); !strings.HasPrefix(body, "control 203.0.113.9:0 ") {
		t.Errorf("behind a trusted proxy: %s", body)
	}
	if err := trusting.load(t, plainHTTP); err != nil {
		t.Fatal(err)
	}
	if _, body, _ := get(t, trusting.client(t, "s"), "http://id.localhost/", forged); strings.Contains(body, "203.0.113.9") {
		t.Errorf("without a trusted proxy the header is believed: %s", body)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	h := useRecorder(t)
	client := start(t, plainHTTP).client(t, "s")
	ask := func(path string, want int) {
		t.Helper()
		if code, _, _ := get(t, client, "http://10.9.8.7"+path); code != want {
			t.Errorf("%s = %d; want %d", path, code, want)
		}
	}
	ask("/healthz", 200)
	ask("/readyz", 200)
	h.ready = errors.New("store is away: postgres://secret")
	ask("/healthz", 200)
	ask("/readyz", 503)
	if _, body, _ := get(t, client, "http://x/readyz"); strings.Contains(body, "secret") {
		t.Errorf("readiness tells %q", body)
	}
}

func TestATunnelPassesAStockReverseProxyAndSurvivesReloads(t *testing.T) {
	h := useRecorder(t)
	cfg := plainHTTP + `
http://front.localhost {
	bind unix/DIR/front
	reverse_proxy unix/DIR/s {
		header_up Host id.localhost
		stream_close_delay 1h
	}
}
`
	c := start(t, cfg)
	for _, socket := range []string{"front", "s"} {
		host := map[string]string{"front": "front.localhost", "s": "id.localhost"}[socket]
		ws := c.tunnel(t, socket, host)
		echo(t, ws)
		for i := range 3 {
			if err := c.load(t, strings.Replace(cfg, "public_url", "cname_target edge"+string(rune('0'+i))+".localhost\n\t\tpublic_url", 1)); err != nil {
				t.Fatal(err)
			}
			echo(t, ws)
		}
	}
	if got := h.last().CNAMETarget; got != "edge2.localhost" {
		t.Errorf("after the reload the hub has cname_target %q", got)
	}
	if h.closed.Load() || !h.ran.Load() {
		t.Error("the reload ended the hub")
	}
}

// tunnel opens a websocket. For a moment after a reload the former listener may still
// take connections, and drop them.
func (c *running) tunnel(t *testing.T, socket, host string) (ws *websocket.Conn) {
	t.Helper()
	d := websocket.Dialer{NetDialContext: c.dial(socket)}
	testenv.Eventually(t, "a tunnel over "+socket, func() bool {
		var err error
		ws, _, err = d.DialContext(t.Context(), "ws://"+host+"/api/agent", nil)
		return err == nil
	})
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

func echo(t *testing.T, ws *websocket.Conn) {
	t.Helper()
	if err := ws.WriteMessage(websocket.BinaryMessage, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := ws.ReadMessage(); err != nil || string(b) != "still here" {
		t.Fatalf("echo: %q, %v", b, err)
	}
}

func TestTheLastConfigurationThatStopsClosesTunnelsWithAWord(t *testing.T) {
	h := useRecorder(t)
	c := start(t, plainHTTP)
	ws := c.tunnel(t, "s", "id.localhost")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, 4000) {
		t.Errorf("the tunnel ended with %v", err)
	}
	if !h.closed.Load() || h.ran.Load() {
		t.Error("the hub goes on after the last configuration")
	}
}

func TestAFailedReloadRestoresTheFormerSettings(t *testing.T) {
	h := useRecorder(t)
	c := start(t, plainHTTP)
	before := h.last()
	broken := strings.Replace(plainHTTP, "public_url", "cname_target other.localhost\n\t\tpublic_url", 1) +
		"http://broken.localhost {\n\tbind unix//nowhere/at/all\n\trespond ok\n}\n"
	if err := c.load(t, broken); err == nil {
		t.Fatal("a configuration that cannot listen was loaded")
	}
	if got := h.last(); got.CNAMETarget != before.CNAMETarget {
		t.Errorf("the hub has cname_target %q", got.CNAMETarget)
	}
	if code, _, _ := get(t, c.client(t, "s"), "http://id.localhost/"); code != 200 || h.closed.Load() {
		t.Error("the hub did not survive a failed reload")
	}
}

func TestARunningHubServesWithoutTheFilesOfItsSettings(t *testing.T) {
	h := useRecorder(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	smtp := "smtp 127.0.0.1:25 {\n\t\t\tfrom a@example.com\n\t\t\tpassword_file " + file + "\n\t\t}\n\t\tpublic_url"
	c := start(t, strings.Replace(plainHTTP, "public_url", smtp, 1))
	if h.last().SMTP.Password.Reveal() != "x" {
		t.Fatal("the password was not read")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := get(t, c.client(t, "s"), "http://id.localhost/"); code != 200 {
		t.Errorf("answered with %d", code)
	}
}

func TestSettingsThatTheHubRefusesFailTheReload(t *testing.T) {
	h := useRecorder(t)
	c := start(t, plainHTTP)
	h.mu.Lock()
	h.refuse = errors.New("the master key is another one")
	h.mu.Unlock()
	if err := c.load(t, strings.Replace(plainHTTP, "public_url", "cname_target other.localhost\n\t\tpublic_url", 1)); err == nil {
		t.Fatal("the reload went through")
	}
	h.mu.Lock()
	h.refuse = nil
	h.mu.Unlock()
	if code, _, _ := get(t, c.client(t, "s"), "http://id.localhost/"); code != 200 {
		t.Error("the former configuration does not serve any more")
	}
}

func TestAnotherDataFolderIsAnotherInstallation(t *testing.T) {
	h := useRecorder(t)
	c := start(t, plainHTTP)
	if err := c.load(t, strings.Replace(plainHTTP, "DIR/data", "DIR/elsewhere", 1)); err != nil {
		t.Fatal(err)
	}
	if got := h.last().DataDir; !strings.HasSuffix(got, "/elsewhere") {
		t.Errorf("data folder %q", got)
	}
}

func TestHubMetricsStandInCaddysRegistryAfterEachReload(t *testing.T) {
	useRecorder(t)
	cfg := plainHTTP + "http://metrics.localhost {\n\tbind unix/DIR/m\n\tmetrics\n}\n"
	c := start(t, cfg)
	for range 2 {
		if _, body, _ := get(t, c.client(t, "m"), "http://metrics.localhost/"); !strings.Contains(body, "postern_recorder_total") {
			t.Error("the hub's counter is missing")
		}
		if err := c.load(t, cfg); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrongSettingsAreRefusedWithTheFix(t *testing.T) {
	useRecorder(t)
	for _, c := range []struct{ lines, want string }{
		{"", "public_url is missing"},
		{"public_url http://id.example.com", "want https"},
		{"public_url https://id.example.com/postern", "without a path"},
		{"public_url https://id.example.com\nstore mysql://x", "want postgres://"},
		{"public_url https://id.example.com\nredis localhost:6379", "want redis://"},
		{"public_url https://id.example.com\nallow_private_webhooks ten", "want a network"},
		{"public_url https://id.example.com\nrecovery_option_wait soon", "such as 72h"},
		{"public_url https://id.example.com\nrecovery_option_wait -1h", "such as 72h"},
		{"public_url https://id.example.com\naudit_retention forever", "such as 400d"},
		{"public_url https://id.example.com\naudit_retention 29d", "such as 400d"},
		{"public_url https://id.example.com\nsigner /run/agent.sock", "want unix//path/of/a/socket"},
		{"public_url https://id.example.com\nsmtp localhost {\nfrom a@b\n}", "want host:port"},
		{"public_url https://id.example.com\nsmtp localhost:25 {\n}", "from is missing"},
		{"public_url https://id.example.com\nsmtp localhost:25 {\nfrom a@b\ntls maybe\n}", "want starttls, implicit or off"},
	} {
		r := &running{t.TempDir()}
		err := r.load(t, "postern {\n"+c.lines+"\n}\n}\n")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.lines, err, c.want)
		}
	}
}
