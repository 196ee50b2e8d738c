// Package ldapconn connects to LDAP servers for the kinds of directory that speak LDAP:
// encrypted connections, a small pool of signed-in ones, failover, and one table from
// result codes to errors. It knows no schema, no vendor and no account.
package ldapconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// Patience with servers, and how much of them the agent takes.
const (
	dialTimeout    = 10 * time.Second // TCP, StartTLS and handshake together; a far server needs one or two
	bindTimeout    = 10 * time.Second // a sign-in; a server that takes longer is as good as away
	requestTimeout = 30 * time.Second // one request; a page of a slow server takes a few seconds
	poolSize       = 4                // lent connections; a look-up takes 1 ms, so four serve thousands in a second
	maxIdle        = 4 * time.Minute  // firewalls forget idle connections, the strictest common one after four minutes
	backoffFirst   = 5 * time.Minute  // after a refused sign-in: policies lock an account after three to ten within half an hour
	backoffLast    = time.Hour
)

// Config says where the servers are and who signs in. A kind embeds it into its own
// configuration.
type Config struct {
	// URLs of the servers, ldaps://host[:636] or ldap://host[:389], the best one first:
	// the others stand in while it is away. All must hold the same directory.
	URLs []string `toml:"urls"`
	// SRV are names of SRV records (RFC 2782) that list further servers, as in
	// _ldap._tcp.corp.example: those of the first name that has some.
	SRV []string `toml:"srv"`
	// StartTLS encrypts connections to ldap:// addresses before anything is said.
	StartTLS bool `toml:"start_tls"`
	// Plain allows ldap:// without StartTLS, and that to loopback addresses only.
	Plain bool `toml:"plain"`
	// CAFile holds certificates in PEM that are trusted beside those of the system.
	CAFile string `toml:"ca_file"`
	// ServerName is the name in the servers' certificate, if it is not the host of the URL.
	ServerName string `toml:"server_name"`
	// CertFile and KeyFile hold a certificate and its key in PEM for servers that ask for
	// one. They are read at each connection, so that a renewed one needs no restart.
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`
	// BindDN is who signs in: a DN, or a user principal name on Active Directory.
	BindDN string `toml:"bind_dn"`
	// BindPasswordFile holds the password. It is read at every sign-in, so that a
	// changed password needs no restart.
	BindPasswordFile string `toml:"bind_password_file"`

	// Password is used instead of BindPasswordFile when it is not empty.
	Password protocol.Secret `toml:"-"`
	// CA is used like the content of CAFile, beside it.
	CA []byte `toml:"-"`
	// Resolver is asked for names and SRV records; nil for the machine's own.
	Resolver *net.Resolver `toml:"-"`
	// Refused says why a server does not take the name and password of the agent's account,
	// and that in plain words; "" if it does not know better than the table of result codes.
	// Kinds read a vendor's answers.
	Refused func(SignIn) (directory.Refusal, string) `toml:"-"`
	// Log is where drops, failovers and refused sign-ins go; nil for slog.Default.
	Log *slog.Logger `toml:"-"`
}

// A security says how a connection is protected.
type security int

const (
	fromStart security = iota // ldaps
	upgraded                  // ldap with StartTLS
	unprotected
)

// A server is one of the configured URLs.
type server struct {
	url      string // canonical, with port
	addr     string // host:port
	name     string // in the certificate
	security security
}

// Open checks the configuration. It connects to nothing: a server that is away now
// may be there when it is needed. Errors are CodeConfiguration.
func Open(cfg Config) (*Pool, error) {
	p := &Pool{cfg: cfg, log: cfg.Log, slots: make(chan struct{}, poolSize), signing: make(chan struct{}, 1)}
	if p.log == nil {
		p.log = slog.Default()
	}
	var err error
	if p.roster, err = newRoster(cfg, p.log); err != nil {
		return nil, err
	}
	if cfg.BindDN == "" || cfg.Password.Empty() && cfg.BindPasswordFile == "" {
		return nil, configuration("bind_dn and bind_password_file say who signs in: neither may be empty")
	}
	roots, err := cfg.roots()
	if err != nil {
		return nil, err
	}
	p.tls = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if cfg.CertFile == "" && cfg.KeyFile == "" {
		return p, nil
	}
	if _, err := cfg.certificate(); err != nil {
		return nil, err
	}
	p.tls.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cfg.certificate() }
	return p, nil
}

// certificate reads the agent's own certificate.
func (cfg Config) certificate() (*tls.Certificate, error) {
	if cfg.CertFile == "" || cfg.KeyFile == "" {
		return nil, configuration("cert_file and key_file belong together: set both or neither")
	}
	chain, err := os.ReadFile(cfg.CertFile)
	if err != nil {
		return nil, configuration("cert_file cannot be read: " + err.Error())
	}
	key, err := settings.ReadSecret(cfg.KeyFile)
	if err != nil {
		return nil, configuration("key_file cannot be used: " + err.Error())
	}
	pair, err := tls.X509KeyPair(chain, []byte(key.Reveal()))
	if err != nil {
		return nil, configuration("cert_file and key_file do not fit: " + err.Error())
	}
	return &pair, nil
}

// server reads one URL.
func (cfg Config) server(text string) (server, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return server{}, configuration("an address in urls is not of the form ldaps://host:636: " + text)
	}
	s := server{name: u.Hostname()}
	if cfg.ServerName != "" {
		s.name = cfg.ServerName
	}
	port := u.Port()
	switch {
	case u.Scheme == "ldaps" && cfg.StartTLS:
		return server{}, configuration("start_tls is for ldap:// addresses; " + text + " is encrypted from the start")
	case u.Scheme == "ldaps":
		port = orDefault(port, "636")
	case u.Scheme != "ldap":
		return server{}, configuration("an address in urls begins with neither ldaps:// nor ldap://: " + text)
	case cfg.StartTLS:
		port, s.security = orDefault(port, "389"), upgraded
	case cfg.Plain && isLoopback(u.Hostname()):
		port, s.security = orDefault(port, "389"), unprotected
	case cfg.Plain:
		return server{}, configuration("plain is for loopback addresses only; use ldaps:// or start_tls for " + text)
	default:
		return server{}, configuration(text + " is not encrypted; use ldaps:// or start_tls")
	}
	s.addr = net.JoinHostPort(u.Hostname(), port)
	s.url = u.Scheme + "://" + s.addr
	return s, nil
}

func orDefault(port, standard string) string {
	if port == "" {
		return standard
	}
	return port
}

// isLoopback takes only what no resolver can turn into another machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// roots are the system's authorities and the configured ones.
func (cfg Config) roots() (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without authorities: the private CA has to do
	}
	if len(cfg.CA) > 0 && !roots.AppendCertsFromPEM(cfg.CA) {
		return nil, configuration("the certificate authority given is not PEM")
	}
	if cfg.CAFile == "" {
		return roots, nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, configuration("ca_file cannot be read: " + err.Error())
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, configuration("ca_file holds no certificate in PEM: " + cfg.CAFile)
	}
	return roots, nil
}

// password returns the current password of the agent's account.
func (cfg Config) password() (protocol.Secret, error) {
	if !cfg.Password.Empty() {
		return cfg.Password, nil
	}
	password, err := settings.ReadSecret(cfg.BindPasswordFile)
	if err != nil {
		return password, Explain(errors.Join(err, directory.RefusedUnread), protocol.CodeConfiguration, "bind_password_file cannot be used: "+err.Error())
	}
	return password, nil
}

// Locate makes the paths absolute against the folder of the file that they stand in.
func (cfg *Config) Locate(f settings.File) {
	for _, path := range []*string{&cfg.CAFile, &cfg.BindPasswordFile, &cfg.CertFile, &cfg.KeyFile} {
		*path = f.Path(*path)
	}
}

func configuration(message string) error {
	return protocol.Err(protocol.CodeConfiguration, message)
}
