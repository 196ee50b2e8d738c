package ldapconn

import (
	"context"
	"net"
	"time"

	"github.com/postern-id/postern/protocol"
)

// An attempt is how dialling one server ended.
type attempt struct {
	member *member
	conn   net.Conn
	err    error
}

// connection dials one machine, or the servers in the order of preference: the next one
// when one fails or takes long. The first that lets us in wins. Of several errors the
// one that an administrator must act on is returned.
func (p *Pool) connection(ctx context.Context, at string) (net.Conn, *member, error) {
	if at != "" {
		return p.connectionTo(ctx, at)
	}
	tries, err := p.roster.order(ctx)
	if err != nil {
		return nil, nil, err
	}
	return p.race(ctx, tries)
}

// race ends every attempt before it returns.
func (p *Pool) race(ctx context.Context, tries []*member) (net.Conn, *member, error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan attempt)
	running := map[*member]time.Time{}
	next := func() (wait <-chan time.Time) {
		if len(tries) == 0 {
			return nil
		}
		m := tries[0]
		tries, running[m] = tries[1:], time.Now()
		go func() {
			conn, err := p.dial(ctx, m.server, m.addr)
			ended <- attempt{m, conn, err}
		}()
		return time.After(p.roster.grace(m))
	}
	defer func() { p.lose(cancel, ended, running) }()
	wait := next()
	var worst error
	for len(running) > 0 {
		select {
		case <-wait:
			wait = next()
		case a := <-ended:
			delete(running, a.member)
			if a.err == nil {
				p.roster.answered(a.member)
				return a.conn, a.member, nil
			}
			if ctx.Err() == nil {
				p.lost(a)
			}
			if worst == nil || protocol.CodeOf(a.err) == protocol.CodeConfiguration {
				worst = a.err
			}
			if len(tries) > 0 {
				wait = next()
			}
		}
	}
	return nil, nil, worst
}

// lost notes that a server did not let us in.
func (p *Pool) lost(a attempt) {
	p.roster.failed(a.member)
	p.log.Warn("directory server does not answer", "server", a.member.url, "err", a.err)
}

// lose ends the attempts that another one overtook. A server that used up its time
// while another one answered is a slow one.
func (p *Pool) lose(cancel context.CancelFunc, ended chan attempt, running map[*member]time.Time) {
	cancel()
	for m, began := range running {
		if time.Since(began) >= headStartIf {
			p.roster.failed(m)
			p.log.Warn("directory server is slow", "server", m.url)
		}
	}
	for range running {
		if a := <-ended; a.conn != nil {
			_ = a.conn.Close()
		}
	}
}

// connectionTo dials the machine that a Conn.Server named.
func (p *Pool) connectionTo(ctx context.Context, at string) (net.Conn, *member, error) {
	if err := p.roster.refresh(ctx); err != nil && p.roster.empty() {
		return nil, nil, err
	}
	url, addr := cutAt(at)
	m := p.roster.byURL(url)
	if m == nil {
		return nil, nil, configuration("the server " + url + " is not in urls any more")
	}
	conn, err := p.dial(ctx, m.server, addr)
	switch {
	case err == nil:
		p.roster.answered(m)
	case ctx.Err() == nil:
		p.lost(attempt{member: m, err: err})
	}
	return conn, m, err
}
