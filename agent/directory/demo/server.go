package demo

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Limits of the server.
const (
	maxSessions = 64               // connections at once; the agent takes five
	maxSilence  = 10 * time.Minute // of a client; longer than the agent keeps an idle connection
	maxWrite    = 30 * time.Second // for a client to take an answer
	tlsHello    = 0x16             // first byte of a TLS connection; LDAP begins with 0x30
)

// A server listens for LDAP clients on a loopback address.
type server struct {
	address string
	ca      []byte
	tree    *tree
	log     *slog.Logger

	tls      *tls.Config
	listener net.Listener
	slots    chan struct{}
	wg       sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

// serve starts a server. An empty address is any free port of 127.0.0.1.
func serve(ctx context.Context, address string, t *tree, log *slog.Logger) (*server, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("listen is %s, which is no loopback address", address)
	}
	cert, ca, err := certificate()
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &server{
		address: l.Addr().String(), ca: ca, tree: t, log: log, listener: l,
		tls:   &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		slots: make(chan struct{}, maxSessions), open: map[net.Conn]bool{},
	}
	s.wg.Go(s.accept)
	return s, nil
}

// close ends the server and every connection, and returns when all are gone.
func (s *server) close() {
	s.mu.Lock()
	s.closed = true
	_ = s.listener.Close()
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		select {
		case s.slots <- struct{}{}:
		default:
			_ = c.Close()
			continue
		}
		s.wg.Go(func() {
			defer func() { <-s.slots }()
			s.serve(c)
		})
	}
}

// keep registers a connection, so that close ends it; false if it is too late.
func (s *server) keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = true
	return !s.closed
}

func (s *server) forget(c net.Conn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	_ = c.Close()
}

// serve answers one client's requests one after another until it hangs up.
func (s *server) serve(c net.Conn) {
	defer s.forget(c)
	if !s.keep(c) {
		return
	}
	x := &session{server: s, conn: c, r: bufio.NewReader(c)}
	if err := c.SetReadDeadline(time.Now().Add(maxSilence)); err != nil {
		return
	}
	if first, err := x.r.Peek(1); err != nil {
		return
	} else if first[0] == tlsHello {
		x.protect()
	}
	for {
		if err := x.conn.SetDeadline(time.Now().Add(maxSilence)); err != nil {
			return
		}
		q, err := readRequest(x.r)
		if err != nil || !x.answer(q) {
			return
		}
	}
}

// A peeked connection gives first what was read ahead.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

// Read implements net.Conn.
func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// A session is one client's connection. Only its goroutine uses it.
type session struct {
	server     *server
	conn       net.Conn
	r          *bufio.Reader
	encrypted  bool
	dn         string // who signed in; "" for nobody
	restricted bool   // may only change the password
	pages      map[string][]*node
}

// protect speaks TLS from here on.
func (x *session) protect() {
	x.conn = tls.Server(peeked{x.conn, x.r}, x.server.tls)
	x.r = bufio.NewReader(x.conn)
	x.encrypted = true
}

// send writes one message.
func (x *session) send(id int64, op *ber.Packet, controls ...*ber.Packet) bool {
	if err := x.conn.SetWriteDeadline(time.Now().Add(maxWrite)); err != nil {
		return false
	}
	_, err := x.conn.Write(message(id, op, controls...))
	return err == nil
}

// known are the controls that the server understands; others are refused if critical.
var known = map[string]bool{ldap.ControlTypePaging: true, ldap.ControlTypeBeheraPasswordPolicy: true}

// answer carries one request out and reports whether the connection goes on.
func (x *session) answer(q request) bool {
	tag, answered := answerTags[q.op.Tag]
	if !answered {
		return q.op.Tag == ldap.ApplicationAbandonRequest // everything is done when that comes; unbind ends
	}
	for oid, c := range q.controls {
		if c.critical && !known[oid] {
			return x.send(q.id, result(tag, answer{code: ldap.LDAPResultUnavailableCriticalExtension}))
		}
	}
	if a := x.admits(q.op); a.code != ldap.LDAPResultSuccess {
		return x.send(q.id, result(tag, a))
	}
	switch q.op.Tag {
	case ldap.ApplicationBindRequest:
		return x.bind(q)
	case ldap.ApplicationSearchRequest:
		return x.search(q)
	case ldap.ApplicationModifyRequest:
		a := x.modify(q)
		return x.send(q.id, result(tag, a), a.policyControl()...)
	case ldap.ApplicationDelRequest:
		return x.send(q.id, result(tag, x.remove(q)))
	case ldap.ApplicationExtendedRequest:
		return x.extended(q)
	}
	return x.send(q.id, result(tag, answer{code: ldap.LDAPResultUnwillingToPerform, words: "the demo directory does not do this"}))
}

// answerTags says which operation answers which; those that nothing answers are absent.
var answerTags = map[ber.Tag]ber.Tag{
	ldap.ApplicationBindRequest:     ldap.ApplicationBindResponse,
	ldap.ApplicationSearchRequest:   ldap.ApplicationSearchResultDone,
	ldap.ApplicationModifyRequest:   ldap.ApplicationModifyResponse,
	ldap.ApplicationAddRequest:      ldap.ApplicationAddResponse,
	ldap.ApplicationDelRequest:      ldap.ApplicationDelResponse,
	ldap.ApplicationModifyDNRequest: ldap.ApplicationModifyDNResponse,
	ldap.ApplicationCompareRequest:  ldap.ApplicationCompareResponse,
	ldap.ApplicationExtendedRequest: ldap.ApplicationExtendedResponse,
}

// admits refuses what needs encryption or a sign-in first. A sign-in, StartTLS and the
// root DSE need none.
func (x *session) admits(op *ber.Packet) answer {
	oid := ""
	if op.Tag == ldap.ApplicationExtendedRequest {
		oid = text(part(op, 0))
	}
	rootDSE := op.Tag == ldap.ApplicationSearchRequest && text(part(op, 0)) == ""
	switch {
	case oid == oidStartTLS || rootDSE:
	case !x.encrypted:
		return answer{code: ldap.LDAPResultConfidentialityRequired, words: "confidentiality required"}
	case op.Tag == ldap.ApplicationBindRequest || oid == oidWhoAmI:
	case x.dn == "":
		return answer{code: ldap.LDAPResultInsufficientAccessRights, words: "authentication required"}
	case x.restricted && oid != oidPasswordModify:
		return refused(ldap.LDAPResultInsufficientAccessRights, 2, "Operations are restricted to bind/unbind/abandon/StartTLS/modify password")
	}
	return answer{}
}
