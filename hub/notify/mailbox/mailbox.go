// Package mailbox is a mail server that keeps what it is given in memory, for the demo
// and for tests. It relays nothing and knows nothing of the product.
package mailbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Bounds of a server that anybody on the machine can talk to.
const (
	maxMessage     = 1 << 20 // bytes; a mail of the hub has a few kilobytes
	maxKept        = 500     // messages; the oldest goes first
	maxRecipients  = 100
	maxConnections = 50
	maxLine        = 2048             // of a command (RFC 5321 §4.5.3.1.4, with room for AUTH)
	idleTimeout    = 60 * time.Second // between two lines
)

// Config says how the server behaves.
type Config struct {
	Addr     string      // host:port; port 0 takes a free one
	TLS      *tls.Config // offers STARTTLS if not nil
	Implicit bool        // TLS from the first byte instead
	User     string      // asks for AUTH if not empty
	Password string
	Auth     string // methods that are offered; empty: "PLAIN LOGIN"
	// Judge may refuse a message before its text is sent: a code from 400 up. Nil, or
	// 0, accepts.
	Judge func(from string, to []string) (code int, text string)
}

// A Message is a mail that was taken.
type Message struct {
	ID       string    // of this server: counts up
	At       time.Time // when it came
	From     string    // of the envelope
	To       []string  // of the envelope
	Subject  string    // decoded
	Text     string    // the plain text part, decoded
	HTML     string    // the HTML part, decoded; "" if there is none
	Header   map[string][]string
	Raw      []byte // as it was sent
	TLS      bool   // the connection was encrypted
	SignedIn bool
}

// A Server takes mail. Its methods may be called from many goroutines.
type Server struct {
	cfg      Config
	listener net.Listener

	mu      sync.Mutex
	mail    []Message
	number  int
	changed chan struct{} // closed and renewed with every message
	conns   map[net.Conn]bool
}

// Listen opens the port. The caller runs Serve.
func Listen(cfg Config) (*Server, error) {
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, listener: l, changed: make(chan struct{}), conns: map[net.Conn]bool{}}, nil
}

// Addr is host:port on which the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve takes mail until ctx ends, and returns when every connection has ended.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.hangUp)
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		if !s.open(ctx, conn) {
			_ = conn.Close()
			continue
		}
		wg.Go(func() {
			defer s.close(conn)
			newSession(s, conn).serve()
		})
	}
}

func (s *Server) hangUp() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *Server) open(ctx context.Context, c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= maxConnections || ctx.Err() != nil {
		return false
	}
	s.conns[c] = true
	return true
}

func (s *Server) close(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// keep stores a message.
func (s *Server) keep(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	m.ID = strconv.Itoa(s.number)
	s.mail = append(s.mail, m)
	if len(s.mail) > maxKept {
		s.mail = slices.Delete(s.mail, 0, len(s.mail)-maxKept)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// Messages returns what is kept, the newest first.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.mail)
	slices.SortStableFunc(all, func(a, b Message) int { return cmp.Compare(number(b), number(a)) })
	return all
}

func number(m Message) int {
	n, _ := strconv.Atoi(m.ID) // made by keep
	return n
}

// Changed returns a channel that is closed when the next message comes.
func (s *Server) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Wait returns the newest message that matches, now or as soon as one comes.
func (s *Server) Wait(ctx context.Context, match func(Message) bool) (Message, error) {
	for {
		changed := s.Changed()
		all := s.Messages()
		if i := slices.IndexFunc(all, match); i >= 0 {
			return all[i], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

// Clear forgets every message.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mail = nil
}
