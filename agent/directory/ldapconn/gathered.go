package ldapconn

import (
	"bufio"
	"crypto/tls"
	"net"
)

// gatheredRoom is how much is read at once.
const gatheredRoom = 16 << 10

// A gathered connection reads what has come at once: servers write each entry as a record
// of its own, and TLS would ask the system for each.
type gathered struct {
	net.Conn // a *patient
	r        *bufio.Reader
}

func newGathered(conn net.Conn) *gathered {
	p := &patient{Conn: conn}
	return &gathered{p, bufio.NewReaderSize(p, gatheredRoom)}
}

// Read implements net.Conn.
func (g *gathered) Read(b []byte) (int, error) { return g.r.Read(b) }

// patience lets a connection of which one goroutine reads large answers wait until much has
// come. asked is to be called when a question was sent: the beginning of its answer is
// not waited for.
func patience(conn net.Conn) (asked func()) {
	if protected, ok := conn.(*tls.Conn); ok {
		if g, ok := protected.NetConn().(*gathered); ok {
			if p, ok := g.Conn.(*patient); ok {
				p.arm()
				return func() { p.drained = false }
			}
		}
	}
	return func() {}
}
