package caddymodule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/protocol"
)

// appName is the app's key in Caddy's JSON and the name of the global option.
const appName = "postern"

// App is the Postern hub as an app of Caddy. Strings may hold placeholders such as
// {env.POSTERN_STORE} and {file./run/secrets/store}.
type App struct {
	// Where SQLite, keys and copies of certificates are kept. Default: the folder
	// "postern" in Caddy's data folder.
	DataDir string `json:"data_dir,omitempty"`
	// The file with the 32-byte key that seals every secret in the store. Default: a
	// file in data_dir, which protects less: a copy of the folder then holds both.
	MasterKeyFile string `json:"master_key_file,omitempty"`
	// The name of a systemd credential that holds the key, instead of the file.
	MasterKeyCredential string `json:"master_key_credential,omitempty"`
	// The address of a PostgreSQL database, needed from the second node on. Default:
	// SQLite in data_dir.
	Store string `json:"store,omitempty"`
	// The address of a Redis server, needed from the second node on.
	Redis string `json:"redis,omitempty"`
	// Scheme and host of console, API and agents' tunnels. Required.
	PublicURL string `json:"public_url,omitempty"`
	// The host below which recovery domains point at their environment.
	CNAMETarget string `json:"cname_target,omitempty"`
	// The route of mails. Without it no code can be sent by the hub.
	SMTP *SMTP `json:"smtp,omitempty"`
	// Name servers (host:port) that are asked for the proof of recovery domains.
	// Default: the system's.
	Resolvers []string `json:"resolvers,omitempty"`
	// Private networks that webhooks may reach. Default: none.
	AllowPrivateWebhooks []string `json:"allow_private_webhooks,omitempty"`
	// How long something that a person adds to recover with does not count, so that its
	// owner hears of it first. Default: 72h. Less is for demonstrations: whoever gets into
	// a mailbox for a minute could enrol a key of their own and use it at once.
	RecoveryOptionWait string `json:"recovery_option_wait,omitempty"`

	// AuditRetention is how long the audit log keeps what its entries say; of older ones
	// their hashes stay, which keep the log verifiable. Default: for ever. At least 30d.
	AuditRetention string `json:"audit_retention,omitempty"`

	// WalletLink is where recovery pages lead people whose wallet is an app on the same
	// device: a scheme or an address that the app has claimed. Default: openid4vp://
	WalletLink string `json:"wallet_link,omitempty"`
	// Signer is the socket of an agent of the SSH agent protocol that signs by keys outside of
	// the hub: unix//run/postern-signer/hub.sock. Default: none, all keys lie in the store.
	Signer string `json:"signer,omitempty"`
	// Places is a table of the operator's own that says where addresses of the internet are,
	// for the claim ip_location: a file in the format MMDB, of cities. It is read again when
	// the configuration is. Default: nobody knows.
	Places string `json:"places,omitempty"`
	// EntraAuthority is where the signing keys of Entra ID's tenants are fetched, for
	// tests; by default at Microsoft.
	EntraAuthority string `json:"entra_authority,omitempty"`

	unread  []error    // files that placeholders name and that cannot be read
	config  hub.Config // from the fields above; without what is read at the start
	host    string     // of public_url, lower case, without a port
	slogger *slog.Logger
	inst    *installation
	started bool
}

// SMTP is the route of mails.
type SMTP struct {
	// The mail server, host:port.
	Host string `json:"host,omitempty"`
	// The sender of every mail.
	From string `json:"from,omitempty"`
	// The account at the mail server. Default: none, the server knows us by address.
	User string `json:"user,omitempty"`
	// The file that holds the account's password.
	PasswordFile string `json:"password_file,omitempty"`
	// starttls (the default), implicit, or off for a server on this machine.
	TLS string `json:"tls,omitempty"`
}

// CaddyModule implements caddy.Module.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: appName, New: func() caddy.Module { return new(App) }}
}

// Provision fills in defaults and placeholders and takes a share in the
// installation. It opens nothing, so that `postern validate` touches no data.
func (a *App) Provision(ctx caddy.Context) error {
	a.complete()
	a.slogger = ctx.Slogger()
	folder, err := filepath.Abs(a.DataDir) // however it is spelled: one process serves from it
	if err != nil {
		return err
	}
	inst, err := share(installationKey{folder, a.Store})
	if err != nil {
		return err
	}
	a.inst = inst
	return ctx.GetMetricsRegistry().Register(inst.metrics)
}

// credentialSource is where the packaged unit takes credentials from. Commands that an
// administrator runs outside systemd find the same file there.
const credentialSource = "/etc/postern"

