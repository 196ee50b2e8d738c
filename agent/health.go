package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// HealthConfig is the table [health]: a place on this machine alone that says how the
// agent is. Off unless Listen is set.
type HealthConfig struct {
	// Listen is a loopback "address:port". GET /healthz and GET /metrics (Prometheus) answer.
	Listen string `toml:"listen"`
}

// Bounds of a question. Answers take a millisecond, so they are given one after the other.
const (
	healthLife    = 2 * time.Second
	maxHealthHead = 8 << 10
)

func (h HealthConfig) check() error {
	if h.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(h.Listen)
	if err != nil || !loopback(host) {
		return fmt.Errorf("health.listen: %q; want an address of this machine alone, such as 127.0.0.1:9464", h.Listen)
	}
	return nil
}

// counters count requests by method and code.
type counters struct {
	mu sync.Mutex
	n  map[[2]string]int64
}

func (c *counters) add(method, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[[2]string]int64{}
	}
	c.n[[2]string{method, code}]++
}

func (c *counters) all() map[[2]string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}

// A health answers questions of this machine.
type health struct {
	s       *service
	m       *tunnels
	version string
}

// run answers until ctx ends. It closes ln.
func (h *health) run(ctx context.Context, ln net.Listener) {
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	for {
		conn, err := ln.Accept()
		if err != nil {
			_ = ln.Close()
			return
		}
		h.answer(conn)
	}
}

// answer reads one request and closes the connection. A name that is not this machine's
// is refused: a page in somebody's browser may have it resolved to this address.
func (h *health) answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if conn.SetDeadline(time.Now().Add(healthLife)) != nil {
		return
	}
	q, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, maxHealthHead)))
	if err != nil {
		return
	}
	host, _, err := net.SplitHostPort(q.Host)
	if err != nil {
		host = q.Host
	}
	code, body := http.StatusNotFound, "there are /healthz and /metrics\n"
	switch {
	case q.Method != http.MethodGet || !loopback(host):
		code, body = http.StatusForbidden, "GET, by an address of this machine\n"
	case q.URL.Path == "/healthz":
		code, body = h.healthz()
	case q.URL.Path == "/metrics":
		code, body = http.StatusOK, h.metrics()
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %d\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
		code, http.StatusText(code), len(body), body)
}

func (h *health) healthz() (code int, body string) {
	switch {
	case h.s.stopped() != nil:
		return http.StatusServiceUnavailable, "stopped: the hub showed two histories of its audit log\n"
	case len(h.m.connected()) == 0:
		return http.StatusServiceUnavailable, "no tunnel to the hub\n"
	}
	return http.StatusOK, "ok\n"
}

// metrics are in the text format of Prometheus. No label names an account.
func (h *health) metrics() string {
	var b strings.Builder
	gauge := func(name, help string, value int) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n%s %d\n", name, help, name, name, value)
	}
	fmt.Fprintf(&b, "# HELP postern_agent_info the version of this program\n# TYPE postern_agent_info gauge\npostern_agent_info{version=%q} 1\n", h.version)
	gauge("postern_agent_tunnels", "open tunnels to nodes of the hub", len(h.m.connected()))
	gauge("postern_agent_unsettled_operations", "operations without an outcome yet", len(h.s.journal.Unsettled()))
	gauge("postern_agent_log_stopped", "1 after the hub showed two histories of its audit log", boolToInt(h.s.stopped() != nil))
	gauge("postern_agent_evaluation", "1 while nothing is changed, by the agent's file", boolToInt(h.s.trial))
	counts := h.s.counts.all()
	keys := slices.Collect(maps.Keys(counts))
	sort.Slice(keys, func(i, j int) bool { return slices.Compare(keys[i][:], keys[j][:]) < 0 })
	b.WriteString("# HELP postern_agent_requests_total requests of the hub, by method and code of refusal\n# TYPE postern_agent_requests_total counter\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "postern_agent_requests_total{method=%q,code=%q} %d\n", k[0], k[1], counts[k])
	}
	return b.String()
}
