package agent

import (
	"context"

	"github.com/postern-id/postern/protocol"
)

// maxGroups bounds one answer; a hub that wants more asks with a longer prefix.
const maxGroups = 5000

// describe says what the directory can do, less what the guard never allows.
func (s *service) describe(ctx context.Context, _ protocol.Empty, _ *event) (any, error) {
	d, err := s.dir.Describe(ctx)
	if err != nil {
		return nil, asError(err)
	}
	s.narrow(&d.Traits)
	return d, nil
}

// narrow takes away what the agent's own file rules out.
func (s *service) narrow(t *protocol.Traits) {
	t.CanSendCode, t.CanEnrollKey = s.sendsCodes(), s.evidence.Strict() && len(s.evidence.Origins) > 0
	for op, can := range map[protocol.Operation]*bool{
		protocol.GetTemporaryPassword: &t.CanGetTemporaryPassword, protocol.GetPasswordLink: &t.CanGetPasswordLink,
		protocol.RemoveAllMFA: &t.CanRemoveAllMFA, protocol.GetMFABypassCode: &t.CanGetMFABypassCode,
		protocol.GetMFALink: &t.CanGetMFALink, protocol.Unlock: &t.CanUnlock,
		protocol.GetTemporaryAccessPass: &t.CanGetTemporaryAccessPass,
	} {
		*can = *can && s.guard.Allows(op)
	}
	for _, row := range protocol.Acts {
		*row.Has(t) = s.acts(row.Operation)
	}
}

// get finds accounts with their groups.
func (s *service) get(ctx context.Context, q protocol.Ref, e *event) (any, error) {
	e.Account = q.ID
	if (q.ID == "") == (q.Identifier == "") {
		return nil, protocol.Err(protocol.CodeBadRequest, "name the account by immutable_id or by id, not both")
	}
	if err := wellFormed("account", q.ID+q.Identifier, maxIdentifier); err != nil {
		return nil, err
	}
	found, err := s.dir.Get(ctx, q)
	if err != nil {
		return nil, asError(err)
	}
	e.Count = len(found)
	return protocol.AccountList{Accounts: found}, nil
}

// listGroups lists groups by prefix of their name.
func (s *service) listGroups(ctx context.Context, q protocol.GroupsRequest, e *event) (any, error) {
	if q.Prefix != "" {
		if err := wellFormed("name_prefix", q.Prefix, maxIdentifier); err != nil {
			return nil, err
		}
	}
	if q.Max <= 0 || q.Max > maxGroups {
		q.Max = maxGroups
	}
	found, err := s.dir.Groups(ctx, q)
	if err != nil {
		return nil, asError(err)
	}
	e.Count = len(found)
	return protocol.GroupList{Groups: found}, nil
}
