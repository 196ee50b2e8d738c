package ldap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// How memberships are stored.
const (
	GroupsMemberOf  = "memberOf"  // the account's own attribute, kept by the server
	GroupsMember    = "member"    // attributes member and uniqueMember of groups, which hold DNs
	GroupsMemberUID = "memberUid" // attribute memberUid of groups, which holds uid; not nested
	GroupsNone      = "none"
)

// Config maps a directory's schema. Its keys stand in the table [directory] of the
// agent's file; every attribute that the agent reads is named here. The zero value of
// a key that has a default below is OpenLDAP's usual schema.
type Config struct {
	// Kind is what Describe calls the directory; "ldap" if empty.
	Kind string `toml:"-"`
	// Where the servers are and who signs in: urls, start_tls, ca_file, server_name,
	// bind_dn, bind_password_file.
	ldapconn.Config
	// Name is what employees and administrators see; by default the first base DN.
	Name string `toml:"name"`
	// BaseDNs are the branches below which accounts stand. Required.
	BaseDNs []string `toml:"base_dns"`
	// Filter says which entries are accounts; by default (objectClass=inetOrgPerson).
	Filter string `toml:"filter"`
	// IDAttribute never changes and is unique; by default entryUUID.
	IDAttribute string `toml:"id_attribute"`
	// Identifiers are the attributes that employees may type; by default mail and uid.
	Identifiers []string `toml:"identifiers"`
	// NameAttributes give the person's name, the first that is there; by default
	// displayName and cn.
	NameAttributes []string `toml:"name_attributes"`
	// ChangeAttribute grows with each change of an entry, for incremental lists and
	// change stamps: entryCSN (default) or modifyTimestamp.
	ChangeAttribute string `toml:"change_attribute"`

	// MailAttributes hold addresses of the person that are none of the account's own,
	// PhoneAttributes telephone numbers, ManagerAttribute a DN, LanguageAttribute a
	// language tag. They are read live for one recovery and never listed.
	MailAttributes    []string `toml:"mail_attributes"`
	PhoneAttributes   []string `toml:"phone_attributes"`
	ManagerAttribute  string   `toml:"manager_attribute"`
	LanguageAttribute string   `toml:"language_attribute"`
	// BirthDateAttribute holds YYYY-MM-DD, YYYYMMDD or a generalized time. Only its keyed hash
	// leaves the agent.
	BirthDateAttribute string `toml:"birth_date_attribute"`

	// Groups is memberOf (default), member, memberUid or none.
	Groups string `toml:"groups"`
	// NoSync compares times and ids even where the server offers to tell what changed
	// (RFC 4533).
	NoSync bool `toml:"no_sync"`
	// GroupBaseDNs are the branches below which groups stand; by default the suffixes
	// that hold base_dns.
	GroupBaseDNs []string `toml:"group_base_dns"`
	// GroupFilter says which entries are groups.
	GroupFilter string `toml:"group_filter"`
	// PrivilegedGroups (names, ids or DNs) and PrivilegedAccounts (DNs) are the
	// administrators, whom the guard always refuses; nested membership counts.
	PrivilegedGroups   []string `toml:"privileged_groups"`
	PrivilegedAccounts []string `toml:"privileged_accounts"`

	// DisabledAttribute with one of DisabledValues marks an account that was switched
	// off. An administrative lock of ppolicy always does.
	DisabledAttribute string   `toml:"disabled_attribute"`
	DisabledValues    []string `toml:"disabled_values"`

	// MFAAttributes hold authenticators; remove_all_mfa clears them. Giving them
	// switches the operation on. The agent needs the rights search and write on them,
	// not read.
	MFAAttributes []string `toml:"mfa_attributes"`

	// DefaultPolicy is the DN of ppolicy_default (olcPPolicyDefault), which clients
	// cannot ask for; by default the only policy below the suffixes, if there is one.
	DefaultPolicy string `toml:"default_policy"`
	// ServerHashes says that the server hashes modified passwords
	// (ppolicy_hash_cleartext, olcPPolicyHashCleartext). Then a password and
	// must-change are set in one modification; otherwise in two, password first.
	ServerHashes bool `toml:"server_hashes"`
	// SkipVerify leaves out the sign-in that proves a new password, for directories
	// in which employees cannot sign in.
	SkipVerify bool `toml:"skip_verify"`
}

const (
	defaultFilter      = "(objectClass=inetOrgPerson)"
	defaultGroupFilter = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))"

	entryUUID       = "entryUUID"
	entryCSN        = "entryCSN"
	modifyTimestamp = "modifyTimestamp"
)

