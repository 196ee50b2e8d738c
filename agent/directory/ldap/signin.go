package ldap

import (
	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// refusedSignIn explains why the agent's own account is not let in, by what the password
// policy says (draft-behera-ldap-password-policy-10 6.2), and by the result codes that
// 389 Directory Server has besides.
func (cfg Config) refusedSignIn(s ldapconn.SignIn) (directory.Refusal, string) {
	switch {
	case cfg.is389() && s.Code == ldap.LDAPResultUnwillingToPerform: // the policy calls that locked, too
		return directory.RefusedDisabled, "the agent's account is inactivated; activate it"
	case s.Policy == ldapconn.PolicyLocked && cfg.ppolicy():
		return directory.RefusedLocked, "the agent's account is locked by failed sign-ins, by an administrator or because it has ended (pwdEndTime): OpenLDAP does not say which; look at the account, find who tries an old password, and unlock it"
	case s.Policy == ldapconn.PolicyLocked, cfg.is389() && s.Code == ldap.LDAPResultConstraintViolation:
		return directory.RefusedLocked, "the agent's account is locked by failed sign-ins; find who tries an old password, and unlock it"
	case s.Policy == ldapconn.PolicyExpired:
		return directory.RefusedPasswordExpired, "the password of the agent's account has expired; set a new one, put it into bind_password_file, and let it never expire"
	}
	return "", ""
}
