package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/protocol"
)

// dialLife bounds one connection and its handshake: thousands may queue for two cores.
const dialLife = 2 * time.Minute

// A wire is a websocket as protocol.Link wants it, as the agent's own is.
type wire struct {
	ws  *websocket.Conn
	buf []byte
}

// ReadMessage implements protocol.Wire.
func (w *wire) ReadMessage() ([]byte, error) {
	_, r, err := w.ws.NextReader()
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(w.buf[:0])
	_, err = b.ReadFrom(r)
	w.buf = b.Bytes()
	return w.buf, err
}

// WriteMessage implements protocol.Wire.
func (w *wire) WriteMessage(msg []byte) error { return w.ws.WriteMessage(websocket.BinaryMessage, msg) }

// Close implements protocol.Wire.
func (w *wire) Close(int, string) error { return w.ws.Close() }

// dial opens a websocket with gorilla's defaults to an http or https address.
func dial(ctx context.Context, url, caFile string) (*websocket.Conn, error) {
	return dialWith(ctx, websocket.Dialer{}, url, caFile)
}

// writeBuffers are those of all tunnels.
var writeBuffers sync.Pool

// dialAsAgent is dial with the agent's buffers.
func dialAsAgent(ctx context.Context, url, caFile string) (*websocket.Conn, error) {
	return dialWith(ctx, websocket.Dialer{WriteBufferSize: 16 << 10, WriteBufferPool: &writeBuffers}, url, caFile)
}

func dialWith(ctx context.Context, d websocket.Dialer, url, caFile string) (*websocket.Conn, error) {
	d.HandshakeTimeout, d.Subprotocols = dialLife, []string{protocol.Subprotocol}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("bench: no certificate in " + caFile)
		}
		d.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	ws, _, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http"), nil)
	return ws, err
}

// Sizes of a call: what a lookup has.
const (
	askedBytes  = 256
	answerBytes = 512
)

// filled is a JSON string of n bytes.
func filled(n int) json.RawMessage {
	return json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`)
}

// answering answers every call with as many bytes.
type answering struct{ body json.RawMessage }

// ServeCall implements protocol.Handler.
func (a answering) ServeCall(context.Context, protocol.Method, []byte) (any, error) {
	return a.body, nil
}

// ServeEvent implements protocol.Handler.
func (answering) ServeEvent(string, []byte) {}

// echo is the raw peer: gorilla with its defaults, the loop within the handler, an
// answer of another size than the question.
func echo(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.Close() }()
	answer := filled(answerBytes)
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return
		}
		if err := ws.WriteMessage(websocket.BinaryMessage, answer); err != nil {
			return
		}
	}
}
