package hub

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/postern-id/postern/hub/api"
	"github.com/postern-id/postern/hub/console"
	"github.com/postern-id/postern/hub/processors"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// masterKeyName is the key file in the data folder, the single-node default.
const masterKeyName = "master.key"

// consoleLinkPath is where an administrator's link leads; its secret follows.
const consoleLinkPath = console.LinkPath

// ErrInstalled is returned by Install for a store that has an organisation.
var ErrInstalled = errors.New("hub: this store has an organisation already; nothing was changed")

// An Installation is what Install made. Its secrets are shown once.
type Installation struct {
	Organisation string          // id
	Environment  string          // id
	Key          protocol.Secret // REST, role owner, every environment
	ConsoleLink  protocol.Secret // address that signs one administrator in, once
}

// Install makes an organisation with its first environment and an owner's key in a
// store that has none.
func Install(ctx context.Context, cfg Config, organisation, environment string) (Installation, error) {
	s, _, err := openStore(ctx, cfg)
	if err != nil {
		return Installation{}, err
	}
	defer s.Close()
	key, link := store.NewAPIKey(), store.NewToken()
	in := Installation{Key: protocol.NewSecret(key), ConsoleLink: protocol.NewSecret(cfg.PublicURL + consoleLinkPath + link)}
	err = s.Tx(ctx, func(tx *store.Tx) error {
		if orgs, err := tx.Organisations(ctx); err != nil || len(orgs) > 0 {
			return errors.Join(err, ErrInstalled)
		}
		org, err := tx.CreateOrganisation(ctx, store.Organisation{Name: organisation})
		if err != nil {
			return err
		}
		env, err := tx.CreateEnvironment(ctx, store.Environment{Org: org.ID, Name: environment, PublicName: organisation})
		if err != nil {
			return err
		}
		in.Organisation, in.Environment = org.ID, env.ID
		if _, err := tx.CreateAPIKey(ctx, store.APIKey{
			Org: org.ID, Name: "owner, made by init", Hash: store.HashToken(key), Role: api.RoleOwner, Envs: []string{store.AllEnvs}, Enabled: true,
		}); err != nil {
			return err
		}
		return tx.CreateConsoleLink(ctx, org.ID, store.HashToken(link))
	})
	if err != nil {
		return Installation{}, err
	}
	return in, nil
}

// NewConsoleLink makes one more link that signs an administrator in, once.
func NewConsoleLink(ctx context.Context, cfg Config) (protocol.Secret, error) {
	s, _, err := openStore(ctx, cfg)
	if err != nil {
		return protocol.Secret{}, err
	}
	defer s.Close()
	link := store.NewToken()
	err = s.Tx(ctx, func(tx *store.Tx) error {
		orgs, err := tx.Organisations(ctx)
		if err != nil {
			return err
		}
		if len(orgs) == 0 {
			return errors.New("hub: nothing is installed yet; run postern init")
		}
		return tx.CreateConsoleLink(ctx, orgs[0].ID, store.HashToken(link))
	})
	return protocol.NewSecret(cfg.PublicURL + consoleLinkPath + link), err
}

// RotateMasterKey seals everything in the store anew under the key in file, while nodes
// run; called again after an interruption it goes on. Afterwards the old key opens
// nothing, and every node must be given the new one before it is started again. Until
// all are, calls between an old and a new node are refused and agents redial.
func RotateMasterKey(ctx context.Context, cfg Config, file string) error {
	key, err := store.LoadMasterKey(file)
	if err != nil {
		return err
	}
	s, _, err := openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Rotate(ctx, key)
}

// openStore opens the store that cfg names, with its master key, for a tool.
func openStore(ctx context.Context, cfg Config) (*store.Store, []byte, error) {
	return openStoreAs(ctx, cfg, false)
}

// openStoreAs is openStore for whoever serves, or a tool beside it.
func openStoreAs(ctx context.Context, cfg Config, serves bool) (*store.Store, []byte, error) {
	key, err := masterKey(cfg)
	if err != nil {
		return nil, nil, err
	}
	if cfg.StoreURL == "" {
		processors.Spare() // the database is in this process, which waits for the disk itself
	}
	s, err := store.Open(ctx, store.Config{URL: cfg.StoreURL, Dir: cfg.DataDir, MasterKey: key, Log: cfg.Log, Serves: serves})
	if err != nil {
		return nil, nil, fmt.Errorf("hub: store: %w", err)
	}
	return s, key, nil
}

// masterKey reads the key that the operator named, or makes the one in the data folder.
func masterKey(cfg Config) ([]byte, error) {
	if cfg.MasterKeyFile != "" {
		return store.LoadMasterKey(cfg.MasterKeyFile)
	}
	return store.LoadOrCreateMasterKey(filepath.Join(cfg.DataDir, masterKeyName))
}
