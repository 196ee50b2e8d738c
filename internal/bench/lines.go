package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Bounds of a question and its answer.
const (
	lineLife  = time.Minute
	maxAnswer = 1 << 20 // bytes of a body
)

// lines are kept connections of HTTP/1.1, each with one request at a time that whoever asks
// writes and whose answer they read themselves. What calls is to take as little as can be of
// the processors that it shares with what is measured, as load generators do: of an answer it
// reads what a sign-in needs. It takes a fifth of what http.Client does.
type lines struct {
	mu   sync.Mutex
	idle map[string][]*connection // by address
}

// A connection is one of them.
type connection struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte // memory of the last question
}

// A question is a request but for what all have.
type question struct {
	method string
	to     *url.URL
	fields string // header fields, each with its end of line
	body   string
}

// An answer is of a response what a relying party and a browser go by.
type answer struct {
	status   int
	location string
	cookies  string // as the Cookie field of the next request has them
	body     []byte

	length  int64 // of the body; unknown where it is below 0
	chunked bool
	closes  bool // the connection is not used again
}

func newLines() *lines { return &lines{idle: map[string][]*connection{}} }

// ask sends a question, and reads its whole answer.
func (l *lines) ask(ctx context.Context, q question) (answer, error) {
	c, err := l.take(ctx, q.to.Host)
	if err != nil {
		return answer{}, err
	}
	a, err := c.ask(q)
	if err != nil || a.closes {
		_ = c.conn.Close()
		return a, err
	}
	l.give(q.to.Host, c)
	return a, nil
}

// ask sends a question, and reads its whole answer.
func (c *connection) ask(q question) (answer, error) {
	if err := c.conn.SetDeadline(time.Now().Add(lineLife)); err != nil {
		return answer{}, err
	}
	c.out = q.append(c.out[:0])
	if _, err := c.conn.Write(c.out); err != nil {
		return answer{}, err
	}
	a, err := c.head()
	if err == nil {
		err = c.rest(&a)
	}
	return a, err
}

// append writes a request (RFC 9112, 3).
func (q question) append(b []byte) []byte {
	b = append(append(append(b, q.method...), ' '), q.to.RequestURI()...)
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), q.to.Host...), "\r\n"...)
	b = append(b, q.fields...)
	if q.method != http.MethodGet {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(len(q.body)), 10), "\r\n"...)
	}
	return append(append(b, "\r\n"...), q.body...)
}

// head reads an answer but for its body (RFC 9112, 4 and 5).
func (c *connection) head() (a answer, err error) {
	line, err := c.line()
	if err != nil {
		return a, err
	}
	version, status, _ := bytes.Cut(line, []byte(" "))
	if len(status) < 3 || string(version) != "HTTP/1.1" {
		return a, fmt.Errorf("bench: no answer of HTTP/1.1: %q", line)
	}
	if a.status, err = strconv.Atoi(string(status[:3])); err != nil || a.status < http.StatusOK {
		return a, fmt.Errorf("bench: no status: %q", line)
	}
	a.length = -1
	for {
		if line, err = c.line(); err != nil || len(line) == 0 {
			return a, err
		}
		if err = a.take(line); err != nil {
			return a, err
		}
	}
}

// line reads a line, which is good until the next one.
func (c *connection) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// take notes a header field.
func (a *answer) take(line []byte) (err error) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	is := func(n string) bool { return len(name) == len(n) && bytes.EqualFold(name, []byte(n)) }
	switch {
	case is("Content-Length"):
		a.length, err = strconv.ParseInt(string(value), 10, 64)
	case is("Location"):
		a.location = string(value)
	case is("Set-Cookie"):
		pair, _, _ := bytes.Cut(value, []byte(";"))
		if a.cookies != "" {
			a.cookies += "; "
		}
		a.cookies += string(pair)
	case is("Transfer-Encoding"):
		a.chunked = true
	case is("Connection"):
		a.closes = bytes.EqualFold(value, []byte("close"))
	}
	return err
}

// rest reads the body.
func (c *connection) rest(a *answer) (err error) {
	switch {
	case a.chunked:
		a.body, err = io.ReadAll(io.LimitReader(httputil.NewChunkedReader(c.in), maxAnswer))
		if err == nil {
			_, err = c.line() // no trailer follows
		}
		return err
	case a.length < 0 || a.length > maxAnswer:
		return errors.New("bench: an answer of unknown length, or too long")
	}
	a.body = make([]byte, a.length)
	_, err = io.ReadFull(c.in, a.body)
	return err
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
	return &connection{conn: conn, in: bufio.NewReader(conn)}, nil
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

// give takes a connection back.
func (l *lines) give(address string, c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle[address] = append(l.idle[address], c)
}
