package store

import "context"

// A CredentialStatus is what an environment does about status lists of issuers.
type CredentialStatus struct {
	Mode  string   // require, prefer or ignore; see hub/verify/wallet
	Hosts []string // that lists are read from; none: whichever a document's issuer names
}

// CredentialStatus returns what an environment does about status lists.
func (tx *Tx) CredentialStatus(ctx context.Context, env string) (s CredentialStatus, err error) {
	var hosts string
	if err := tx.Row(ctx, []any{&s.Mode, &hosts}, "SELECT credential_status, status_hosts FROM environments WHERE id = $1", env); err != nil {
		return s, err
	}
	return s, ParseJSON(hosts, &s.Hosts)
}

// SetCredentialStatus replaces it.
func (tx *Tx) SetCredentialStatus(ctx context.Context, env string, s CredentialStatus) error {
	if s.Hosts == nil {
		s.Hosts = []string{}
	}
	return tx.Must(ctx, "UPDATE environments SET credential_status = $2, status_hosts = $3, updated_at = $4 WHERE id = $1", env, s.Mode, JSON(s.Hosts), Millis(tx.Now()))
}
