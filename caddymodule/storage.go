package caddymodule

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"

	"github.com/postern-id/postern/hub/store"
)

// Storage keeps certificates in Postern's store, sealed, with a copy on this node's
// disk, so that several nodes share them and none asks for one twice.
type Storage struct{ app *App }

// CaddyModule implements caddy.Module.
func (Storage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.postern", New: func() caddy.Module { return new(Storage) }}
}

// Provision finds the app that the storage belongs to. Caddy loads the storage
// before its apps; asking for the app loads it now.
func (s *Storage) Provision(ctx caddy.Context) (err error) {
	s.app, err = app(ctx)
	return err
}

// CertMagicStorage implements caddy.StorageConverter. A command that only checks gets
// Caddy's own storage: what it asks for, such as a key of a local authority, would
// otherwise open the hub and make a database.
func (s *Storage) CertMagicStorage() (certmagic.Storage, error) {
	if checking() {
		return caddy.DefaultStorage, nil
	}
	return lateStorage{s.app}, nil
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (*Storage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return noArguments(d)
}

// lateStorage asks the hub's storage at each call: Caddy wants the storage before
// the hub is open, and keeps it while the hub may be closed and opened anew.
type lateStorage struct{ app *App }

func (l lateStorage) shared() (*store.Certificates, error) {
	h, err := l.app.hub()
	if err != nil {
		return nil, err
	}
	return h.Storage(), nil
}

// Store implements certmagic.Storage.
func (l lateStorage) Store(ctx context.Context, key string, value []byte) error {
	s, err := l.shared()
	if err != nil {
		return err
	}
	return s.Store(ctx, key, value)
}

// Load implements certmagic.Storage.
func (l lateStorage) Load(ctx context.Context, key string) ([]byte, error) {
	s, err := l.shared()
	if err != nil {
		return nil, err
	}
	return s.Load(ctx, key)
}

// Delete implements certmagic.Storage.
func (l lateStorage) Delete(ctx context.Context, key string) error {
	s, err := l.shared()
	if err != nil {
		return err
	}
	return s.Delete(ctx, key)
}

// Exists implements certmagic.Storage.
func (l lateStorage) Exists(ctx context.Context, key string) bool {
	s, err := l.shared()
	return err == nil && s.Exists(ctx, key)
}

// List implements certmagic.Storage.
func (l lateStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	s, err := l.shared()
	if err != nil {
		return nil, err
	}
	return s.List(ctx, path, recursive)
}

// Stat implements certmagic.Storage.
func (l lateStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	s, err := l.shared()
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	info, err := s.Stat(ctx, key)
	return certmagic.KeyInfo{Key: info.Name, Modified: info.Modified, Size: info.Size, IsTerminal: info.Terminal}, err
}

// Lock implements certmagic.Locker.
func (l lateStorage) Lock(ctx context.Context, name string) error {
	s, err := l.shared()
	if err != nil {
		return err
	}
	return s.Lock(ctx, name)
}

// TryLock implements certmagic.TryLocker.
func (l lateStorage) TryLock(ctx context.Context, name string) (bool, error) {
	s, err := l.shared()
	if err != nil {
		return false, err
	}
	return s.TryLock(ctx, name)
}

// Unlock implements certmagic.Locker.
func (l lateStorage) Unlock(ctx context.Context, name string) error {
	s, err := l.shared()
	if err != nil {
		return err
	}
	return s.Unlock(ctx, name)
}

// RenewLockLease implements certmagic.LockLeaseRenewer.
func (l lateStorage) RenewLockLease(ctx context.Context, name string, lease time.Duration) error {
	s, err := l.shared()
	if err != nil {
		return err
	}
	return s.RenewLockLease(ctx, name, lease)
}

var (
	_ caddy.StorageConverter     = (*Storage)(nil)
	_ caddy.Provisioner          = (*Storage)(nil)
	_ caddyfile.Unmarshaler      = (*Storage)(nil)
	_ certmagic.Storage          = lateStorage{}
	_ certmagic.TryLocker        = lateStorage{}
	_ certmagic.LockLeaseRenewer = lateStorage{}
)
