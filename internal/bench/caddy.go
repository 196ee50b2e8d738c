package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/caddytls" // certificates from files
)

// A benchHandler is what Caddy serves: its own server, TLS and ResponseWriters before a
// handler of this process.
type benchHandler struct{ handler http.Handler }

// CaddyModule implements caddy.Module.
func (h benchHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench", New: func() caddy.Module { return &benchHandler{h.handler} }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h benchHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	h.handler.ServeHTTP(w, r)
	return nil
}

// serveByCaddy serves through Caddy's TLS until ctx ends, and says when it listens. A
// process can do so once.
func serveByCaddy(ctx context.Context, port int, handler http.Handler, certDir string, ready func() error) error {
	caddy.RegisterModule(benchHandler{handler})
	type object = map[string]any
	config, err := json.Marshal(object{"admin": object{"disabled": true}, "apps": object{
		"http": object{"servers": object{"bench": object{
			"listen":                  []string{fmt.Sprintf("127.0.0.1:%d", port)},
			"automatic_https":         object{"disable": true},
			"tls_connection_policies": []object{{}},
			"routes":                  []object{{"handle": []object{{"handler": "bench"}}}},
		}}},
		"tls": object{"certificates": object{"load_files": []object{{"certificate": filepath.Join(certDir, "cert.pem"), "key": filepath.Join(certDir, "key.pem")}}}},
	}})
	if err != nil {
		return err
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return caddy.Stop()
}
