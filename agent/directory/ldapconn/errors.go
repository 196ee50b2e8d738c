package ldapconn

import (
	"errors"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// A failure is what went wrong, in the words of the protocol, over its cause.
type failure struct {
	said   *protocol.Error
	cause  error
	unsure bool // a change was sent and its answer is missing
}

func (f *failure) Error() string { return f.said.Error() }

// Unwrap gives the protocol's error, the cause (an *ldap.Error if the server answered)
// and directory.ErrUnsure where it holds.
func (f *failure) Unwrap() []error {
	if f.unsure {
		return []error{f.said, f.cause, directory.ErrUnsure}
	}
	return []error{f.said, f.cause}
}

// row says what a result code means for the agent. Messages name the fix.
type row struct {
	code protocol.Code
	text string
}

// results is the table from LDAP result codes (RFC 4511 appendix A) to errors, for
// requests of the signed-in agent. A code that it lacks is CodeInternal.
var results = map[uint16]row{
	ldap.LDAPResultTimeLimitExceeded:            {protocol.CodeUnavailable, "the directory gave up after its time limit"},
	ldap.LDAPResultSizeLimitExceeded:            {protocol.CodeConfiguration, "the directory gives this account only part of a list; lift its size limit for the agent's account"},
	ldap.LDAPResultAdminLimitExceeded:           {protocol.CodeConfiguration, "the directory's administrative limit is too low for this list; lift it for the agent's account"},
	ldap.LDAPResultAuthMethodNotSupported:       {protocol.CodeConfiguration, "the directory does not accept a sign-in with name and password"},
	ldap.LDAPResultStrongAuthRequired:           {protocol.CodeConfiguration, "the directory asks for an encrypted connection; use ldaps:// or start_tls"},
	ldap.LDAPResultConfidentialityRequired:      {protocol.CodeConfiguration, "the directory asks for an encrypted connection; use ldaps:// or start_tls"},
	ldap.LDAPResultReferral:                     {protocol.CodeConfiguration, "this server refers to another one; name a server in urls that holds the entry and may be written to"},
	ldap.LDAPResultUnavailableCriticalExtension: {protocol.CodeUnsupported, "the directory lacks a control that this operation needs"},
	ldap.LDAPResultNoSuchAttribute:              {protocol.CodeConfiguration, "the entry lacks an attribute that the configuration names"},
	ldap.LDAPResultUndefinedAttributeType:       {protocol.CodeConfiguration, "the directory's schema lacks an attribute that the configuration names"},
	ldap.LDAPResultInappropriateMatching:        {protocol.CodeConfiguration, "an attribute that the configuration names cannot be searched by"},
	ldap.LDAPResultConstraintViolation:          {protocol.CodePasswordPolicy, "the directory's rules refuse the change"},
	ldap.LDAPResultInvalidAttributeSyntax:       {protocol.CodeConfiguration, "the directory does not take the value; an attribute in the configuration is of the wrong kind"},
	ldap.LDAPResultNoSuchObject:                 {protocol.CodeConfiguration, "the directory has no such entry, or the agent's account may not see it; look at base_dns"},
	ldap.LDAPResultInvalidDNSyntax:              {protocol.CodeConfiguration, "the directory cannot read a distinguished name that the configuration names"},
	ldap.LDAPResultInappropriateAuthentication:  {protocol.CodeServiceAuthentication, "the agent's account cannot sign in with a password"},
	ldap.LDAPResultInvalidCredentials:           {protocol.CodeServiceAuthentication, "the directory refuses the agent's name or password; look at bind_dn and bind_password_file"},
	ldap.LDAPResultInsufficientAccessRights:     {protocol.CodePermissionDenied, "the directory's access rules do not let the agent's account do this"},
	ldap.LDAPResultBusy:                         {protocol.CodeUnavailable, "the directory is busy"},
	ldap.LDAPResultUnavailable:                  {protocol.CodeUnavailable, "the directory is not available"},
	ldap.LDAPResultUnwillingToPerform:           {protocol.CodeConfiguration, "the directory is not willing to do this"},
	ldap.LDAPResultObjectClassViolation:         {protocol.CodeConfiguration, "the directory's schema does not allow the change; an attribute that is to be cleared is required"},
}

// doubtful are answers to a change after which it may have happened all the same: a
// server in between, or the server itself, gave up waiting.
var doubtful = map[uint16]bool{
	ldap.LDAPResultTimeLimitExceeded: true,
	ldap.LDAPResultUnavailable:       true,
	ldap.LDAPResultOther:             true,
}

// maxDiagnostic bounds what a server's own words add to a message.
const maxDiagnostic = 200

// readFailure explains an error of a request that changes nothing.
func readFailure(err error) error {
	if err == nil {
		return nil
	}
	result, answered := answer(err)
	if !answered {
		return &failure{protocol.Err(protocol.CodeUnavailable, "the connection to the directory was lost"), err, false}
	}
	return &failure{protocol.Err(describe(result, true)), err, false}
}

// changeFailure explains an error of a change that was sent.
func changeFailure(err error) error {
	if err == nil {
		return nil
	}
	result, answered := answer(err)
	if !answered {
		return &failure{protocol.Err(protocol.CodeInternal, "the connection was lost before the directory answered"), err, true}
	}
	code, text := describe(result, !refusesPassword(result.ResultCode))
	if doubtful[result.ResultCode] {
		return &failure{protocol.Err(protocol.CodeInternal, text), err, true}
	}
	if r := policyReason(err); r != "" {
		code, text = protocol.CodePasswordPolicy, r
	}
	return &failure{protocol.Err(code, text), err, false}
}

// refusesPassword holds for codes whose diagnostic text may repeat what was sent.
func refusesPassword(code uint16) bool {
	return code == ldap.LDAPResultConstraintViolation || code == ldap.LDAPResultUnwillingToPerform
}

// answer returns the server's result, and whether there is one: codes from 200 on are
// go-ldap's own, for lost connections and malformed packets.
func answer(err error) (*ldap.Error, bool) {
	var e *ldap.Error
	if errors.As(err, &e) && e.ResultCode < ldap.ErrorNetwork {
		return e, true
	}
	return nil, false
}

// describe looks a result up and adds its number and, if words is set, the server's own.
func describe(e *ldap.Error, words bool) (protocol.Code, string) {
	r, ok := results[e.ResultCode]
	if !ok {
		r = row{protocol.CodeInternal, "the directory answered with an error"}
	}
	text := r.text + " (LDAP result " + strconv.Itoa(int(e.ResultCode))
	if said := printable(e.Err); words && said != "" {
		text += ": " + said
	}
	return r.code, text + ")"
}

// printable cleans a diagnostic text that came from a server.
func printable(err error) string {
	if err == nil {
		return ""
	}
	s := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, err.Error())
	if runes := []rune(s); len(runes) > maxDiagnostic {
		s = string(runes[:maxDiagnostic]) + "…"
	}
	return strings.TrimSpace(s)
}

// IsCode reports whether err is a server's answer with the result code.
func IsCode(err error, code uint16) bool {
	e, ok := answer(err)
	return ok && e.ResultCode == code
}

// Diagnostic returns the result code and the server's own words of an error, for
// kinds that decode a vendor's. The code is 0 if no server answered. The words must
// not reach a log or a message unread: they may repeat a password.
func Diagnostic(err error) (code uint16, words string) {
	e, ok := answer(err)
	if !ok || e.Err == nil {
		return 0, ""
	}
	return e.ResultCode, e.Err.Error()
}

// Explain replaces code and message of an error, keeping its cause. A kind uses it
// where it knows better than the table.
func Explain(err error, code protocol.Code, message string) error {
	return &failure{protocol.Err(code, message), err, errors.Is(err, directory.ErrUnsure)}
}

// Forbidden is Explain for a right that the agent's account lacks.
func Forbidden(err error, message string) error {
	return &failure{protocol.Err(protocol.CodePermissionDenied, message).For(protocol.ReasonRights), err, false}
}
