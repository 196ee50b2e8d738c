package ldap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	// Profile is what the server is: openldap (default), 389-ds, freeipa or custom. It gives
	// the other keys their defaults; custom gives hardly any.
	Profile string `toml:"profile"`
	// Name is what employees and administrators see; by default the first base DN.
	Name string `toml:"name"`
	// BaseDNs are the branches below which accounts stand. Required.
	BaseDNs []string `toml:"base_dns"`
	// Filter says which entries are accounts; by default (objectClass=inetOrgPerson).
	Filter string `toml:"filter"`
	// IDAttribute never changes and is unique; by default entryUUID, nsUniqueId on 389-ds.
	IDAttribute string `toml:"id_attribute"`
	// UUIDAttribute holds the UUID by which the server names any entry (RFC 4533);
	// entryUUID, or nsUniqueId on 389-ds.
	UUIDAttribute string `toml:"uuid_attribute"`
	// Identifiers are the attributes that employees may type; by default mail and uid.
	Identifiers []string `toml:"identifiers"`
	// NameAttributes give the person's name, the first that is there; by default
	// displayName and cn.
	NameAttributes []string `toml:"name_attributes"`
	// GivenNameAttribute and FamilyNameAttribute give it in two parts; by default
	// givenName and sn.
	GivenNameAttribute  string `toml:"given_name_attribute"`
	FamilyNameAttribute string `toml:"family_name_attribute"`
	// ChangeAttribute grows with each change of an entry, for incremental lists and
	// change stamps: entryCSN (default) or a time (RFC 4517 3.3.13) as modifyTimestamp.
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

	// PhotoAttributes hold a picture of the person, the best one first, read live for one
	// recovery; jpegPhoto if the file does not name them (none in a custom profile), none if
	// it names an empty list.
	PhotoAttributes []string `toml:"photo_attributes"`

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
	// GroupNameAttribute names a group; by default cn. MemberAttributes of a group name
	// its members, by DN (by default member and uniqueMember) or, with groups = memberUid,
	// by the LoginAttribute of the account (by default memberUid and uid).
	// MemberOfAttribute of an account or a group names its groups; by default memberOf.
	GroupNameAttribute string   `toml:"group_name_attribute"`
	MemberAttributes   []string `toml:"member_attributes"`
	LoginAttribute     string   `toml:"login_attribute"`
	MemberOfAttribute  string   `toml:"member_of_attribute"`
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

	// PasswordBy is extension (RFC 3062, the default), or modify where the server hashes what
	// PasswordAttribute (by default userPassword) is replaced by.
	PasswordBy        string `toml:"password_by"`
	PasswordAttribute string `toml:"password_attribute"`
	// PasswordChangedAttribute is the time at which a password was set, by which a lost
	// answer is settled.
	PasswordChangedAttribute string `toml:"password_changed_attribute"`
	// LockAttribute is there while failed sign-ins keep an account locked, and LockHolds
	// what it holds: since, until or present. Unlock clears UnlockAttributes.
	LockAttribute    string   `toml:"lock_attribute"`
	LockHolds        string   `toml:"lock_holds"`
	UnlockAttributes []string `toml:"unlock_attributes"`
	// MustChangeAttribute with MustChangeValue makes the server ask for a new password at
	// the next sign-in.
	MustChangeAttribute string `toml:"must_change_attribute"`
	MustChangeValue     string `toml:"must_change_value"`

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
	cfg, err := cfg.profiled()
	if err != nil {
		return cfg, err
	}
	if len(cfg.BaseDNs) == 0 {
		return cfg, configuration("base_dns names no branch with accounts")
	}
	setDefault(&cfg.Name, domainOf(cfg.BaseDNs[0]))
	if err := cfg.fits(); err != nil {
		return cfg, err
	}
	return cfg, cfg.check()
}

func setDefault(s *string, to string) {
	if *s == "" {
		*s = to
	}
}

// check refuses names and filters that no server can read, and says under which key
// they stand.
func (cfg Config) check() error {
	for key, f := range map[string]string{"filter": cfg.Filter, "group_filter": cfg.GroupFilter} {
		if err := ldapconn.CheckFilter(f); err != nil {
			return configuration(key + ": " + err.Error())
		}
	}
	for key, names := range cfg.attributes() {
		for _, n := range names {
			if err := ldapconn.CheckAttribute(n); err != nil {
				return configuration(key + ": " + err.Error())
			}
		}
	}
	dns := map[string][]string{"base_dns": cfg.BaseDNs, "group_base_dns": cfg.GroupBaseDNs, "privileged_accounts": cfg.PrivilegedAccounts}
	if cfg.DefaultPolicy != "" {
		dns["default_policy"] = []string{cfg.DefaultPolicy}
	}
	for key, list := range dns {
		for _, dn := range list {
			if !ldapconn.SameDN(dn, dn) {
				return configuration(key + ": this is not a distinguished name: " + dn)
			}
		}
	}
	return nil
}

// attributes are the names of attributes by the key that gives them.
func (cfg Config) attributes() map[string][]string {
	all := map[string][]string{
		"identifiers": cfg.Identifiers, "name_attributes": cfg.NameAttributes, "mail_attributes": cfg.MailAttributes, "phone_attributes": cfg.PhoneAttributes,
		"mfa_attributes": cfg.MFAAttributes, "photo_attributes": cfg.PhotoAttributes, "member_attributes": cfg.MemberAttributes, "unlock_attributes": cfg.UnlockAttributes,
	}
	for key, name := range map[string]string{
		"id_attribute": cfg.IDAttribute, "uuid_attribute": cfg.UUIDAttribute, "change_attribute": cfg.ChangeAttribute, "manager_attribute": cfg.ManagerAttribute,
		"language_attribute": cfg.LanguageAttribute, "birth_date_attribute": cfg.BirthDateAttribute, "disabled_attribute": cfg.DisabledAttribute,
		"given_name_attribute": cfg.GivenNameAttribute, "family_name_attribute": cfg.FamilyNameAttribute, "group_name_attribute": cfg.GroupNameAttribute,
		"member_of_attribute": cfg.MemberOfAttribute, "login_attribute": cfg.LoginAttribute, "password_attribute": cfg.PasswordAttribute,
		"password_changed_attribute": cfg.PasswordChangedAttribute, "lock_attribute": cfg.LockAttribute, "must_change_attribute": cfg.MustChangeAttribute,
	} {
		if name != "" {
			all[key] = []string{name}
		}
	}
	return all
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
		cfg.Groups, cfg.GroupBaseDNs, cfg.GroupFilter, cfg.UUIDAttribute, cfg.GroupNameAttribute, cfg.MemberAttributes, cfg.LoginAttribute, cfg.MemberOfAttribute})
	if err != nil {
		return "" // strings always marshal
	}
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:8])
}

func configuration(message string) error {
	return protocol.Err(protocol.CodeConfiguration, message)
}
