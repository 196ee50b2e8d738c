package e2e

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
)

// An edgeConfig varies an edge; the zero value is one node with SQLite, over plain HTTP
// on a free port.
type edgeConfig struct {
	Port      int      // 0: a free one
	PublicURL string   // "": localhost and Port
	TLS       bool     // certificates of Caddy's own authority, on demand for recovery domains
	Store     string   // postgres://…
	Redis     string   // redis://…
	MasterKey string   // a file; "": the one in the data folder
	Global    string   // further global options
	Postern   string   // further lines of the option postern
	Site      string   // further lines of each site
	Join      *edge    // a node of the same installation: nothing is installed
	Env       []string // of the process, in addition to a minimal environment
}

// An edge is one running postern process, with a mail server that takes its mails.
type edge struct {
	conf edgeConfig
	dir  string // Caddyfile, data, logs
	url  string // console, REST, agents
	port int
	mail *mailbox.Server

	env, key, console string // of the organisation that was installed
	child             *testenv.Child

	names *names // of environments
}

// names are those that are taken.
type names struct {
	sync.Mutex
	taken map[string]bool
}

// startEdge starts an edge that ends with the test.
func startEdge(t *testing.T, c edgeConfig) *edge {
	t.Helper()
	e, err := newEdge(t, c)
	if e != nil {
		t.Cleanup(e.remove)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var shared struct {
	sync.Mutex
	edge *edge
}

// sharedEdge returns the one edge that the tests of this package share: each brings its
// own environments. It is never stopped by a test.
func sharedEdge(t *testing.T) *edge {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.edge != nil {
		return shared.edge
	}
	e, err := newEdge(t, edgeConfig{})
	if e != nil {
		testenv.AtEnd(t, e.remove)
	}
	if err != nil {
		t.Fatal(err)
	}
	shared.edge = e
	return e
}

func newEdge(t *testing.T, c edgeConfig) (*edge, error) {
	dir, err := testenv.ShortDir()
	if err != nil {
		return nil, err
	}
	e := &edge{conf: c, dir: dir, port: c.Port, names: &names{taken: map[string]bool{}}}
	if e.port == 0 {
		e.port = testenv.FreePort(t)
	}
	e.url = cmp.Or(c.PublicURL, e.address("localhost"))
	if err := e.startMail(); err != nil {
		return e, err
	}
	if err := os.WriteFile(e.file("Caddyfile"), []byte(e.caddyfile()), 0o600); err != nil {
		return e, err
	}
	if c.Join == nil {
		err = e.install()
	} else {
		e.env, e.key, e.console = c.Join.env, c.Join.key, c.Join.console
	}
	return e, errors.Join(err, e.run())
}

func (e *edge) startMail() (err error) {
	if e.conf.Join != nil {
		e.mail = e.conf.Join.mail
		return nil
	}
	if e.mail, err = mailbox.Listen(mailbox.Config{Addr: "127.0.0.1:0"}); err != nil {
		return err
	}
	go func() { _ = e.mail.Serve(context.Background()) }() // ends with the process
	return nil
}

// file is the path of one of the edge's files.
func (e *edge) file(name string) string { return filepath.Join(e.dir, name) }

// address is the origin of a host that this edge serves.
func (e *edge) address(host string) string {
	scheme := "http"
	if e.conf.TLS {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s:%d", scheme, host, e.port)
}

// caddyfile is what a small organisation would write, with every log at its loudest.
func (e *edge) caddyfile() string {
	lines := func(text string) string { return strings.ReplaceAll(text, "\n", "\n\t\t") }
	option := func(name, value string) string {
		if value == "" {
			return ""
		}
		return "\n\t\t" + name + " " + value
	}
	global, sites := "auto_https off", "http://%[1]s:%[2]d {\n\t%[3]s\n\tpostern\n}\nhttp://:%[2]d {\n\t%[3]s\n\tpostern_site\n}\n"
	if e.conf.TLS {
		global = "auto_https disable_redirects\n\tskip_install_trust\n\ton_demand_tls {\n\t\tpermission postern\n\t}"
		sites = "https://%[1]s:%[2]d {\n\t%[3]s\n\ttls internal\n\tpostern\n}\nhttps://:%[2]d {\n\t%[3]s\n\ttls internal {\n\t\ton_demand\n\t}\n\tpostern_site\n}\n"
	}
	access := fmt.Sprintf("log {\n\t\toutput file %s\n\t\tformat json\n\t}\n\t%s", e.file("access.log"), e.conf.Site)
	host, _, _ := strings.Cut(strings.SplitN(e.url, "://", 2)[1], ":")
	return fmt.Sprintf(`{
	admin off
	persist_config off
	default_bind 127.0.0.1
	storage file_system %s
	log {
		output file %s
		format json
		level DEBUG
	}
	%s
	%s
	postern {
		data_dir %s
		public_url %s%s
		smtp %s {
			from recovery@postern.example
			tls off
		}
		%s
	}
}
`, e.file("caddy"), e.file("edge.log"), global, e.conf.Global, e.file("data"), e.url,
		option("store", e.conf.Store)+option("redis", e.conf.Redis)+option("master_key file", e.conf.MasterKey),
		e.mail.Addr(), lines(e.conf.Postern)) + fmt.Sprintf(sites, host, e.port, access)
}

// install makes the organisation, as "postern init" does.
func (e *edge) install() error {
	in, err := hub.Install(context.Background(), hub.Config{
		DataDir: e.file("data"), MasterKeyFile: e.conf.MasterKey, StoreURL: e.conf.Store, PublicURL: e.url, Log: slog.New(slog.DiscardHandler),
	}, "Corp", "First")
	if err == nil {
		e.env, e.key, e.console = in.Environment, in.Key.Reveal(), in.ConsoleLink.Reveal()
	}
	return err
}

// newConsoleLink makes one more link to the console, as "postern init --console-link" does.
func (e *edge) newConsoleLink(t *testing.T) string {
	t.Helper()
	link, err := hub.NewConsoleLink(t.Context(), hub.Config{
		DataDir: e.file("data"), MasterKeyFile: e.conf.MasterKey, StoreURL: e.conf.Store, PublicURL: e.url, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return link.Reveal()
}

// run starts the process and waits until it is ready.
func (e *edge) run() (err error) {
	e.child, err = testenv.StartChild(testenv.Command{
		Path: programs.postern, Args: []string{"run", "--config", e.file("Caddyfile")}, Env: e.conf.Env, Dir: e.dir, Ready: e.ready,
	})
	return err
}

func (e *edge) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.address("localhost")+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := e.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", resp.Status)
	}
	return nil
}

// client is an HTTP client that finds every host at this edge, trusts its authority,
// and follows nothing.
func (e *edge) client() *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", e.port))
		},
		DisableKeepAlives: true,
	}
	if pem, err := os.ReadFile(e.caFile()); err == nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		tr.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &http.Client{Transport: tr, Timeout: within, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// caFile is the certificate of the edge's own authority, which Caddy makes at its start.
func (e *edge) caFile() string { return e.file("caddy/pki/authorities/local/root.crt") }

// kill ends the process as a crash would, start starts it again.
func (e *edge) kill() { e.child.Kill() }
func (e *edge) start(t *testing.T) {
	t.Helper()
	if err := e.run(); err != nil {
		t.Fatal(err)
	}
}

func (e *edge) remove() {
	if e.child != nil {
		e.child.Stop()
	}
	_ = os.RemoveAll(e.dir)
}

// rest is a client with the owner's key.
func (e *edge) rest(t *testing.T) rest {
	return rest{t: t, base: e.url, key: e.key, client: e.client()}
}

// logs are the texts of everything that the process wrote about itself.
func (e *edge) logs(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{"edge.log", "access.log", filepath.Base(e.child.LogFile())} {
		b, err := os.ReadFile(e.file(name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(b)
	}
	return all
}

// soon is a context for one wait.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	return ctx
}
