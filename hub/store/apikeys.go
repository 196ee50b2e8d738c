package store

import (
	"context"
	"time"
)

// An APIKey admits a script to the REST API.
type APIKey struct {
	ID, Org, Name string
	Hash          string // HashToken of the key
	Role          string
	Envs          []string // ids, or AllEnvs; empty: none is left
	Enabled       bool
	Created       time.Time
	Expires       time.Time // zero: never
	LastUsed      time.Time
	Staff         string // who signed a command line in with it; "": a key of a program
	CreatedBy     string // staff who made it; "": a program did, or the installation
}

// Admits reports whether the key is for an environment. The caller has checked that the
// environment belongs to the key's organisation.
func (k APIKey) Admits(env string) bool {
	return Reaches(k.Envs, env)
}

const apiKeyColumns = "id, org, name, hash, role, envs, enabled, created_at, expires_at, last_used_at, staff, created_by"

func scanAPIKey(scan Scan) (k APIKey, err error) {
	var created, expires, used int64
	var envs string
	err = scan(&k.ID, &k.Org, &k.Name, &k.Hash, &k.Role, &envs, &k.Enabled, &created, &expires, &used, &k.Staff, &k.CreatedBy)
	if err == nil {
		err = ParseJSON(envs, &k.Envs)
	}
	k.Created, k.Expires, k.LastUsed = Time(created), Time(expires), Time(used)
	return k, err
}

// NewAPIKey returns the text of a new key: opaque, and recognisable by secret scanners.
func NewAPIKey() string { return "postern_" + NewToken() }

// CreateAPIKey writes a new key. An empty ID is filled in.
func (tx *Tx) CreateAPIKey(ctx context.Context, k APIKey) (APIKey, error) {
	k.ID, k.Created = orNew(k.ID), tx.Now()
	_, err := tx.Exec(ctx, `INSERT INTO api_keys (id, org, name, hash, role, envs, enabled, created_at, expires_at, staff, created_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		k.ID, k.Org, k.Name, k.Hash, k.Role, JSON(k.Envs), Flag(k.Enabled), Millis(k.Created), Millis(k.Expires), k.Staff, k.CreatedBy)
	return k, err
}

// APIKeyByHash finds the key that a request shows. One that is switched off or has
// expired is ErrNotFound.
func (tx *Tx) APIKeyByHash(ctx context.Context, hash string) (APIKey, error) {
	return One(ctx, tx, scanAPIKey, "SELECT "+apiKeyColumns+` FROM api_keys
		WHERE hash = $1 AND enabled = 1 AND (expires_at = 0 OR expires_at > $2)`, hash, Millis(tx.Now()))
}

// APIKey returns one key of an organisation.
func (tx *Tx) APIKey(ctx context.Context, org, id string) (APIKey, error) {
	return One(ctx, tx, scanAPIKey, "SELECT "+apiKeyColumns+" FROM api_keys WHERE org = $1 AND id = $2", org, id)
}

// APIKeys returns the keys of an organisation, oldest first.
func (tx *Tx) APIKeys(ctx context.Context, org string) ([]APIKey, error) {
	return All(ctx, tx, scanAPIKey, "SELECT "+apiKeyColumns+" FROM api_keys WHERE org = $1 ORDER BY created_at, id", org)
}

// UpdateAPIKey writes what may change of a key: name, role, environments, whether it is
// enabled, and its end.
func (tx *Tx) UpdateAPIKey(ctx context.Context, org string, k APIKey) error {
	return tx.Must(ctx, "UPDATE api_keys SET name = $3, role = $4, envs = $5, enabled = $6, expires_at = $7 WHERE org = $1 AND id = $2",
		org, k.ID, k.Name, k.Role, JSON(k.Envs), Flag(k.Enabled), Millis(k.Expires))
}

// DeleteAPIKey removes a key.
func (tx *Tx) DeleteAPIKey(ctx context.Context, org, id string) error {
	return tx.Must(ctx, "DELETE FROM api_keys WHERE org = $1 AND id = $2", org, id)
}

// apiKeyUse is how exactly the last use of a key is known: a busy script must not
// cause a write with each request.
const apiKeyUse = time.Minute

// UseDue reports whether TouchAPIKey would write something.
func (k APIKey) UseDue(now time.Time) bool { return now.Sub(k.LastUsed) >= apiKeyUse }

// TouchAPIKey records the use of a key, to the minute.
func (tx *Tx) TouchAPIKey(ctx context.Context, org, id string) error {
	now := tx.Now()
	_, err := tx.Exec(ctx, "UPDATE api_keys SET last_used_at = $3 WHERE org = $1 AND id = $2 AND last_used_at <= $4",
		org, id, Millis(now), Millis(now.Add(-apiKeyUse)))
	return err
}
