package agent

import (
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/agent/witness"
)

// Config is the agent's one file. Relative paths in it are relative to the file.
type Config struct {
	// StateDir holds the keys, the journal and the event log. Nobody else needs to read it.
	StateDir string `toml:"state_dir"`
	// Name is what administrators see; empty: the host name.
	Name string `toml:"name"`
	// Hub says how to reach the hub that the ticket named.
	Hub HubConfig `toml:"hub"`
	// Evaluation lets this agent change nothing: the whole journey runs, and every
	// operation is a dry run. Only this file can switch it on or off (T33).
	Evaluation bool `toml:"evaluation"`
	// Guard is what this agent does and refuses, whatever the hub says.
	Guard guard.Rules `toml:"guard"`
	// SMTP is the agent's own mail route, for codes that the hub never sees.
	SMTP SMTPConfig `toml:"smtp"`
	// SMS is the agent's own service for text messages, for the same codes.
	SMS SMSConfig `toml:"sms"`
	// Evidence is what this agent believes, and what it asks for itself.
	Evidence proof.Settings `toml:"evidence"`
	// Log is where checkpoints of the hub's audit log go.
	Log witness.Settings `toml:"log"`
	// Health is where this machine may ask how the agent is.
	Health HealthConfig `toml:"health"`

	// File is the whole file, from which the directory kind reads its table.
	File settings.File `toml:"-"`
}

// HubConfig is the table [hub]. The hub's name and keys come from the ticket alone.
type HubConfig struct {
	// Addresses are further "host:port" or "host" under which the hub's name is
	// reached. They only add: certificate and key are still those of the name.
	Addresses []string `toml:"addresses"`
	// CAFile holds certificates (PEM) that are trusted besides the system's.
	CAFile string `toml:"ca_file"`
	// Proxy is the http:// address of a proxy that allows CONNECT. The proxy then
	// resolves the hub's name, and Addresses are not used. Empty: HTTPS_PROXY and NO_PROXY
	// of the environment, where they are set; "none" for no proxy in any case.
	Proxy string `toml:"proxy"`
	// NoProxy are names, ".suffixes", addresses and networks that are reached without Proxy.
	NoProxy []string `toml:"no_proxy"`
	// ProxyUser and the file with its password sign in to the proxy.
	ProxyUser         string `toml:"proxy_user"`
	ProxyPasswordFile string `toml:"proxy_password_file"`
}

// SMTPConfig is the table [smtp]; an empty Host means that the agent sends no mail.
type SMTPConfig struct {
	Host string `toml:"host"` // host:port
	From string `toml:"from"` // sender's address
	// TLS is "starttls" (default), "implicit", or "off", which only a loopback host may have.
	TLS          string `toml:"tls"`
	CAFile       string `toml:"ca_file"` // certificates (PEM) that are trusted besides the system's
	User         string `toml:"user"`
	PasswordFile string `toml:"password_file"`
}

// Values of SMTPConfig.TLS.
const (
	tlsStart    = "starttls"
	tlsImplicit = "implicit"
	tlsOff      = "off"
)

// SampleConfig is a file to begin with: every key, with what it means and its default.
//
//go:embed sample.toml
var SampleConfig string

// DirectoryTable is the table that the directory kind decodes itself.
const DirectoryTable = "directory"

// LoadConfig reads and checks the file at path. The table [directory] is checked by
// the kind, when it is opened.
func LoadConfig(path string) (Config, error) {
	f, err := settings.Read(path)
	if err != nil {
		return Config{}, err
	}
	return ParseConfig(f)
}

// ParseConfig checks a file that was read.
func ParseConfig(f settings.File) (Config, error) {
	cfg := Config{File: f}
	if err := f.Decode("", &cfg, DirectoryTable); err != nil {
		return Config{}, err
	}
	for _, p := range []*string{&cfg.StateDir, &cfg.Hub.CAFile, &cfg.Hub.ProxyPasswordFile, &cfg.SMTP.CAFile, &cfg.SMTP.PasswordFile, &cfg.SMS.SecretFile, &cfg.SMS.CAFile} {
		*p = f.Path(*p)
	}
	cfg.Evidence.Locate(f.Path)
	cfg.Log.Locate(f.Path)
	if err := cfg.check(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", f.Name, err)
	}
	return cfg, nil
}

// Kind is the directory kind that the file names.
func (c Config) Kind() string { return c.File.Word(DirectoryTable, "kind") }

func (c Config) check() error {
	if c.StateDir == "" {
		return errors.New("state_dir is missing: name the folder for the agent's keys and journal")
	}
	if c.Kind() == "" {
		return errors.New("directory.kind is missing: name the kind of directory in a table [directory]")
	}
	_, err := guard.New(c.Guard, nil, nil)
	return errors.Join(err, c.Hub.check(), c.SMTP.check(), c.SMS.check(), c.Log.Check(), c.Health.check(), c.Evidence.Check(c.SMTP.on() || c.SMS.on()))
}

func (h HubConfig) check() error {
	for _, a := range h.Addresses {
		if strings.TrimSpace(a) == "" || strings.ContainsAny(a, "/@ ") {
			return fmt.Errorf("hub.addresses: %q is not an address such as 192.0.2.7 or 192.0.2.7:443", a)
		}
	}
	if h.Proxy == "" || h.Proxy == proxyNone {
		return nil
	}
	u, err := url.Parse(h.Proxy)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("hub.proxy: want an address such as http://proxy.example.com:3128")
	}
	if u.User != nil {
		return errors.New("hub.proxy: put the user into hub.proxy_user and the password into the file that hub.proxy_password_file names")
	}
	return nil
}

// on reports whether the agent has a mail route of its own.
func (s SMTPConfig) on() bool { return s.Host != "" }

func (s SMTPConfig) check() error {
	if !s.on() {
		if s != (SMTPConfig{}) {
			return errors.New("smtp.host is missing")
		}
		return nil
	}
	host, _, err := net.SplitHostPort(s.Host)
	if err != nil {
		return fmt.Errorf("smtp.host: %q; want host:port", s.Host)
	}
	if _, err := mail.ParseAddress(s.From); err != nil {
		return fmt.Errorf("smtp.from: %q is not a mail address", s.From)
	}
	if s.TLS != "" && !slices.Contains([]string{tlsStart, tlsImplicit, tlsOff}, s.TLS) {
		return fmt.Errorf("smtp.tls: %q; want %q, %q or %q", s.TLS, tlsStart, tlsImplicit, tlsOff)
	}
	if s.TLS == tlsOff && !loopback(host) {
		return fmt.Errorf("smtp.tls: %q is for a mail server on this machine; a code must not cross the network in clear", tlsOff)
	}
	return nil
}

// loopback reports whether a host name or address can only be this machine.
func loopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
