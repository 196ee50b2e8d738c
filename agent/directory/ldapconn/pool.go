package ldapconn

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// A Pool lends connections that are signed in as the agent's account. It dials when
// one is needed, fails over along the configured list, and after a refused sign-in
// waits before it tries the same password again, so that it never locks the account.
type Pool struct {
	cfg     Config
	roster  *roster
	tls     *tls.Config
	log     *slog.Logger
	slots   chan struct{} // one for each lent connection
	signing chan struct{} // held while signing in: parallel tries of a wrong password would lock the account

	mu       sync.Mutex
	idle     []*Conn
	closed   bool
	refusal  error     // why the last sign-in failed; nil if it did not
	password [32]byte  // hash of the password that was refused
	until    time.Time // no sign-in with it before
	wait     time.Duration
}

// Do lends a connection to f. server is what Conn.Server said, when only that machine
// will do, or "". f runs a second time, on a new connection, if a connection from the
// pool turned out to be dead and nothing was changed on it.
func (p *Pool) Do(ctx context.Context, server string, f func(*Conn) error) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return &failure{protocol.Err(protocol.CodeUnavailable, "the directory is busy"), ctx.Err(), false}
	}
	defer func() { <-p.slots }()
	if c := p.take(server); c != nil {
		err := f(c)
		dropped := err != nil && !c.usable() && ctx.Err() == nil && !errors.Is(err, directory.ErrUnsure)
		p.give(c)
		if !dropped {
			return err
		}
		p.log.Info("directory connection dropped", "server", c.at)
	}
	c, err := p.Fresh(ctx, server)
	if err != nil {
		return err
	}
	defer p.give(c)
	return f(c)
}

// Fresh returns a new signed-in connection, which the caller closes: for a pass of
// its own, and for looking again after a lost answer. server is as in Do.
func (p *Pool) Fresh(ctx context.Context, server string) (*Conn, error) {
	if _, err := p.signInAllowed(); err != nil {
		return nil, err
	}
	for tries := 1; ; tries++ {
		c, err := p.connect(ctx, server)
		if err != nil {
			return nil, err
		}
		err = p.signIn(ctx, func(password protocol.Secret) (SignIn, error) { return c.bind(ctx, p.cfg.BindDN, password) })
		if err == nil {
			return c, nil
		}
		c.Close()
		if protocol.CodeOf(err) != protocol.CodeUnavailable || ctx.Err() != nil {
			return nil, err
		}
		p.lost(attempt{member: c.of, err: err}) // lets us in and then says nothing
		if server != "" || tries >= p.roster.size() {
			return nil, err
		}
	}
}

// signIn makes a connection the agent's own, one connection at a time.
func (p *Pool) signIn(ctx context.Context, bind func(protocol.Secret) (SignIn, error)) error {
	select {
	case p.signing <- struct{}{}:
	case <-ctx.Done():
		return &failure{protocol.Err(protocol.CodeUnavailable, "the directory is slow to let the agent in"), ctx.Err(), false}
	}
	defer func() { <-p.signing }()
	password, err := p.signInAllowed()
	if err != nil {
		return err
	}
	answer, err := bind(password)
	switch {
	case err != nil:
		return err
	case !answer.OK():
		return p.refused(answer, password)
	case answer.Policy == PolicyChangeAfterReset:
		return Explain(directory.RefusedMustChange, protocol.CodeServiceAuthentication, "the directory lets the agent's account do nothing but change its password; set one without must-change")
	}
	p.accepted()
	return nil
}

// connect dials and speaks LDAP; the connection is not signed in.
func (p *Pool) connect(ctx context.Context, at string) (*Conn, error) {
	conn, m, err := p.connection(ctx, at)
	if err != nil {
		return nil, err
	}
	return newConn(conn, m), nil
}

