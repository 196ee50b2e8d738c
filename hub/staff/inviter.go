package staff

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// inviter is whose invitation it is: the person's, also by a command line that they signed
// in, or the API key's of a program. "" is the hub's own machine.
func inviter(ctx context.Context, tx *store.Tx, org string, by audit.Principal) (string, error) {
	if by.APIKey == "" {
		return by.OrgMember, nil
	}
	k, err := tx.APIKey(ctx, org, by.APIKey)
	if k.Staff != "" {
		return k.Staff, err
	}
	return k.ID, err
}

// opened returns an invitation that still works, and whom it is for; store.ErrNotFound
// otherwise. It ends with whoever made it: somebody who was removed, or may not invite this
// person any more, lets nobody in.
func opened(ctx context.Context, tx *store.Tx, at Place, token string) (l store.StaffLink, who store.Staff, err error) {
	if l, err = tx.StaffLink(ctx, at.RPID(), store.HashToken(token)); err != nil {
		return l, who, err
	}
	if who, err = tx.Staff(ctx, l.Org, l.Staff); err != nil || l.By == "" {
		return l, who, err
	}
	may, err := reachOf(ctx, tx, l.Org, l.By)
	if err == nil && !may.invites(who, at) {
		err = store.ErrNotFound
	}
	return l, who, err
}

// reachOf is what a person or an API key may give now. Whoever is suspended gives nothing.
func reachOf(ctx context.Context, tx *store.Tx, org, id string) (Reach, error) {
	s, err := tx.Staff(ctx, org, id)
	if err == nil && !s.Suspended(tx.Now()) {
		return Reach{s.Role, s.Envs}, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return Reach{}, err
	}
	k, err := tx.APIKey(ctx, org, id)
	if err != nil || !k.Enabled {
		return Reach{}, err
	}
	return Reach{k.Role, k.Envs}, nil
}

// invites reports whether somebody may be let in at a place by whoever has the reach.
func (r Reach) invites(who store.Staff, at Place) bool {
	if at.Env != "" { // and vouches there, wherever else they do
		return AtLeast(r.Role, Admin) && AtLeast(r.Role, who.Role) && store.Reaches(r.Envs, at.Env)
	}
	return r.covers(who)
}
