package operation

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Times of lost answers.
const (
	resolveFirst = 2 * time.Second
	resolveSoon  = 5 * time.Second                                       // between two questions while the person waits
	resolveMax   = time.Minute                                           // and afterwards
	giveUpAfter  = 10 * time.Second                                      // of a frame: one that is only slow has come by then
	resolveUntil = 24 * time.Hour                                        // then a person must look
	frameGone    = pressLife + protocol.MaxOperationLife + 2*time.Minute // no frame of this press can still be on its way, whatever the clocks say
)

// Resolve asks the agent what became of an operation whose answer was lost. Its journal
// knows, also after a restart. Only that agent is asked, and nothing is sent again.
func (o *Operations) Resolve(ctx context.Context, rec *store.Recovery) error {
	var c protocol.Context
	if err := c.UnmarshalText([]byte(rec.Context)); err != nil {
		return err
	}
	age := o.Now().Sub(rec.PressedAt)
	var out protocol.Outcome
	q := protocol.OutcomeRequest{Context: c}
	if age > giveUpAfter || age < 0 { // pressed by a clock that has been set back
		q.Request = rec.Operation
	}
	err := o.Ask(ctx, ToAgent(rec), protocol.MethodOutcome, q, &out)
	switch code := protocol.CodeOf(err); {
	case err == nil:
		if err = o.settle(ctx, rec, &out); !errors.Is(err, errUnsigned) || age < resolveUntil {
			return err
		}
	case code == protocol.CodeGivenUp, code == protocol.CodeNotBegun && age > frameGone && age < resolveUntil:
		return o.conclude(ctx, rec, &protocol.Outcome{State: protocol.Unchanged, Error: protocol.Err(protocol.CodeUnavailable, "")})
	case age < resolveUntil:
		return o.rows.Postpone(ctx, rec, o.Now().Add(o.askAgain(rec, age)))
	}
	return o.conclude(ctx, rec, &protocol.Outcome{State: protocol.Unknown, Error: protocol.Err(protocol.CodeInternal, "")})
}

// askAgain is how long nobody asks an agent that did not answer.
func (o *Operations) askAgain(rec *store.Recovery, age time.Duration) time.Duration {
	most := resolveMax
	if rec.ExpiresAt.After(o.Now()) {
		most = resolveSoon
	}
	return min(max(age/4, resolveFirst), most)
}

func sealedHash(out *protocol.Outcome) []byte {
	sum := sha256.Sum256(out.Sealed)
	return sum[:]
}
