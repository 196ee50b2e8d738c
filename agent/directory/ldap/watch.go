package ldap

import (
	"context"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// heartbeat is the time between two questions without a reason, which find a connection
// that is dead.
const heartbeat = time.Minute

var _ directory.Watcher = (*Directory)(nil)

// Watch implements directory.Watcher by refreshAndPersist (RFC 4533 section 3.4): one
// search of each naming context that does not end. What is told includes failed
// sign-ins; List finds out what of it is new.
func (d *Directory) Watch(ctx context.Context, changed func()) error {
	c, err := d.pool.Fresh(ctx, "")
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := d.server(ctx, c)
	if err != nil {
		return err
	}
	p := &pass{directory: d, conn: c, server: s}
	cookies, err := p.beginSync(ctx)
	if err != nil {
		return err
	}
	if len(cookies) == 0 {
		return protocol.Err(protocol.CodeUnsupported, "the server tells nobody of changes (RFC 4533)")
	}
	changed()
	ctx, cancel := context.WithCancel(ctx)
	var beats sync.WaitGroup
	defer beats.Wait()
	defer cancel()
	ended := make(chan error, len(cookies))
	for suffix, cookie := range cookies {
		r := syncRequest(suffix)
		r.Controls = append(r.Controls, ldap.NewControlSyncRequest(ldap.SyncRequestModeRefreshAndPersist, cookie, false))
		go func() { ended <- c.Persist(ctx, r, func(*ldap.Entry) { changed() }) }()
	}
	beats.Go(func() { beat(ctx, c) })
	err = <-ended
	stopped := ctx.Err() != nil
	cancel()
	for range len(cookies) - 1 {
		<-ended
	}
	switch {
	case stopped:
		return nil
	case refusesSync(err):
		return ldapconn.Explain(err, protocol.CodeUnsupported, "the server refuses to tell of changes (RFC 4533 refreshAndPersist)")
	}
	return err
}

// beat asks the server something small until ctx ends. Where no answer comes the
// connection is closed, which ends what is read from it.
func beat(ctx context.Context, c *ldapconn.Conn) {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if _, err := c.Entry(ctx, "", "(objectClass=*)", "1.1"); err != nil {
			return
		}
	}
}
