package signer

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh/agent"
)

var errFrame = errors.New("signer: an answer of the agent is too long")

// A wire is a connection of which one asks at a time. It bounds what it reads, and
// remembers whether it broke. It is no io.Closer, so that the client of the protocol reads
// no further than it was asked to, and in no goroutine of its own.
type wire struct {
	conn net.Conn
	path string // of its socket
	left uint32 // of the answer that is being read
	err  error
}

// within does something with the connection until ctx ends.
func (w *wire) within(ctx context.Context, what func(agent.ExtendedAgent) error) error {
	until, _ := ctx.Deadline()
	if w.err = w.conn.SetDeadline(until); w.err != nil {
		return w.err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Unix(1, 0)) })
	err := what(agent.NewClient(w))
	if !stop() && w.err == nil && err == nil {
		w.err, err = ctx.Err(), ctx.Err() // its deadline is over, or about to be: nobody else gets it
	}
	return err
}

// Read implements io.Reader. The client asks for the length of an answer by itself.
func (w *wire) Read(p []byte) (n int, err error) {
	if w.left == 0 {
		return w.begin(p)
	}
	n, err = w.conn.Read(p[:min(len(p), int(w.left))])
	w.left -= uint32(n)
	return n, w.broken(err)
}

// begin reads the length of an answer.
func (w *wire) begin(p []byte) (int, error) {
	var head [4]byte
	if len(p) < len(head) {
		return 0, w.broken(errFrame)
	}
	if _, err := io.ReadFull(w.conn, head[:]); err != nil {
		return 0, w.broken(err)
	}
	if w.left = binary.BigEndian.Uint32(head[:]); w.left == 0 || w.left > maxAnswer {
		return 0, w.broken(errFrame)
	}
	return copy(p, head[:]), nil
}

// Write implements io.Writer.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.conn.Write(p)
	return n, w.broken(err)
}

func (w *wire) broken(err error) error {
	if err != nil {
		w.err = err
	}
	return err
}
