// Package factor keeps what people recover with: passkeys, authenticator apps, saved
// codes, a mail address and a phone of their own. Their owner alone adds, confirms,
// renames and removes them, in a recovery that proved who they are. It knows no pages,
// no agents and no policy beyond how long something new has to wait.
package factor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Kinds of factors.
const (
	Passkey   = "passkey"
	TOTP      = "totp"
	SavedCode = "saved_code"
	Mail      = "mail"
	Phone     = "phone"
)

// Wait is how long something new does not count, so that its owner hears of it at every
// old address before it opens anything (T17).
const Wait = 72 * time.Hour

// Errors that pages tell apart.
var (
	ErrNotFound = errors.New("factor: the owner has no such thing")
	ErrWrong    = errors.New("factor: wrong code, or not what was asked for")
	ErrTooMany  = errors.New("factor: too many tries, codes or factors")
	ErrAddress  = errors.New("factor: not an address that a code can be sent to")
	ErrTaken    = errors.New("factor: it is enrolled already")
	ErrOwn      = errors.New("factor: this is the address that is being recovered")
)

// An Owner is somebody whom a recovery of my recovery options has proven, while it is
// open. Only package flow makes one.
type Owner struct {
	Env, Directory, Account string // Account: canonical immutable id
	Person, Name            string // row id and name of the account
	Recovery, Verification  string
	Origin, RPID            string // of the recovery domain; the RP id is its host
	Language                string
	Proven                  []string          // methods
	Roots                   [][]string        // what those rest on, which is the strength of what is enrolled now (T17)
	Factors                 []string          // ids of those among the owner's that proved it
	Identifiers             []string          // of the account: a code sent there would prove nothing
	Contacts                protocol.Contacts // read live when the recovery began
	ClientAddress           string
	ClientDevice            string
}

// A Message carries a code that confirms an address.
type Message struct {
	Env, To, Language, Origin string
	Account, Client           string // for counting: directory and immutable id; address of the browser
	Code                      protocol.Secret
	Until                     time.Time
}

// A Sender sends codes. It returns when the code has been taken for delivery.
type Sender interface {
	SendCode(ctx context.Context, m Message) error
}

// A Texter sends codes by text message, where an environment has a service for them.
type Texter interface {
	Sender
	// On reports whether the environment sends text messages.
	On(ctx context.Context, env string) bool
}

// A Change is what happened to a factor, as its owner is told.
type Change string

// The changes.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Used    Change = "used" // a saved code: it is void, and another one may be had

	// Disowned: removed, because its owner says that somebody else enrolled it.
	Disowned Change = "disowned"
)

// A Notice tells the owner at every address.
type Notice struct {
	Env, Account  string // name of the account
	Contacts      protocol.Contacts
	Change        Change
	Kind, Label   string
	Counts        time.Time // Added: from when on it counts
	At            time.Time
	ClientAddress string
	ClientDevice  string
	Language      string
	Origin        string
	Token         protocol.Secret // of the link "this was not me"
	Until         time.Time       // how long the token works
}

// Notices tell owners.
type Notices interface {
	// QueueFactor puts a notice into the outbox in the caller's transaction. An owner who
	// has no address is no error: the log says so.
	QueueFactor(ctx context.Context, tx *store.Tx, n Notice) error
	// Wake hastens the sending of what has committed.
	Wake()
}

// A Config is what Factors are made of.
type Config struct {
	Store   *store.Store
	Mail    Sender
	SMS     Texter // nil: there are no text messages, so nobody can add a phone
	Notices Notices
	Log     *slog.Logger
	// Rules reads how a directory accepts proofs, and the groups of an account, for the
	// rule of T17.
	Rules func(ctx context.Context, tx *store.Tx, env, directory, account string) (policy.Methods, []policy.Group, error)
	Wait  time.Duration // how long something new waits; 0: Wait, below 0: not at all (demonstrations)
}

// Factors looks after the factors of every account. Its methods may be called from many
// goroutines and on many nodes at once.
type Factors struct{ cfg Config }

