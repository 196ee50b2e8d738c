package caddymodule

import (
	"bufio"
	"net"
	"net/http"
)

// response lets gorilla/websocket run under Caddy, whose wrapped writers offer Hijack
// only through Unwrap, and notes what the access log says of the answer.
type response struct {
	http.ResponseWriter
	status int // 0 until the header is written
	size   int // bytes of the body
}

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(code int) {
	if w.status == 0 && code >= http.StatusOK {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.size += n
	return n, err
}

// Hijack implements http.Hijacker.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}

// Unwrap implements the contract of http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var _ http.Hijacker = (*response)(nil)
