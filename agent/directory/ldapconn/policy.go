package ldapconn

import (
	"errors"

	"github.com/go-ldap/ldap/v3"
)

// NoPolicy is the password policy error of an answer that carries none.
const NoPolicy int8 = -1

// Password policy errors of draft-behera-ldap-password-policy-10 §6.2.
const (
	PolicyExpired          int8 = 0
	PolicyLocked           int8 = 1
	PolicyChangeAfterReset int8 = 2
	PolicyModNotAllowed    int8 = 3
	PolicySupplyOld        int8 = 4
	PolicyQuality          int8 = 5
	PolicyTooShort         int8 = 6
	PolicyTooYoung         int8 = 7
	PolicyHistory          int8 = 8
)

// policyReasons are the plain words for a refused password.
var policyReasons = map[int8]string{
	PolicyModNotAllowed: "the password policy does not let the password be changed (pwdAllowUserChange)",
	PolicySupplyOld:     "the password policy asks for the old password (pwdSafeModify); give the agent's account the right manage on userPassword, or switch pwdSafeModify off",
	PolicyQuality:       "the new password is not good enough for the directory's quality rules",
	PolicyTooShort:      "the new password is too short for the directory's policy",
	PolicyTooYoung:      "the password was changed too recently for the directory's policy (pwdMinAge)",
	PolicyHistory:       "the new password was used before",
}

// policyReason returns the plain words of a refusal by password policy, or "".
func policyReason(err error) string { return policyReasons[PolicyError(err)] }

// PolicyError returns the password policy error (draft-behera §6.2) that an answer
// carries in its response control, or NoPolicy.
func PolicyError(err error) int8 {
	var e *ldap.Error
	if !errors.As(err, &e) || e.Packet == nil || len(e.Packet.Children) < 3 || e.Packet.Children[2] == nil {
		return NoPolicy
	}
	var controls []ldap.Control
	for _, child := range e.Packet.Children[2].Children {
		if c, err := ldap.DecodeControl(child); err == nil {
			controls = append(controls, c)
		}
	}
	return policyOf(controls)
}

// policyOf finds the password policy error among response controls.
func policyOf(controls []ldap.Control) int8 {
	for _, c := range controls {
		if p, ok := c.(*ldap.ControlBeheraPasswordPolicy); ok {
			return p.Error
		}
	}
	return NoPolicy
}
