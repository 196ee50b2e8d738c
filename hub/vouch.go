package hub

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/approval"
)

// A doorbell sends mails to staff and to people who vouch.
type doorbell struct{ *notify.Notifier }

// QueueApproval implements approval.Messages.
func (d doorbell) QueueApproval(ctx context.Context, tx *store.Tx, m approval.Message) error {
	s := notify.Staff{Env: m.Env, To: m.To, Words: "approval", Name: m.Name, Who: m.Account, By: m.By, Origin: m.Origin, Path: approvalPath, Token: m.Token, Until: m.Until}
	if m.Alarm {
		s.Words = "alarm"
	}
	return undelivered(d.Notifier.QueueStaff(ctx, tx, s))
}

// approvalPath is the page of the recovery site that shows a request.
const approvalPath = "/approve"

// QueueStaff implements staff.Messages.
func (d doorbell) QueueStaff(ctx context.Context, tx *store.Tx, m staff.Message) error {
	s := notify.Staff{Env: m.Env, To: m.To, Words: string(m.Kind), Name: m.Name, Who: m.Who, Origin: m.Origin, Path: m.Path, Token: m.Token, Until: m.Until}
	if m.Kind == staff.Welcome || m.Kind == staff.NewMember {
		s.Console = m.Origin
	}
	err := d.Notifier.QueueStaff(ctx, tx, s)
	if m.Kind == staff.Welcome && errors.Is(err, notify.ErrNoAddress) { // or nobody would have its link
		return staff.ErrPerson
	}
	return undelivered(err)
}

// undelivered passes over somebody who has no address: what was decided stays decided.
func undelivered(err error) error {
	if errors.Is(err, notify.ErrNoAddress) || errors.Is(err, notify.ErrNoDomain) {
		return nil
	}
	return err
}

// methodsOf reads how a directory accepts proofs.
func methodsOf(ctx context.Context, tx *store.Tx, env, dir string) (policy.Methods, error) {
	m, _, err := directory.Rules(ctx, tx, env, dir, "")
	return m, err
}

var (
	_ approval.Messages = doorbell{}
	_ staff.Messages    = doorbell{}
	_ verify.Settler    = settler{}
)
