package store

import (
	"context"
	"fmt"
)

// Evidence is one proof that a verification holds for the agent.
type Evidence struct {
	Type string
	Raw  []byte // sealed at rest; nil where the name of the method is all
}

func evidenceCell(env, verification string, seq int64) Cell {
	return Cell{Env: env, Table: "evidence", Column: "raw", Row: fmt.Sprintf("%s/%d", verification, seq)}
}

// AddEvidence appends a proof.
func (tx *Tx) AddEvidence(ctx context.Context, env, verification string, e Evidence) error {
	var seq int64
	err := tx.Row(ctx, []any{&seq}, `SELECT COALESCE(MAX(seq), 0) + 1 FROM evidence WHERE env = $1 AND verification = $2`, env, verification)
	if err != nil {
		return err
	}
	raw, err := tx.sealedOrEmpty(evidenceCell(env, verification, seq), e.Raw)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO evidence (env, verification, seq, type, raw) VALUES ($1, $2, $3, $4, $5)`, env, verification, seq, e.Type, raw)
	return err
}

// Evidence returns the proofs of a verification in the order in which they were given.
func (tx *Tx) Evidence(ctx context.Context, env, verification string) ([]Evidence, error) {
	return All(ctx, tx, func(scan Scan) (e Evidence, err error) {
		var seq int64
		var raw string
		if err = scan(&seq, &e.Type, &raw); err == nil {
			e.Raw, err = tx.openOrEmpty(evidenceCell(env, verification, seq), raw)
		}
		return e, err
	}, `SELECT seq, type, raw FROM evidence WHERE env = $1 AND verification = $2 ORDER BY seq`, env, verification)
}

// CloseWaiting ends what other people were asked about a verification that nobody waits
// for any more: requests to vouch, and documents in the queue.
func (tx *Tx) CloseWaiting(ctx context.Context, env, verification string) error {
	_, err := tx.Exec(ctx, `UPDATE approvals SET state = 'closed', settled_at = $3 WHERE env = $1 AND verification = $2 AND state = 'open'`,
		env, verification, Millis(tx.Now()))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE reviews SET version = version + 1, state = 'closed', outcome = CASE WHEN outcome = '' THEN 'expired' ELSE outcome END,
		decided_at = CASE WHEN decided_at = 0 THEN $3 ELSE decided_at END, settled_at = $3
		WHERE env = $1 AND verification = $2 AND about = '' AND state <> 'closed'`, env, verification, Millis(tx.Now()))
	return err
}

// DropEvidence deletes the proofs of a recovery.
func (tx *Tx) DropEvidence(ctx context.Context, env, recovery string) error {
	_, err := tx.Exec(ctx, `DELETE FROM evidence WHERE env = $1 AND verification IN
		(SELECT id FROM verifications WHERE env = $1 AND recovery = $2)`, env, recovery)
	return err
}

// DropEvidenceOf deletes the proofs of one type.
func (tx *Tx) DropEvidenceOf(ctx context.Context, env, verification, kind string) error {
	_, err := tx.Exec(ctx, `DELETE FROM evidence WHERE env = $1 AND verification = $2 AND type = $3`, env, verification, kind)
	return err
}
