// Package directory keeps the hub's accounts equal to those in directories: it lists
// their accounts through agents pass by pass, writes differences, hides what disappeared,
// and asks an administrator before it believes something improbable. It also holds the settings that administrators made. It knows no tunnel, no
// HTTP, and decides nothing about a recovery.
package directory

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// To names whom a call is for. An empty Agent is any active agent of the directory.
type To struct{ Env, Directory, Agent string }

// Calls reaches agents on whatever node they are connected. Errors are *protocol.Error;
// no agent is CodeUnavailable.
type Calls interface {
	Call(ctx context.Context, to To, m protocol.Method, p protocol.Priority, req, resp any) error
}

// Leases lets one node at a time synchronise a directory.
type Leases interface {
	Acquire(ctx context.Context, name string, life time.Duration) (coord.Lease, error)
	Renew(ctx context.Context, l coord.Lease, life time.Duration) error
	Release(ctx context.Context, l coord.Lease) error
}

// A Failure is a synchronisation that did not finish.
type Failure struct {
	Env, Directory, Kind string
	Code                 protocol.Code
	Message              string // a sentence for an administrator
}

// Config says with what Directories works.
type Config struct {
	Store  *store.Store
	Calls  Calls
	Leases Leases
	Log    *slog.Logger
	// OnError, if set, is called for every new failure, in the transaction that records
	// it: the webhook directory_provider_err is queued there.
	OnError func(ctx context.Context, tx *store.Tx, f Failure) error
}

// Directories synchronises directories. Its methods may be called from many goroutines.
type Directories struct {
	store   *store.Store
	calls   Calls
	leases  Leases
	log     *slog.Logger
	onError func(context.Context, *store.Tx, Failure) error

	retryWait time.Duration // see the constant

	mu      sync.Mutex
	waiting map[To]bool   // directories whose agent has just connected
	changed map[To]bool   // directories whose agent says that they changed
	soon    bool          // a look at them is on its way
	asked   map[To]bool   // directories that somebody wants to be synchronised now
	wake    chan struct{} // holds a token while waiting is not empty
}

// New returns Directories that do nothing until Sync or Run is called.
func New(c Config) *Directories {
	if c.OnError == nil {
		c.OnError = func(context.Context, *store.Tx, Failure) error { return nil }
	}
	return &Directories{store: c.Store, calls: c.Calls, leases: c.Leases, log: c.Log, onError: c.OnError,
		retryWait: retryWait, waiting: map[To]bool{}, changed: map[To]bool{}, asked: map[To]bool{}, wake: make(chan struct{}, 1)}
}

// callLimit is how long an agent may take for one answer: a page of a slow directory.
const callLimit = 2 * time.Minute

func (d *Directories) call(ctx context.Context, to To, m protocol.Method, req, resp any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return d.calls.Call(ctx, to, m, protocol.PrioritySync, req, resp)
}

// Describe asks an agent what its directory is and can do, and records it.
func (d *Directories) Describe(ctx context.Context, env, id string) (protocol.Description, error) {
	return d.describe(ctx, To{Env: env, Directory: id})
}

func (d *Directories) describe(ctx context.Context, to To) (desc protocol.Description, err error) {
	if err := d.call(ctx, to, protocol.MethodDescribe, protocol.Empty{}, &desc); err != nil {
		return desc, err
	}
	dir, err := store.Look(ctx, d.store, func(tx *store.Tx) (store.Directory, error) { return tx.Directory(ctx, to.Env, to.Directory) })
	if err != nil || dir.Traits == desc.Traits && (dir.Name != "" || desc.Traits.Name == "") {
		return desc, err
	}
	return desc, d.store.Tx(ctx, func(tx *store.Tx) error {
		dir, err := tx.Directory(ctx, to.Env, to.Directory)
		if err != nil {
			return err
		}
		if dir.Name == "" && desc.Traits.Name != "" {
			dir.Name = line(desc.Traits.Name, maxName)
			if err := tx.UpdateDirectory(ctx, dir); err != nil {
				return err
			}
		}
		if dir.Traits == desc.Traits {
			return nil
		}
		return tx.SetTraits(ctx, to.Env, to.Directory, desc.Traits)
	})
}

// Confirm answers the question of a directory whose synchronisation waits: yes, the
// accounts may disappear, or yes, this is the directory that it shall be. The next pass
// acts on it. store.ErrNoQuestion if nothing waits.
func (d *Directories) Confirm(ctx context.Context, env, id string, actor audit.Principal) error {
	return d.store.Tx(ctx, func(tx *store.Tx) error {
		p, err := tx.ConfirmSync(ctx, env, id)
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Env: env, Kind: audit.AgentSyncConfirmed, Actor: actor,
			Detail: map[string]any{"directory": id, "reason": p.Reason, "missing": p.Missing, "of": p.Of}})
	})
}

// Find returns the accounts of an environment that bear an identifier.
func (d *Directories) Find(ctx context.Context, env, identifier string) ([]store.Account, error) {
	all, err := store.Get(ctx, d.store, func(tx *store.Tx) ([]store.Account, error) { return tx.FindAccounts(ctx, env, identifier) })
	if err != nil {
		return nil, fmt.Errorf("directory: find: %w", err)
	}
	return all, nil
}
