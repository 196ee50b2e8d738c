package ad

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Patience with the controller that has the role of the PDC emulator.
const (
	pdcKnown    = 10 * time.Minute // roles move once in years, by hand
	pdcAgain    = time.Minute      // after it was not reached
	pdcPatience = 4 * time.Second  // then another controller does: a person waits
)

// A writer remembers where accounts are changed: at the PDC emulator, which knows of every
// lock first and which other controllers ask before they refuse a password (MS-ADTS
// 3.1.1.7.1.4). A reset made there works everywhere at once.
type writer struct {
	mu     sync.Mutex
	server string // for ldapconn; "" for any
	until  time.Time
}

func (w *writer) get() (server string, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.server, time.Now().Before(w.until)
}

func (w *writer) set(server string, life time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server, w.until = server, time.Now().Add(life)
}

// atPDC runs f, which only reads, at the PDC emulator, or at another controller while it
// is away or not listed. The stamp that f may read says where the change is made.
func (d *Directory) atPDC(ctx context.Context, f func(*ldapconn.Conn) error) error {
	if len(d.pool.Servers()) == 1 {
		return d.pool.Do(ctx, "", f) // whatever its role
	}
	server, known := d.writer.get()
	if !known {
		var err error
		if server, err = d.findPDC(ctx); err != nil {
			return err
		}
		d.writer.set(server, pdcKnown)
	}
	if server == "" {
		return d.pool.Do(ctx, "", f)
	}
	near, cancel := context.WithTimeout(ctx, pdcPatience)
	defer cancel()
	err := d.pool.Do(near, server, f)
	if protocol.CodeOf(err) != protocol.CodeUnavailable || ctx.Err() != nil || len(d.pool.Servers()) == 1 {
		return err
	}
	d.log.Warn("the PDC emulator is not reached; another controller stands in", "server", server, "error", err)
	d.writer.set("", pdcAgain)
	return d.pool.Do(ctx, "", f)
}

// findPDC finds the listed server that has the role, "" if none has or can be asked.
func (d *Directory) findPDC(ctx context.Context) (server string, err error) {
	var dom domain
	var host string
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) (err error) {
		if dom, err = readDomain(ctx, c); err != nil {
			return err
		}
		server, _, _ = strings.Cut(c.Server(), "#")
		host, err = hostOf(ctx, c, dom.pdc)
		return err
	})
	if err != nil || samePlace(dom.ds, dom.pdc) || len(d.pool.Servers()) == 1 {
		return server, err
	}
	if named, listed := d.pool.Host(host); listed {
		return named, nil
	}
	for _, other := range d.pool.Servers() {
		if other != server && d.isPDC(ctx, other) {
			return other, nil
		}
	}
	d.log.Info("the PDC emulator is not among the servers; passwords are set at the one that answers", "host", host)
	return "", nil
}

// isPDC asks a server whether it has the role.
func (d *Directory) isPDC(ctx context.Context, server string) bool {
	ctx, cancel := context.WithTimeout(ctx, pdcPatience)
	defer cancel()
	var has bool
	err := d.pool.Do(ctx, server, func(c *ldapconn.Conn) error {
		dom, err := readDomain(ctx, c)
		has = err == nil && samePlace(dom.ds, dom.pdc)
		return err
	})
	return err == nil && has
}

func samePlace(a, b string) bool { return a != "" && ldapconn.SameDN(a, b) }

// hostOf is the host name of the controller whose settings have this DN: an attribute of
// the server object, one above.
func hostOf(ctx context.Context, c *ldapconn.Conn, settings string) (string, error) {
	server := above(settings)
	if server == "" {
		return "", nil
	}
	e, err := c.Entry(ctx, server, "(objectClass=*)", "dNSHostName")
	if err != nil || e == nil {
		return "", err
	}
	return e.GetAttributeValue("dNSHostName"), nil
}
