package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// A balancer stands before the nodes. Each request of a browser goes to the next node;
// agents go where the test wants them.
type balancer struct {
	port int

	mu     sync.Mutex
	pages  []*edge // in turn
	agents *edge   // nil: in turn, as pages
	next   int
	served map[*edge]int // requests by node
	socks  map[net.Conn]bool
}

func startBalancer(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{port: testenv.FreePort(t), served: map[*edge]int{}, socks: map[net.Conn]bool{}}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-ended
		b.cut()
	})
	return b
}

// url is where the balancer serves a host.
func (b *balancer) url(host string) string { return fmt.Sprintf("http://%s:%d", host, b.port) }

// serve sets which nodes get pages, and so says which ones live.
func (b *balancer) serve(nodes ...*edge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pages = nodes
}

// lead sends agents that dial from now on to one node.
func (b *balancer) lead(n *edge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.agents = n
}

// cut breaks all connections to nodes, so that agents dial again.
func (b *balancer) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.socks {
		_ = c.Close()
	}
}

func (b *balancer) pick(agent bool) *edge {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.agents
	if !agent || n == nil {
		if len(b.pages) == 0 {
			return nil
		}
		b.next++
		n = b.pages[b.next%len(b.pages)]
	}
	if !agent {
		b.served[n]++
	}
	return n
}

// count returns how many requests of browsers went to a node.
func (b *balancer) count(n *edge) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.served[n]
}

// ServeHTTP implements http.Handler.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := b.pick(strings.HasPrefix(r.URL.Path, "/api/agent") || strings.HasPrefix(r.URL.Path, "/api/diragent"))
	if n == nil {
		http.Error(w, "no node", http.StatusBadGateway)
		return
	}
	p := httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(&url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", n.port)})
			pr.Out.Host = pr.In.Host
			pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"] // a client of the test has an address of its own
		},
		Transport: &http.Transport{DialContext: b.dial, DisableKeepAlives: true},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	p.ServeHTTP(w, r)
}

// dial remembers the connection for cut.
func (b *balancer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.socks[c] = true
	return &countedConn{c, b}, nil
}

// A countedConn leaves the balancer's list when it is closed.
type countedConn struct {
	net.Conn
	b *balancer
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.b.mu.Lock()
	delete(c.b.socks, c.Conn)
	c.b.mu.Unlock()
	return c.Conn.Close()
}
