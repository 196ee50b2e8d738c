// Package carrier takes the messages of a link over a websocket; an idle one holds no
// buffer.
package carrier

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/protocol"
)

// Sizes of a websocket.
const (
	// MaxFrame is a Noise message: the plaintext of protocol.MaxMessage and its tag.
	MaxFrame = protocol.MaxMessage + 16
	// WriteBuffer is the size of those in WriteBuffers. What fits is one frame, written at
	// once as one record of TLS (RFC 8446, 5.1); the rest of a longer message is written by
	// itself.
	WriteBuffer = 16 << 10
)

// Times of a websocket.
const (
	WriteLife = 20 * time.Second // a peer that takes nothing for so long is gone
	CloseLife = time.Second      // bounds the goodbye to a peer that may not listen
)

// WriteBuffers are shared by the websockets of a process; a dialer or an upgrader gives
// them to each.
var WriteBuffers sync.Pool

// readBuffers hold messages that are being handled.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// A Conn is a websocket as protocol.Link wants it. One goroutine reads.
type Conn struct {
	ws  *websocket.Conn
	buf *[]byte // of the last message; owned by the reader
	end sync.Once
}

// New returns a websocket as a link wants it, which owns it from then on. Messages longer
// than MaxFrame end it.
func New(ws *websocket.Conn) *Conn {
	ws.SetReadLimit(MaxFrame)
	return &Conn{ws: ws}
}

// ReadMessage implements protocol.Wire. The error of a peer that closed is a
// *protocol.CloseError.
func (c *Conn) ReadMessage() ([]byte, error) {
	c.Release()
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return nil, CloseError(err)
	}
	if kind != websocket.BinaryMessage {
		return nil, errors.New("carrier: a text message where a binary one belongs")
	}
	c.buf = readBuffers.Get().(*[]byte)
	*c.buf, err = readAll(r, (*c.buf)[:0])
	return *c.buf, CloseError(err)
}

// Release gives the last message's buffer back. Its reader calls it.
func (c *Conn) Release() {
	if c.buf != nil {
		readBuffers.Put(c.buf)
		c.buf = nil
	}
}

// readAll reads to the end into b, which it may replace by a larger one.
func readAll(r io.Reader, b []byte) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// CloseError returns a *protocol.CloseError for the close of a peer, and any other error
// as it is.
func CloseError(err error) error {
	var ended *websocket.CloseError
	if errors.As(err, &ended) {
		return &protocol.CloseError{Code: ended.Code, Reason: ended.Text}
	}
	return err
}

// WriteMessage implements protocol.Wire.
func (c *Conn) WriteMessage(msg []byte) error {
	if err := c.ws.SetWriteDeadline(time.Now().Add(WriteLife)); err != nil {
		return err
	}
	return c.ws.WriteMessage(websocket.BinaryMessage, msg)
}

// Close implements protocol.Wire.
func (c *Conn) Close(code int, reason string) error {
	c.end.Do(func() { SayGoodbye(c.ws, code, reason) })
	return nil
}

// SayGoodbye tells the peer why, if it listens, and closes the websocket.
func SayGoodbye(ws *websocket.Conn, code int, reason string) {
	_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(CloseLife))
	_ = ws.Close()
}
