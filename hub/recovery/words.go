package recovery

import "errors"

// An Ending says why a recovery ended. It is the same for known and unknown addresses.
type Ending string

// The ways in which a recovery ends.
const (
	EndAcknowledged Ending = "acknowledged" // the result was seen, and the secret deleted
	EndCancelled    Ending = "cancelled"    // by the person who started it
	EndExpired      Ending = "expired"      // not finished in time
	EndDisowned     Ending = "disowned"     // whoever took it over says that they did not begin it
	EndRefused      Ending = "refused"      // of the browser that read a ticket: it was not given the recovery
	EndReturned     Ending = "returned"     // of a sign-in: the proof was made, and the person went back with it
	EndVoided       Ending = "voided"       // the owner said "this was not me", or the account changed meanwhile
)

// A Problem is a reason that an employee may read, as a key of the catalogue.
type Problem string

// Problems that pages explain. They are shown only after the first proof, except
// ProblemUnavailable, which concerns everybody.
const (
	ProblemNone        Problem = ""
	ProblemUnavailable Problem = "unavailable"   // no agent, no directory: try later
	ProblemNotAllowed  Problem = "not_allowed"   // policy or the agent's guard
	ProblemNotLocked   Problem = "not_locked"    // unlock of an account that is not locked
	ProblemNothing     Problem = "nothing_to_do" // no authenticator to clear
	ProblemPolicy      Problem = "password_policy"
	ProblemVetoed      Problem = "vetoed"    // the organisation's own check said no
	ProblemLimit       Problem = "limit"     // operation limit of the directory
	ProblemNoMethod    Problem = "no_method" // the person has no other way to prove what is asked for
	ProblemDeclined    Problem = "declined"  // people looked, and said no
	ProblemHeld        Problem = "held"      // the agent holds the operation until the row's retry time
	ProblemBlocked     Problem = "blocked"   // the owner said "this was not me"
	ProblemInternal    Problem = "internal"
)

// Errors that pages tell apart. Their text is for logs.
var (
	ErrNotFound    = errors.New("recovery: no such recovery for this session")
	ErrAddress     = errors.New("recovery: not an address")
	ErrWrongCode   = errors.New("recovery: wrong code")
	ErrTooMany     = errors.New("recovery: too many tries")
	ErrTooSoon     = errors.New("recovery: another code may not be sent yet")
	ErrStep        = errors.New("recovery: not at this step") // pressed twice, or on an old page
	ErrRecipient   = errors.New("recovery: the browser's key is missing or malformed")
	ErrNotAdmitted = errors.New("recovery: the presigned link does not admit this")
	ErrRateLimited = errors.New("recovery: too many requests from this address")
	ErrUnavailable = errors.New("recovery: the store or the coordinator is away")
)
