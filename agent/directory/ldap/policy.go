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

// readPolicy reads the policy at dn. A policy that is nowhere or may not be read is
// not known: the server still enforces it.
func (d *Directory) readPolicy(ctx context.Context, c *ldapconn.Conn, dn string) (policy, error) {
	p := policy{dn: dn}
	if dn == "" || !ldapconn.SameDN(dn, dn) {
		return p, nil
	}
	e, err := c.Entry(ctx, dn, "(objectClass=*)", "pwdMinLength", "pwdCheckQuality", "pwdMustChange", "pwdLockoutDuration")
	if err != nil || e == nil {
		return p, err
	}
	p.known = true
	p.minLength = count(e.GetEqualFoldAttributeValue("pwdMinLength"))
	p.quality = count(e.GetEqualFoldAttributeValue("pwdCheckQuality")) > 0
	p.mustChange = strings.EqualFold(e.GetEqualFoldAttributeValue("pwdMustChange"), "TRUE")
	p.lockFor = time.Duration(count(e.GetEqualFoldAttributeValue("pwdLockoutDuration"))) * time.Second
	return p, nil
}

// policyOf reads the policy that applies to an account: its own, else the default.
func (d *Directory) policyOf(ctx context.Context, c *ldapconn.Conn, s server, e source) (policy, error) {
	if !s.policy {
		return policy{}, nil
	}
	dn := first(e, pwdPolicySubentry)
	setDefault(&dn, s.defaultPolicy)
	return d.readPolicy(ctx, c, dn)
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
