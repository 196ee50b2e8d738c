package ldapconn

import (
	"slices"
	"strconv"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// NoValue is the refusal of values by what a schema says of their attribute.
func NoValue(message string) error {
	return protocol.Err(protocol.CodeBadRequest, message).For(protocol.ReasonValue)
}

// Differs is what would change of an attribute that has the values now, or nil if it has
// the wanted ones already, in whatever order. It names no value.
func Differs(s directory.Set, now []string) []protocol.Difference {
	if slices.Equal(slices.Sorted(slices.Values(now)), slices.Sorted(slices.Values(s.Values))) {
		return nil
	}
	return []protocol.Difference{{What: protocol.WhatAttribute, Name: s.Attribute, Before: strconv.Itoa(len(now)), After: strconv.Itoa(len(s.Values))}}
}

// refusals of a Set by what servers say of it.
var refusals = map[uint16]string{
	ldap.LDAPResultNoSuchAttribute:        "the directory's schema has no such attribute",
	ldap.LDAPResultUndefinedAttributeType: "the directory's schema has no such attribute",
	ldap.LDAPResultConstraintViolation:    "the directory does not take the values: too many, too long, or otherwise against its rules for this attribute",
	ldap.LDAPResultAttributeOrValueExists: "two of the values are the same to the directory",
	ldap.LDAPResultInvalidAttributeSyntax: "the directory does not take such a value in this attribute",
	ldap.LDAPResultInvalidDNSyntax:        "the directory does not take such a value in this attribute",
	ldap.LDAPResultUnwillingToPerform:     "the directory is not willing to set the attribute so",
	ldap.LDAPResultObjectClassViolation:   "the directory's schema does not let this account have the attribute, or be without it",
	ldap.LDAPResultNotAllowedOnRDN:        "the attribute is part of the account's name in the directory",
	ldap.LDAPResultEntryAlreadyExists:     "another account has the value, and only one may",
}

// ExplainSet turns a server's answer to a Set into words for administrators. It repeats
// none of the server's own, which may hold a value.
func ExplainSet(err error) error {
	if err == nil {
		return nil
	}
	code, _ := Diagnostic(err)
	text, refused := refusals[code]
	switch {
	case refused:
		return &failure{protocol.Err(protocol.CodeBadRequest, text+" (LDAP result "+strconv.Itoa(int(code))+")").For(protocol.ReasonValue), err, false}
	case code == ldap.LDAPResultInsufficientAccessRights:
		return &failure{protocol.Err(protocol.CodePermissionDenied, "the agent's account may not write the attribute; docs/directories.md has the lines that let it").For(protocol.ReasonRights), err, false}
	case code == ldap.LDAPResultNoSuchObject:
		return Explain(err, protocol.CodeAccountNotFound, "the account is gone")
	case code != 0:
		return Explain(err, protocol.CodeOf(err), "the directory answered with an error (LDAP result "+strconv.Itoa(int(code))+")")
	}
	return err // no server answered: words of our own
}
