// Package signer has tokens signed by an agent of the SSH agent protocol, whose keys never
// lie in the hub: it asks the agent, and it is the gate that stands before it.
package signer

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Bounds of what is asked of an agent.
const (
	patience   = 5 * time.Second // for one answer, with the wait for a turn: people are waiting
	atOnce     = 8               // questions: OpenSSH's agent answers one by one, others and their devices several
	maxIdle    = 4               // connections that are kept
	maxMessage = 240 << 10       // bytes that are signed: OpenSSH's agent reads 256 KiB at most
	maxAnswer  = 256 << 10       // bytes, as OpenSSH's agent writes at most
)

// addressKind begins addresses, as the Caddyfile writes them: unix//run/…
const addressKind = "unix/"

// Errors of signing.
var (
	ErrNone    = errors.New("signer: there is none: the option signer of the Caddyfile names its socket")
	ErrAway    = errors.New("signer: the agent at its socket does not answer")
	ErrNoKey   = errors.New("signer: the agent does not hold this key")
	ErrRefused = errors.New("signer: the agent holds the key and does not sign by it")
	ErrForged  = errors.New("signer: what the agent answered is no signature by this key")
	ErrKind    = errors.New("signer: want a key of P-256, Ed25519, or RSA of at least 2048 bits")
	ErrLong    = errors.New("signer: more is to be signed than agents take")
)

// An Agent is what answers at one socket. Its methods may be called from many goroutines
// at once, and what they cannot get within five seconds is an error.
type Agent struct {
	turns chan struct{}

	mu     sync.Mutex
	path   string  // "": there is none
	idle   []*wire // the one used last is the last one
	closed bool
}

// New returns the agent at an address such as unix//run/postern-signer/hub.sock, "" for
// none. It is dialled when it is asked something, so that nothing has to be started in an
// order.
func New(address string) (*Agent, error) {
	a := &Agent{turns: make(chan struct{}, atOnce)}
	return a, a.Move(address)
}

// Move makes it the agent at another address. An address that is none changes nothing.
func (a *Agent) Move(address string) error {
	path, err := Path(address)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil && path != a.path {
		a.path = path
		err = a.dropLocked()
	}
	return err
}

// Named reports whether there is an address.
func (a *Agent) Named() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.path != ""
}

// Path returns the path of the socket that an address names, "" for none.
func Path(address string) (string, error) {
	path, ok := strings.CutPrefix(address, addressKind)
	if address != "" && (!ok || !strings.HasPrefix(path, "/")) {
		return "", fmt.Errorf("signer: %q: want unix//path/of/a/socket", address)
	}
	return path, nil
}

// Close gives the connections back that are kept.
func (a *Agent) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	return a.dropLocked()
}

func (a *Agent) dropLocked() error {
	var errs []error
	for _, w := range a.idle {
		errs = append(errs, w.conn.Close())
	}
	a.idle = nil
	return errors.Join(errs...)
}

// Ping returns nil if the agent answers.
func (a *Agent) Ping(ctx context.Context) error {
	_, err := a.list(ctx)
	return err
}

// Key returns the public half of the key with a fingerprint as ssh-add -l prints it.
// ErrNoKey where the agent has none such, ErrKind where it signs no tokens.
func (a *Agent) Key(ctx context.Context, fingerprint string) (crypto.PublicKey, error) {
	all, err := a.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if ssh.FingerprintSHA256(k) != fingerprint {
			continue
		}
		parsed, err := ssh.ParsePublicKey(k.Blob)
		if err != nil {
			return nil, ErrKind // a certificate, or a kind that nobody here knows
		}
		return usable(parsed)
	}
	return nil, ErrNoKey
}

func (a *Agent) list(ctx context.Context) (all []*agent.Key, err error) {
	err = a.ask(ctx, func(c agent.ExtendedAgent) (err error) {
		all, err = c.List()
		return err
	})
	if err != nil && !errors.Is(err, ErrAway) && !errors.Is(err, ErrNone) {
		err = fmt.Errorf("%w: %w", ErrAway, err) // it speaks, but not as agents do
	}
	return all, err
}

// Sign returns the signature of a message by a key of the agent, as JWS writes it (RFC
// 7518, RFC 8037). It was verified: an agent that errs or lies is an error.
func (a *Agent) Sign(ctx context.Context, by crypto.PublicKey, message []byte) ([]byte, error) {
	key, err := ssh.NewPublicKey(by)
	if err != nil {
		return nil, ErrKind
	}
	if len(message) > maxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrLong, len(message))
	}
	var made *ssh.Signature
	err = a.ask(ctx, func(c agent.ExtendedAgent) (err error) {
		made, err = c.SignWithFlags(key, message, flagsOf(key))
		return err
	})
	if err != nil {
		return nil, a.explain(ctx, ssh.FingerprintSHA256(key), err)
	}
	out, err := verified(by, message, made)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, ssh.FingerprintSHA256(key))
	}
	return out, err
}

// explain says of a failure what an operator can do about it: the protocol itself has only
// the word failure.
func (a *Agent) explain(ctx context.Context, fingerprint string, err error) error {
	if errors.Is(err, ErrNone) {
		return err
	}
	if errors.Is(err, ErrAway) {
		return fmt.Errorf("%w (key %s): look whether it runs, and at the rights of the socket", err, fingerprint)
	}
	switch _, look := a.Key(ctx, fingerprint); {
	case errors.Is(look, ErrNoKey):
		return fmt.Errorf("%w: %s: load it (ssh-add), or rotate the key of the client", ErrNoKey, fingerprint)
	case look != nil:
		return fmt.Errorf("%w (key %s)", look, fingerprint)
	}
	return fmt.Errorf("%w: %s: %w", ErrRefused, fingerprint, err)
}

// ask lets something be done with a connection. Where one that was kept turns out to be
// dead, since the agent was started anew, it is done again with another: what is asked here
// changes nothing at the agent.
func (a *Agent) ask(ctx context.Context, what func(agent.ExtendedAgent) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-ctx.Done():
		return fmt.Errorf("%w: all %d turns are taken: %w", ErrAway, atOnce, ctx.Err())
	}
	for {
		w, kept, err := a.connection(ctx)
		if err != nil {
			return err
		}
		if err = w.within(ctx, what); err == nil {
			a.keep(w)
			return nil
		}
		_ = w.conn.Close()
		switch {
		case w.err == nil:
			return err // it answered
		case !kept || ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrAway, w.err)
		}
	}
}

// connection returns one that was kept, or a new one.
func (a *Agent) connection(ctx context.Context) (w *wire, kept bool, err error) {
	a.mu.Lock()
	path := a.path
	if n := len(a.idle); n > 0 {
		w, a.idle = a.idle[n-1], a.idle[:n-1]
	}
	a.mu.Unlock()
	switch {
	case w != nil:
		return w, true, nil
	case path == "":
		return nil, false, ErrNone
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrAway, err)
	}
	return &wire{conn: conn, path: path}, false, nil
}

func (a *Agent) keep(w *wire) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || w.path != a.path || len(a.idle) >= maxIdle {
		_ = w.conn.Close()
		return
	}
	a.idle = append(a.idle, w)
}
