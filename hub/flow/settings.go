package flow

import (
	"context"
	"slices"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// offered lists what a directory offers to somebody. Settings that cannot be read offer
// nothing.
func (r *Recoveries) offered(ctx context.Context, d store.Directory) []protocol.Action {
	s, err := directory.Settings(d)
	if err != nil {
		r.Log.ErrorContext(ctx, "settings of a directory cannot be read", "directory", d.ID, "error", err)
		return nil
	}
	return slices.DeleteFunc(policy.Offered(s, d.Traits), func(a protocol.Action) bool { return !sealable(d, s, a) })
}

// sealable reports whether the result of an action can be sealed, or may go without.
func sealable(d store.Directory, s policy.Settings, a protocol.Action) bool {
	if !recovery.Legacy(d) || d.Settings.AllowUnsealed {
		return true
	}
	return !recovery.HasSecret(policy.Decide(policy.Request{Action: a, Settings: s, Traits: d.Traits}).Tasks)
}

// choices narrows what directories offer by hints or by a presigned link. Hints that
// leave nothing are passed over; restrictions are not.
func (r *Recoveries) choices(ctx context.Context, dirs []store.Directory, in recovery.Intent) []DirectoryChoice {
	narrowed := r.narrow(ctx, dirs, in)
	if len(narrowed) == 0 && !in.Restricted && ownAction(in) == "" {
		return r.narrow(ctx, dirs, recovery.Intent{})
	}
	return narrowed
}

func (r *Recoveries) narrow(ctx context.Context, dirs []store.Directory, in recovery.Intent) []DirectoryChoice {
	var list []DirectoryChoice
	for _, d := range dirs {
		if len(in.Directories) > 0 && !slices.Contains(in.Directories, d.ID) {
			continue
		}
		actions := slices.DeleteFunc(r.offeredIn(ctx, d, in), func(a protocol.Action) bool {
			return len(in.Actions) > 0 && !slices.Contains(in.Actions, a)
		})
		if len(actions) > 0 {
			list = append(list, DirectoryChoice{ID: d.ID, Name: d.Name, Actions: actions, Trial: d.TrialsOnly})
		}
	}
	return list
}

// union lists the actions of all choices in the order of the vocabulary.
func union(list []DirectoryChoice) []protocol.Action {
	var all []protocol.Action
	for _, row := range protocol.Actions {
		if slices.ContainsFunc(list, func(c DirectoryChoice) bool { return slices.Contains(c.Actions, row.Action) }) {
			all = append(all, row.Action)
		}
	}
	if len(list) > 0 && len(all) == 0 { // an entrance of its own offers one thing
		return list[0].Actions
	}
	return all
}

// Offered says what an environment has for everybody.
func (r *Recoveries) Offered(ctx context.Context, env string) (Offer, error) {
	dirs, err := store.Get(ctx, r.Store, func(tx *store.Tx) ([]store.Directory, error) { return tx.Directories(ctx, env) })
	if err != nil {
		return Offer{}, recovery.Plain(err)
	}
	o := Offer{Directories: r.choices(ctx, dirs, recovery.Intent{})}
	o.Trial = allTrials(o.Directories)
	o.Actions, o.Unavailable = union(o.Directories), !r.anyReachable(ctx, env, o.Directories)
	return o, nil
}

// allTrials reports whether whatever somebody chooses, nothing is changed.
func allTrials(list []DirectoryChoice) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(c DirectoryChoice) bool { return !c.Trial })
}

func (r *Recoveries) anyReachable(ctx context.Context, env string, list []DirectoryChoice) bool {
	return slices.ContainsFunc(list, func(c DirectoryChoice) bool { return r.Operations.Reachable(ctx, env, c.ID) })
}
