package request

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// scanned are the events of a document that people look at, with how far each brings a
// request; "" moves nothing.
var scanned = map[string]string{
	"scan_started": "", string(audit.BiometricConsent): "", eventFrontImage: idScanned, "scan_back_image_added": "", eventSelfieImage: faceScanned,
	"scan_finished": "", eventScanAccepted: "", eventScanRejected: "", eventAppealed: "", eventAppealAccepted: "", eventAppealRejected: "",
}

// CaseChanged takes what happened to the document of a use, in the transaction in which
// it did: event is one of the public interface, outcome what people decided. Events that
// the interface does not know are passed over.
func (q *Requests) CaseChanged(ctx context.Context, tx *store.Tx, env, use, event, outcome string) error {
	to, ok := scanned[event]
	if !ok {
		return nil
	}
	u, r, err := remembered(ctx, tx, env, use)
	if err != nil || u.ID == "" {
		return err
	}
	wasUse, was := u, r
	if order[r.Progress] < order[to] {
		r.Progress = to
	}
	heard(&u, &r, event, outcome)
	if u.State != wasUse.State {
		if err := tx.SaveRequestUse(ctx, &u); err != nil {
			return err
		}
	}
	if r.State != was.State || r.Progress != was.Progress {
		if err := tx.SaveRequest(ctx, &r); err != nil {
			return err
		}
	}
	if err := q.tell(ctx, tx, r, event); err != nil || event != eventScanAccepted && event != eventAppealAccepted {
		return err
	}
	return q.tell(ctx, tx, r, eventSelfieVerified)
}

// heard is what an event of a case makes of a use and its request.
func heard(u *store.RequestUse, r *store.Request, event, outcome string) {
	switch event {
	case eventScanRejected, eventAppealRejected:
		u.State = useDeclined
		reject(r, outcome)
	case eventAppealed:
		u.State = useWaiting
		reject(r, Appealed)
	case eventScanAccepted, eventAppealAccepted:
		accept(r)
	}
}

// rejected are the states of a request whose only person was not believed.
var rejected = []string{Appealed, RejectedUnusable, RejectedFraud}

// reject marks a request for one. A link for several stays for the others.
func reject(r *store.Request, outcome string) {
	if r.MaxUses == 1 && (r.State == InProgress || slices.Contains(rejected, r.State)) && slices.Contains(rejected, outcome) {
		r.State = outcome
	}
}

// accept takes a rejection back: the person was believed, or tries another way. It
// reports whether there was one.
func accept(r *store.Request) bool {
	if !slices.Contains(rejected, r.State) {
		return false
	}
	r.State = InProgress
	return true
}

// Settle takes what people decided in the end about a use's document. store.ErrNotFound
// says that there is no such use; ErrStep that it waits for nothing, or not yet.
func (q *Requests) Settle(ctx context.Context, env, use string, v verify.Verdict) error {
	var u store.RequestUse
	var r store.Request
	err := q.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if u, err = tx.RequestUse(ctx, env, use); err == nil {
			r, err = tx.Request(ctx, env, u.Request)
		}
		return err
	})
	if err != nil {
		return err
	}
	if u.State != useWaiting && u.State != useDeclined || !q.live(u, r) {
		return ErrStep
	}
	if v.Right && v.Claims != nil {
		return q.accepted(ctx, u, r, v)
	}
	others := v.Reason != RejectedFraud && len(q.usable(ctx, q.subject(u, r), r)) > 0
	return q.step(ctx, &u, func(tx *store.Tx) error {
		if others {
			u.State = useChoosing
			return nil
		}
		u.State = useRefused
		r, err := tx.Request(ctx, env, u.Request)
		if err != nil {
			return err
		}
		if err := tx.CloseCode(ctx, env, u.ID); err != nil {
			return err
		}
		e := q.event(r, u, audit.RequestRejected, Client{}, map[string]any{"method": u.Method, "reason": v.Reason})
		if err := audit.Append(ctx, tx, e); err != nil {
			return err
		}
		return q.tell(ctx, tx, r, eventRejected)
	})
}

// accepted keeps what people read, for the person to share.
func (q *Requests) accepted(ctx context.Context, u store.RequestUse, r store.Request, v verify.Verdict) error {
	return q.step(ctx, &u, func(tx *store.Tx) error {
		f, err := foundOf(u, r, *v.Claims, q.Now())
		if err != nil {
			return err
		}
		if err := errors.Join(q.pictured(ctx, tx, u, r, &f), f.bound(ctx, tx, r)); err != nil {
			return err
		}
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		u.State, u.Private = useFound, b
		return tx.CloseCode(ctx, u.Env, u.ID)
	})
}

// abort ends what people were asked about a use that its person left.
func (q *Requests) abort(ctx context.Context, tx *store.Tx, r store.Request, u store.RequestUse) error {
	c, err := tx.Code(ctx, u.Env, u.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && c.Case == "" {
		return nil
	}
	if err != nil {
		return err
	}
	if err := tx.CloseWaiting(ctx, u.Env, u.ID); err != nil {
		return err
	}
	return q.tell(ctx, tx, r, eventScanAborted)
}

// Resume returns the use that a browser with these sessions began by a link, if it may
// go on: somebody who waits for people comes back by their link.
func (q *Requests) Resume(ctx context.Context, env, ticket string, sessions map[string]string) (id string, ok bool) {
	err := q.Store.Read(ctx, func(tx *store.Tx) error {
		r, err := tx.RequestByTicket(ctx, env, ticket)
		if err != nil {
			return err
		}
		for use, session := range sessions {
			u, mine, err := own(ctx, tx, env, use, session)
			if err == nil && mine.ID == r.ID && u.State != useAsked && u.State != useRejected && u.State != useRevoked && (u.State == useShared || u.State == useRefused || q.live(u, r)) {
				id, ok = use, true
				return nil
			}
		}
		return nil
	})
	return id, ok && err == nil
}
