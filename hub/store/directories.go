package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/postern-id/postern/protocol"
)

// A Directory is one directory of an environment, with what its agent said of it and
// what an administrator set.
type Directory struct {
	ID, Env, Kind, Name string
	Traits              protocol.Traits
	Settings            DirectorySettings
	HasBirthDateKey     bool
	Logo                string // sum of its logo; empty: none
	HasLegacyToken      bool
	Evaluation          bool      // an active agent says that its own file lets it change nothing
	TrialsOnly          bool      // every active agent says so, and there is one
	NativeSince         time.Time // when its first agent was enrolled; zero: none was, so it may be legacy
	Sync                SyncState
	Created, Updated    time.Time
}

// DirectorySettings are what administrators set for a directory.
type DirectorySettings struct {
	Policies           Policies
	Methods            json.RawMessage // our own: accepted combinations per operation and group; may be empty
	RateLimit          RateLimit
	AccessPassMinutes  int
	AccessPassReusable bool
	AllowUnsealed      bool // a legacy agent's secrets, which cannot be sealed, are allowed
}

// Policies are the five policies of a directory as the REST API spells them. An empty
// one is the default of hub/policy.
type Policies struct {
	Authenticate json.RawMessage `json:"authenticate_policy,omitempty"`
	MFA          json.RawMessage `json:"mfa_policy,omitempty"`
	Password     json.RawMessage `json:"password_policy,omitempty"`
	AccessPass   json.RawMessage `json:"temporary_access_pass_policy,omitempty"`
	Unlock       json.RawMessage `json:"unlock_policy,omitempty"`
}

// A RateLimit allows Count recovery operations within Window; a Window of 0: no limit.
type RateLimit struct {
	Count  int
	Window time.Duration
}

// SyncState is what is known of a directory's synchronisation.
type SyncState struct {
	Started, Completed time.Time // of the last pass that began, and of the last that finished
	FullCompleted      time.Time // of the last finished pass that listed everything
	Beat               time.Time // when the running pass last said so
	Listed, Expected   int       // progress of the running or last pass; Expected 0: unknown
	Error              string    // why the last pass failed, for an administrator; empty: it did not
	NeedsReconnect     bool      // the agent cannot sign in to its directory
	Count              int       // accounts, swept ones excluded
	Generation         int64     // number of the last finished pass
	Fingerprint        string    // of the directory that the agent serves
	State              string    // what the agent gave with the last finished pass
	Pending            Pending
}

// A Pending question stops the synchronisation of a directory until an administrator
// answers it.
type Pending struct {
	Reason      string    `json:"reason,omitempty"` // PendingShrink or PendingFingerprint; empty: no question
	Asked       time.Time `json:"asked,omitzero"`
	Missing     int       `json:"missing,omitempty"`     // accounts that would disappear
	Of          int       `json:"of,omitempty"`          // accounts that there are
	Fingerprint string    `json:"fingerprint,omitempty"` // that the agent now gives
	Confirmed   bool      `json:"confirmed,omitempty"`   // the next pass may do it
}

// Reasons of a pending question.
const (
	PendingShrink      = "shrink"
	PendingFingerprint = "fingerprint"
)

// syncLost is how old the last beat of a running pass may be: one whose node died must
// not look as if it were running.
const syncLost = 30 * time.Second

// Running reports whether a pass is under way.
func (s SyncState) Running(now time.Time) bool {
	return !s.Beat.IsZero() && now.Sub(s.Beat) < syncLost
}

// Rate is how many accounts a second the running pass has listed so far.
func (s SyncState) Rate() float64 {
	if d := s.Beat.Sub(s.Started).Seconds(); d > 0 { // a pass that ended has no beat
		return float64(s.Listed) / d
	}
	return 0
}