// Names reports whether the server of a former Conn.Server is still configured, or
// listed by DNS, which is asked if need be: a pool that was just opened knows none of
// those. An error says that DNS does not tell now.
func (p *Pool) Names(ctx context.Context, at string) (bool, error) {
	url, _ := cutAt(at)
	if p.roster.byURL(url) != nil {
		return true, nil
	}
	if err := p.roster.refresh(ctx); err != nil {
		return false, err
	}
	return p.roster.byURL(url) != nil, nil
}

// Host returns what Do and Fresh take for the listed server with a host name, and
// whether there is one: directories name some of their servers for what they do.
func (p *Pool) Host(name string) (server string, listed bool) {
	m := p.roster.byHost(name)
	if m == nil {
		return "", false
	}
	return m.url, true
}

// Servers returns what Do and Fresh take for each listed server, in the order of
// preference. Before DNS was asked its servers are missing.
func (p *Pool) Servers() []string {
	p.roster.mu.Lock()
	defer p.roster.mu.Unlock()
	var all []string
	for _, m := range p.roster.members {
		all = append(all, m.url)
	}
	return all
}

// cutAt takes what Conn.Server or Pool.Host said apart; without an address of its own the
// server's name is looked up again.
func cutAt(at string) (url, addr string) {
	url, addr, found := strings.Cut(at, "#")
	if !found {
		addr = at[strings.Index(at, "//")+2:]
	}
	return url, addr
}

// take returns an idle connection to the server, the one used last, or nil. It closes
// those that are too old.
func (p *Pool) take(server string) *Conn {
	p.mu.Lock()
	var old, kept []*Conn
	var found *Conn
	for _, c := range p.idle {
		switch {
		case !c.usable() || time.Since(c.used) > maxIdle:
			old = append(old, c)
		case server == "" && time.Since(c.born) > returnAfter && p.roster.better(c.of):
			old = append(old, c)
		case server == "" || server == c.at || server == c.of.url:
			if found != nil {
				kept = append(kept, found)
			}
			found = c
		default:
			kept = append(kept, c)
		}
	}
	p.idle = kept
	p.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
	return found
}

// give puts a connection back, or closes it if it cannot be used again.
func (p *Pool) give(c *Conn) {
	p.mu.Lock()
	keep := !p.closed && c.usable() && len(p.idle) < poolSize
	if keep {
		c.used = time.Now()
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if c.hung.Load() {
		p.roster.failed(c.of)
	}
	if !keep {
		c.Close()
	}
}

// signInAllowed returns the password to sign in with, unless the same one was refused
// too recently.
func (p *Pool) signInAllowed() (protocol.Secret, error) {
	password, err := p.cfg.password()
	if err != nil {
		return password, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return password, protocol.Err(protocol.CodeUnavailable, "the directory was closed")
	}
	if p.refusal != nil && time.Now().Before(p.until) && p.password == sha256.Sum256([]byte(password.Reveal())) {
		return password, p.refusal
	}
	return password, nil
}

// refused remembers a refused sign-in and returns it as an error.
func (p *Pool) refused(r SignIn, password protocol.Secret) error {
	err := readFailure(r.err)
	why, words := directory.Refusal(""), ""
	if p.cfg.Refused != nil {
		why, words = p.cfg.Refused(r)
	}
	if why == "" && !IsCode(err, ldap.LDAPResultInvalidCredentials) {
		return err // an outage or a wrong setting counts against nobody
	}
	if why != "" {
		err = Explain(errors.Join(r.err, why), protocol.CodeServiceAuthentication, words)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait = min(max(2*p.wait, backoffFirst), backoffLast)
	p.refusal, p.until = err, time.Now().Add(p.wait)
	p.password = sha256.Sum256([]byte(password.Reveal()))
	p.log.Error("directory refuses the agent's sign-in", "err", err, "next_try", p.until)
	return err
}

func (p *Pool) accepted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusal, p.wait = nil, 0
}

// Close closes the idle connections; lent ones close when they are given back.
func (p *Pool) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
	return nil
}
