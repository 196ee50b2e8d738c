package doctor

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Patience on the way to a hub.
const (
	stepLife  = 10 * time.Second // one step: a name, a connection, a handshake, an answer
	maxAnswer = 64 << 10         // bytes of an answer's head; a page of a proxy may be large and is not read
)

// A Path is how an agent reaches its hub.
type Path struct {
	Area        string   // of the report
	URL         *url.URL // of the tunnel: https, or http on this machine
	Subprotocol string
	Probe       string   // header by which the hub is told that nothing follows; "": none
	Proxy       *url.URL // nil: direct
	Why         string   // what decided about the proxy
	Roots       *x509.CertPool
	// Lookup gives the addresses ("ip:port") of the hub's name. It is not asked when there
	// is a proxy, which resolves the name itself.
	Lookup func(ctx context.Context) ([]string, error)
}

// A walk is one walk along a path.
type walk struct {
	Path
	r    *Report
	conn net.Conn
}

// Walk goes the way step by step, up to the websocket, and notes what it sees. It reports
// whether a tunnel gets through, and the certificates that were shown. Nothing is said of
// who asks.
func (p Path) Walk(ctx context.Context, r *Report) (open bool, chain []*x509.Certificate) {
	w := &walk{Path: p, r: r}
	defer func() {
		if w.conn != nil {
			_ = w.conn.Close()
		}
	}()
	r.OK(p.Area, "way", p.Why)
	if !w.connect(ctx) || !w.tunnel(ctx) {
		return false, nil
	}
	chain, ok := w.protect(ctx)
	return ok && w.upgrade(ctx), chain
}

// host is the hub's "name:port".
func (w *walk) host() string { return hostPort(w.URL) }

func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// connect reaches the proxy, or the hub by one of its addresses.
func (w *walk) connect(ctx context.Context) bool {
	if w.Proxy != nil {
		return w.dial(ctx, "proxy", ProxyAway, []string{hostPort(w.Proxy)})
	}
	named, cancel := context.WithTimeout(ctx, stepLife)
	defer cancel()
	list, err := w.Lookup(named)
	if err != nil {
		w.r.Found(w.Area, "name", HubName, OneLine(err.Error()))
		return false
	}
	w.r.OK(w.Area, "name", w.URL.Hostname()+" is "+strings.Join(list, ", "))
	return w.dial(ctx, "connection", HubAway, list)
}

// dial tries addresses one after the other.
func (w *walk) dial(ctx context.Context, what string, number int, list []string) bool {
	var errs []string
	for _, address := range list {
		one, cancel := context.WithTimeout(ctx, stepLife)
		conn, err := (&net.Dialer{}).DialContext(one, "tcp", address)
		cancel()
		if err == nil {
			w.conn = conn
			w.r.OK(w.Area, what, conn.RemoteAddr().String()+" answers", errs...)
			return true
		}
		errs = append(errs, OneLine(err.Error()))
	}
	detail := "none of " + strings.Join(list, ", ") + " answers"
	if len(errs) == 1 {
		detail, errs = errs[0], nil
	}
	w.r.Found(w.Area, what, number, detail, errs...)
	return false
}

// tunnel asks the proxy for a connection to the hub (RFC 9110 9.3.6).
func (w *walk) tunnel(ctx context.Context) bool {
	if w.Proxy == nil {
		return true
	}
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: w.host()}, Host: w.host(), Header: http.Header{}}
	if u := w.Proxy.User; u != nil {
		password, _ := u.Password() // none is an empty one
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	answer, err := w.ask(ctx, request)
	switch {
	case err != nil:
		w.r.Found(w.Area, "proxy", ProxyRefuses, "no answer to CONNECT: "+OneLine(err.Error()))
	case answer.StatusCode == http.StatusProxyAuthRequired:
		w.r.Found(w.Area, "proxy", ProxySignIn, fmt.Sprintf("it answers CONNECT with %s and offers %q", OneLine(answer.Status), OneLine(answer.Header.Get("Proxy-Authenticate"))))
	case answer.StatusCode != http.StatusOK:
		w.r.Found(w.Area, "proxy", ProxyRefuses, "it answers CONNECT "+w.host()+" with "+OneLine(answer.Status))
	default:
		w.r.OK(w.Area, "proxy", "it connects to "+w.host())
		return true
	}
	return false
}

