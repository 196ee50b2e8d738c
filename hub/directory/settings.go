package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
)

// policies lists the five columns of a directory's policies by their names on the wire.
func policies(p *store.Policies) map[string]*json.RawMessage {
	return map[string]*json.RawMessage{
		"authenticate_policy":          &p.Authenticate,
		"mfa_policy":                   &p.MFA,
		"password_policy":              &p.Password,
		"temporary_access_pass_policy": &p.AccessPass,
		"unlock_policy":                &p.Unlock,
	}
}

// Settings reads what administrators decided about a directory. A policy that nobody
// has set is that of a new directory; what cannot be read is an error, never a default.
func Settings(d store.Directory) (policy.Settings, error) {
	s := policy.Default()
	set := d.Settings
	for name, text := range policies(&set.Policies) {
		if len(*text) == 0 {
			continue
		}
		var r policy.Rules
		if err := json.Unmarshal(*text, &r); err != nil {
			return policy.Settings{}, fmt.Errorf("directory %s: %s: %w", d.ID, name, err)
		}
		s.Policies[name] = r
	}
	if len(set.Methods) > 0 {
		s.Methods = policy.Methods{}
		if err := json.Unmarshal(set.Methods, &s.Methods); err != nil {
			return policy.Settings{}, fmt.Errorf("directory %s: methods: %w", d.ID, err)
		}
	}
	if set.RateLimit.Window > 0 {
		s.Limit = &policy.RateLimit{Count: set.RateLimit.Count, Window: policy.Duration(set.RateLimit.Window)}
	}
	s.AccessPassMinutes, s.AccessPassReusable = set.AccessPassMinutes, set.AccessPassReusable
	return s, s.Check()
}

// Store puts settings into the form of the store, every policy written out. A limit of
// none is a window of 0. What policy.Settings does not know stays as it is in former.
func Store(s policy.Settings, former store.DirectorySettings) (store.DirectorySettings, error) {
	if err := s.Check(); err != nil {
		return former, err
	}
	out := former
	for name, column := range policies(&out.Policies) {
		*column = json.RawMessage(store.JSON(s.Policies[name]))
	}
	out.Methods = json.RawMessage(store.JSON(s.Methods))
	out.RateLimit = store.RateLimit{}
	if s.Limit != nil {
		out.RateLimit = store.RateLimit{Count: s.Limit.Count, Window: time.Duration(s.Limit.Window)}
	}
	out.AccessPassMinutes, out.AccessPassReusable = s.AccessPassMinutes, s.AccessPassReusable
	return out, nil
}

// Rules reads how a directory accepts proofs, and the groups of an account; none where
// the account is unknown.
func Rules(ctx context.Context, tx *store.Tx, env, dir, account string) (policy.Methods, []policy.Group, error) {
	d, err := tx.Directory(ctx, env, dir)
	if err != nil {
		return policy.Methods{}, nil, err
	}
	s, err := Settings(d)
	if err != nil {
		return policy.Methods{}, nil, err
	}
	a, err := tx.AccountOf(ctx, env, dir, account)
	if errors.Is(err, store.ErrNotFound) {
		return s.Methods, nil, nil
	} else if err != nil {
		return policy.Methods{}, nil, err
	}
	list, err := tx.AccountGroups(ctx, env, a.ID)
	groups := make([]policy.Group, len(list))
	for i, g := range list {
		groups[i] = policy.Group{ID: g.ID, Name: g.Name}
	}
	return s.Methods, groups, err
}
