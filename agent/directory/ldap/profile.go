package ldap

import (
	"slices"
	"strings"
)

// Profiles are what a server is unless the configuration says otherwise.
const (
	ProfileOpenLDAP = "openldap"
	Profile389      = "389-ds"
	ProfileFreeIPA  = "freeipa" // configuration only: nobody has tried it on a FreeIPA server
	ProfileCustom   = "custom"  // nothing but what the configuration names
)

// How a password is set.
const (
	ByExtension = "extension" // RFC 3062: the server hashes it
	ByModify    = "modify"    // password_attribute is replaced
)

// What lock_attribute holds.
const (
	LockSince   = "since"   // the time of the lock, which may last as long as the policy says
	LockUntil   = "until"   // the time of its end
	LockPresent = "present" // anything, while the lock holds
)

const (
	nsUniqueID    = "nsUniqueId"
	nsAccountLock = "nsAccountLock"
)

// profiled fills in what the profile knows. Everything can be set otherwise.
func (cfg Config) profiled() (Config, error) {
	setDefault(&cfg.Profile, ProfileOpenLDAP)
	switch cfg.Profile {
	case ProfileOpenLDAP:
		setDefault(&cfg.LockAttribute, pwdAccountLockedTime)
		setDefault(&cfg.LockHolds, LockSince)
		setDefault(&cfg.PasswordChangedAttribute, pwdChangedTime)
		setDefault(&cfg.MustChangeAttribute, pwdReset)
		setDefault(&cfg.MustChangeValue, "TRUE")
		setDefaults(&cfg.UnlockAttributes, pwdAccountLockedTime)
	case Profile389:
		cfg.like389()
		setDefault(&cfg.IDAttribute, nsUniqueID)
		setDefault(&cfg.LockAttribute, "accountUnlockTime")
		setDefault(&cfg.LockHolds, LockUntil)
		setDefault(&cfg.PasswordChangedAttribute, "pwdUpdateTime")
		setDefaults(&cfg.UnlockAttributes, "accountUnlockTime", "passwordRetryCount")
	case ProfileFreeIPA:
		cfg.like389()
		setDefault(&cfg.IDAttribute, "ipaUniqueID")
		setDefault(&cfg.Filter, "(objectClass=posixAccount)")
		setDefault(&cfg.GroupFilter, "(objectClass=ipaUserGroup)")
		setDefault(&cfg.PasswordChangedAttribute, "krbLastPwdChange")
	case ProfileCustom:
		if err := cfg.named(); err != nil {
			return cfg, err
		}
	default:
		return cfg, configuration(`profile is openldap, 389-ds, freeipa or custom, not "` + cfg.Profile + `"`)
	}
	if cfg.PhotoAttributes == nil && cfg.Profile != ProfileCustom {
		cfg.PhotoAttributes = []string{attrPhoto}
	}
	cfg.usual()
	return cfg, nil
}

// like389 is what 389 Directory Server and FreeIPA, which is built on it, share.
func (cfg *Config) like389() {
	setDefault(&cfg.UUIDAttribute, nsUniqueID)
	setDefault(&cfg.ChangeAttribute, modifyTimestamp)
	cfg.ServerHashes = true // but only RFC 3062 makes a reset ask for a new password
	if cfg.DisabledAttribute == "" {
		cfg.DisabledAttribute, cfg.DisabledValues = nsAccountLock, []string{"true"}
	}
}