// ask sends a request on the connection and reads the head of the answer.
func (w *walk) ask(ctx context.Context, request *http.Request) (*http.Response, error) {
	if err := w.conn.SetDeadline(time.Now().Add(stepLife)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.conn.Close() })
	defer stop()
	if err := request.Write(w.conn); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(&bounded{w.conn, maxAnswer}), request)
	if err != nil {
		return nil, err
	}
	_ = answer.Body.Close()
	return answer, nil
}

// bounded reads at most left bytes.
type bounded struct {
	net.Conn
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the answer is too long")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// certificates are the findings of a certificate that is not taken.
var certificates = map[Verdict]int{Untrusted: HubUntrusted, OtherName: HubOtherName, NotNow: HubCertificateOld}

// protect begins TLS and shows the chain.
func (w *walk) protect(ctx context.Context) ([]*x509.Certificate, bool) {
	if w.URL.Scheme != "https" {
		w.r.OK(w.Area, "certificate", "none: the hub is on this machine")
		return nil, true
	}
	ctx, cancel := context.WithTimeout(ctx, stepLife)
	defer cancel()
	secure := tls.Client(w.conn, &tls.Config{RootCAs: w.Roots, ServerName: w.URL.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	err := secure.HandshakeContext(ctx)
	if err == nil {
		w.conn = secure
		return w.trusted(secure.ConnectionState())
	}
	verdict, chain := Judge(err)
	if verdict == "" {
		w.r.Found(w.Area, "certificate", HubNoTLS, OneLine(err.Error()))
		return nil, false
	}
	detail := strings.TrimPrefix(err.Error(), "tls: failed to verify certificate: ")
	switch by := Inspector(chain); {
	case by != "":
		detail = by + " opens TLS between this machine and the hub; " + detail
	case verdict == Untrusted:
		detail = "a private authority of the hub's, or a device that opens TLS between: " + detail
	}
	w.r.Found(w.Area, "certificate", certificates[verdict], OneLine(detail), Chain(chain)...)
	return chain, false
}

// trusted notes a certificate that was taken.
func (w *walk) trusted(s tls.ConnectionState) ([]*x509.Certificate, bool) {
	chain := s.PeerCertificates
	if by := Inspector(chain); by != "" {
		w.r.Found(w.Area, "certificate", Inspected, by+", which this machine trusts", Chain(chain)...)
		return chain, true
	}
	w.r.OK(w.Area, "certificate", fmt.Sprintf("%s, trusted, until %s, %s", OneLine(chain[0].Subject.String()), day(chain[0].NotAfter), tls.VersionName(s.Version)), Chain(chain)...)
	return chain, true
}

// upgrade asks for a websocket (RFC 6455 4.1) and leaves it at that.
func (w *walk) upgrade(ctx context.Context) bool {
	key := make([]byte, 16)
	_, _ = rand.Read(key) // never fails
	request := &http.Request{Method: http.MethodGet, URL: w.URL, Host: w.URL.Host, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-WebSocket-Version": {"13"}, "Sec-WebSocket-Key": {base64.StdEncoding.EncodeToString(key)},
		"Sec-WebSocket-Protocol": {w.Subprotocol},
	}}
	if w.Probe != "" {
		request.Header.Set(w.Probe, "doctor")
	}
	answer, err := w.ask(ctx, request)
	switch {
	case err != nil:
		w.r.Found(w.Area, "websocket", UpgradeBlocked, "the connection ends when the tunnel is asked for: "+OneLine(err.Error()))
	case answer.StatusCode != http.StatusSwitchingProtocols:
		w.r.Found(w.Area, "websocket", UpgradeBlocked, "the answer is "+OneLine(answer.Status)+" instead of 101", signs(answer.Header)...)
	case answer.Header.Get("Sec-WebSocket-Protocol") != w.Subprotocol:
		w.r.Found(w.Area, "websocket", OtherProtocol, fmt.Sprintf("it speaks %q instead of %s", OneLine(answer.Header.Get("Sec-WebSocket-Protocol")), w.Subprotocol), signs(answer.Header)...)
	default:
		w.r.OK(w.Area, "websocket", "the tunnel is let through")
		return true
	}
	return false
}

// signs are headers by which whoever answered gives itself away.
func signs(h http.Header) []string {
	var lines []string
	for _, name := range []string{"Server", "Via", "X-Cache", "X-Squid-Error", "Proxy-Agent", "Location"} {
		if v := h.Get(name); v != "" {
			lines = append(lines, name+": "+OneLine(v))
		}
	}
	return lines
}
