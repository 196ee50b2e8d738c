package console

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/store"
)

// field returns the only value of a form's field.
func (v *visit) field(name string) string {
	if values := v.r.PostForm[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// act carries out one decision in an environment of the administrator's organisation.
// What was decided meanwhile by somebody else is no error: the page shows how it stands.
func (v *visit) act(do func(ctx context.Context, env string) error) {
	ctx, cancel := v.context()
	defer cancel()
	env := v.field("env")
	if err := v.owns(ctx, env); err != nil {
		v.fail(err)
		return
	}
	err := do(ctx, env)
	if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrNoQuestion) {
		v.fail(err)
		return
	}
	v.see(root)
}

// owns returns errNoPage unless the environment is the organisation's, and one of those in
// which whoever is signed in works (T25).
func (v *visit) owns(ctx context.Context, env string) error {
	all, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) ([]store.Environment, error) { return v.environments(ctx, tx) })
	if err == nil && !slices.ContainsFunc(all, func(e store.Environment) bool { return e.ID == env }) {
		return errNoPage
	}
	return err
}

// directory returns the directory that the form names, if it is the environment's.
func (v *visit) directory(ctx context.Context, env string) (string, error) {
	d, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) (store.Directory, error) { return tx.Directory(ctx, env, v.field("directory")) })
	return d.ID, err
}

func (v *visit) sync() {
	v.act(func(ctx context.Context, env string) error {
		id, err := v.directory(ctx, env)
		if err != nil {
			return err
		}
		return v.console.cfg.Directories.SyncNow(ctx, env, id)
	})
}

// confirmSync answers the question of a directory, and begins the pass that obeys.
func (v *visit) confirmSync() {
	v.act(func(ctx context.Context, env string) error {
		id, err := v.directory(ctx, env)
		if err != nil {
			return err
		}
		if err := v.console.cfg.Directories.Confirm(ctx, env, id, v.actor()); err != nil {
			return err
		}
		return v.console.cfg.Directories.SyncNow(ctx, env, id)
	})
}

func (v *visit) confirmAgent() {
	v.act(func(ctx context.Context, env string) error {
		return v.console.cfg.Agents.Confirm(ctx, env, v.field("agent"), v.field("fingerprint"), v.actor())
	})
}

func (v *visit) resolveAgent() {
	v.act(func(ctx context.Context, env string) error {
		return v.console.cfg.Agents.Resolve(ctx, env, v.field("agent"), v.actor())
	})
}
