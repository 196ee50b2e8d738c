package store

import (
	"context"
	"time"
)

// Kinds of trust sources.
const (
	TrustPEM   = "pem"
	TrustVICAL = "vical"
)

// maxTrustSources bounds what one environment imports.
const maxTrustSources = 64

// A TrustSource is one list of authorities that an administrator imported.
type TrustSource struct {
	Env, ID  string
	Kind     string
	Name     string // for people
	Body     []byte // PEM, or the VICAL
	Root     []byte // of a VICAL: PEM of its provider
	DocTypes []string
	AddedAt  time.Time
}

// AddTrustSource inserts s, added now; ErrConflict when the environment has as many as
// it may.
func (tx *Tx) AddTrustSource(ctx context.Context, s *TrustSource) error {
	var n int64
	if err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM trust_sources WHERE env = $1", s.Env); err != nil {
		return err
	}
	if n >= maxTrustSources {
		return ErrConflict
	}
	s.ID, s.AddedAt = NewID(), tx.Now()
	_, err := tx.Exec(ctx, `INSERT INTO trust_sources (env, id, kind, name, body, root, doc_types, added_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.Env, s.ID, s.Kind, s.Name, Base64(s.Body), Base64(s.Root), JSON(s.DocTypes), Millis(s.AddedAt))
	return err
}

func scanTrustSource(scan Scan) (TrustSource, error) {
	var s TrustSource
	var body, root, types string
	var added int64
	if err := scan(&s.Env, &s.ID, &s.Kind, &s.Name, &body, &root, &types, &added); err != nil {
		return s, err
	}
	s.AddedAt = Time(added)
	var err error
	if s.Body, err = ParseBase64(body); err != nil {
		return s, err
	}
	if s.Root, err = ParseBase64(root); err != nil {
		return s, err
	}
	return s, ParseJSON(types, &s.DocTypes)
}

// TrustSources lists what an environment imported, oldest first.
func (tx *Tx) TrustSources(ctx context.Context, env string) ([]TrustSource, error) {
	return All(ctx, tx, scanTrustSource, `SELECT env, id, kind, name, body, root, doc_types, added_at FROM trust_sources
		WHERE env = $1 ORDER BY added_at, id LIMIT $2`, env, maxTrustSources)
}

// TrustSourceIDs lists only by what name they stand, in the same order. A row never
// changes: what was read of one holds as long as it is listed.
func (tx *Tx) TrustSourceIDs(ctx context.Context, env string) ([]string, error) {
	return All(ctx, tx, Text, "SELECT id FROM trust_sources WHERE env = $1 ORDER BY added_at, id LIMIT $2", env, maxTrustSources)
}

// TrustSource returns one source.
func (tx *Tx) TrustSource(ctx context.Context, env, id string) (TrustSource, error) {
	return One(ctx, tx, scanTrustSource, `SELECT env, id, kind, name, body, root, doc_types, added_at FROM trust_sources
		WHERE env = $1 AND id = $2`, env, id)
}

// RemoveTrustSource deletes a source: its authorities count no more.
func (tx *Tx) RemoveTrustSource(ctx context.Context, env, id string) error {
	return tx.Must(ctx, "DELETE FROM trust_sources WHERE env = $1 AND id = $2", env, id)
}

// Documents returns the kinds of document that an environment asks wallets for; none:
// all that there are.
func (tx *Tx) Documents(ctx context.Context, env string) (kinds []string, err error) {
	var text string
	if err := tx.Row(ctx, []any{&text}, "SELECT documents FROM environments WHERE id = $1", env); err != nil {
		return nil, err
	}
	return kinds, ParseJSON(text, &kinds)
}

// SetDocuments says for which kinds of document an environment asks wallets.
func (tx *Tx) SetDocuments(ctx context.Context, env string, kinds []string) error {
	return tx.Must(ctx, "UPDATE environments SET documents = $2, updated_at = $3 WHERE id = $1", env, JSON(kinds), Millis(tx.Now()))
}

// A WalletSigner is who one recovery host is towards wallets.
type WalletSigner struct {
	Env, Host string
	Chain     []byte // PEM, leaf first
	Private   []byte // PKCS #8; sealed in the store
	Given     bool   // by the operator
	EndsAt    time.Time
}

func walletSignerCell(env, host string) Cell {
	return Cell{Env: env, Table: "wallet_signers", Column: "private", Row: host}
}

// WalletSigner returns the signer of a host.
func (tx *Tx) WalletSigner(ctx context.Context, env, host string) (WalletSigner, error) {
	w := WalletSigner{Env: env, Host: host}
	var chain, sealed string
	var given, ends int64
	err := tx.Row(ctx, []any{&chain, &sealed, &given, &ends}, "SELECT chain, private, given, ends_at FROM wallet_signers WHERE env = $1 AND host = $2", env, host)
	if err != nil {
		return w, err
	}
	w.Chain, w.Given, w.EndsAt = []byte(chain), given == 1, Time(ends)
	w.Private, err = tx.Unseal(walletSignerCell(env, host), sealed)
	return w, err
}

// SetWalletSigner puts w in place of the host's signer.
func (tx *Tx) SetWalletSigner(ctx context.Context, w WalletSigner) error {
	sealed, err := tx.Seal(walletSignerCell(w.Env, w.Host), w.Private)
	if err != nil {
		return err
	}
	given := 0
	if w.Given {
		given = 1
	}
	_, err = tx.Exec(ctx, `INSERT INTO wallet_signers (env, host, chain, private, given, ends_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (env, host) DO UPDATE SET chain = excluded.chain, private = excluded.private, given = excluded.given, ends_at = excluded.ends_at`,
		w.Env, w.Host, string(w.Chain), sealed, given, Millis(w.EndsAt))
	return err
}

// A WalletExchange is one question to a wallet that answers by itself, without the
// browser.
type WalletExchange struct {
	Env, ID      string // unguessable, in response_uri
	Request      string // unguessable, in request_uri
	Verification string
	Private      []byte // sealed in the store
	Answer       []byte // sealed in the store; empty until the wallet has answered
	ExpiresAt    time.Time
}

func walletCell(env, id, column string) Cell {
	return Cell{Env: env, Table: "wallet_exchanges", Column: column, Row: id}
}

// OpenWalletExchange inserts e in place of every other one of its verification.
func (tx *Tx) OpenWalletExchange(ctx context.Context, e WalletExchange) error {
	if _, err := tx.Exec(ctx, "DELETE FROM wallet_exchanges WHERE env = $1 AND verification = $2", e.Env, e.Verification); err != nil {
		return err
	}
	sealed, err := tx.Seal(walletCell(e.Env, e.ID, "private"), e.Private)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO wallet_exchanges (env, id, request, verification, private, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		e.Env, e.ID, e.Request, e.Verification, sealed, Millis(e.ExpiresAt))
	return err
}

// FetchWalletRequest returns the exchange whose question a wallet fetches, once:
// ErrConflict for the second time, when it has ended, and for one that never was.
func (tx *Tx) FetchWalletRequest(ctx context.Context, env, request string) (WalletExchange, error) {
	now := Millis(tx.Now())
	err := tx.Swap(ctx, `UPDATE wallet_exchanges SET fetched_at = $3 WHERE env = $1 AND request = $2 AND fetched_at = 0 AND expires_at > $3`, env, request, now)
	if err != nil {
		return WalletExchange{}, err
	}
	var id string
	if err := tx.Row(ctx, []any{&id}, "SELECT id FROM wallet_exchanges WHERE env = $1 AND request = $2", env, request); err != nil {
		return WalletExchange{}, err
	}
	return tx.WalletExchange(ctx, env, id)
}

// WalletExchange returns one exchange that has not ended.
func (tx *Tx) WalletExchange(ctx context.Context, env, id string) (WalletExchange, error) {
	e := WalletExchange{Env: env, ID: id}
	var private, answer string
	var ends int64
	err := tx.Row(ctx, []any{&e.Request, &e.Verification, &private, &answer, &ends}, `SELECT request, verification, private, answer, expires_at
		FROM wallet_exchanges WHERE env = $1 AND id = $2 AND expires_at > $3`, env, id, Millis(tx.Now()))
	if err != nil {
		return e, err
	}
	e.ExpiresAt = Time(ends)
	if e.Private, err = tx.Unseal(walletCell(env, id, "private"), private); err != nil || answer == "" {
		return e, err
	}
	e.Answer, err = tx.Unseal(walletCell(env, id, "answer"), answer)
	return e, err
}

// AnswerWallet keeps what a wallet answered. A question has one answer: ErrConflict for
// any further one, and when it has ended or was never fetched.
func (tx *Tx) AnswerWallet(ctx context.Context, env, id string, answer []byte) error {
	sealed, err := tx.Seal(walletCell(env, id, "answer"), answer)
	if err != nil {
		return err
	}
	return tx.Swap(ctx, `UPDATE wallet_exchanges SET answer = $3, answered_at = $4
		WHERE env = $1 AND id = $2 AND fetched_at > 0 AND answered_at = 0 AND expires_at > $4`, env, id, sealed, Millis(tx.Now()))
}

// RedeemWallet ends an exchange that was answered: of many at once one succeeds, the
// others are ErrConflict.
func (tx *Tx) RedeemWallet(ctx context.Context, env, id string) error {
	return tx.Swap(ctx, "DELETE FROM wallet_exchanges WHERE env = $1 AND id = $2 AND answered_at > 0", env, id)
}

// PurgeWalletExchanges deletes what has ended.
func (tx *Tx) PurgeWalletExchanges(ctx context.Context) error {
	_, err := tx.Exec(ctx, "DELETE FROM wallet_exchanges WHERE expires_at <= $1", Millis(tx.Now()))
	return err
}
