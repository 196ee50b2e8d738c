package ldapconn

import (
	"io"
	"net"
	"syscall"
	"time"
)

// Waiting for more.
const (
	// gatherFor is how long more may come where there is little: some 200 entries. A
	// reader that sleeps until the next one is woken for each, and each time by its server.
	gatherFor = time.Millisecond
	// gatherUpTo ends the wait: so much may lie with the system, not with this program.
	gatherUpTo = 512 << 10
)

// A patient connection is any other one until arm is called.
type patient struct {
	net.Conn
	raw     syscall.RawConn // nil: it is not armed
	drained bool            // the last read took all that had come
	until   time.Time       // the deadline; zero: none
}

// arm makes it wait for more after each read that took all that had come.
func (p *patient) arm() {
	if c, ok := p.Conn.(syscall.Conn); ok && p.raw == nil {
		if raw, err := c.SyscallConn(); err == nil && wakeAt(raw, gatherUpTo) == nil {
			p.raw = raw
		}
	}
}

// SetDeadline implements net.Conn.
func (p *patient) SetDeadline(t time.Time) error {
	if p.raw != nil {
		p.until = t
	}
	return p.Conn.SetDeadline(t)
}

// Read implements net.Conn.
func (p *patient) Read(b []byte) (int, error) {
	if p.raw == nil {
		return p.Conn.Read(b)
	}
	if p.drained {
		if err := p.wait(); err != nil {
			return 0, err
		}
	}
	n, err := p.take(b)
	if err == syscall.EAGAIN {
		n, err = p.sleep(b)
	}
	p.drained = n < len(b)
	return n, err
}

// wait lets more come.
func (p *patient) wait() error {
	end := time.Now().Add(gatherFor)
	if !p.until.IsZero() && p.until.Before(end) {
		end = p.until
	}
	if err := p.Conn.SetReadDeadline(end); err != nil {
		return err
	}
	waited := false
	_ = p.raw.Read(func(uintptr) bool { was := waited; waited = true; return was }) // until the deadline, mostly
	return p.Conn.SetReadDeadline(p.until)
}

// take reads what is there. EAGAIN: nothing is.
func (p *patient) take(b []byte) (n int, err error) {
	closed := p.raw.Read(func(fd uintptr) bool {
		for n, err = syscall.Read(int(fd), b); err == syscall.EINTR; {
			n, err = syscall.Read(int(fd), b)
		}
		return true
	})
	switch {
	case closed != nil:
		return 0, closed
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// sleep reads as any connection does.
func (p *patient) sleep(b []byte) (n int, err error) {
	if err := wakeAt(p.raw, 1); err != nil {
		return 0, err
	}
	if n, err = p.Conn.Read(b); err == nil {
		err = wakeAt(p.raw, gatherUpTo)
	}
	return n, err
}

// wakeAt says how much must have come before a reader that sleeps is woken (SO_RCVLOWAT
// of socket(7)); less can be read meanwhile.
func wakeAt(raw syscall.RawConn, bytes int) (err error) {
	closed := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes) })
	if closed != nil {
		return closed
	}
	return err
}
