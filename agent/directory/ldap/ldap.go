// Package ldap is the directory kind for OpenLDAP and for custom schemas: a mapping
// from attributes to accounts, RFC 3062 for passwords, the ppolicy overlay for locks
// and must-change. It knows nothing of Active Directory and nothing of the tunnel.
package ldap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// OIDs that the root DSE lists.
const (
	oidPasswordModify = "1.3.6.1.4.1.4203.1.11.1"   // RFC 3062
	oidPasswordPolicy = "1.3.6.1.4.1.42.2.27.8.5.1" // draft-behera-ldap-password-policy
)

// A Directory is one LDAP directory. It meets directory.Directory and directory.Keyed.
type Directory struct {
	cfg  Config
	pool *ldapconn.Pool
	log  *slog.Logger

	mu           sync.Mutex
	birthDateKey []byte
	about        *server // what the servers can do; read at first need
	memories     []*memory
}

var (
	_ directory.Directory = (*Directory)(nil)
	_ directory.Keyed     = (*Directory)(nil)
)

// A server is what the root DSE says.
type server struct {
	passwordModify bool
	policy         bool     // ppolicy is there
	sync           bool     // what changed can be asked for (RFC 4533)
	openldap       bool     // it is slapd, whatever the profile
	effective      bool     // it tells what somebody may do with an entry
	suffixes       []string // naming contexts that hold base_dns
	defaultPolicy  string   // DN, or ""
}

// Open checks the configuration and opens the directory. It connects to nothing;
// Describe does.
func Open(cfg Config) (*Directory, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	cfg.Refused = cfg.refusedSignIn
	pool, err := ldapconn.Open(cfg.Config)
	if err != nil {
		return nil, err
	}
	log := cfg.Log
	if log == nil {
		log = slog.Default()
	}
	return &Directory{cfg: cfg, pool: pool, log: log}, nil
}

// Close implements directory.Directory.
func (d *Directory) Close() error { return d.pool.Close() }

// UseBirthDateKey implements directory.Keyed.
func (d *Directory) UseBirthDateKey(key []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.birthDateKey = slices.Clone(key)
}

// Describe implements directory.Reader. The fingerprint holds the branches and, where
// the server gives them, the ids of their entries: another directory with the same
// names is another directory.
func (d *Directory) Describe(ctx context.Context) (about protocol.Description, err error) {
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		about, err = d.describe(ctx, c)
		return err
	})
	return about, err
}

func (d *Directory) describe(ctx context.Context, c *ldapconn.Conn) (protocol.Description, error) {
	s, err := d.readServer(ctx, c)
	if err != nil {
		return protocol.Description{}, err
	}
	policy, err := d.readPolicy(ctx, c, s.defaultPolicy)
	if err != nil {
		return protocol.Description{}, err
	}
	fingerprint, err := d.fingerprint(ctx, c)
	if err != nil {
		return protocol.Description{}, err
	}
	kind := d.cfg.Kind
	setDefault(&kind, "ldap")
	return protocol.Description{Fingerprint: fingerprint, Kind: kind, Traits: protocol.Traits{
		Name:                    d.cfg.Name,
		CanGetTemporaryPassword: s.passwordModify || d.cfg.PasswordBy == ByModify,
		CanUnlock:               d.cfg.unlocks(s),
		CanRemoveAllMFA:         len(d.cfg.MFAAttributes) > 0,
		CanUpdateAccountsList:   true,
		CanMustChange:           d.cfg.mustChanges(s, policy),
	}}, nil
}

func (d *Directory) fingerprint(ctx context.Context, c *ldapconn.Conn) (string, error) {
	bases := make([]string, len(d.cfg.BaseDNs))
	for i, dn := range d.cfg.BaseDNs {
		e, err := c.Entry(ctx, dn, "(objectClass=*)", d.cfg.uuidAttribute())
		if err != nil {
			return "", err
		}
		if e == nil {
			return "", configuration("base_dns: the directory has no entry " + dn + ", or the agent's account may not see it")
		}
		bases[i] = ldapconn.FoldDN(dn) + "\n" + strings.ToLower(e.GetEqualFoldAttributeValue(d.cfg.uuidAttribute()))
	}
	slices.Sort(bases)
	h := sha256.Sum256([]byte("ldap\n" + strings.ToLower(d.cfg.IDAttribute) + "\n" + strings.Join(bases, "\n")))
	return hex.EncodeToString(h[:]), nil
}

// server returns what the servers can do, from memory after the first time.
func (d *Directory) server(ctx context.Context, c *ldapconn.Conn) (server, error) {
	d.mu.Lock()
	known := d.about
	d.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	return d.readServer(ctx, c)
}

// readServer asks the root DSE.
func (d *Directory) readServer(ctx context.Context, c *ldapconn.Conn) (server, error) {
	e, err := c.Entry(ctx, "", "(objectClass=*)", "objectClass", "supportedControl", "supportedExtension", "namingContexts", "vendorName")
	if err != nil {
		return server{}, err
	}
	if e == nil {
		return server{}, configuration("the directory does not show its root DSE")
	}
	if err := d.cfg.suits(e.GetAttributeValue("vendorName")); err != nil {
		return server{}, err
	}
	s := server{
		passwordModify: slices.Contains(e.GetAttributeValues("supportedExtension"), oidPasswordModify),
		policy:         slices.Contains(e.GetAttributeValues("supportedControl"), oidPasswordPolicy),
		sync:           slices.Contains(e.GetAttributeValues("supportedControl"), ldapconn.OIDSync),
		openldap:       containsFold(e.GetAttributeValues("objectClass"), "OpenLDAProotDSE"),
		effective:      slices.Contains(e.GetAttributeValues("supportedControl"), oidEffectiveRights),
	}
	for _, suffix := range e.GetAttributeValues("namingContexts") {
		if slices.ContainsFunc(d.cfg.BaseDNs, func(dn string) bool { return ldapconn.Within(dn, suffix) }) {
			s.suffixes = append(s.suffixes, suffix)
		}
	}
	if s.policy {
		if s.defaultPolicy, err = d.findDefaultPolicy(ctx, c, s.suffixes); err != nil {
			return server{}, err
		}
	}
	d.mu.Lock()
	d.about = &s
	d.mu.Unlock()
	return s, nil
}

// findDefaultPolicy returns the configured default policy, else the only policy there is.
func (d *Directory) findDefaultPolicy(ctx context.Context, c *ldapconn.Conn, suffixes []string) (string, error) {
	if d.cfg.DefaultPolicy != "" {
		return d.cfg.DefaultPolicy, nil
	}
	if d.cfg.is389() {
		return policyDN389, nil
	}
	if !d.cfg.ppolicy() {
		return "", nil
	}
	var found []string
	for _, suffix := range suffixes {
		entries, err := c.Search(ctx, ldapconn.Request(suffix, ldap.ScopeWholeSubtree, 2, "(objectClass=pwdPolicy)", "1.1"))
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			found = append(found, e.DN)
		}
	}
	if len(found) != 1 {
		return "", nil
	}
	return found[0], nil
}