// complete puts placeholders and defaults in place.
func (a *App) complete() {
	r := caddy.NewReplacer()
	fields := map[string]*string{"data_dir": &a.DataDir, "master_key file": &a.MasterKeyFile, "store": &a.Store, "redis": &a.Redis, "public_url": &a.PublicURL, "cname_target": &a.CNAMETarget, "signer": &a.Signer}
	if a.SMTP != nil {
		for option, f := range map[string]*string{"smtp": &a.SMTP.Host, "smtp: from": &a.SMTP.From, "smtp: user": &a.SMTP.User, "smtp: password_file": &a.SMTP.PasswordFile} {
			fields[option] = f
		}
	}
	a.unread = nil
	for option, f := range fields {
		a.unread = append(a.unread, unreadPlaceholders(option, *f)...)
		*f = r.ReplaceKnown(*f, "")
	}
	if a.DataDir == "" {
		a.DataDir = filepath.Join(caddy.AppDataDir(), appName)
	}
	if a.MasterKeyCredential != "" {
		a.MasterKeyFile = filepath.Join(cmp.Or(os.Getenv("CREDENTIALS_DIRECTORY"), credentialSource), a.MasterKeyCredential)
	}
}

// Validate checks everything that can be checked without opening anything.
func (a *App) Validate() error {
	if checking() {
		a.unread = append(a.unread, a.unreadFiles()...)
	}
	if err := joined(a.unread); err != nil {
		return err
	}
	u, err := controlURL(a.PublicURL)
	if err != nil {
		return err
	}
	a.host = strings.ToLower(u.Hostname())
	if a.Store != "" && !hasScheme(a.Store, "postgres", "postgresql") {
		return errors.New("store: want postgres://user@host/database")
	}
	if a.Redis != "" && !hasScheme(a.Redis, "redis", "rediss", "unix") {
		return errors.New("redis: want redis://host:port")
	}
	if a.CNAMETarget != "" && !isHostname(a.CNAMETarget) {
		return fmt.Errorf("cname_target: %q is not a host name", a.CNAMETarget)
	}
	if _, err := signer.Path(a.Signer); err != nil {
		return errors.New("signer: want unix//path/of/a/socket")
	}
	nets, err := prefixes(a.AllowPrivateWebhooks)
	if err != nil {
		return err
	}
	wait, err := optionWait(a.RecoveryOptionWait)
	if err != nil {
		return err
	}
	retention, err := auditRetention(a.AuditRetention)
	if err != nil {
		return err
	}
	a.config = hub.Config{
		AuditRetention: retention, Version: caddy.CustomVersion,
		FactorWait: wait, WalletLink: a.WalletLink, Signer: a.Signer, Places: a.Places, EntraAuthority: a.EntraAuthority,
		DataDir: a.DataDir, MasterKeyFile: a.MasterKeyFile, StoreURL: a.Store, RedisURL: a.Redis,
		PublicURL: u.Scheme + "://" + u.Host, CNAMETarget: a.CNAMETarget,
		Resolvers: withPort(a.Resolvers, "53"), PrivateWebhooks: nets,
	}
	return a.SMTP.validate(&a.config.SMTP)
}

// maxOptionWait bounds recovery_option_wait: longer locks people out of what they made.
const maxOptionWait = 90 * 24 * time.Hour

// optionWait reads recovery_option_wait as hub.Config.FactorWait has it.
func optionWait(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := caddy.ParseDuration(text)
	if err != nil || d < 0 || d > maxOptionWait {
		return 0, fmt.Errorf("recovery_option_wait: %q: want 0s to 90d, such as 72h", text)
	}
	if d == 0 {
		return -1, nil
	}
	return d, nil
}

// minRetention bounds audit_retention: a slip of the pen drops what nobody can bring back,
// and disputes about a recovery come up within weeks.
const minRetention = 30 * 24 * time.Hour

// auditRetention reads audit_retention; 0 means for ever.
func auditRetention(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := caddy.ParseDuration(text)
	if err != nil || d < minRetention {
		return 0, fmt.Errorf("audit_retention: %q: want 30d or more, such as 400d", text)
	}
	return d, nil
}

// validate checks the route and copies it into c. A nil route is no route.
func (s *SMTP) validate(c *hub.SMTP) error {
	if s == nil {
		return nil
	}
	if _, _, err := net.SplitHostPort(s.Host); err != nil {
		return fmt.Errorf("smtp: %q: want host:port", s.Host)
	}
	if s.From == "" {
		return errors.New("smtp: from is missing: the address that mails come from")
	}
	switch s.TLS {
	case "", hub.SMTPStartTLS, hub.SMTPImplicit, hub.SMTPOff:
	default:
		return fmt.Errorf("smtp: tls %q: want %s, %s or %s", s.TLS, hub.SMTPStartTLS, hub.SMTPImplicit, hub.SMTPOff)
	}
	*c = hub.SMTP{Host: s.Host, From: s.From, User: s.User, TLS: s.TLS}
	return nil
}

