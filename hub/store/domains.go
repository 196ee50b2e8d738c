package store

import (
	"context"
	"errors"
	"time"
)

// A Domain is a recovery domain of one environment.
type Domain struct {
	Name       string // lower case, punycode, no final dot
	Env        string
	ProofToken string // what the TXT record must hold
	Created    time.Time
	Proven     time.Time // zero: not proven, so no certificate and no site
	Checked    time.Time
	LastError  string // of the last check, for an administrator
	Removed    time.Time
}

// domainBound is how long a removed domain stays bound to its environment: whoever
// takes the name over cannot at once speak for it at another customer's (T25).
const domainBound = 365 * 24 * time.Hour

const domainColumns = "name, env, proof_token, created_at, proven_at, checked_at, last_error, removed_at"

func scanDomain(scan Scan) (d Domain, err error) {
	var created, proven, checked, removed int64
	err = scan(&d.Name, &d.Env, &d.ProofToken, &created, &proven, &checked, &d.LastError, &removed)
	d.Created, d.Proven, d.Checked, d.Removed = Time(created), Time(proven), Time(checked), Time(removed)
	return d, err
}

// AddDomain registers a domain for an environment; it is not proven yet. A domain of
// this environment is returned as it is, a removed one is registered anew. A domain of
// another environment, or that was another's within a year, is ErrConflict. The caller
// has brought the name into its canonical form.
func (tx *Tx) AddDomain(ctx context.Context, env, name string) (Domain, error) {
	if _, err := tx.Environment(ctx, env); err != nil {
		return Domain{}, err
	}
	d, err := One(ctx, tx, scanDomain, "SELECT "+domainColumns+" FROM domains WHERE name = $1", name)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return Domain{}, err
	case d.Env == env && d.Removed.IsZero():
		return d, nil
	case d.Env != env && (d.Removed.IsZero() || tx.Now().Before(d.Removed.Add(domainBound))):
		return Domain{}, ErrConflict
	}
	d = Domain{Name: name, Env: env, ProofToken: NewToken(), Created: tx.Now()}
	_, err = tx.Exec(ctx, `INSERT INTO domains (name, env, proof_token, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET env = excluded.env, proof_token = excluded.proof_token, created_at = excluded.created_at,
		proven_at = 0, checked_at = 0, last_error = '', removed_at = 0`, d.Name, d.Env, d.ProofToken, Millis(d.Created))
	return d, err
}

// Domain finds the environment of a registered domain, proven or not.
func (tx *Tx) Domain(ctx context.Context, name string) (Domain, error) {
	return One(ctx, tx, scanDomain, "SELECT "+domainColumns+" FROM domains WHERE name = $1 AND removed_at = 0", name)
}

// Domains returns the registered domains of an environment.
func (tx *Tx) Domains(ctx context.Context, env string) ([]Domain, error) {
	return recalledAll(tx, "domains\x00"+env, func() ([]Domain, error) {
		return All(ctx, tx, scanDomain, "SELECT "+domainColumns+" FROM domains WHERE env = $1 AND removed_at = 0 ORDER BY name", env)
	})
}

// AllDomains returns the registered domains of the installation, for a node's memory
// and the daily check.
func (tx *Tx) AllDomains(ctx context.Context) ([]Domain, error) {
	return All(ctx, tx, scanDomain, "SELECT "+domainColumns+" FROM domains WHERE removed_at = 0 ORDER BY name")
}

// RemoveDomain ends the use of a domain. It stays bound to its environment for a year.
func (tx *Tx) RemoveDomain(ctx context.Context, env, name string) error {
	return tx.Must(ctx, "UPDATE domains SET removed_at = $3, proven_at = 0 WHERE env = $1 AND name = $2 AND removed_at = 0",
		env, name, Millis(tx.Now()))
}

// DomainProven records a check that found the proof.
func (tx *Tx) DomainProven(ctx context.Context, env, name string) error {
	return tx.Must(ctx, `UPDATE domains SET checked_at = $3, last_error = '', proven_at = CASE proven_at WHEN 0 THEN $3 ELSE proven_at END
		WHERE env = $1 AND name = $2 AND removed_at = 0`, env, name, Millis(tx.Now()))
}

// DomainFailed records a check that did not find the proof, and why. With withdraw the
// domain is no longer proven.
func (tx *Tx) DomainFailed(ctx context.Context, env, name, why string, withdraw bool) error {
	return tx.Must(ctx, `UPDATE domains SET checked_at = $3, last_error = $4, proven_at = CASE WHEN $5 = 1 THEN 0 ELSE proven_at END
		WHERE env = $1 AND name = $2 AND removed_at = 0`, env, name, Millis(tx.Now()), why, Flag(withdraw))
}
