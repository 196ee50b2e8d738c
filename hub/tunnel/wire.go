package tunnel

import (
	"bufio"
	"net"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/carrier"
)

// Sizes of a websocket.
const (
	// offeredBuffer is the least that gorilla takes from a hijacker.
	offeredBuffer = 257
	// readBuffer is kept for every idle connection; messages are read into a pooled
	// buffer past it. A control frame has to fit (RFC 6455, 5.5).
	readBuffer = 128
)

// A wire is a websocket as protocol.Link wants it, which can be waited for.
type wire struct {
	*carrier.Conn
	ws *websocket.Conn
	in *bufio.Reader // what ws reads from
}

// upgrade makes a websocket of a request that speaks the tunnel's subprotocol. After an
// error it has answered.
func upgrade(w http.ResponseWriter, r *http.Request) (*wire, error) {
	up := websocket.Upgrader{
		WriteBufferSize: carrier.WriteBuffer, WriteBufferPool: &carrier.WriteBuffers, // it reads through the hijacker's buffer
		Subprotocols: []string{protocol.Subprotocol}, CheckOrigin: func(*http.Request) bool { return true }, // knock refused every Origin
	}
	h := &hijacker{ResponseWriter: w}
	ws, err := up.Upgrade(h, r, nil)
	if err != nil {
		return nil, err
	}
	*h.in = *bufio.NewReaderSize(ws.NetConn(), readBuffer) // nothing was read yet
	return &wire{carrier.New(ws), ws, h.in}, nil
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
	w.Release()
	_, _ = w.in.Peek(1)
}
