package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/protocol"
)

// dialLife bounds one connection and its handshake: thousands may queue for two cores.
const dialLife = 2 * time.Minute

// A wire is a websocket of gorilla's with default buffers, as protocol.Link wants it.
type wire struct{ ws *websocket.Conn }

// ReadMessage implements protocol.Wire.
func (w wire) ReadMessage() ([]byte, error) {
	_, msg, err := w.ws.ReadMessage()
	return msg, err
}

// WriteMessage implements protocol.Wire.
func (w wire) WriteMessage(msg []byte) error { return w.ws.WriteMessage(websocket.BinaryMessage, msg) }

// Close implements protocol.Wire.
func (w wire) Close(int, string) error { return w.ws.Close() }

// dial opens a websocket to an http or https address.
func dial(ctx context.Context, url, caFile string) (*websocket.Conn, error) {
	d := websocket.Dialer{HandshakeTimeout: dialLife, Subprotocols: []string{protocol.Subprotocol}}
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
