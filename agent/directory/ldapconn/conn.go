package ldapconn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/protocol"
)

// A Conn is one connection. One goroutine uses it at a time.
type Conn struct {
	at   string // see Server
	of   *member
	net  net.Conn
	ldap *ldap.Conn
	dead atomic.Bool // closed by a context, or about to be
	hung atomic.Bool // the server took too long over a request
	born time.Time
	used time.Time // when it was given back; guarded by Pool.mu
}

// newConn speaks LDAP on conn, which it owns from here on.
func newConn(conn net.Conn, m *member) *Conn {
	_, encrypted := conn.(*tls.Conn)
	c := &Conn{at: m.url + "#" + conn.RemoteAddr().String(), of: m, net: conn, ldap: ldap.NewConn(conn, encrypted), born: time.Now()}
	c.ldap.Start()
	return c
}

// Server names the machine at the other end, for Pool.Do and Pool.Fresh: the
// configured URL and the address that its name had.
func (c *Conn) Server() string { return c.at }

// Close closes the connection.
func (c *Conn) Close() {
	c.dead.Store(true)
	// The socket itself first: go-ldap waits for its writer, which may hang in the
	// socket, and TLS would wait to say goodbye.
	if t, ok := c.net.(*tls.Conn); ok {
		_ = t.NetConn().Close()
	} else {
		_ = c.net.Close()
	}
	_ = c.ldap.Close()
}

// usable reports whether the connection may serve another request.
func (c *Conn) usable() bool { return !c.dead.Load() && !c.ldap.IsClosing() }

// run makes one request, which ctx or the request timeout ends by closing the
// connection. It returns go-ldap's error.
func (c *Conn) run(ctx context.Context, request func() error) error {
	return c.runWithin(ctx, requestTimeout, request)
}

func (c *Conn) runWithin(outer context.Context, limit time.Duration, request func() error) error {
	ctx, cancel := context.WithTimeout(outer, limit)
	defer cancel()
	stop := context.AfterFunc(ctx, c.Close)
	err := request()
	if !stop() {
		c.dead.Store(true) // closing has begun: nobody may use the connection again
		c.hung.Store(outer.Err() == nil)
		if err != nil {
			err = errors.Join(err, ctx.Err())
		}
	}
	return err
}

// ready refuses a request that could not be sent anyway, so that it counts as not sent.
func (c *Conn) ready(ctx context.Context) error {
	if ctx.Err() == nil && c.usable() {
		return nil
	}
	cause := ctx.Err()
	if cause == nil {
		cause = net.ErrClosed
	}
	return &failure{protocol.Err(protocol.CodeUnavailable, "the connection to the directory was lost"), cause, false}
}

// Search makes one search. A size limit of the request itself is no error: the
// entries so far are returned. Referrals are left unfollowed, attributes that the server
// gives in ranges are read to their end.
func (c *Conn) Search(ctx context.Context, r *ldap.SearchRequest) ([]*ldap.Entry, error) {
	result, err := c.search(ctx, r)
	if r.SizeLimit > 0 && IsCode(err, ldap.LDAPResultSizeLimitExceeded) {
		err = nil
	}
	if err != nil || result == nil {
		return nil, err
	}
	return result.Entries, nil
}

func (c *Conn) search(ctx context.Context, r *ldap.SearchRequest) (*ldap.SearchResult, error) {
	result, err := c.ask(ctx, r)
	if result == nil {
		return result, err
	}
	for _, e := range result.Entries {
		if err := c.complete(ctx, e); err != nil {
			return nil, err
		}
	}
	return result, err
}

// ask makes one search and takes its answer as it is.
func (c *Conn) ask(ctx context.Context, r *ldap.SearchRequest) (result *ldap.SearchResult, err error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	err = c.run(ctx, func() (err error) { result, err = c.ldap.Search(r); return err })
	return result, readFailure(err)
}

// Entry reads the entry at dn, or nil if there is none that the agent can see.
func (c *Conn) Entry(ctx context.Context, dn, filter string, attributes ...string) (*ldap.Entry, error) {
	entries, err := c.Search(ctx, Request(dn, ldap.ScopeBaseObject, 0, filter, attributes...))
	if IsCode(err, ldap.LDAPResultNoSuchObject) {
		return nil, nil
	}
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return entries[0], nil
}

// Pages searches page by page (RFC 2696) on this connection, to which the cookie
// belongs, and calls each for every entry. An error of each ends it and is returned;
// the connection is not usable after that.
func (c *Conn) Pages(ctx context.Context, r *ldap.SearchRequest, size int, each func(*ldap.Entry) error) error {
	paging := ldap.NewControlPaging(uint32(size))
	paged := *r
	paged.Controls = append([]ldap.Control{paging}, r.Controls...)
	for {
		result, err := c.search(ctx, &paged)
		if err != nil {
			return err
		}
		for _, e := range result.Entries {
			if err := each(e); err != nil {
				c.Close()
				return err
			}
		}
		next, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// Modify changes one entry atomically. An error that wraps directory.ErrUnsure says
// that the request was sent and the answer lost.
func (c *Conn) Modify(ctx context.Context, r *ldap.ModifyRequest) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	return changeFailure(c.run(ctx, func() error { return c.ldap.Modify(r) }))
}

// Extend makes an extended operation that changes something. Errors are those of Modify.
func (c *Conn) Extend(ctx context.Context, r *ldap.ExtendedRequest) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	return changeFailure(c.run(ctx, func() error { _, err := c.ldap.Extended(r); return err }))
}

// Raw is go-ldap's connection, for requests that this type lacks; ctx ends the
// request like any other. The error is explained like that of a search.
func (c *Conn) Raw(ctx context.Context, request func(*ldap.Conn) error) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	return readFailure(c.run(ctx, func() error { return request(c.ldap) }))
}

// Persist makes a search that does not end, as change notifications are, and calls each
// for every entry until ctx ends or the connection does. The connection is closed then.
// Other requests may be made beside it.
func (c *Conn) Persist(ctx context.Context, r *ldap.SearchRequest, each func(*ldap.Entry)) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	defer c.Close()
	found := c.ldap.SearchAsync(ctx, r, persistBuffer)
	for found.Next() {
		if e := found.Entry(); e != nil {
			each(e)
		}
	}
	err := found.Err()
	if err == nil {
		err = net.ErrClosed // it should not have ended
	}
	return readFailure(err)
}

// persistBuffer is how many entries wait for each.
const persistBuffer = 64

// Request makes a search request that never follows aliases. limit 0 is no limit.
func Request(base string, scope, limit int, filter string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, limit, 0, false, filter, attributes, nil)
}
