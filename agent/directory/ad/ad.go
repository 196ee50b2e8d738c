package ad

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Kind is the name of this kind in the agent's file.
const Kind = "ad"

// Config is the table [directory] of the agent's file for this kind. Connections are
// always encrypted: plain is refused.
type Config struct {
	ldapconn.Config
	// BaseDNs are where the accounts are; the whole domain if empty. Accounts elsewhere
	// do not exist for the agent.
	BaseDNs []string `toml:"base_dns"`
	// Filter narrows the accounts further, as in (!(employeeType=robot)).
	Filter string `toml:"filter"`
	// MailAttributes hold addresses of the person that are none of the account's own,
	// read live for one recovery; otherMailbox if empty.
	MailAttributes []string `toml:"mail_attributes"`
	// PhoneAttributes hold telephone numbers; mobile if empty.
	PhoneAttributes []string `toml:"phone_attributes"`
	// BirthDateAttribute holds the birth date as YYYY-MM-DD or as a generalised time.
	// It leaves the agent only as a keyed hash; empty for none.
	BirthDateAttribute string `toml:"birth_date_attribute"`
	// PhotoAttributes hold a picture of the person, the best one first; thumbnailPhoto and
	// jpegPhoto if the file does not name them, none if it names an empty list.
	PhotoAttributes []string `toml:"photo_attributes"`
	// Groups says whether accounts are listed with their groups, nested ones included:
	// "nested", the default, or "none". Recoveries ask for them live in either case.
	Groups string `toml:"groups"`

	// Domains are further domains that belong to the same directory: of the same forest,
	// or of another one.
	Domains []Domain `toml:"domains"`

	// SettleAfter is how old a change must be before its absence says that it was not
	// made; 0: the life of an operation.
	SettleAfter time.Duration `toml:"-"`
}

// A Domain is one of several. What it leaves empty is as in the table [directory].
type Domain struct {
	URLs             []string `toml:"urls"`
	SRV              []string `toml:"srv"`
	BaseDNs          []string `toml:"base_dns"`
	BindDN           string   `toml:"bind_dn"`
	BindPasswordFile string   `toml:"bind_password_file"`
	CAFile           string   `toml:"ca_file"`
	ServerName       string   `toml:"server_name"`
}

// A Directory is one domain.
type Directory struct {
	cfg    Config
	pool   *ldapconn.Pool
	log    *slog.Logger
	filter string // of accounts
	key    atomic.Pointer[[]byte]
	writer writer
}

// accounts is the filter of ordinary user accounts: sAMAccountType SAM_USER_OBJECT
// (MS-SAMR 2.2.1.9), which neither computers nor trusts have.
const accounts = "(sAMAccountType=805306368)"

// Open checks the configuration; it connects to nothing. Errors are CodeConfiguration.
func Open(cfg Config) (*Directory, error) {
	if cfg.Plain {
		return nil, protocol.Err(protocol.CodeConfiguration, "Active Directory takes passwords over encrypted connections only; remove plain and use ldaps:// or start_tls")
	}
	if len(cfg.MailAttributes) == 0 {
		cfg.MailAttributes = []string{"otherMailbox"}
	}
	if len(cfg.PhoneAttributes) == 0 {
		cfg.PhoneAttributes = []string{"mobile"}
	}
	if cfg.PhotoAttributes == nil {
		cfg.PhotoAttributes = []string{"thumbnailPhoto", "jpegPhoto"}
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.BaseDNs = outermost(cfg.BaseDNs)
	cfg.SettleAfter = cmp.Or(cfg.SettleAfter, protocol.MaxOperationLife)
	cfg.Refused = refusedSignIn
	pool, err := ldapconn.Open(cfg.Config)
	if err != nil {
		return nil, err
	}
	d := &Directory{cfg: cfg, pool: pool, log: cfg.Log, filter: accounts}
	if d.log == nil {
		d.log = slog.Default()
	}
	if cfg.Filter != "" {
		d.filter = ldapconn.And(accounts, cfg.Filter)
	}
	return d, nil
}

// The words of Config.Groups.
const (
	groupsNested = "nested"
	groupsNone   = "none"
)

// lists reports whether accounts are listed with their groups.
func (cfg Config) lists() bool { return cfg.Groups != groupsNone }

// check looks at everything that becomes part of a request.
func (cfg Config) check() error {
	for _, dn := range cfg.BaseDNs {
		if !ldapconn.SameDN(dn, dn) {
			return protocol.Err(protocol.CodeConfiguration, "a name in base_dns is no distinguished name: "+dn)
		}
	}
	if cfg.Groups != "" && cfg.Groups != groupsNested && cfg.Groups != groupsNone {
		return protocol.Err(protocol.CodeConfiguration, `groups is "nested" or "none", not "`+cfg.Groups+`"`)
	}
	if cfg.Filter != "" {
		if err := ldapconn.CheckFilter(cfg.Filter); err != nil {
			return err
		}
	}
	names := slices.Concat(cfg.MailAttributes, cfg.PhoneAttributes, cfg.PhotoAttributes)
	if cfg.BirthDateAttribute != "" {
		names = append(names, cfg.BirthDateAttribute)
	}
	for _, a := range names {
		if err := ldapconn.CheckAttribute(a); err != nil {
			return err
		}
		if secretAttributes[strings.ToLower(a)] {
			return protocol.Err(protocol.CodeConfiguration, "the attribute "+a+" holds secrets and is never read")
		}
	}
	return nil
}

// secretAttributes may hold passwords or keys where an administrator made them
// readable by mistake.
var secretAttributes = map[string]bool{
	"unicodepwd": true, "userpassword": true, "dbcspwd": true, "supplementalcredentials": true, "ntpwdhistory": true, "lmpwdhistory": true,
	"ms-mcs-admpwd": true, "mslaps-password": true, "mslaps-encryptedpassword": true, "msds-managedpassword": true, "unixuserpassword": true,
}

// outermost drops bases that stand below another one, so that no account is listed twice.
func outermost(bases []string) []string {
	var kept []string
	for i, b := range bases {
		inside := false
		for j, o := range bases {
			same := ldapconn.SameDN(b, o)
			inside = inside || same && j < i || !same && ldapconn.Within(b, o)
		}
		if !inside {
			kept = append(kept, b)
		}
	}
	return kept
}

// UseBirthDateKey implements directory.Keyed.
func (d *Directory) UseBirthDateKey(key []byte) {
	k := append([]byte(nil), key...)
	d.key.Store(&k)
}

// Close implements directory.Directory.
func (d *Directory) Close() error { return d.pool.Close() }

// Describe implements directory.Reader. The fingerprint is the domain's own GUID.
func (d *Directory) Describe(ctx context.Context) (protocol.Description, error) {
	var out protocol.Description
	err := d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		dom, err := readDomain(ctx, c)
		out = protocol.Description{
			Fingerprint: "ad:" + dom.guid,
			Kind:        Kind,
			Traits: protocol.Traits{
				Name: dom.dns, CanGetTemporaryPassword: true, CanUnlock: true, CanMustChange: true, CanUpdateAccountsList: true,
			},
		}
		return err
	})
	return out, err
}

var (
	_ directory.Directory = (*Directory)(nil)
	_ directory.Keyed     = (*Directory)(nil)
	_ directory.Advisor   = (*Directory)(nil)
	_ directory.Watcher   = (*Directory)(nil)
)
