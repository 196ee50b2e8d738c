package export

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Times of one sending.
const (
	sendWithin    = 20 * time.Second // all of it
	confirmWithin = 10 * time.Second // until the collector ends the connection too
)

// maxPost bounds the body of one POST, in bytes.
const maxPost = 1 << 20

// drainPost is what is read of an answer, in bytes.
const drainPost = 4 << 10

// errConfirm says that a collector may not have taken what it was sent.
var errConfirm = errors.New("export: the collector ended the connection before it had everything")

// send gives messages to a collector in their order. nil means that it took all of them.
func (x *Exports) send(ctx context.Context, s Settings, messages [][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	if s.overTLS() {
		return x.stream(ctx, s, messages)
	}
	return x.posts(ctx, s, messages)
}

// stream is syslog over TLS (RFC 5425) with a connection for each batch. Syslog has no
// acknowledgement; what stands in its place is the end of the connection: a collector
// that read up to our close_notify ends it in order, one that died before resets it.
func (x *Exports) stream(ctx context.Context, s Settings, messages [][]byte) error {
	c, err := s.tls()
	if err != nil {
		return err
	}
	addr, err := s.address()
	if err != nil {
		return err
	}
	plain, err := x.dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = plain.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = plain.Close() })
	defer stop()
	conn := tls.Client(plain, c)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	return speak(conn, plain, messages)
}

// speak writes the messages, ends the connection from this side and waits for the
// collector to do so from its own, which alone says that it has them.
func speak(conn *tls.Conn, plain net.Conn, messages [][]byte) error {
	ended := make(chan error, 1)
	go func() { // ends when plain is closed, at the latest
		_, err := io.Copy(io.Discard, conn) // syslog says nothing back
		ended <- err
	}()
	if _, err := conn.Write(counted(messages)); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return errors.Join(errConfirm, err)
	default:
	}
	if err := finish(conn, plain); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(confirmWithin):
		return fmt.Errorf("export: the collector did not end the connection within %s", confirmWithin)
	}
}

// counted puts its length before each message: octet counting, RFC 5425 §4.3.
func counted(messages [][]byte) []byte {
	var b bytes.Buffer
	for _, m := range messages {
		b.WriteString(strconv.Itoa(len(m)) + " ")
		b.Write(m)
	}
	return b.Bytes()
}

// finish says that nothing follows.
func finish(conn *tls.Conn, plain net.Conn) error {
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if half, ok := plain.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// posts sends lines by POST, as many in one as it may hold.
func (x *Exports) posts(ctx context.Context, s Settings, messages [][]byte) error {
	var body bytes.Buffer
	for i, m := range messages {
		body.Write(m)
		body.WriteByte('\n')
		if i+1 < len(messages) && body.Len()+len(messages[i+1]) < maxPost {
			continue
		}
		if err := x.post(ctx, s, body.Bytes()); err != nil {
			return err
		}
		body.Reset()
	}
	return nil
}

func (x *Exports) post(ctx context.Context, s Settings, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("User-Agent", "Postern/1")
	if s.Auth != "" {
		req.Header.Set("Authorization", s.Auth)
	}
	res, err := x.client.Do(req)
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err // without the address, which may hold a token
	}
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, drainPost) // so that it hears its answer was read
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("export: the collector answered %d", res.StatusCode)
	}
	return nil
}
