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

// Foreseen is what an account operation would change.
type Foreseen struct {
	Changes []protocol.Difference
	Group   *ActGroup // that the operation names; nil: it names none
}

// An ActGroup is a group whose members are to change.
type ActGroup struct {
	ID, Name   string
	DN         string
	Privileged string // why its members are administrators, nested ones included; "" if they are not
}
