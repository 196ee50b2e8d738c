package party

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// In the public API an environment, and each directory of it, is itself a client: its id
// is the client_id, and an API key of the environment will do as its secret. Its row is
// made when it is first used, if the environment has callback addresses; an administrator
// may make it before, and give it secrets and settings of its own.

// AddBuiltIn makes the client that an environment or a directory is, unless there is one;
// store.ErrNotFound where there is no environment or directory of that id, or nobody could
// be answered.
func AddBuiltIn(ctx context.Context, st *store.Store, id string, now time.Time) error {
	var env store.Environment
	directory := ""
	err := st.Read(ctx, func(tx *store.Tx) (err error) {
		if env, err = tx.Environment(ctx, id); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		d, err := tx.DirectoryByID(ctx, id)
		if err != nil {
			return err
		}
		directory = d.ID
		env, err = tx.Environment(ctx, d.Env)
		return err
	})
	if err == nil && len(env.CallbackURLs) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return err
	}
	settings := Settings{Name: env.PublicName}
	key, err := NewKey(OpenID, settings, now)
	if err != nil {
		return err
	}
	err = st.Tx(ctx, func(tx *store.Tx) error {
		_, err := Add(ctx, tx, env.ID, id, OpenID, directory, settings, key)
		return err
	})
	if errors.Is(err, store.ErrConflict) { // another one was faster
		return nil
	}
	return err
}
