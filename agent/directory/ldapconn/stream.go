package ldapconn

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/protocol"
)

// Sizes of a stream.
const (
	maxMessage   = 16 << 20 // one entry with the attributes that were asked for; a real one has a few kilobytes
	streamBuffer = 32 << 10 // TLS gives a record at a time
	refreshAfter = 1000     // entries after which a server has its time for an answer anew
)

// A Stream reads large searches on a connection of its own, thirty times cheaper than
// go-ldap, which builds a tree of each message. One goroutine uses it.
type Stream struct {
	conn  net.Conn
	r     *bufio.Reader
	asked func() // a question was sent
	buf   []byte
	id    int
}

// Stream opens a signed-in stream. The caller closes it. server is as in Do.
func (p *Pool) Stream(ctx context.Context, server string) (*Stream, error) {
	if _, err := p.signInAllowed(); err != nil {
		return nil, err
	}
	conn, _, err := p.connection(ctx, server)
	if err != nil {
		return nil, err
	}
	s := &Stream{conn: conn, r: bufio.NewReaderSize(conn, streamBuffer), asked: patience(conn)}
	err = p.signIn(ctx, func(password protocol.Secret) (SignIn, error) { return s.bind(ctx, p.cfg.BindDN, password) })
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close closes the connection.
func (s *Stream) Close() { _ = s.conn.Close() }

// bind signs in. It asks for no control: the pool's other connections did.
func (s *Stream) bind(ctx context.Context, name string, password protocol.Secret) (SignIn, error) {
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	answer := SignIn{Policy: NoPolicy}
	err := s.send(element(tagBindRequest, integer(tagInteger, 3), text(tagOctets, name), text(tagSimple, password.Reveal())), nil)
	if err != nil {
		return answer, lost(ctx, err)
	}
	op, body, _, err := s.message()
	if err == nil && op != tagBindResponse {
		err = errMalformed
	}
	if err != nil {
		return answer, lost(ctx, err)
	}
	err = result(body)
	var e *ldap.Error
	if errors.As(err, &e) {
		answer.Code, answer.Words, answer.err = e.ResultCode, e.Err.Error(), err
		return answer, nil
	}
	return answer, err
}

// Search reads a query page by page: each is called for every entry, and page after
// the last one of each page, while the server is already at work on the next. An
// error of either ends the stream and is returned; the stream is of no use then. After
// one of the server's own (Diagnostic) it is.
func (s *Stream) Search(ctx context.Context, q Query, each func(*Row) error, page func() error) error {
	filter, err := ldap.CompileFilter(q.Filter)
	if err != nil {
		return &failure{protocol.Err(protocol.CodeConfiguration, "the filter cannot be read: "+q.Filter), err, false}
	}
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	request := searchRequest(q, filter.Bytes())
	if err := s.send(request, paging(q.Page, nil)); err != nil {
		return lost(ctx, err)
	}
	var row Row
	for {
		cookie, err := s.page(ctx, &row, each)
		if err != nil {
			return err
		}
		if len(cookie) > 0 {
			if err := s.send(request, paging(q.Page, cookie)); err != nil {
				return lost(ctx, err)
			}
		}
		if err := page(); err != nil || len(cookie) == 0 {
			return err
		}
	}
}

// page reads entries up to the end of the page and returns the cookie for the next,
// empty after the last.
func (s *Stream) page(ctx context.Context, row *Row, each func(*Row) error) ([]byte, error) {
	for n := 1; ; n++ {
		if n%refreshAfter == 0 { // whoever takes the entries may be slow
			if err := s.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
				return nil, lost(ctx, err)
			}
		}
		op, body, rest, err := s.message()
		if err != nil {
			return nil, lost(ctx, err)
		}
		switch op {
		case tagSearchEntry:
			if err := row.read(body); err != nil {
				return nil, lost(ctx, err)
			}
			if err := each(row); err != nil {
				return nil, err
			}
		case tagSearchDone:
			if err := result(body); err != nil {
				return nil, readFailure(err)
			}
			cookie, err := nextCookie(rest)
			return cookie, lost(ctx, err)
		default: // references to other servers, intermediate answers
		}
	}
}

// send writes one request with the next message id.
func (s *Stream) send(op, controls []byte) error {
	s.id++
	if err := s.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(element(tagSequence, integer(tagInteger, s.id), op, controls))
	s.asked()
	return err
}

// message reads the next message that answers the last request: its operation's tag
// and content, and what follows the operation. All are valid until the next call.
func (s *Stream) message() (op byte, body, rest []byte, err error) {
	for {
		m, err := s.next()
		if err != nil {
			return 0, nil, nil, err
		}
		id, m, err := expect(m, tagInteger)
		if err != nil {
			return 0, nil, nil, err
		}
		n, err := number(id)
		if err != nil {
			return 0, nil, nil, err
		}
		if n == 0 { // RFC 4511 §4.4.1: the server is about to disconnect
			return 0, nil, nil, io.ErrUnexpectedEOF
		}
		if n == s.id {
			return split(m)
		}
	}
}

// next reads the content of one LDAPMessage into the buffer that all share.
func (s *Stream) next() ([]byte, error) {
	head, err := s.r.Peek(2)
	if err != nil {
		return nil, err
	}
	size := 2
	if head[1] > 0x80 && head[1] <= 0x84 {
		size += int(head[1] & 0x7f)
		if head, err = s.r.Peek(size); err != nil {
			return nil, err
		}
	} else if head[1] >= 0x80 {
		return nil, errMalformed
	}
	n := int(head[1])
	if size > 2 {
		n = 0
		for _, c := range head[2:size] {
			n = n<<8 | int(c)
		}
	}
	if head[0] != tagSequence || n > maxMessage {
		return nil, errMalformed
	}
	_, _ = s.r.Discard(size) // was peeked: cannot fail
	if cap(s.buf) < n {
		s.buf = make([]byte, 2*n)
	}
	s.buf = s.buf[:n]
	_, err = io.ReadFull(s.r, s.buf)
	return s.buf, err
}

// lost explains an error of the connection itself.
func lost(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	said := "the connection to the directory was lost"
	if errors.Is(err, errMalformed) {
		said = "the directory sent something that is no LDAP"
	}
	return &failure{protocol.Err(protocol.CodeUnavailable, said), errors.Join(err, ctx.Err()), false}
}
