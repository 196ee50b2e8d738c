package ad

import (
	"context"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Rhythm of a watched domain.
const (
	lookGap   = 300 * time.Millisecond // between two questions what changed: sign-ins write, too
	heartbeat = time.Minute            // a question without a reason, which finds a connection that is dead
)

// Watch implements directory.Watcher: the controller tells of every write below the domain
// (LDAP_SERVER_NOTIFICATION, MS-ADTS 3.1.1.3.4.1.9), and DirSync whether that is something
// that is listed.
func (d *Directory) Watch(ctx context.Context, changed func()) error {
	c, err := d.pool.Fresh(ctx, "")
	if err != nil {
		return err
	}
	defer c.Close()
	dom, err := readDomain(ctx, c)
	if err != nil {
		return err
	}
	root, err := c.Entry(ctx, "", "(objectClass=*)", "supportedControl")
	if err != nil {
		return err
	}
	if root == nil || !slices.Contains(root.GetAttributeValues("supportedControl"), ldap.ControlTypeMicrosoftNotification) {
		return protocol.Err(protocol.CodeUnsupported, "the controller tells nobody of changes")
	}
	w := watch{pass: pass{d: d, c: c, dom: dom}, fired: make(chan struct{}, 1), ended: make(chan error, 1)}
	if w.cookie, err = w.beginDirSync(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() { w.ended <- c.Persist(ctx, w.request(), w.fire) }()
	err = w.run(ctx, changed)
	cancel()
	<-w.ended
	return err
}

// A watch is one connection that is told of changes.
type watch struct {
	pass
	cookie []byte
	fired  chan struct{}
	ended  chan error // holds how the notification ended
}

// request asks for every write, deletions included. Nothing narrower is allowed.
func (w *watch) request() *ldap.SearchRequest {
	r := ldapconn.Request(w.dom.base, ldap.ScopeWholeSubtree, 0, "(objectClass=*)", "objectGUID")
	r.Controls = []ldap.Control{ldap.NewControlMicrosoftNotification(), ldap.NewControlMicrosoftShowDeleted()}
	return r
}

func (w *watch) fire(*ldap.Entry) {
	select {
	case w.fired <- struct{}{}:
	default: // a look is due already
	}
}

// run looks whenever the controller tells of a write.
func (w *watch) run(ctx context.Context, changed func()) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	changed()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.ended:
			w.ended <- err
			if ctx.Err() != nil {
				return nil
			}
			return err
		case <-w.fired:
		case <-beat.C:
		}
		matters, err := w.look(ctx)
		if err != nil {
			return err
		}
		if matters {
			changed()
		}
		rest := time.NewTimer(lookGap)
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
}

// look reports whether something changed that is listed.
func (w *watch) look(ctx context.Context) (bool, error) {
	if len(w.cookie) == 0 {
		return true, nil // the controller refuses DirSync
	}
	ch, cookie, err := w.dirSync(ctx, w.cookie)
	if err != nil {
		return false, err
	}
	w.cookie = cookie
	return len(ch.touched)+len(ch.gone)+len(ch.groups)+len(ch.members)+len(ch.moved) > 0, nil
}
