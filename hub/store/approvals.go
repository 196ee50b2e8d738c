package store

import (
	"context"
	"time"
)

// An Approval is a request to other people about one recovery: that they vouch for
// somebody, or prove them by hand.
type Approval struct {
	Env, ID      string
	Verification string
	Kind         string // the method: approval
	Directory    string
	Account      string // immutable id
	People       int    // how many must agree
	State        string
	Details      []byte // sealed
	MadeAt       time.Time
	EndsAt       time.Time
	SettledAt    time.Time
}

// States of an approval.
const (
	ApprovalOpen     = "open"
	ApprovalAccepted = "accepted"
	ApprovalDenied   = "denied"
	ApprovalClosed   = "closed"   // nobody waits for it any more
	ApprovalReplaced = "replaced" // another one was made in its place
)

// States of one person's part in it.
const (
	AskOpen     = "asked"
	AskApproved = "approved"
	AskDenied   = "denied"
)

func approvalCell(env, id string) Cell {
	return Cell{Env: env, Table: "approvals", Column: "details", Row: id}
}

// AddApproval inserts a, made now and open.
func (tx *Tx) AddApproval(ctx context.Context, a *Approval) error {
	details, err := tx.Seal(approvalCell(a.Env, a.ID), a.Details)
	if err != nil {
		return err
	}
	a.State, a.MadeAt = ApprovalOpen, tx.Now()
	_, err = tx.Exec(ctx, `INSERT INTO approvals (env, id, verification, kind, directory, account, people, state, details, made_at, ends_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, a.Env, a.ID, a.Verification, a.Kind, a.Directory, a.Account, a.People, a.State,
		details, Millis(a.MadeAt), Millis(a.EndsAt))
	return err
}

const approvalColumns = "env, id, verification, kind, directory, account, people, state, details, made_at, ends_at, settled_at"

func (tx *Tx) scanApproval(scan Scan) (a Approval, err error) {
	var details string
	var people, made, ends, settled int64
	if err = scan(&a.Env, &a.ID, &a.Verification, &a.Kind, &a.Directory, &a.Account, &people, &a.State, &details, &made, &ends, &settled); err != nil {
		return a, err
	}
	a.People, a.MadeAt, a.EndsAt, a.SettledAt = int(people), Time(made), Time(ends), Time(settled)
	a.Details, err = tx.Unseal(approvalCell(a.Env, a.ID), details)
	return a, err
}

// Approval returns one request.
func (tx *Tx) Approval(ctx context.Context, env, id string) (Approval, error) {
	return One(ctx, tx, tx.scanApproval, "SELECT "+approvalColumns+" FROM approvals WHERE env = $1 AND id = $2", env, id)
}

// ApprovalOf returns the last request of a kind for a verification, one that was replaced
// only where no other one is left.
func (tx *Tx) ApprovalOf(ctx context.Context, env, verification, kind string) (Approval, error) {
	return One(ctx, tx, tx.scanApproval, "SELECT "+approvalColumns+` FROM approvals WHERE env = $1 AND verification = $2 AND kind = $3
		ORDER BY CASE state WHEN 'replaced' THEN 1 ELSE 0 END, made_at DESC, id LIMIT 1`, env, verification, kind)
}

// CountApprovals returns how many requests of a kind were made for a verification, as far
// as PurgeApprovals has left them.
func (tx *Tx) CountApprovals(ctx context.Context, env, verification, kind string) (int, error) {
	var n int64
	err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM approvals WHERE env = $1 AND verification = $2 AND kind = $3", env, verification, kind)
	return int(n), err
}

// maxApprovals bounds a list of requests.
const maxApprovals = 200

// OpenApprovals lists the requests of a kind that wait, oldest first.
func (tx *Tx) OpenApprovals(ctx context.Context, env, kind string) ([]Approval, error) {
	return All(ctx, tx, tx.scanApproval, "SELECT "+approvalColumns+` FROM approvals WHERE env = $1 AND kind = $2 AND state = 'open' AND ends_at > $3
		ORDER BY made_at, id LIMIT $4`, env, kind, Millis(tx.Now()), maxApprovals)
}

// TouchApproval makes decisions about an open request come one after the other: it is
// called before one is counted. ErrConflict says that the request is not open any more.
func (tx *Tx) TouchApproval(ctx context.Context, env, id string) error {
	return tx.Swap(ctx, "UPDATE approvals SET touched = touched + 1 WHERE env = $1 AND id = $2 AND state = 'open' AND ends_at > $3", env, id, Millis(tx.Now()))
}

// MoveApproval moves a request from one state to another; ErrConflict if it is not there.
func (tx *Tx) MoveApproval(ctx context.Context, env, id, from, to string) error {
	return tx.Swap(ctx, "UPDATE approvals SET state = $4 WHERE env = $1 AND id = $2 AND state = $3", env, id, from, to)
}

// ReplaceApproval ends a request in whose place another one is made: its verification is
// told nothing of it. ErrConflict says that people said no, that nobody waits for it any
// more, or that its verification was told.
func (tx *Tx) ReplaceApproval(ctx context.Context, env, id string) error {
	return tx.Swap(ctx, `UPDATE approvals SET state = 'replaced', settled_at = $3 WHERE env = $1 AND id = $2
		AND state IN ('open', 'accepted') AND settled_at = 0`, env, id, Millis(tx.Now()))
}

// ApprovalSettled writes down that the verification was told.
func (tx *Tx) ApprovalSettled(ctx context.Context, env, id string) error {
	return tx.Swap(ctx, "UPDATE approvals SET settled_at = $3 WHERE env = $1 AND id = $2 AND settled_at = 0", env, id, Millis(tx.Now()))
}

// DueApprovals lists requests for upkeep: decided ones whose verification was not told,
// and open ones that nothing waits for any more.
func (tx *Tx) DueApprovals(ctx context.Context) ([]Approval, error) {
	return All(ctx, tx, tx.scanApproval, "SELECT "+approvalColumns+` FROM approvals WHERE settled_at = 0 AND (state <> 'open' OR ends_at <= $1) LIMIT $2`,
		Millis(tx.Now()), maxApprovals)
}

// PurgeApprovals removes requests that were settled before a time.
func (tx *Tx) PurgeApprovals(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, "DELETE FROM approvals WHERE settled_at > 0 AND settled_at < $1", Millis(before))
	return err
}

// An ApprovalAsk is one person's part in a request.
type ApprovalAsk struct {
	Approval  string
	Staff     string
	Token     string // HashToken of the link's secret
	State     string
	Tries     int    // wrong numbers
	Proof     []byte // sealed: what the person signed or wrote
	MadeAt    time.Time
	DecidedAt time.Time
}

func askCell(env, approval, staff string) Cell {
	return Cell{Env: env, Table: "approval_asks", Column: "proof", Row: approval + "/" + staff}
}

// AddApprovalAsk asks a person who was not asked before; ErrConflict otherwise.
func (tx *Tx) AddApprovalAsk(ctx context.Context, env, approval, staff, token string) error {
	return tx.Swap(ctx, `INSERT INTO approval_asks (env, approval, staff, token, state, made_at) SELECT env, id, $3, $4, 'asked', $5 FROM approvals
		WHERE env = $1 AND id = $2 ON CONFLICT (env, approval, staff) DO NOTHING`, env, approval, staff, token, Millis(tx.Now()))
}

const askColumns = "env, approval, staff, token, state, tries, proof, made_at, decided_at"

func (tx *Tx) scanAsk(scan Scan) (a ApprovalAsk, err error) {
	var env, proof string
	var tries, made, decided int64
	if err = scan(&env, &a.Approval, &a.Staff, &a.Token, &a.State, &tries, &proof, &made, &decided); err != nil {
		return a, err
	}
	a.Tries, a.MadeAt, a.DecidedAt = int(tries), Time(made), Time(decided)
	a.Proof, err = tx.openOrEmpty(askCell(env, a.Approval, a.Staff), proof)
	return a, err
}

// ApprovalAsks lists who was asked, in the order of their decisions.
func (tx *Tx) ApprovalAsks(ctx context.Context, env, approval string) ([]ApprovalAsk, error) {
	return All(ctx, tx, tx.scanAsk, "SELECT "+askColumns+" FROM approval_asks WHERE env = $1 AND approval = $2 ORDER BY decided_at, staff", env, approval)
}

// ApprovalAskBy finds a person's part by the hash of their link.
func (tx *Tx) ApprovalAskBy(ctx context.Context, env, token string) (ApprovalAsk, error) {
	return One(ctx, tx, tx.scanAsk, "SELECT "+askColumns+" FROM approval_asks WHERE env = $1 AND token = $2", env, token)
}

// TryApproval counts a number that a person typed, before anybody compares it.
// ErrConflict says that they have decided, or have had their tries.
func (tx *Tx) TryApproval(ctx context.Context, env, approval, staff string, tries int) error {
	return tx.Swap(ctx, `UPDATE approval_asks SET tries = tries + 1 WHERE env = $1 AND approval = $2 AND staff = $3 AND state = 'asked' AND tries < $4`,
		env, approval, staff, tries)
}

// DecideApproval is the one compare-and-set of a person's decision: ErrConflict says
// that they decided before.
func (tx *Tx) DecideApproval(ctx context.Context, env, approval, staff, state string, proof []byte) error {
	sealed, err := tx.sealedOrEmpty(askCell(env, approval, staff), proof)
	if err != nil {
		return err
	}
	return tx.Swap(ctx, `UPDATE approval_asks SET state = $4, proof = $5, decided_at = $6 WHERE env = $1 AND approval = $2 AND staff = $3 AND state = 'asked'`,
		env, approval, staff, state, sealed, Millis(tx.Now()))
}

// AskedOf returns how many open requests of other verifications wait for a person, and how
// many of any they were sent since a time.
func (tx *Tx) AskedOf(ctx context.Context, env, staff, verification string, since time.Time) (open, sent int, err error) {
	var o, s int64
	err = tx.Row(ctx, []any{&o, &s}, `SELECT COALESCE(SUM(CASE WHEN k.state = 'asked' AND a.state = 'open' AND a.ends_at > $3 AND a.verification <> $5 THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN k.made_at > $4 THEN 1 ELSE 0 END), 0)
		FROM approval_asks k JOIN approvals a ON a.env = k.env AND a.id = k.approval WHERE k.env = $1 AND k.staff = $2`,
		env, staff, Millis(tx.Now()), Millis(since), verification)
	return int(o), int(s), err
}

// SentAbout returns how many requests about one account a person was sent since a time.
func (tx *Tx) SentAbout(ctx context.Context, env, staff, directory, account string, since time.Time) (int, error) {
	var n int64
	err := tx.Row(ctx, []any{&n}, `SELECT COUNT(*) FROM approval_asks k JOIN approvals a ON a.env = k.env AND a.id = k.approval
		WHERE k.env = $1 AND k.staff = $2 AND a.directory = $3 AND a.account = $4 AND k.made_at > $5`, env, staff, directory, account, Millis(since))
	return int(n), err
}
