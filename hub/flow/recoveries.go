package flow

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
)

// To names whom a call is for: any active agent of the directory, or only the one named.
type To struct{ Env, Directory, Agent string }

// Agents reaches agents, on whatever node they are connected. Errors are
// *protocol.Error; no agent is CodeUnavailable.
type Agents interface {
	// Call asks an agent and reads its answer.
	Call(ctx context.Context, to To, m protocol.Method, p protocol.Priority, req, resp any) error
	// Execute has the node that holds the agent's tunnel call Recoveries.Execute. nil
	// says that it did; what came of it stands in the store. CodeUnavailable says that
	// nobody did.
	Execute(ctx context.Context, to To, recovery string) error
	// Reachable reports whether a directory has an agent that is given calls.
	Reachable(ctx context.Context, env, directory string) bool
}

// A Caller gives the method agent_code the agents that it asks.
type Caller struct{ Agents Agents }

// CallAgent asks one agent.
func (c Caller) CallAgent(ctx context.Context, env, directory, agent string, m protocol.Method, req, resp any) error {
	return c.Agents.Call(ctx, To{Env: env, Directory: directory, Agent: agent}, m, protocol.PriorityRecovery, req, resp)
}

// Buckets limits how often a client may begin. An error means that nobody can tell.
type Buckets interface {
	Take(ctx context.Context, key string, burst int, every time.Duration) (bool, error)
}

// A Config is what Recoveries are made of. Veto, Notifier, Alarms, Requested and Factors may be nil.
type Config struct {
	Store     *store.Store
	Agents    Agents
	Links     *token.Links
	Verifiers []verify.Verifier
	Matcher   Matcher // nil: a proof that bears a name never counts
	Buckets   Buckets
	Veto      Veto     // nil: nobody is asked
	Notifier  Notifier // nil: no notices are sent
	Alarms    Alarms   // nil: failures are only logged
	Requested func()   // is told that the audit log has an operation's entry, which the agent wants proven soon; nil: nobody is
	Log       *slog.Logger

	Factors          Factors          // nil: people have nothing of their own to recover with
	Now              func() time.Time // nil: time.Now
	StartsPerAddress int              // starts that one client has at once; 0: 60. One more comes back every ten seconds
	LookEvery        time.Duration    // how soon another node takes over what is due; 0: a second
}

// Recoveries runs both machines. Its methods may be called from many goroutines and on
// many nodes at once. Errors are those of this package.
type Recoveries struct {
	Config
	verifiers map[policy.Method]verify.Verifier
	pace      pace
	wake      chan store.RecoveryRef // rows that this node has just made due
}

// Numbers of a recovery.
const (
	defaultStarts = 60               // a company behind one address translator
	startEvery    = 10 * time.Second // another one
	chooseLife    = 30 * time.Minute // from the address to the choice
	proveLife     = 15 * time.Minute // from the choice on, as long as the agent's not_after
	longestLife   = 24 * time.Hour   // the same, where other people decide
	defaultLook   = time.Second
	wakeQueue     = 256 // beyond it the next look at the store finds them
)

// New makes Recoveries. They need Run for what happens behind the answers.
func New(c Config) *Recoveries {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.StartsPerAddress == 0 {
		c.StartsPerAddress = defaultStarts
	}
	if c.LookEvery == 0 {
		c.LookEvery = defaultLook
	}
	r := &Recoveries{Config: c, verifiers: map[policy.Method]verify.Verifier{}, wake: make(chan store.RecoveryRef, wakeQueue)}
	for _, v := range c.Verifiers {
		r.verifiers[v.Method()] = v
	}
	return r
}

// intent is what a row keeps of hints and of a presigned link.
type intent struct {
	Flow        string                              `json:"flow,omitempty"`
	Directories []string                            `json:"directories,omitempty"`
	Actions     []protocol.Action                   `json:"actions,omitempty"`
	Restricted  bool                                `json:"restricted,omitempty"` // by a link: nothing else is ever offered
	Wishes      map[protocol.Action]policy.Strength `json:"wishes,omitempty"`
	Key         string                              `json:"key,omitempty"`        // enroll-key: hash of the credential, in hex
	Factor      string                              `json:"factor,omitempty"`     // enroll-key: whose credential it is
	Credential  []byte                              `json:"credential,omitempty"` // enroll-key: JSON of evidence.Credential
	SignIn      *signIn                             `json:"sign_in,omitempty"`    // sign-in: what is asked, and by whom
}

// private is what a row keeps sealed, and only as long as it is needed.
type private struct {
	Address  string             `json:"address"` // normal form
	Client   Client             `json:"client"`
	Contacts *protocol.Contacts `json:"contacts,omitempty"` // read live at begin
	// What a code proves that went to addresses of the person's own, too (T17); nil: its method.
	OwnMail  *ownReached `json:"own_mail,omitempty"`
	OwnPhone *ownReached `json:"own_phone,omitempty"`

	Masked  []string        `json:"masked,omitempty"`  // where the last code went
	Terms   *protocol.Terms `json:"terms,omitempty"`   // what the agent asks for besides the policy
	Groups  []string        `json:"groups,omitempty"`  // names and ids, as the agent gave them at begin
	Paced   bool            `json:"paced,omitempty"`   // of a decoy: it was kept waiting once, as an account is
	Counted bool            `json:"counted,omitempty"` // the code that is asked for now counts for the account
}

func intentOf(rec *store.Recovery) (in intent, err error) {
	return in, parse(rec.Intent, &in)
}

func privateOf(rec *store.Recovery) (p private, err error) {
	return p, parse(string(rec.Private), &p)
}

func parse(text string, v any) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("flow: a row cannot be read: %w", err)
	}
	return nil
}

// newSecret returns 256 random bits as text, for sessions and tokens.
func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// hashSecret is how a secret of 256 random bits stands in the store.
func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// owned returns the recovery if the session is its own.
func owned(ctx context.Context, tx *store.Tx, env, id, session string) (store.Recovery, error) {
	if raw, err := base64.RawURLEncoding.DecodeString(id); err != nil || len(raw) != protocol.RandomPart {
		return store.Recovery{}, store.ErrNotFound
	}
	rec, err := tx.Recovery(ctx, env, id)
	if err == nil && subtle.ConstantTimeCompare([]byte(rec.Session), []byte(hashSecret(session))) != 1 {
		err = store.ErrNotFound
	}
	return rec, err
}

// change lets fn change a recovery of the session and swaps it, in one transaction.
func (r *Recoveries) change(ctx context.Context, env, id, session string, fn func(tx *store.Tx, rec *store.Recovery) error) (store.Recovery, error) {
	var rec store.Recovery
	err := r.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if rec, err = owned(ctx, tx, env, id, session); err != nil {
			return err
		}
		if err := fn(tx, &rec); err != nil {
			return err
		}
		return tx.SaveRecovery(ctx, &rec)
	})
	return rec, r.plain(ctx, err)
}

// plain turns errors of the store into those that pages tell apart. Whatever else went
// wrong is logged here, once.
func (r *Recoveries) plain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrUnavailable):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, store.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, store.ErrConflict): // somebody else was faster
		return ErrStep
	}
	return err
}
