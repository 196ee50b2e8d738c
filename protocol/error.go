package protocol

import "errors"

// A Code is the machine-readable reason of an Error. The set is closed.
type Code string

// Codes of the public agent protocol, and those that only the own protocol has.
const (
	CodeServiceAuthentication   Code = "service_authentication_failed" // the agent cannot sign in to its directory
	CodeConfiguration           Code = "configuration_error"           // the agent or its directory is set up wrongly
	CodePermissionDenied        Code = "permission_denied"             // the agent's own guard, or the directory's access rules, forbid it
	CodeAccountNotFound         Code = "account_not_found"
	CodeUnsupportedAccountState Code = "unsupported_account_state" // unlock of an account that is not locked, and the like
	CodeInternal                Code = "internal_error"            // everything else; what happened is not known to be nothing

	CodePasswordPolicy Code = "password_policy" // the directory refused the new password
	CodeUnavailable    Code = "unavailable"     // nothing can have happened: may be tried again
	CodeNotBegun       Code = "not_begun"       // this agent did not begin the recovery, or it ended
	CodeGivenUp        Code = "given_up"        // the request that was asked about did not come, and is refused if it does
	CodeExpired        Code = "expired"
	CodeBadRequest     Code = "bad_request"
	CodeQuarantined    Code = "quarantined"  // the agent is connected but given nothing
	CodeRateLimited    Code = "rate_limited" // the agent's own limits or breaker
	CodeUnsupported    Code = "unsupported"  // the directory kind cannot do it

	CodeLogUnproven     Code = "log_unproven"     // nothing proves that the audit log has the request
	CodeLogBehind       Code = "log_behind"       // the proof must begin at LogSize: prove again, nothing was done
	CodeLogInconsistent Code = "log_inconsistent" // two histories were shown: the agent does nothing until its administrator decides
)

// An Error is a refusal or failure that crosses the tunnel. Message is for
// administrators and names the fix; it never holds a secret.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	// Reason is the same for reports, where one is known.
	Reason Reason `json:"reason,omitempty"`
	// LogSize is from where a proof must begin: of CodeLogBehind and CodeLogInconsistent.
	LogSize int64 `json:"log_size,omitempty"`
	// LogHash is that of the head by which the agent stopped: of CodeLogInconsistent.
	LogHash string `json:"log_hash,omitempty"`
}

// Errorf is not offered on purpose: messages are constants with plain values, made by Err.

// Err makes an Error.
func Err(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// For sets the reason of an error that was just made, and returns it.
func (e *Error) For(r Reason) *Error {
	e.Reason = r
	return e
}

// Error implements error.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Is matches by code alone, so that errors.Is(err, &Error{Code: c}) asks for a code.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code
}

// CodeOf returns the code of the first Error in err's chain, CodeInternal for
// another error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil { // before anything is made for a look at it
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