// usual fills in what most schemas share. A custom one has named what matters.
func (cfg *Config) usual() {
	setDefault(&cfg.Filter, defaultFilter)
	setDefault(&cfg.GroupFilter, defaultGroupFilter)
	setDefault(&cfg.IDAttribute, entryUUID)
	setDefault(&cfg.UUIDAttribute, entryUUID)
	setDefault(&cfg.ChangeAttribute, entryCSN)
	setDefault(&cfg.Groups, GroupsMemberOf)
	setDefault(&cfg.GroupNameAttribute, "cn")
	setDefault(&cfg.MemberOfAttribute, memberOf)
	setDefault(&cfg.LoginAttribute, "uid")
	setDefault(&cfg.PasswordBy, ByExtension)
	setDefault(&cfg.PasswordAttribute, userPassword)
	setDefault(&cfg.GivenNameAttribute, attrGiven)
	setDefault(&cfg.FamilyNameAttribute, attrFamily)
	setDefaults(&cfg.Identifiers, "mail", "uid")
	setDefaults(&cfg.NameAttributes, "displayName", "cn")
	if cfg.LockAttribute != "" {
		setDefault(&cfg.LockHolds, LockPresent)
		setDefaults(&cfg.UnlockAttributes, cfg.LockAttribute)
	}
	if cfg.Groups == GroupsMemberUID {
		setDefaults(&cfg.MemberAttributes, "memberUid")
	}
	setDefaults(&cfg.MemberAttributes, "member", "uniqueMember")
}

// named refuses a custom profile that leaves out what no default can be right for.
func (cfg Config) named() error {
	for key, value := range map[string]string{
		"filter": cfg.Filter, "id_attribute": cfg.IDAttribute, "change_attribute": cfg.ChangeAttribute, "groups": cfg.Groups,
		"identifiers": strings.Join(cfg.Identifiers, ""), "name_attributes": strings.Join(cfg.NameAttributes, ""),
	} {
		if value == "" {
			return configuration(`profile = "custom" needs the key ` + key + `: it names everything itself`)
		}
	}
	if cfg.Groups != GroupsNone && cfg.GroupFilter == "" {
		return configuration(`profile = "custom" needs the key group_filter, or groups = "none"`)
	}
	return nil
}

// fits refuses keys that contradict one another.
func (cfg Config) fits() error {
	one := func(key, value string, of ...string) error {
		if slices.Contains(of, value) {
			return nil
		}
		return configuration(key + " is " + strings.Join(of, ", ") + `, not "` + value + `"`)
	}
	if err := one("groups", cfg.Groups, GroupsMemberOf, GroupsMember, GroupsMemberUID, GroupsNone); err != nil {
		return err
	}
	if err := one("password_by", cfg.PasswordBy, ByExtension, ByModify); err != nil {
		return err
	}
	switch {
	case (cfg.DisabledAttribute == "") != (len(cfg.DisabledValues) == 0):
		return configuration("disabled_attribute and disabled_values go together")
	case (cfg.MustChangeAttribute == "") != (cfg.MustChangeValue == ""):
		return configuration("must_change_attribute and must_change_value go together")
	case cfg.LockAttribute == "" && (cfg.LockHolds != "" || len(cfg.UnlockAttributes) > 0):
		return configuration("lock_holds and unlock_attributes need lock_attribute, which says whether an account is locked")
	case cfg.LockAttribute != "":
		return one("lock_holds", cfg.LockHolds, LockSince, LockUntil, LockPresent)
	}
	return nil
}

// suits refuses a profile that cannot be the server's.
func (cfg Config) suits(vendor string) error {
	if cfg.ppolicy() && strings.HasPrefix(vendor, "389 ") {
		return configuration(`the server is 389 Directory Server: set profile = "389-ds", or "freeipa" if it is one`)
	}
	if cfg.is389() && vendor != "" && !strings.HasPrefix(vendor, "389 ") {
		return configuration(`profile = "` + cfg.Profile + `" is for 389 Directory Server; this server says that it is made by ` + clean(vendor))
	}
	return nil
}

// ppolicy reports whether the attributes of OpenLDAP's overlay are read.
func (cfg Config) ppolicy() bool { return cfg.Profile == ProfileOpenLDAP }

// is389 reports whether the server is built on 389 Directory Server.
func (cfg Config) is389() bool { return cfg.Profile == Profile389 || cfg.Profile == ProfileFreeIPA }

func setDefaults(list *[]string, to ...string) {
	if len(*list) == 0 {
		*list = to
	}
}
