package ad

import (
	"regexp"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// signInData finds the reason in a controller's answer to a refused sign-in: a number of
// Windows (MS-ERREF 2.2, 2.1) in hexadecimal, "AcceptSecurityContext error, data 52e".
var signInData = regexp.MustCompile(`\bdata ([0-9a-f]{3,8})\b`)

// dataLocked is the number of a locked account, which answers the same to every password.
const dataLocked = "775"

// A signInRefusal is what a number means.
type signInRefusal struct {
	why   directory.Refusal
	right bool // said only when the password is right
	words string
}

var refusals = map[string]signInRefusal{
	"525":      {directory.RefusedPassword, false, "the domain has no account of the name in bind_dn"},
	"52e":      {directory.RefusedPassword, false, "the domain refuses the agent's name or password (data 52e); look at bind_dn, in the form name@domain, and at bind_password_file"},
	"530":      {directory.RefusedHours, true, "the agent's account may not sign in at this hour (data 530); clear its logon hours"},
	"531":      {directory.RefusedWorkstation, true, "the agent's account may not sign in from this machine (data 531); clear 'Log On To' of the account"},
	"532":      {directory.RefusedPasswordExpired, true, "the password of the agent's account has expired (data 532); set a new one and put it into bind_password_file"},
	"533":      {directory.RefusedDisabled, true, "the agent's account is disabled (data 533); enable it"},
	"701":      {directory.RefusedExpired, true, "the agent's account has ended (data 701); set the end of the account to never"},
	"773":      {directory.RefusedMustChange, true, "the agent's account must change its password first (data 773); set one without 'User must change password at next logon'"},
	dataLocked: {directory.RefusedLocked, false, "the agent's account is locked by failed sign-ins (data 775); find who tries an old password, and unlock it"},
	"80090346": {directory.RefusedBinding, false, "the domain asks for LDAP channel binding (data 80090346), which a sign-in with name and password over LDAPS does not need to: look at 'LDAP server channel binding token requirements' and at what stands between agent and controller"},
}

// dataOf is the number in an answer, "" if there is none.
func dataOf(s ldapconn.SignIn) string {
	if found := signInData.FindStringSubmatch(s.Words); found != nil {
		return found[1]
	}
	return ""
}

// refusedSignIn explains why the agent's own account is not let in.
func refusedSignIn(s ldapconn.SignIn) (directory.Refusal, string) {
	r := refusals[dataOf(s)]
	return r.why, r.words
}