// CreateDirectory writes a new directory with default settings. An empty ID is filled in.
func (tx *Tx) CreateDirectory(ctx context.Context, d Directory) (Directory, error) {
	d.ID, d.Created, d.Updated = orNew(d.ID), tx.Now(), tx.Now()
	_, err := tx.Exec(ctx, "INSERT INTO directories (id, env, kind, name, traits, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6)",
		d.ID, d.Env, d.Kind, d.Name, JSON(d.Traits), Millis(d.Created))
	if err != nil {
		return Directory{}, err
	}
	return d, tx.UpdateDirectory(ctx, d)
}

const directoryColumns = `id, env, kind, name, traits, policies, methods, rate_count, rate_window, access_pass_minutes, access_pass_reusable,
	allow_unsealed, CASE birth_date_key WHEN '' THEN 0 ELSE 1 END, CASE legacy_token_hash WHEN '' THEN 0 ELSE 1 END, native_since, needs_reconnect,
	fingerprint, generation, sync_state, sync_started_at, sync_completed_at, sync_full_at, sync_beat_at, sync_listed, sync_expected, sync_error,
	sync_pending, account_count, created_at, updated_at,
	CASE WHEN EXISTS (SELECT 1 FROM agents WHERE agents.directory = directories.id AND agents.state = 'active' AND agents.evaluation <> 0) THEN 1 ELSE 0 END,
	CASE WHEN EXISTS (SELECT 1 FROM agents WHERE agents.directory = directories.id AND agents.state = 'active' AND agents.evaluation = 0) THEN 1 ELSE 0 END,
	COALESCE((SELECT sum FROM directory_logos WHERE directory_logos.directory = directories.id), '')`

func scanDirectory(scan Scan) (d Directory, err error) {
	var traits, policies, methods, pending string
	var live bool // an active agent is no trial
	var window, native, started, completed, full, beat, created, updated int64
	set, sync := &d.Settings, &d.Sync
	err = scan(&d.ID, &d.Env, &d.Kind, &d.Name, &traits, &policies, &methods, &set.RateLimit.Count, &window, &set.AccessPassMinutes,
		&set.AccessPassReusable, &set.AllowUnsealed, &d.HasBirthDateKey, &d.HasLegacyToken, &native, &sync.NeedsReconnect,
		&sync.Fingerprint, &sync.Generation, &sync.State, &started, &completed, &full, &beat, &sync.Listed, &sync.Expected, &sync.Error,
		&pending, &sync.Count, &created, &updated, &d.Evaluation, &live, &d.Logo)
	if err == nil {
		err = errors.Join(ParseJSON(traits, &d.Traits), ParseJSON(policies, &set.Policies), ParseJSON(pending, &sync.Pending))
	}
	d.TrialsOnly = d.Evaluation && !live
	set.Methods = json.RawMessage(methods)
	set.RateLimit.Window = time.Duration(window) * time.Millisecond
	sync.Started, sync.Completed, sync.FullCompleted, sync.Beat = Time(started), Time(completed), Time(full), Time(beat)
	d.NativeSince, d.Created, d.Updated = Time(native), Time(created), Time(updated)
	return d, err
}

// Directory returns one directory of an environment.
func (tx *Tx) Directory(ctx context.Context, env, id string) (Directory, error) {
	return One(ctx, tx, scanDirectory, "SELECT "+directoryColumns+" FROM directories WHERE env = $1 AND id = $2", env, id)
}

// DirectoryByID finds the environment of a directory, for the paths of the REST API,
// which name none. The caller checks that it may see that environment.
func (tx *Tx) DirectoryByID(ctx context.Context, id string) (Directory, error) {
	return One(ctx, tx, scanDirectory, "SELECT "+directoryColumns+" FROM directories WHERE id = $1", id)
}

// Directories returns the directories of an environment, oldest first.
func (tx *Tx) Directories(ctx context.Context, env string) ([]Directory, error) {
	return All(ctx, tx, scanDirectory, "SELECT "+directoryColumns+" FROM directories WHERE env = $1 ORDER BY created_at, id", env)
}

