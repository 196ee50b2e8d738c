package caddymodule

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Control answers on the host of public_url: REST, console and agents' tunnels. It
// answers /healthz and /readyz on every host, for load balancers.
type Control struct{ edge }

// Site answers on registered recovery domains.
type Site struct{ edge }

// CaddyModule implements caddy.Module.
func (Control) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.postern", New: func() caddy.Module { return new(Control) }}
}

// CaddyModule implements caddy.Module.
func (Site) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.postern_site", New: func() caddy.Module { return new(Site) }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. It answers every request: what
// it does not know is a plain 404 or 421 and never reaches another handler.
func (c *Control) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	return c.serve(w, r, func(w http.ResponseWriter, r *http.Request, h Hub) {
		switch {
		case r.URL.Path == "/healthz":
			plain(w, http.StatusOK, "ok")
		case r.URL.Path == "/readyz":
			ready(w, r, h)
		case misdirected(r):
			plain(w, http.StatusMisdirectedRequest, "wrong host for this connection")
		case hostname(r.Host) != c.app.host:
			plain(w, http.StatusNotFound, "not found")
		default:
			h.Handler().ServeHTTP(w, r)
		}
	})
}

// ServeHTTP implements caddyhttp.MiddlewareHandler, as Control does.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	return s.serve(w, r, func(w http.ResponseWriter, r *http.Request, h Hub) {
		if misdirected(r) {
			plain(w, http.StatusMisdirectedRequest, "wrong host for this connection")
			return
		}
		h.Site().ServeHTTP(w, r)
	})
}

// edge is what both handlers share.
type edge struct {
	app    *App
	access *accessLog
}

// Provision finds the app that the handler belongs to.
func (e *edge) Provision(ctx caddy.Context) (err error) {
	e.access = newAccessLog(ctx)
	e.app, err = app(ctx)
	return err
}

// serve answers with what the edge alone knows put in place: the client's address as
// the connection's, no forwarding header left to be believed, and a ResponseWriter
// that can be hijacked. It writes the access-log line of requests that hold secrets.
func (e *edge) serve(w http.ResponseWriter, r *http.Request, next func(http.ResponseWriter, *http.Request, Hub)) error {
	resp := &response{ResponseWriter: w}
	start := time.Now()
	defer func() { e.access.write(r, resp, time.Since(start)) }()
	h, err := e.app.hub()
	if err != nil {
		e.app.inst.log.Error("hub is not available", "error", err)
		plain(resp, http.StatusServiceUnavailable, "not available")
		return nil
	}
	next(resp, inbound(r), h)
	return nil
}

// forwarding are headers that claim who the client is. Caddy has read those of
// trusted proxies already.
var forwarding = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
	"X-Forwarded-Server", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Original-Host", "X-Original-Url", "X-Rewrite-Url",
	"X-Host", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Http-Method-Override",
}

// inbound returns r as the hub sees it.
func inbound(r *http.Request) *http.Request {
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	for _, h := range forwarding {
		out.Header.Del(h)
	}
	if ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ip != "" {
		out.RemoteAddr = net.JoinHostPort(ip, "0")
	}
	return out
}

// misdirected reports whether the TLS connection was made for another name than the
// request asks for: its certificate says nothing about this host.
func misdirected(r *http.Request) bool {
	return r.TLS != nil && !strings.EqualFold(strings.TrimSuffix(r.TLS.ServerName, "."), hostname(r.Host))
}

// hostname returns the host of a Host header, lower case, without a port.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// readyTimeout bounds the question to store and coordinator: load balancers wait no longer.
const readyTimeout = 2 * time.Second

// ready answers whether the node can serve recoveries. Why not stands in the log only.
func ready(w http.ResponseWriter, r *http.Request, h Hub) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := h.Ready(ctx); err != nil {
		plain(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	plain(w, http.StatusOK, "ready")
}

// plain answers with a constant line, which reflects nothing of the request.
func plain(w http.ResponseWriter, code int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n"))
}

// parseControl reads the directive "postern".
func parseControl(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	return new(Control), noArguments(h.Dispenser)
}

// parseSite reads the directive "postern_site".
func parseSite(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	return new(Site), noArguments(h.Dispenser)
}
