package testenv

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// redisExchange bounds one question to the server.
const redisExchange = 5 * time.Second

// A Redis is a real redis-server without persistence: a stop loses all that it holds.
type Redis struct {
	Addr string // host:port
	path string
	args []string
	dir  string

	mu    sync.Mutex
	child *Child // nil while stopped
}

// StartRedis starts a server of the test's own with further options.
func StartRedis(t testing.TB, options ...string) *Redis {
	t.Helper()
	r := newRedis(t, options)
	t.Cleanup(r.remove)
	r.Start(t)
	return r
}

var sharedRedis struct {
	sync.Mutex
	servers map[string]*Redis // by options
}

// SharedRedis returns the one server with these options of this test process,
// starting it at first: tests tell their keys apart by a prefix and do not stop it.
// The package's TestMain must call Run.
func SharedRedis(t testing.TB, options ...string) *Redis {
	t.Helper()
	key := strings.Join(options, " ")
	sharedRedis.Lock()
	defer sharedRedis.Unlock()
	if r := sharedRedis.servers[key]; r != nil {
		return r
	}
	r := newRedis(t, options)
	AtEnd(t, r.remove)
	r.Start(t)
	if sharedRedis.servers == nil {
		sharedRedis.servers = map[string]*Redis{}
	}
	sharedRedis.servers[key] = r
	return r
}

func newRedis(t testing.TB, options []string) *Redis {
	t.Helper()
	path := Need(t, "redis-server")
	dir, err := ShortDir()
	if err != nil {
		t.Fatal(err)
	}
	port := FreePort(t)
	args := []string{"--port", strconv.Itoa(port), "--cluster-port", strconv.Itoa(FreePort(t)), "--bind", "127.0.0.1",
		"--dir", dir, "--save", "", "--appendonly", "no", "--maxmemory", "256mb"}
	return &Redis{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), path: path, dir: dir, args: append(args, options...)}
}

func (r *Redis) remove() {
	r.Stop()
	_ = os.RemoveAll(r.dir)
}

// URL is the address as clients want it.
func (r *Redis) URL() string { return "redis://" + r.Addr }

// Start starts a stopped server again, empty, on the same port.
func (r *Redis) Start(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.child != nil {
		return
	}
	child, err := StartChild(Command{Path: r.path, Args: r.args, Dir: r.dir, Ready: func(ctx context.Context) error {
		reply, err := r.Do(ctx, "PING")
		if err == nil && reply != "PONG" {
			err = fmt.Errorf("PING: %s", reply)
		}
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.child = child
}

// Stop ends the server; what it held is lost.
func (r *Redis) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.child != nil {
		r.child.Kill()
		r.child = nil
	}
}

// Do sends one command over a connection of its own and returns a simple, integer or
// bulk reply as text; a server's error is an error.
func (r *Redis) Do(ctx context.Context, args ...string) (string, error) {
	dialer := net.Dialer{Timeout: redisExchange}
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(redisExchange))
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	return reply(bufio.NewReader(conn))
}

func reply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimSpace(line[1:])
	switch kind {
	case '-':
		return "", fmt.Errorf("redis: %s", rest)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "", err
		}
		b := make([]byte, n)
		for read := 0; read < n; {
			k, err := r.Read(b[read:])
			if err != nil {
				return "", err
			}
			read += k
		}
		return string(b), nil
	}
	return rest, nil
}