// New makes Factors.
func New(cfg Config) *Factors {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Wait == 0 {
		cfg.Wait = Wait
	}
	cfg.Wait = max(cfg.Wait, 0)
	return &Factors{cfg}
}

// Waits returns how long something new does not count; zero if it counts at once.
func (f *Factors) Waits() time.Duration { return f.cfg.Wait }

// SMS reports whether people of an environment can add a phone.
func (f *Factors) SMS(ctx context.Context, env string) bool {
	return f.cfg.SMS != nil && f.cfg.SMS.On(ctx, env)
}

// A Row is a factor as its owner sees it.
type Row struct {
	ID, Kind, Label string
	Masked          string // of an address
	Left            int    // of saved codes: those that were not used
	MadeAt          time.Time
	CountsAt        time.Time
	UsedAt          time.Time // zero: never
	AgentAt         time.Time // of a passkey: from when on it counts at the company's agent; zero: not there
	Waits           bool      // it does not count yet
}

// List returns what the owner has, oldest first, without what was never confirmed.
func (f *Factors) List(ctx context.Context, o Owner) ([]Row, error) {
	return store.Get(ctx, f.cfg.Store, func(tx *store.Tx) ([]Row, error) {
		all, err := tx.Factors(ctx, o.Env, o.Directory, o.Account)
		if err != nil {
			return nil, err
		}
		var rows []Row
		for _, row := range all {
			if row.ActiveAt.IsZero() {
				continue
			}
			r, err := f.row(ctx, tx, row)
			if err != nil {
				return nil, err
			}
			rows = append(rows, r)
		}
		return rows, nil
	})
}

func (f *Factors) row(ctx context.Context, tx *store.Tx, row store.Factor) (Row, error) {
	r := Row{ID: row.ID, Kind: row.Kind, Label: row.Label, MadeAt: row.MadeAt, CountsAt: row.ActiveAt, UsedAt: row.UsedAt,
		AgentAt: row.AgentAt, Waits: !row.Counts(tx.Now())}
	switch row.Kind {
	case Mail, Phone:
		r.Masked = mask(row.Kind, string(row.Secret))
	case SavedCode:
		codes, err := tx.SavedCodes(ctx, row.Env, row.ID)
		if err != nil {
			return r, err
		}
		for _, c := range codes {
			if !c.Used {
				r.Left++
			}
		}
	}
	return r, nil
}

// own returns a factor if it is the owner's.
func own(ctx context.Context, tx *store.Tx, o Owner, id string) (store.Factor, error) {
	row, err := tx.Factor(ctx, o.Env, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return row, ErrNotFound
	case err == nil && (row.Directory != o.Directory || row.Account != o.Account):
		return store.Factor{}, ErrNotFound
	}
	return row, err
}

// maxFactors bounds what one person has: enough for every device, too little to fill a store.
const maxFactors = 20

// begin inserts a factor that waits for its confirmation, in the place of one of its
// kind that was begun before and never confirmed.
func (f *Factors) begin(ctx context.Context, o Owner, kind, label string, secret []byte) (string, error) {
	row := store.Factor{Env: o.Env, ID: store.NewID(), Directory: o.Directory, Account: o.Account, Kind: kind, Label: label, Secret: secret, EnrolledBy: o.Proven, Roots: o.Roots, Recovery: o.Recovery, Parents: o.Factors}
	err := f.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		all, err := tx.Factors(ctx, o.Env, o.Directory, o.Account)
		if err != nil {
			return err
		}
		kept := 0
		for _, old := range all {
			if old.Kind != kind || !old.ActiveAt.IsZero() {
				kept++
			} else if err := tx.RemoveFactor(ctx, o.Env, old.ID); err != nil {
				return err
			}
		}
		if kept >= maxFactors {
			return ErrTooMany
		}
		return tx.AddFactor(ctx, &row)
	})
	return row.ID, err
}

// newSecret returns 256 random bits as text, for tokens.
func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// hashOf is how a random secret, or a credential id, stands in the store.
func hashOf(secret []byte) string {
	sum := sha256.Sum256(secret)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
