package flow

import (
	"context"
	"log/slog"
	"time"

	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/hub/verify"
)

// Buckets limits how often a client may begin. An error means that nobody can tell.
type Buckets interface {
	Take(ctx context.Context, key string, burst int, every time.Duration) (bool, error)
}

// A Config is what Recoveries are made of.
type Config struct {
	Store      *store.Store
	Operations *operation.Operations // what agents are asked, and carry out
	Links      *token.Links
	Verifiers  []verify.Verifier
	Matcher    Matcher // nil: a proof that bears a name never counts
	Buckets    Buckets
	Log        *slog.Logger

	Factors          Factors          // nil: people have nothing of their own to recover with
	Now              func() time.Time // nil: time.Now
	StartsPerAddress int              // starts that one client has at once; 0: 60. One more comes back every ten seconds
	LookEvery        time.Duration    // how soon another node takes over what is due; 0: a second
}

// Recoveries leads people through recoveries. Its methods may be called from many
// goroutines and on many nodes at once. Errors are those of package recovery.
type Recoveries struct {
	Config
	rows      recovery.Rows
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
	r := &Recoveries{Config: c, rows: recovery.Rows{Store: c.Store, Now: c.Now}, verifiers: map[policy.Method]verify.Verifier{}, wake: make(chan store.RecoveryRef, wakeQueue)}
	for _, v := range c.Verifiers {
		r.verifiers[v.Method()] = v
	}
	return r
}