// Decode reads the kind's table from the agent's file, strictly.
func Decode(f settings.File) (Config, error) {
	var cfg Config
	if err := f.Decode("directory", &cfg, "kind"); err != nil {
		return Config{}, protocol.Err(protocol.CodeConfiguration, err.Error())
	}
	cfg.Locate(f)
	return cfg, nil
}

// complete fills in defaults and checks every name, so that nothing else needs to.
func (cfg Config) complete() (Config, error) {
	setDefault(&cfg.Filter, defaultFilter)
	setDefault(&cfg.GroupFilter, defaultGroupFilter)
	setDefault(&cfg.IDAttribute, entryUUID)
	setDefault(&cfg.ChangeAttribute, entryCSN)
	setDefault(&cfg.Groups, GroupsMemberOf)
	if len(cfg.Identifiers) == 0 {
		cfg.Identifiers = []string{"mail", "uid"}
	}
	if len(cfg.NameAttributes) == 0 {
		cfg.NameAttributes = []string{"displayName", "cn"}
	}
	if len(cfg.BaseDNs) == 0 {
		return cfg, configuration("base_dns names no branch with accounts")
	}
	setDefault(&cfg.Name, domainOf(cfg.BaseDNs[0]))
	if (cfg.DisabledAttribute == "") != (len(cfg.DisabledValues) == 0) {
		return cfg, configuration("disabled_attribute and disabled_values go together")
	}
	if cfg.ChangeAttribute != entryCSN && cfg.ChangeAttribute != modifyTimestamp {
		return cfg, configuration("change_attribute is entryCSN or modifyTimestamp")
	}
	if !slices.Contains([]string{GroupsMemberOf, GroupsMember, GroupsMemberUID, GroupsNone}, cfg.Groups) {
		return cfg, configuration("groups is memberOf, member, memberUid or none")
	}
	return cfg, cfg.check()
}

func setDefault(s *string, to string) {
	if *s == "" {
		*s = to
	}
}

// check refuses names and filters that no server can read.
func (cfg Config) check() error {
	for _, f := range []string{cfg.Filter, cfg.GroupFilter} {
		if err := ldapconn.CheckFilter(f); err != nil {
			return err
		}
	}
	optional := []string{cfg.ManagerAttribute, cfg.LanguageAttribute, cfg.BirthDateAttribute, cfg.DisabledAttribute}
	optional = slices.DeleteFunc(optional, func(s string) bool { return s == "" })
	for _, names := range [][]string{{cfg.IDAttribute}, cfg.Identifiers, cfg.NameAttributes, cfg.MailAttributes, cfg.PhoneAttributes, cfg.MFAAttributes, optional} {
		for _, n := range names {
			if err := ldapconn.CheckAttribute(n); err != nil {
				return err
			}
		}
	}
	for _, dns := range [][]string{cfg.BaseDNs, cfg.GroupBaseDNs, cfg.PrivilegedAccounts} {
		for _, dn := range dns {
			if !ldapconn.SameDN(dn, dn) {
				return configuration("this is not a distinguished name: " + dn)
			}
		}
	}
	if cfg.DefaultPolicy != "" && !ldapconn.SameDN(cfg.DefaultPolicy, cfg.DefaultPolicy) {
		return configuration("default_policy is not a distinguished name: " + cfg.DefaultPolicy)
	}
	return nil
}

// domainOf writes the dc components of a DN as a domain, or the DN if it has none.
func domainOf(dn string) string {
	var labels []string
	for part := range strings.SplitSeq(dn, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(name, "dc") {
			labels = append(labels, value)
		}
	}
	if len(labels) == 0 {
		return dn
	}
	return strings.Join(labels, ".")
}

// sum identifies what a list means: an incremental pass that was begun under another
// mapping starts anew.
func (cfg Config) sum() string {
	text, err := json.Marshal([]any{cfg.BaseDNs, cfg.Filter, cfg.IDAttribute, cfg.Identifiers, cfg.NameAttributes, cfg.ChangeAttribute, cfg.BirthDateAttribute, cfg.DisabledAttribute, cfg.DisabledValues,
		cfg.Groups, cfg.GroupBaseDNs, cfg.GroupFilter})
	if err != nil {
		return "" // strings always marshal
	}
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:8])
}

func configuration(message string) error {
	return protocol.Err(protocol.CodeConfiguration, message)
}
