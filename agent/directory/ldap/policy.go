package ldap

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// A policy is the part of a ppolicy entry that matters here (draft-behera §5.2).
type policy struct {
	dn         string
	known      bool
	minLength  int
	quality    bool
	mustChange bool
	lockFor    time.Duration // 0: until somebody unlocks
}

// policyDN389 is where 389-ds keeps the policy of the whole server.
const policyDN389 = "cn=config"

// policyAttributes are the names of a policy's attributes: minimum length, whether the
// quality is looked at, must-change, and how long a lock lasts.
func (cfg Config) policyAttributes() [4]string {
	if cfg.is389() {
		return [4]string{"passwordMinLength", "passwordCheckSyntax", "passwordMustChange", "passwordLockoutDuration"}
	}
	return [4]string{"pwdMinLength", "pwdCheckQuality", "pwdMustChange", "pwdLockoutDuration"}
}

// readPolicy reads the policy at dn. A policy that is nowhere or may not be read is
// not known: the server still enforces it.
func (d *Directory) readPolicy(ctx context.Context, c *ldapconn.Conn, dn string) (policy, error) {
	p := policy{dn: dn}
	if dn == "" || !ldapconn.SameDN(dn, dn) {
		return p, nil
	}
	names := d.cfg.policyAttributes()
	e, err := c.Entry(ctx, dn, "(objectClass=*)", names[:]...)
	if err != nil || e == nil {
		return p, err
	}
	value := func(i int) string { return e.GetEqualFoldAttributeValue(names[i]) }
	p.known = value(0)+value(2) != ""
	p.minLength = count(value(0))
	p.quality = isOn(value(1)) || count(value(1)) > 0
	p.mustChange = isOn(value(2))
	p.lockFor = time.Duration(count(value(3))) * time.Second
	return p, nil
}

// isOn reads the two ways in which servers write yes.
func isOn(s string) bool { return strings.EqualFold(s, "TRUE") || strings.EqualFold(s, "on") }

// policyOf reads the policy that applies to an account: its own, else the default.
func (d *Directory) policyOf(ctx context.Context, c *ldapconn.Conn, s server, e source) (policy, error) {
	if !s.policy {
		return policy{}, nil
	}
	dn := first(e, pwdPolicySubentry)
	setDefault(&dn, s.defaultPolicy)
	return d.readPolicy(ctx, c, dn)
}

// unlocks reports whether accounts can be locked and unlocked.
func (cfg Config) unlocks(s server) bool {
	return len(cfg.UnlockAttributes) > 0 && (s.policy || !cfg.ppolicy())
}

// mustChanges reports whether a reset can ask for a new password.
func (cfg Config) mustChanges(s server, p policy) bool {
	switch cfg.Profile {
	case ProfileCustom:
		return cfg.MustChangeAttribute != ""
	case ProfileFreeIPA:
		return true // the server asks after every reset by somebody else
	}
	return s.policy && p.mustChange
}

func (cfg Config) whyNoMustChange(p policy) string {
	switch cfg.Profile {
	case ProfileCustom:
		return "must_change_attribute names no attribute that asks for a new password"
	case Profile389:
		return "the password policy (" + p.name() + ") does not ask for a new password after a reset, or the agent's account may not read it: set passwordMustChange"
	}
	return "the password policy of this account (" + p.name() + ") does not ask for a new password after a reset: set pwdMustChange"
}

// facts are what the agent's core needs to make a password.
func (p policy) facts() directory.PasswordPolicy {
	return directory.PasswordPolicy{MinLength: p.minLength, Complexity: p.quality}
}

// count reads a number that is not negative; 0 for anything else.
func count(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
