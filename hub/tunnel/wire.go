package tunnel

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/protocol"
)

// Sizes and times of a websocket.
const (
	// offeredBuffer is the least that gorilla takes from a hijacker.
	offeredBuffer = 257
	// readBuffer is kept for every idle connection; messages are read into a pooled
	// buffer past it. A control frame has to fit (RFC 6455, 5.5).
	readBuffer = 128
	// writeBuffer is pooled. What fits is written at once, as one record of TLS (RFC 8446,
	// 5.1); the rest of a longer message is written by itself.
	writeBuffer = 16 << 10
	// maxFrame is a Noise message: the plaintext of protocol.MaxMessage and its tag.
	maxFrame = protocol.MaxMessage + 16
	// writeLife is how long a peer may take nothing before it counts as gone.
	writeLife = 20 * time.Second
	// closeLife bounds the goodbye to a peer that may not listen.
	closeLife = time.Second
)

// writeBuffers are shared by all websockets.
var writeBuffers sync.Pool

// readBuffers hold the message that is being handled; idle connections hold none.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// A wire is a websocket as protocol.Link wants it.
type wire struct {
	ws  *websocket.Conn
	in  *bufio.Reader // what ws reads from
	buf *[]byte       // of the last message; owned by the reader
	end sync.Once
}

// upgrade makes a websocket of a request that speaks the tunnel's subprotocol. After an
// error it has answered.
func upgrade(w http.ResponseWriter, r *http.Request) (*wire, error) {
	up := websocket.Upgrader{
		WriteBufferSize: writeBuffer, WriteBufferPool: &writeBuffers, // it reads through the hijacker's buffer
		Subprotocols: []string{protocol.Subprotocol}, CheckOrigin: func(*http.Request) bool { return true }, // knock refused every Origin
	}
	h := &hijacker{ResponseWriter: w}
	ws, err := up.Upgrade(h, r, nil)
	if err != nil {
		return nil, err
	}
	*h.in = *bufio.NewReaderSize(ws.NetConn(), readBuffer) // nothing was read yet
	return &wire{ws: ws, in: h.in}, nil
}

// A hijacker gives its taker a small buffer instead of the server's, and keeps hold of
// it: only so can an idle connection be waited for without gorilla's stack, with a buffer
// that is smaller still.
type hijacker struct {
	http.ResponseWriter
	in *bufio.Reader
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, both, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil || both.Reader.Buffered() > 0 { // gorilla refuses who speaks before the upgrade
		return conn, both, err
	}
	h.in = bufio.NewReaderSize(conn, offeredBuffer)
	return conn, bufio.NewReadWriter(h.in, both.Writer), nil
}

// Wait implements protocol.Waiter. What ended the connection is met by ReadMessage.
func (w *wire) Wait() {
	w.release()
	_, _ = w.in.Peek(1)
}

// release gives the last message's buffer back.
func (w *wire) release() {
	if w.buf != nil {
		readBuffers.Put(w.buf)
		w.buf = nil
	}
}

// ReadMessage implements protocol.Wire.
func (w *wire) ReadMessage() ([]byte, error) {
	w.release()
	kind, r, err := w.ws.NextReader()
	if err != nil {
		return nil, closeError(err)
	}
	if kind != websocket.BinaryMessage {
		return nil, errors.New("tunnel: text message")
	}
	buf, ok := readBuffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	w.buf = buf
	*buf, err = readAll(r, (*buf)[:0])
	return *buf, closeError(err)
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

func closeError(err error) error {
	var ended *websocket.CloseError
	if errors.As(err, &ended) {
		return &protocol.CloseError{Code: ended.Code, Reason: ended.Text}
	}
	return err
}

// WriteMessage implements protocol.Wire.
func (w *wire) WriteMessage(msg []byte) error {
	if err := w.ws.SetWriteDeadline(time.Now().Add(writeLife)); err != nil {
		return err
	}
	return w.ws.WriteMessage(websocket.BinaryMessage, msg)
}

// Close implements protocol.Wire.
func (w *wire) Close(code int, reason string) error {
	w.end.Do(func() {
		_ = w.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeLife))
		_ = w.ws.Close()
	})
	return nil
}