// Start opens the hub, or gives the one that is already open these settings.
func (a *App) Start() error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	if err := a.inst.start(a, cfg, a.slogger); err != nil {
		return err
	}
	a.started = true
	return nil
}

// ReadConfig returns what a Caddyfile's global option says, for commands that work on
// the store beside the running hub. file names it in errors.
func ReadConfig(caddyfile []byte, file string) (hub.Config, error) {
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(caddyfile, map[string]any{"filename": file})
	if err != nil {
		return hub.Config{}, err
	}
	var cfg struct {
		Apps map[string]json.RawMessage `json:"apps"`
	}
	a := new(App)
	if err := json.Unmarshal(text, &cfg); err != nil {
		return hub.Config{}, err
	}
	own, ok := cfg.Apps[appName]
	if !ok {
		return hub.Config{}, fmt.Errorf("%s: there is no global option %s", file, appName)
	}
	if err := json.Unmarshal(own, a); err != nil {
		return hub.Config{}, err
	}
	a.complete()
	if err := a.Validate(); err != nil {
		return hub.Config{}, fmt.Errorf("%s: %w", file, err)
	}
	return a.load()
}

// load completes the configuration with what stands in files.
func (a *App) load() (hub.Config, error) {
	cfg := a.config
	if a.inst != nil {
		cfg.Log, cfg.Registry = a.inst.log, a.inst.metrics
	}
	if a.SMTP == nil || a.SMTP.PasswordFile == "" {
		return cfg, nil
	}
	b, err := os.ReadFile(a.SMTP.PasswordFile)
	if err != nil {
		return cfg, fmt.Errorf("smtp: password_file: %w", err)
	}
	cfg.SMTP.Password = protocol.NewSecret(strings.TrimRight(string(b), "\r\n"))
	return cfg, nil
}

// Stop takes these settings back. The hub goes on while another configuration
// shares it; the last one closes it in Cleanup.
func (a *App) Stop() error {
	if a.started {
		a.inst.stop(a)
	}
	return nil
}

// Cleanup gives the share in the installation back; the last one tells the agents to
// come back elsewhere, ends their tunnels and closes the store.
func (a *App) Cleanup() error {
	if a.inst == nil {
		return nil
	}
	return a.inst.release()
}

// app returns the app of the configuration that ctx belongs to.
func app(ctx caddy.Context) (*App, error) {
	v, err := ctx.App(appName)
	if err != nil {
		return nil, err
	}
	return v.(*App), nil
}

// hub returns the running hub, opened if need be: handlers and certificate storage
// may be asked before Caddy has started the app.
func (a *App) hub() (Hub, error) {
	if h := a.inst.opened(); h != nil {
		return h, nil // no request waits for a file, or fails for one
	}
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	return a.inst.open(cfg, a.slogger)
}

// controlURL parses public_url. Plain http is for this machine only, since sessions
// and keys travel over it.
func controlURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("public_url is missing: the address of console, API and agents, such as https://id.example.com")
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("public_url: %q: want https://host without a path", text)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, fmt.Errorf("public_url: %q: want https (http is for localhost only)", text)
	}
	return u, nil
}

// isLoopback reports whether host names this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// isHostname reports whether s can be a DNS name.
func isHostname(s string) bool {
	return s != "" && len(s) <= 253 && !strings.ContainsAny(s, "/:@ _*") && !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".")
}

// hasScheme reports whether address begins with one of the schemes.
func hasScheme(address string, schemes ...string) bool {
	for _, s := range schemes {
		if strings.HasPrefix(address, s+"://") {
			return true
		}
	}
	return false
}

// prefixes parses networks; a plain address is a network of one.
func prefixes(texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, t := range texts {
		p, err := netip.ParsePrefix(t)
		if ip, err2 := netip.ParseAddr(t); err2 == nil {
			p, err = ip.Prefix(ip.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("allow_private_webhooks: %q: want a network such as 10.1.0.0/16", t)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// withPort adds the port to addresses that have none.
func withPort(hosts []string, port string) []string {
	var out []string
	for _, h := range hosts {
		if _, _, err := net.SplitHostPort(h); err != nil {
			h = net.JoinHostPort(strings.Trim(h, "[]"), port)
		}
		out = append(out, h)
	}
	return out
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)

	_ caddyhttp.MiddlewareHandler = (*Control)(nil)
	_ caddyhttp.MiddlewareHandler = (*Site)(nil)
)
