package testenv

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Requests of LDAP (RFC 4511) that a Cutter can tell apart.
const (
	LDAPBind     = 0x60
	LDAPSearch   = 0x63
	LDAPModify   = 0x66
	LDAPExtended = 0x77
)

// A Cut is what a Cutter does to a request.
type Cut int

// What can happen to a request.
const (
	Pass       Cut = iota // and its answer too
	CutBefore             // the connection breaks and the server never sees the request
	CutAfter              // the server carries it out, the connection breaks, the answer is lost
	HoldAnswer            // the server carries it out, the answer never comes, the connection stays
)

// A Cutter stands between a client and a real LDAPS server: it speaks TLS to both, so
// that it sees requests, and breaks connections where a test wants it.
type Cutter struct {
	Addr   string // host:port of its own LDAPS
	CAFile string // PEM of the authority behind its certificate

	upstream string
	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex
	decide   func(op byte) Cut
	open     map[net.Conn]bool
	requests map[byte]int
	accepted int
	refuse   bool
}

// maxLDAPMessage bounds what a Cutter takes for one message.
const maxLDAPMessage = 16 << 20

// NewCutter listens on loopback for clients of the LDAPS server at upstream, for the
// length of the test.
func NewCutter(t testing.TB, upstream string) *Cutter {
	t.Helper()
	dir := Dir(t)
	ca, err := WriteCertificate(dir, "127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", FreePort(t)), &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	c := &Cutter{Addr: l.Addr().String(), CAFile: ca, upstream: upstream, listener: l, open: map[net.Conn]bool{}, requests: map[byte]int{}}
	c.wg.Add(1)
	go c.serve()
	t.Cleanup(c.close)
	return c
}

// On sets what happens to each request from now on; nil lets everything pass.
func (c *Cutter) On(decide func(op byte) Cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decide = decide
}

// Once sets what happens to the next request of one kind; everything else passes.
func (c *Cutter) Once(op byte, cut Cut) {
	var done sync.Once
	c.On(func(got byte) (decision Cut) {
		if got == op {
			done.Do(func() { decision = cut })
		}
		return decision
	})
}

// Break closes every open connection.
func (c *Cutter) Break() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.Close()
	}
}

// Refuse lets no new connection through, or lets them through again.
func (c *Cutter) Refuse(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = on
}

// Requests returns how many requests of one kind came.
func (c *Cutter) Requests(op byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests[op]
}

// Accepted returns how many connections came.
func (c *Cutter) Accepted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted
}

func (c *Cutter) close() {
	_ = c.listener.Close()
	c.Break()
	c.wg.Wait()
}

func (c *Cutter) serve() {
	defer c.wg.Done()
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.wg.Add(1)
		go func() {
			defer c.wg.Done()
			c.relay(client)
		}()
	}
}

// keep registers a connection for Break; false says that none is wanted.
func (c *Cutter) keep(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted++
	for _, conn := range conns {
		c.open[conn] = true
	}
	return !c.refuse
}

func (c *Cutter) forget(conns ...net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		delete(c.open, conn)
		_ = conn.Close()
	}
}

func (c *Cutter) relay(client net.Conn) {
	// The server's certificate is the test's own business, not the client's under test.
	server, err := tls.Dial("tcp", c.upstream, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		_ = client.Close()
		return
	}
	defer c.forget(client, server)
	if !c.keep(client, server) {
		return
	}
	state := &relayState{answers: Pass, answered: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer client.Close()
		state.copyAnswers(client, server)
	}()
	c.copyRequests(server, client, state)
	state.await()
	_ = server.Close()
	<-done
}

// carriedOut bounds how long a server may take for a request whose answer is lost.
const carriedOut = 20 * time.Second

// relayState is what the two directions of one connection share.
type relayState struct {
	mu       sync.Mutex
	answers  Cut
	once     sync.Once
	answered chan struct{} // closed with the first answer that is kept from the client, or the last
}

func (s *relayState) set(c Cut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = c
}

func (s *relayState) now() Cut {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers
}

// await returns once a request whose answer is lost was carried out: a server that sees
// its client go may drop what waits for its turn (389 Directory Server does).
func (s *relayState) await() {
	if s.now() == Pass {
		return
	}
	select {
	case <-s.answered:
	case <-time.After(carriedOut):
	}
}

// copyAnswers passes the server's messages on. After CutAfter the next one ends the
// connection unseen, after HoldAnswer everything is swallowed.
func (s *relayState) copyAnswers(client, server net.Conn) {
	answer := func() { close(s.answered) }
	defer s.once.Do(answer)
	for {
		m, err := readLDAP(server)
		if err != nil {
			return
		}
		now := s.now()
		if now != Pass {
			s.once.Do(answer)
		}
		if now == CutAfter {
			return
		}
		if now == Pass {
			if _, err := client.Write(m); err != nil {
				return
			}
		}
	}
}

func (c *Cutter) copyRequests(server, client net.Conn, state *relayState) {
	for {
		m, err := readLDAP(client)
		if err != nil {
			return
		}
		cut := c.judge(operation(m))
		if cut == CutBefore {
			_ = client.Close()
			return
		}
		if cut != Pass {
			state.set(cut)
		}
		if _, err := server.Write(m); err != nil {
			return
		}
	}
}

func (c *Cutter) judge(op byte) Cut {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[op]++
	if c.decide == nil {
		return Pass
	}
	return c.decide(op)
}

// operation returns the tag of the operation in a message: the element after the id.
func operation(m []byte) byte {
	i := 2
	if m[1] >= 0x80 {
		i += int(m[1] & 0x7f)
	}
	if i+1 >= len(m) {
		return 0
	}
	if i += 2 + int(m[i+1]); i >= len(m) {
		return 0
	}
	return m[i]
}

// readLDAP reads one LDAPMessage.
func readLDAP(r io.Reader) ([]byte, error) {
	head := make([]byte, 2, 6)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := int(head[1])
	if n >= 0x80 {
		head = head[:2+min(n&0x7f, 4)]
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return nil, err
		}
		n = 0
		for _, b := range head[2:] {
			n = n<<8 | int(b)
		}
	}
	if n > maxLDAPMessage {
		return nil, errors.New("testenv: no LDAP message")
	}
	m := append(head, make([]byte, n)...)
	_, err := io.ReadFull(r, m[len(head):])
	return m, err
}

// CA is the PEM text of CAFile.
func (c *Cutter) CA(t testing.TB) []byte {
	t.Helper()
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	return pem
}
