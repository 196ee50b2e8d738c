package operation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Bounds of what an agent says of an order. They guard the hub's rows, and the pages and
// terminals that show them, against an agent that is not the hub's friend.
const (
	maxChanges = 8    // an operation changes one property, or one and what hangs on it
	maxValue   = 2048 // bytes of a value: names of groups and distinguished names
)

// checkForeseen refuses what no agent of Postern says of an order.
func checkForeseen(b protocol.Begun) error {
	if len(b.Changes) > maxChanges {
		return fmt.Errorf("operation: the agent foresees %d changes", len(b.Changes))
	}
	for i, d := range b.Changes {
		for _, text := range []string{string(d.What), d.Name, d.Before, d.After} {
			if len(text) > maxValue || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				return fmt.Errorf("operation: change %d that the agent foresees is too long, or no plain text", i)
			}
		}
	}
	if b.Finding != nil && (len(b.Finding.Message) > maxMessage || !utf8.ValidString(b.Finding.Message) || strings.ContainsFunc(b.Finding.Message, unicode.IsControl)) {
		b.Finding.Message = "" // its code says as much
	}
	if b.Finding != nil {
		b.Finding.Reason = protocol.Reason(reasonOf(b.Finding))
	}
	return nil
}

// refusedState is what the log says of an order that the agent refused before anything
// was asked of the directory. It is no outcome: nobody signed it.
const refusedState = "refused"

// refusedAct writes down that an agent refused an order: who tries what the agent's file
// forbids is worth knowing, also when nothing came of it.
func (o *Operations) refusedAct(ctx context.Context, act store.Act, why *protocol.Error) error {
	return audit.Write(ctx, o.Store, actEvent(act, audit.OperationFinished, audit.Principal{Agent: act.Agent}, map[string]any{
		"state": refusedState, "operation": act.Operation, "agent": act.Agent, "directory": act.Directory, "code": why.Code, "reason": why.Reason}))
}

// NeedsOwner reports whether only owners order an operation of an account: one that nothing
// takes back, or of somebody who holds a role in the console. An administrator must not
// shut out those who watch over administrators, nor help somebody's account on whose word
// others count (T17, T18).
func NeedsOwner(ctx context.Context, tx *store.Tx, a store.Account, t protocol.Task) (bool, error) {
	if row, known := protocol.ActByName(t.Operation); !known || row.Final {
		return true, nil
	}
	return tx.HoldsRole(ctx, a)
}

// ErrOwner says that only an owner orders this.
var ErrOwner = errors.New("operation: only owners order this")

// owner is the role of owners, wherever an order comes from.
const owner = "owner"

// mayOrder refuses what only owners order, in case that whoever asks did not look. It looks
// at the account as it is now.
func (o *Operations) mayOrder(ctx context.Context, q ActOrder) error {
	if q.Actor.Role == owner {
		return nil
	}
	return o.Store.Read(ctx, func(tx *store.Tx) error {
		needs, err := NeedsOwner(ctx, tx, q.Account, q.Task)
		if err == nil && needs {
			err = ErrOwner
		}
		return err
	})
}
