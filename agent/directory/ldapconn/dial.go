package ldapconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/postern-id/postern/protocol"
)

// startTLS is the extended operation of RFC 4511 §4.14.
const startTLS = "1.3.6.1.4.1.1466.20037"

// maxStartTLSAnswer bounds the answer that is read before encryption begins: a result
// code and two short texts.
const maxStartTLSAnswer = 4096

// dial connects to one server and protects the connection as configured. at is the
// address to dial, which differs from the server's own when a name has several.
func (p *Pool) dial(ctx context.Context, s server, at string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{Resolver: p.cfg.Resolver}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, unreachable(s, err)
	}
	if s.security == unprotected {
		return conn, nil
	}
	if s.security == upgraded {
		if err := upgrade(ctx, conn); err != nil {
			_ = conn.Close()
			return nil, unreachable(s, err)
		}
	}
	cfg := p.tls.Clone()
	cfg.ServerName = s.name
	protected := tls.Client(newGathered(conn), cfg)
	if err := protected.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, untrusted(s, err)
	}
	return protected, nil
}

// upgrade asks the server to speak TLS from here on. It reads the answer byte by byte
// exactly, so nothing that was sent in the clear can be taken for protected.
func upgrade(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	request := element(tagSequence, integer(tagInteger, 1), element(tagExtendedRequest, text(tagRequestName, startTLS)))
	if _, err := conn.Write(request); err != nil {
		return err
	}
	message, err := readMessage(conn, maxStartTLSAnswer)
	if err != nil {
		return err
	}
	code, err := extendedResult(message)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("StartTLS was refused with result %d", code)
	}
	return nil
}

// extendedResult reads the result code of an extended response.
func extendedResult(message []byte) (int, error) {
	body, _, err := expect(message, tagSequence)
	if err != nil {
		return 0, err
	}
	if _, body, err = expect(body, tagInteger); err != nil {
		return 0, err
	}
	if body, _, err = expect(body, tagExtendedResponse); err != nil {
		return 0, err
	}
	code, _, err := expect(body, tagEnumerated)
	if err != nil {
		return 0, err
	}
	return number(code)
}

// unreachable says that a server does not answer: nothing was asked of it.
func unreachable(s server, err error) error {
	return &failure{protocol.Err(protocol.CodeUnavailable, "no connection to "+s.url+": "+err.Error()), err, false}
}

// untrusted tells a certificate that the administrator has to look at from a lost
// connection.
func untrusted(s server, err error) error {
	var certificate *tls.CertificateVerificationError
	if !errors.As(err, &certificate) {
		return unreachable(s, err)
	}
	fix := "; put its authority into ca_file"
	var name x509.HostnameError
	if errors.As(err, &name) {
		fix = "; use a name of the certificate in urls, or set server_name"
	}
	message := "the certificate of " + s.url + " is not trusted: " + strings.TrimPrefix(err.Error(), "tls: failed to verify certificate: ") + fix
	return &failure{protocol.Err(protocol.CodeConfiguration, message), err, false}
}
