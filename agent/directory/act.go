package directory

import (
	"context"

	"github.com/postern-id/postern/protocol"
)

// An Actor is a directory that does what administrators ask beside recovery. Each
// operation says what the account is to be, not what to do with it, so that one that was
// carried out twice leaves what one left.
type Actor interface {
	// Acts are the operations that the directory can do, as it is configured.
	Acts() []protocol.Operation
	// Foresee reads what the operation would change and changes nothing. Foreseen without
	// changes says that the account is already so. It makes every check of Act that reading
	// can make: CodeAccountNotFound, CodePermissionDenied, CodeBadRequest for a group that
	// is not there or is named by a name of several.
	Foresee(ctx context.Context, id string, act protocol.Task) (Foreseen, error)
	// Act carries it out in one change. An error that wraps ErrUnsure says that nobody
	// knows whether it did.
	Act(ctx context.Context, id string, act protocol.Task) error
}

// A Setter is an Actor that sets attributes of an account. Its Acts have SetAttribute; it
// is asked for that here alone, because the values are no part of a task. No error, of any
// method, repeats a value or what a server says of one.
type Setter interface {
	// ForeseeSet is Foresee for values that an attribute is to have. It refuses what the
	// configuration maps to signing in, identity or rights (CodePermissionDenied), and what
	// the schema tells of the attribute (CodeBadRequest with ReasonValue).
	ForeseeSet(ctx context.Context, id string, s Set) (Foreseen, error)
	// Set makes these the values of the attribute, all others gone, in one change. Errors
	// are those of Act and ForeseeSet.
	Set(ctx context.Context, id string, s Set) error
	// Values reads the values that the attribute has.
	Values(ctx context.Context, id, attribute string) ([]string, error)
}

// A Set is an attribute and the values that it is to have; none clears it.
type Set struct {
	Attribute string
	Values    []string
}

// WhyEvidence is why nothing sets an attribute that recoveries go by: an administrator alone
// would recover the account with it (P1, T16).
const WhyEvidence = "recoveries go by this attribute: who sets it could recover the account; it is set in the directory itself"

// Foreseen is what an account operation would change.
type Foreseen struct {
	Changes []protocol.Difference
	Group   *ActGroup // that the operation names; nil: it names none
	// Evidence says that recoveries go by the attribute that is set: who sets it could
	// recover the account. The agent refuses that.
	Evidence bool
}

// An ActGroup is a group whose members are to change.
type ActGroup struct {
	ID, Name   string
	DN         string
	Privileged string // why its members are administrators, nested ones included; "" if they are not
}
