//go:build !linux

package ldapconn

import "net"

// A patient connection is any other one here: a reader that sleeps is woken once, or
// timers are coarse.
type patient struct {
	net.Conn
	drained bool
}

func (*patient) arm() {}
