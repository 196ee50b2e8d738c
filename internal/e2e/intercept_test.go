package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// An interceptor is a proxy of the kind that companies put between their machines and
// the world: it takes CONNECT, speaks TLS to both sides with a certificate of an
// authority that the machines trust, and writes down what it reads.
type interceptor struct {
	addr   string
	caFile string

	mu  sync.Mutex
	log map[string][]byte // by direction: what one side said, in the order of time
}

// Directions of the interceptor's log.
const (
	outward = "agent to hub"
	inward  = "hub to agent"
)

// intercept starts one in front of an edge that has TLS, for the length of the test.
func intercept(t *testing.T, e *edge) *interceptor {
	t.Helper()
	dir := testenv.Dir(t)
	ca, err := testenv.WriteCertificate(dir, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(e.caFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &interceptor{addr: l.Addr().String(), caFile: ca, log: map[string][]byte{}}
	var open sync.WaitGroup
	var conns sync.Map
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(c, nil)
			open.Go(func() {
				defer c.Close()
				p.relay(c, &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{RootCAs: roots, ServerName: "localhost"})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		open.Wait()
	})
	return p
}

// relay serves one CONNECT.
func (p *interceptor) relay(c net.Conn, toClient, toServer *tls.Config) {
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	client := tls.Server(c, toClient)
	server, err := tls.Dial("tcp", "127.0.0.1:"+req.URL.Port(), toServer)
	if err != nil {
		return
	}
	defer server.Close()
	var wg sync.WaitGroup
	wg.Go(func() { defer client.Close(); p.copy(inward, client, server) })
	wg.Go(func() { defer server.Close(); p.copy(outward, server, client) })
	wg.Wait()
}

// copy passes bytes on, and remembers them when the connection has ended as well.
func (p *interceptor) copy(direction string, to io.Writer, from io.Reader) {
	b := make([]byte, 64<<10)
	var said []byte
	for {
		n, err := from.Read(b)
		said = append(said, b[:n]...)
		p.mu.Lock()
		p.log[direction] = append(p.log[direction], b[:n]...)
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			p.mu.Lock()
			p.log[direction+", unmasked"] = append(p.log[direction+", unmasked"], unmask(said)...)
			p.mu.Unlock()
			return
		}
	}
}

// heard is what was written down so far.
func (p *interceptor) heard() map[string][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string][]byte{}
	for k, v := range p.log {
		all["tunnel, "+k] = bytes.Clone(v)
	}
	return all
}

// unmask returns what the frames (RFC 6455) of one direction of a connection carry.
func unmask(said []byte) (plain []byte) {
	_, frames, ok := bytes.Cut(said, []byte("\r\n\r\n"))
	for ok && len(frames) >= 2 {
		masked, size := frames[1]&0x80 != 0, int(frames[1]&0x7f)
		frames = frames[2:]
		if extra := map[int]int{126: 2, 127: 8}[size]; extra > 0 {
			if len(frames) < extra {
				return plain
			}
			var n [8]byte
			copy(n[8-extra:], frames[:extra])
			size, frames = int(binary.BigEndian.Uint64(n[:])), frames[extra:]
		}
		var key [4]byte
		if masked && len(frames) >= 4 {
			copy(key[:], frames)
			frames = frames[4:]
		}
		size = min(size, len(frames))
		for i, b := range frames[:size] {
			plain = append(plain, b^key[i%4])
		}
		frames = frames[size:]
	}
	return plain
}
