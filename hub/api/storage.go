package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/storage"
	"github.com/postern-id/postern/hub/store"
)

// storageOut is how an environment's own storage does.
type storageOut struct {
	Settings *storage.Settings `json:"settings,omitempty"` // as in Env; absent: pictures stay in the hub
	OK       *time.Time        `json:"last_ok_at,omitempty"`
	Failed   *time.Time        `json:"last_failed_at,omitempty"`
	Error    string            `json:"last_error,omitempty"` // of the last try; absent: it worked
	Moves    int               `json:"waiting"`              // pictures that are still in the hub because it failed or is new
	Removals int               `json:"waiting_removals"`     // objects that were deleted here and not yet there
}

// storageSettings returns the settings of an environment's storage; nil if it has none.
func storageSettings(ctx context.Context, tx *store.Tx, env string) (*storage.Settings, store.Storage, error) {
	row, err := tx.ActiveStorage(ctx, env)
	if errors.Is(err, store.ErrNotFound) {
		return nil, row, nil
	}
	if err != nil {
		return nil, row, err
	}
	s := new(storage.Settings)
	return s, row, json.Unmarshal(row.Settings, s)
}

// shownStorage is storageSettings without secrets.
func shownStorage(ctx context.Context, tx *store.Tx, env string) (*storage.Settings, error) {
	s, _, err := storageSettings(ctx, tx, env)
	if s != nil {
		shown := s.Shown()
		s = &shown
	}
	return s, err
}

// getStorage answers with how the storage does.
func getStorage(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	s, row, err := storageSettings(ctx, tx, c.env.ID)
	if err != nil {
		return nil, err
	}
	out := storageOut{OK: at(row.OK), Failed: at(row.Failed), Error: row.Error}
	if s != nil {
		shown := s.Shown()
		out.Settings = &shown
	}
	out.Moves, out.Removals, err = tx.StorageWaiting(ctx, c.env.ID)
	return out, err
}

// setStorage sets where pictures go; nothing or null: they stay in the hub.
// What lies at a former place stays readable there, and is removed there in its time.
func setStorage(ctx context.Context, c *call, tx *store.Tx, given optional[storage.Settings]) error {
	if !given.Given {
		return nil
	}
	s := given.Value
	if given.Null || s.Empty() {
		return tx.SetStorage(ctx, c.env.ID, nil)
	}
	former, row, err := storageSettings(ctx, tx, c.env.ID)
	if err != nil {
		return err
	}
	if err := c.openSecrets(ctx, tx, "storage", &s.Secret, &s.AzureUS, &s.AzureEU, &s.AzureIN); err != nil {
		return err
	}
	if former != nil {
		s.Keep(*former)
	}
	if err := checkStorage(s); err != nil {
		return err
	}
	if body := store.JSON(s); body != string(row.Settings) {
		return tx.SetStorage(ctx, c.env.ID, []byte(body))
	}
	return nil
}

func checkStorage(s storage.Settings) error {
	err := s.Check()
	if w := (*storage.Wrong)(nil); errors.As(err, &w) {
		return bad("storage." + w.Field + ": " + w.Text)
	}
	return err
}

// tested is what a test of a storage found.
type tested struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// testedSettings writes an object to the storage of the environment, reads it back and
// removes it, by testStorage, after the transaction.
func testedSettings(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	s, _, err := storageSettings(ctx, tx, c.env.ID)
	if err == nil && s == nil {
		err = bad("this environment has no storage of its own; set one with PATCH /api/envs/{env}")
	}
	return s, err
}

// testStorage tries the settings.
func testStorage(ctx context.Context, c *call, reply any) (any, error) {
	wrong := c.api.Storage.Test(ctx, *reply.(*storage.Settings))
	return tested{wrong == "", wrong}, nil
}