// AllDirectories returns the directories of the installation, for the scheduler.
func (tx *Tx) AllDirectories(ctx context.Context) ([]Directory, error) {
	return All(ctx, tx, scanDirectory, "SELECT "+directoryColumns+" FROM directories ORDER BY created_at, id")
}

// UpdateDirectory writes name and settings.
func (tx *Tx) UpdateDirectory(ctx context.Context, d Directory) error {
	set := d.Settings
	return tx.Must(ctx, `UPDATE directories SET name = $3, policies = $4, methods = $5, rate_count = $6, rate_window = $7,
		access_pass_minutes = $8, access_pass_reusable = $9, allow_unsealed = $10, updated_at = $11 WHERE env = $1 AND id = $2`,
		d.Env, d.ID, d.Name, JSON(set.Policies), string(set.Methods), set.RateLimit.Count, set.RateLimit.Window.Milliseconds(),
		set.AccessPassMinutes, Flag(set.AccessPassReusable), Flag(set.AllowUnsealed), Millis(tx.Now()))
}

// SetTraits writes what the agent says that the directory is and can do.
func (tx *Tx) SetTraits(ctx context.Context, env, id string, t protocol.Traits) error {
	return tx.Must(ctx, "UPDATE directories SET traits = $3, updated_at = $4 WHERE env = $1 AND id = $2", env, id, JSON(t), Millis(tx.Now()))
}

// DeleteDirectory removes a directory with its accounts, agents and tickets.
func (tx *Tx) DeleteDirectory(ctx context.Context, env, id string) error {
	if err := tx.Must(ctx, "DELETE FROM directories WHERE env = $1 AND id = $2", env, id); err != nil {
		return err
	}
	_, err := tx.removeAccounts(ctx, "env = $1 AND directory = $2", env, id)
	return err
}

func birthDateCell(env, id string) Cell {
	return Cell{Env: env, Table: "directories", Column: "birth_date_key", Row: id}
}

// SetBirthDateKey seals the key of the birth-date hash of a directory.
func (tx *Tx) SetBirthDateKey(ctx context.Context, env, id string, key []byte) error {
	sealed, err := tx.Seal(birthDateCell(env, id), key)
	if err != nil {
		return err
	}
	return tx.Must(ctx, "UPDATE directories SET birth_date_key = $3, updated_at = $4 WHERE env = $1 AND id = $2", env, id, sealed, Millis(tx.Now()))
}

// BirthDateKey opens the key of the birth-date hash; ErrNotFound if none is set.
func (tx *Tx) BirthDateKey(ctx context.Context, env, id string) ([]byte, error) {
	sealed, err := One(ctx, tx, Text, "SELECT birth_date_key FROM directories WHERE env = $1 AND id = $2 AND birth_date_key <> ''", env, id)
	if err != nil {
		return nil, err
	}
	return tx.Unseal(birthDateCell(env, id), sealed)
}

// SetLegacyToken replaces the token of the public agent protocol; an empty hash removes
// it. A directory with an enrolled agent is native and takes none: ErrConflict (T24).
func (tx *Tx) SetLegacyToken(ctx context.Context, env, id, hash string) error {
	if _, err := tx.Directory(ctx, env, id); err != nil {
		return err
	}
	return tx.Swap(ctx, "UPDATE directories SET legacy_token_hash = $3, updated_at = $4 WHERE env = $1 AND id = $2 AND (native_since = 0 OR $3 = '')",
		env, id, hash, Millis(tx.Now()))
}

// LegacyDirectory finds the directory of a token of the public agent protocol. A native
// directory has none.
func (tx *Tx) LegacyDirectory(ctx context.Context, hash string) (Directory, error) {
	return One(ctx, tx, scanDirectory, "SELECT "+directoryColumns+` FROM directories
		WHERE legacy_token_hash = $1 AND legacy_token_hash <> '' AND native_since = 0`, hash)
}
