// Package demo is a directory for trying Postern out: a real LDAP server inside the
// agent's process with a small company in it, served through the ldap kind over real
// LDAP, so that a sign-in with any LDAP client proves a reset. It forgets everything
// when it is closed. It is an aid, never evidence that a kind works.
package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldap"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// Kind is the name of this kind in the agent's file.
const Kind = "demo"

// Config is the table [directory] of the agent's file for this kind.
type Config struct {
	// Listen is where LDAP clients find the directory, a loopback address with port;
	// 127.0.0.1 and any free port if empty. LDAPS and StartTLS share the port.
	Listen string `toml:"listen"`
	// CAFile is written at the start: the authority behind the server's certificate,
	// in PEM, for LDAP clients such as ldapwhoami. Not written if empty.
	CAFile string `toml:"ca_file"`
	// Log may be nil.
	Log *slog.Logger `toml:"-"`
}

// A Directory is the ldap kind at the demo's own server.
type Directory struct {
	*ldap.Directory
	server *server
}

var (
	_ directory.Directory = (*Directory)(nil)
	_ directory.Keyed     = (*Directory)(nil)
)

// Decode reads the kind's table from the agent's file, strictly.
func Decode(f settings.File) (Config, error) {
	var cfg Config
	if err := f.Decode("directory", &cfg, "kind"); err != nil {
		return Config{}, protocol.Err(protocol.CodeConfiguration, err.Error())
	}
	cfg.CAFile = f.Path(cfg.CAFile)
	return cfg, nil
}

// Open starts the server and opens the directory. ctx bounds the start; Close ends both.
func Open(ctx context.Context, cfg Config) (*Directory, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	password := rand.Text()
	s, err := serve(ctx, cfg.Listen, newTree(password), cfg.Log)
	if err != nil {
		return nil, protocol.Err(protocol.CodeConfiguration, "the demo directory cannot start: "+err.Error())
	}
	d, err := ldap.Open(mapping(s, password, cfg.Log))
	if err == nil && cfg.CAFile != "" {
		err = writeCA(cfg.CAFile, s.ca)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return &Directory{Directory: d, server: s}, nil
}

func writeCA(path string, pem []byte) error {
	if err := os.WriteFile(path, pem, 0o644); err != nil {
		return protocol.Err(protocol.CodeConfiguration, fmt.Sprintf("the demo directory cannot write ca_file: %v", err))
	}
	return nil
}

// mapping is the configuration of the ldap kind for the company's schema.
func mapping(s *server, password string, log *slog.Logger) ldap.Config {
	return ldap.Config{
		Kind: Kind, Name: companyName,
		Config: ldapconn.Config{
			URLs: []string{"ldaps://" + s.address}, CA: s.ca, BindDN: agentDN, Password: protocol.NewSecret(password), Log: log,
		},
		BaseDNs: []string{peopleDN}, GroupBaseDNs: []string{groupsDN}, DefaultPolicy: policyDN, ServerHashes: true,
		MailAttributes: []string{attrPersonalMail}, PhoneAttributes: []string{"mobile"}, ManagerAttribute: "manager",
		LanguageAttribute: "preferredLanguage", BirthDateAttribute: attrBirthDate, MFAAttributes: []string{attrTotpSecret},
		PrivilegedGroups: []string{administrators},
	}
}

// Close closes the connections and stops the server.
func (d *Directory) Close() error {
	err := d.Directory.Close()
	d.server.close()
	return err
}

// Address is host:port of the server. It speaks LDAPS and, with StartTLS, LDAP there.
func (d *Directory) Address() string { return d.server.address }

// CA returns the authority behind the server's certificate, in PEM.
func (d *Directory) CA() []byte { return d.server.ca }
