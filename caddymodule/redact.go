package caddymodule

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// secretParameters are query parameters whose values never stand in a log: the token
// of legacy agents, presigned links, codes of any flow, tokens, and what names a person.
var secretParameters = map[string]bool{
	"auth": true, "id_token": true, "id_token_hint": true, "code": true, "token": true, "access_token": true,
	"key": true, "ticket": true, "session": true, "client_secret": true, "code_verifier": true, "login_hint": true, "email": true,
	"email_hint": true, "request_uri": true, "claims": true,
}

// secretPaths are paths whose last segments are secrets: one-time links.
var secretPaths = []string{"/not-me/", "/link/", "/console/link/", "/api/cli/login/", "/cli/login/", "/pictures/"}

// redacted stands in for a secret.
const redacted = "REDACTED"

// redact returns a request target or address without the values of secret
// parameters and one-time paths. A target that cannot be read is not shown at all.
func redact(target string) string {
	path, query, hasQuery := strings.Cut(target, "?")
	if !hasQuery {
		plain, fragment, _ := strings.Cut(path, "#")
		if fragment != "" {
			return redactPath(plain) + "#" + redacted
		}
		return redactPath(path)
	}
	path = redactPath(path)
	query, fragment, hasFragment := strings.Cut(query, "#")
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		plainName, err := url.QueryUnescape(name)
		if err != nil || secretParameters[strings.ToLower(plainName)] {
			pairs[i] = name + "=" + redacted
		}
	}
	out := path + "?" + strings.Join(pairs, "&")
	if hasFragment && fragment != "" {
		out += "#" + redacted
	}
	return out
}

// redactPath hides what follows a path that ends in a secret. It looks at the
// unescaped form, as the router does.
func redactPath(path string) string {
	plainPath, err := url.PathUnescape(path)
	if err != nil {
		return "/" + redacted
	}
	for _, p := range secretPaths {
		if i := strings.Index(plainPath, p); i >= 0 && len(plainPath) > i+len(p) {
			return plainPath[:i+len(p)] + redacted
		}
	}
	return path
}

// accessLog writes Caddy's access-log line of a request in place of Caddy: redacted, and
// with the status of a tunnel, which Caddy never hears of. Caddy takes a copy of the request
// before any handler runs, so the line cannot be changed; it can only be left out and
// written anew by the same logger.
type accessLog struct{ log *zap.Logger }

// httpModule stands for Caddy's http app, whose logger carries the access log.
type httpModule struct{}

// CaddyModule implements caddy.Module.
func (httpModule) CaddyModule() caddy.ModuleInfo { return caddy.ModuleInfo{ID: "http"} }

func newAccessLog(ctx caddy.Context) *accessLog {
	return &accessLog{ctx.Logger(httpModule{}).Named("log.access")}
}

// write takes Caddy's line out and writes ours, if Caddy would log the request and there is
// something to hide or a tunnel was opened. All other lines stay Caddy's own.
func (a *accessLog) write(r *http.Request, w *response, took time.Duration) {
	ctx := r.Context()
	srv, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	skipped, _ := caddyhttp.GetVar(ctx, caddyhttp.LogSkipVar).(bool)
	if srv == nil || srv.Logs == nil || skipped {
		return
	}
	req, clean := cleanRequest(r)
	headers, cleanHeaders := cleanHeader(w.Header())
	if clean && cleanHeaders && w.status != http.StatusSwitchingProtocols {
		return
	}
	caddyhttp.SetVar(ctx, caddyhttp.LogSkipVar, true)
	for _, name := range loggerNames(srv.Logs, r) {
		log := a.log
		if name != "" {
			log = log.Named(name)
		}
		if c := log.Check(level(w.status), "handled request"); c != nil {
			c.Write(accessFields(req, headers, w, took)...)
		}
	}
}

// accessFields are the members of Caddy's own line.
func accessFields(r *http.Request, headers http.Header, w *response, took time.Duration) []zapcore.Field {
	return []zapcore.Field{
		zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r}),
		zap.Int64("bytes_read", max(r.ContentLength, 0)),
		zap.String("user_id", ""),
		zap.Duration("duration", took),
		zap.Int("size", w.size),
		zap.Int("status", w.status),
		zap.Object("resp_headers", caddyhttp.LoggableHTTPHeader{Header: headers}),
	}
}

// level is the level that Caddy gives a line.
func level(status int) zapcore.Level {
	if status >= http.StatusInternalServerError {
		return zapcore.ErrorLevel
	}
	return zapcore.InfoLevel
}

// cleanRequest returns r with its target and addresses redacted, and whether there
// was nothing to hide.
func cleanRequest(r *http.Request) (*http.Request, bool) {
	target := redact(r.RequestURI)
	header, clean := cleanHeader(r.Header)
	out := r.WithContext(r.Context())
	out.RequestURI, out.Header = target, header
	return out, clean && target == r.RequestURI
}

// cleanHeader returns h with addresses redacted, and whether there was nothing to hide.
func cleanHeader(h http.Header) (http.Header, bool) {
	out, clean := h, true
	for _, name := range []string{"Referer", "Location", "Link", "Refresh", "Origin"} {
		for i, v := range h[name] {
			if c := redact(v); c != v {
				if clean {
					out, clean = h.Clone(), false
				}
				out[name][i] = c
			}
		}
	}
	return out, clean
}

// loggerNames are the loggers that Caddy writes the line of this request to, by the
// same rules: a name set for the request, the exact host, wildcards, the default.
func loggerNames(logs *caddyhttp.ServerLogConfig, r *http.Request) []string {
	if names, ok := caddyhttp.GetVar(r.Context(), caddyhttp.AccessLoggerNameVarKey).([]any); ok {
		var out []string
		for _, n := range names {
			s, _ := n.(string)
			out = append(out, s)
		}
		return out
	}
	host := hostOnly(r.Host)
	if !isLogged(logs, host) {
		return nil
	}
	if names, ok := logs.LoggerNames[host]; ok {
		return names
	}
	labels := strings.Split(host, ".")
	for i := range labels {
		labels[i] = "*"
		if names, ok := logs.LoggerNames[strings.Join(labels, ".")]; ok {
			return names
		}
	}
	return []string{logs.DefaultLoggerName}
}

// isLogged reports whether the server's settings want lines for the host.
func isLogged(logs *caddyhttp.ServerLogConfig, host string) bool {
	for name := range logs.LoggerNames {
		if certmagic.MatchWildcard(host, name) {
			return true
		}
	}
	for _, skip := range logs.SkipHosts {
		if certmagic.MatchWildcard(host, skip) {
			return false
		}
	}
	return !logs.SkipUnmappedHosts
}

// hostOnly returns the host without a port, lower case, as the names of loggers have it.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(host)
}
