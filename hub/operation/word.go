package operation

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Word is what the agent of an account says before a hub's word about that account is
// given to anybody else.
type Word struct {
	Refused bool // its guard lets nobody prove to be this account
	Strict  bool // it asks for evidence that it checks itself (T11)
}

// WordOn asks the agent of a directory about an account, as it would be asked when
// somebody proves to be it. Nothing is ever performed on what it begins. ErrUnavailable
// says that no agent answered.
func (o *Operations) WordOn(ctx context.Context, a store.Account, origin string) (Word, error) {
	var part [protocol.RandomPart]byte
	_, _ = rand.Read(part[:]) // never fails
	req := protocol.BeginRequest{Recovery: part[:], Account: a.ImmutableID, Operation: string(protocol.SignIn), Origin: origin}
	var b protocol.Begun
	err := o.Ask(ctx, To{Env: a.Env, Directory: a.Directory}, protocol.MethodBegin, req, &b)
	switch code := protocol.CodeOf(err); {
	case err == nil:
		return Word{Refused: b.Finding != nil || b.Account != a.ImmutableID, Strict: b.Terms != nil && len(b.Terms.Methods) > 0}, nil
	case code == protocol.CodePermissionDenied, code == protocol.CodeAccountNotFound, code == protocol.CodeUnsupported:
		return Word{Refused: true}, nil
	}
	return Word{}, errors.Join(recovery.ErrUnavailable, err)
}
