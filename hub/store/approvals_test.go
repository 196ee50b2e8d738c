package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// 200 decisions of one person about one request, at once, are one.
func TestP07_APersonDecidesOnceAboutARequest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		o, _ := fill(t, s)
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				err := s.Tx(t.Context(), func(tx *store.Tx) error {
					if err := tx.TouchApproval(t.Context(), o.env, o.approval); err != nil {
						return err
					}
					return tx.DecideApproval(t.Context(), o.env, o.approval, o.staff, store.AskApproved, []byte("signed"))
				})
				if err == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 200 decisions counted", won.Load())
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			asks, err := tx.ApprovalAsks(ctx, o.env, o.approval)
			if len(asks) != 1 || asks[0].State != store.AskApproved || string(asks[0].Proof) != "signed" {
				t.Errorf("asks: %+v", asks)
			}
			return err
		})
	})
}

// A request is replaced once, and only while its verification was told nothing and nobody
// said no; the one in its place is the verification's own, even within one millisecond.
func TestARequestIsReplacedOnceAndNeverAfterANo(t *testing.T) {
	for state, want := range map[string]error{store.ApprovalOpen: nil, store.ApprovalAccepted: nil, store.ApprovalDenied: store.ErrConflict, store.ApprovalClosed: store.ErrConflict} {
		storetest.Each(t, func(t *testing.T, s *store.Store) {
			o, _ := fill(t, s)
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				if err := tx.MoveApproval(ctx, o.env, o.approval, store.ApprovalOpen, state); err != nil {
					return err
				}
				if err := tx.ReplaceApproval(ctx, o.env, o.approval); err != want {
					t.Errorf("%s: %v, want %v", state, err, want)
				}
				if err := tx.ReplaceApproval(ctx, o.env, o.approval); err != store.ErrConflict {
					t.Errorf("%s, again: %v", state, err)
				}
				return nil
			})
			if want != nil {
				return
			}
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				old, err := tx.Approval(ctx, o.env, o.approval)
				if err != nil || old.State != store.ApprovalReplaced || old.SettledAt.IsZero() {
					t.Errorf("%+v, %v", old, err)
				}
				next := old
				next.ID = "~" // after every other id
				if err := tx.AddApproval(ctx, &next); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, "UPDATE approvals SET made_at = 1 WHERE verification = $1", o.verification); err != nil {
					return err
				}
				last, err := tx.ApprovalOf(ctx, o.env, o.verification, "approval")
				if last.ID != next.ID {
					t.Errorf("the last request is %s", last.State)
				}
				return err
			})
		})
	}
}

// T31: what one verification asks of a person itself is not in the way of its next request.
func TestT31_TheOwnRequestIsNotCountedAsOneThatWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		o, _ := fill(t, s)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			open, sent, err := tx.AskedOf(ctx, o.env, o.staff, o.verification, time.Time{})
			if open != 0 || sent != 1 {
				t.Errorf("own: %d wait, %d were sent", open, sent)
			}
			return err
		})
	})
}

// 200 uses of one invitation are one; an expired one and one for another host are none.
func TestP07_AnInvitationIsUsedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		o, _ := fill(t, s)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.AddStaffLink(ctx, &store.StaffLink{Hash: "h", Org: o.org, Staff: o.staff, RP: "id.example"})
		})
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.StaffLink(ctx, "other.example", "h"); err != store.ErrNotFound {
				t.Errorf("for another host: %v", err)
			}
			_, err := tx.StaffLink(ctx, "id.example", "h")
			return err
		})
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if s.Tx(t.Context(), func(tx *store.Tx) error { return tx.UseStaffLink(t.Context(), "h") }) == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 200 uses counted", won.Load())
		}
	})
}

// T17: whoever recovers their own account decides nothing for a while, and is signed out.
func TestT17_RecoveringAnAccountSuspendsItsOwnersRoles(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		o, _ := fill(t, s)
		until := time.Now().Add(72 * time.Hour)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			if n, err := tx.SuspendStaff(ctx, o.env, o.directory, "8", []string{"bob@example.com"}, until); n != 0 || err != nil {
				t.Errorf("somebody else's account: %d, %v", n, err)
			}
			if n, err := tx.SuspendStaff(ctx, o.env, o.directory, "8", []string{"ANN@example.com"}, until); n != 1 || err != nil {
				t.Errorf("by address: %d, %v", n, err)
			}
			who, err := tx.Staff(ctx, o.org, o.staff)
			if !who.Suspended(tx.Now()) || who.Suspended(until.Add(time.Second)) {
				t.Errorf("suspended until %v", who.SuspendedUntil)
			}
			if list, err := tx.ConsoleSessions(ctx, o.org); err != nil || len(list) != 0 {
				t.Errorf("sessions: %v, %v", list, err)
			}
			return err
		})
	})
}

// Lists of staff are bounded, and who is not listed hears of nobody new, keeps their sessions
// when their account is recovered, and may decide about themselves: so nobody is made whom
// the list has no room for.
func TestT18_EverybodyOfTheStaffIsListedAndNobodyIsCrowdedOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		o, _ := fill(t, s)
		crowd := func(ctx context.Context, tx *store.Tx) (err error) { // more than a list has, and by name before everybody else
			for i := 0; i < 1100 && err == nil; i++ {
				err = tx.AddStaff(ctx, &store.Staff{Org: o.org, ID: store.NewID(), Name: fmt.Sprintf("!%04d", i), Mail: fmt.Sprintf("%d@example.net", i), Role: store.RoleLimited})
			}
			return nil
		}
		do(t, s, crowd)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			if n, err := tx.SuspendStaff(ctx, o.env, o.directory, "8", []string{"ANN@example.com"}, time.Now().Add(time.Hour)); n != 1 || err != nil {
				t.Errorf("%d of the staff were suspended, %v", n, err)
			}
			err := tx.AddStaff(ctx, &store.Staff{Org: o.org, ID: store.NewID(), Name: "one more", Mail: "more@example.net", Role: store.RoleLimited})
			if !errors.Is(err, store.ErrConflict) {
				t.Errorf("one more: %v", err)
			}
			return nil
		})
	})
}

// T31: a recovery that ended keeps nobody from being asked for another, and no picture
// of it in the queue.
func TestT31_WhatNobodyWaitsForIsAskedOfNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		o, _ := fill(t, s)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CloseWaiting(ctx, o.env, o.verification)
		})
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			a, err := tx.Approval(ctx, o.env, o.approval)
			if err != nil {
				return err
			}
			r, err := tx.Review(ctx, o.env, o.review)
			if err != nil {
				return err
			}
			if a.State == store.ApprovalOpen || r.State != store.ReviewClosed || r.DecidedAt.IsZero() || r.SettledAt.IsZero() {
				t.Errorf("request %s, review %+v", a.State, r)
			}
			return nil
		})
	})
}
