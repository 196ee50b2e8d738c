package caddymodule

import (
	"bufio"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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

// Hijack implements http.Hijacker. A tunnel outlives its handler, so it gets no connection
// of Caddy's recorders: that counts bytes while the access log reads how many there were,
// and keeps the request and net/http's buffers for as long as the tunnel lives.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(pastRecorders(w.ResponseWriter)).Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}

// pastRecorders returns the first writer below w, or w itself, that is hijacked in a way of
// its own and is no recorder of Caddy's.
func pastRecorders(w http.ResponseWriter) http.ResponseWriter {
	for {
		below, ok := w.(interface{ Unwrap() http.ResponseWriter })
		_, hijacks := w.(http.Hijacker)
		_, records := w.(caddyhttp.ResponseRecorder)
		if !ok || hijacks && !records {
			return w
		}
		w = below.Unwrap()
	}
}

// Unwrap implements the contract of http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var _ http.Hijacker = (*response)(nil)
