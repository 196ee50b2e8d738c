package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// lineLife bounds one question and its answer.
const lineLife = time.Minute

// lines are kept connections of HTTP/1.1, each with one request at a time that whoever asks
// writes and whose answer they read themselves. They take a third of what http.Transport
// does, whose goroutines hand each request and each answer over: what calls is to take as
// little as can be of the processors that it shares with what is measured.
type lines struct {
	mu   sync.Mutex
	idle map[string][]*connection // by address
}

// A connection is one of them.
type connection struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

func newLines() *lines { return &lines{idle: map[string][]*connection{}} }

// RoundTrip implements http.RoundTripper. The body of the answer has to be read to its end.
func (l *lines) RoundTrip(req *http.Request) (*http.Response, error) {
	c, err := l.take(req.Context(), req.URL.Host)
	if err != nil {
		return nil, err
	}
	resp, err := c.ask(req)
	if err != nil {
		_ = c.conn.Close()
		return nil, err
	}
	resp.Body = &answer{resp.Body, func(whole bool) { l.give(req.URL.Host, c, whole && !resp.Close) }}
	return resp, nil
}

// ask sends a request, and reads the answer but for its body.
func (c *connection) ask(req *http.Request) (*http.Response, error) {
	if err := c.conn.SetDeadline(time.Now().Add(lineLife)); err != nil {
		return nil, err
	}
	if err := req.Write(c.out); err != nil {
		return nil, err
	}
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.in, req)
}

// take returns an idle connection to an address, or a new one.
func (l *lines) take(ctx context.Context, address string) (*connection, error) {
	if c := l.kept(address); c != nil {
		return c, nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReader(conn), bufio.NewWriter(conn)}, nil
}

// kept returns an idle connection to an address; nil if there is none.
func (l *lines) kept(address string) *connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.idle[address]
	if len(all) == 0 {
		return nil
	}
	l.idle[address] = all[:len(all)-1]
	return all[len(all)-1]
}

// give takes a connection back, if it can be used again.
func (l *lines) give(address string, c *connection, again bool) {
	if !again {
		_ = c.conn.Close()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle[address] = append(l.idle[address], c)
}

// An answer is a body that gives its connection back.
type answer struct {
	body io.ReadCloser
	end  func(whole bool) // nil: called already
}

// Read implements io.Reader.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err != nil {
		a.over(err == io.EOF)
	}
	return n, err
}

// Close implements io.Closer.
func (a *answer) Close() error {
	a.over(false)
	return a.body.Close()
}

func (a *answer) over(whole bool) {
	if end := a.end; end != nil {
		a.end = nil
		end(whole)
	}
}
