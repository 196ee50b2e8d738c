package demo

import (
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// The demo's password policy, as its policy entry says it.
const (
	minLength   = 10
	maxFailures = 3
	historySize = 3
	adminLock   = "000001010000Z"
	timeForm    = "20060102150405Z"
	preciseTime = "20060102150405.000000Z"
)

// An answer is the result of an operation.
type answer struct {
	code      uint16
	words     string
	policy    int8 // password policy error of the response control, where hasPolicy
	hasPolicy bool
	keep      bool // the entry changed although the operation failed: a failed sign-in
	untouched bool // the operation succeeded and changed nothing
}

func refused(code uint16, policy int8, words string) answer {
	return answer{code: code, policy: policy, hasPolicy: true, words: words}
}

// signIn checks a password and keeps count of failures. restricted says that the
// account may do nothing but change its password.
func (t *tree) signIn(dn, password string) (a answer, restricted bool) {
	a = t.change(dn, baseDN, func(n *node) answer {
		switch {
		case n.first("pwdAccountLockedTime") != "":
			return refused(ldap.LDAPResultInvalidCredentials, ldapconn.PolicyLocked, "")
		case !n.password.is(password):
			t.fail(n)
			return answer{code: ldap.LDAPResultInvalidCredentials, keep: true}
		}
		restricted = n.first("pwdReset") == "TRUE"
		if len(n.get("pwdFailureTime")) == 0 {
			return answer{untouched: true}
		}
		n.set("pwdFailureTime")
		return answer{keep: true}
	})
	if a.code == ldap.LDAPResultNoSuchObject {
		a = answer{code: ldap.LDAPResultInvalidCredentials} // says nothing about who exists
	}
	if restricted {
		a.policy, a.hasPolicy = ldapconn.PolicyChangeAfterReset, true
	}
	return a, restricted
}

// fail counts a failed sign-in and locks the account after the last one allowed.
func (t *tree) fail(n *node) {
	now := t.stamp(n, baseDN)
	n.set("pwdFailureTime", append(n.get("pwdFailureTime"), now.Format(preciseTime))...)
	if len(n.get("pwdFailureTime")) >= maxFailures && n.dn != agentDN {
		n.set("pwdAccountLockedTime", now.Format(timeForm))
	}
}

// setPassword puts a new password on a node if the policy allows it. It also lifts a
// lock and must-change, as OpenLDAP does.
func setPassword(n *node, password string, now time.Time) answer {
	if utf8.RuneCountInString(password) < minLength {
		return refused(ldap.LDAPResultConstraintViolation, ldapconn.PolicyTooShort, "Password fails quality checking policy")
	}
	if classes(password) < 3 {
		return refused(ldap.LDAPResultConstraintViolation, ldapconn.PolicyQuality, "Password fails quality checking policy")
	}
	for _, h := range append(n.history, n.password) {
		if h.is(password) {
			return refused(ldap.LDAPResultConstraintViolation, ldapconn.PolicyHistory, "Password is in history of old passwords")
		}
	}
	n.history = append(n.history, n.password)
	if len(n.history) > historySize {
		n.history = n.history[1:]
	}
	n.password = hashPassword(password)
	n.set("pwdChangedTime", now.Format(preciseTime))
	for _, name := range []string{"pwdReset", "pwdAccountLockedTime", "pwdFailureTime"} {
		n.set(name)
	}
	return answer{}
}

// classes counts the kinds of characters: capital, small, digit, other.
func classes(password string) int {
	var capital, small, digit, other int
	for _, r := range password {
		switch {
		case unicode.IsUpper(r):
			capital = 1
		case unicode.IsLower(r):
			small = 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			other = 1
		}
	}
	return capital + small + digit + other
}
