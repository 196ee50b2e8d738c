package mailbox

import (
	"bufio"
	"cmp"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A session is one connection (RFC 5321), owned by one goroutine.
type session struct {
	s        *Server
	conn     net.Conn
	in       *bufio.Reader
	tls      bool
	signedIn bool
	greeted  bool
	from     string
	hasFrom  bool
	to       []string
}

func newSession(s *Server, conn net.Conn) *session {
	return &session{s: s, conn: conn, in: bufio.NewReaderSize(conn, maxLine)}
}

// errDone ends a session.
var errDone = errors.New("mailbox: the session ends")

// commands are what the server understands; each answers by itself.
var commands = map[string]func(*session, string) error{
	"HELO": (*session).helo, "EHLO": (*session).ehlo, "STARTTLS": (*session).startTLS, "AUTH": (*session).auth,
	"MAIL": (*session).mail, "RCPT": (*session).rcpt, "DATA": (*session).data,
	"RSET": (*session).rset, "NOOP": (*session).noop, "VRFY": (*session).vrfy, "QUIT": (*session).quit,
}

func (c *session) serve() {
	if c.s.cfg.Implicit && c.upgrade() != nil {
		return
	}
	err := c.say(220, "mailbox ready")
	for err == nil {
		var line string
		if line, err = c.line(); err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		do, ok := commands[strings.ToUpper(verb)]
		if !ok {
			err = c.say(500, "unknown command")
			continue
		}
		err = do(c, strings.TrimSpace(rest))
	}
}

// line reads one command without its end.
func (c *session) line() (string, error) {
	_ = c.conn.SetDeadline(time.Now().Add(idleTimeout))
	b, err := c.in.ReadSlice('\n')
	if err != nil {
		return "", err // too long, or the connection ended
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func (c *session) say(code int, lines ...string) error {
	var b strings.Builder
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		b.WriteString(strconv.Itoa(code) + sep + l + "\r\n")
	}
	_, err := io.WriteString(c.conn, b.String())
	return err
}

func (c *session) helo(string) error {
	c.greeted = true
	return c.say(250, "mailbox")
}

func (c *session) ehlo(string) error {
	c.greeted = true
	offers := []string{"mailbox", "8BITMIME", "SMTPUTF8", "SIZE " + strconv.Itoa(maxMessage)}
	if c.s.cfg.TLS != nil && !c.tls {
		offers = append(offers, "STARTTLS")
	}
	if c.s.cfg.User != "" {
		offers = append(offers, "AUTH "+cmp.Or(c.s.cfg.Auth, "PLAIN LOGIN"))
	}
	return c.say(250, offers...)
}

func (c *session) startTLS(string) error {
	if c.s.cfg.TLS == nil || c.tls {
		return c.say(502, "not available")
	}
	if err := c.say(220, "go ahead"); err != nil {
		return err
	}
	return c.upgrade()
}

// upgrade forgets everything that was said before: it could have been anybody's.
func (c *session) upgrade() error {
	conn := tls.Server(c.conn, c.s.cfg.TLS)
	_ = conn.SetDeadline(time.Now().Add(idleTimeout))
	if err := conn.Handshake(); err != nil {
		return err
	}
	fresh := newSession(c.s, conn)
	fresh.tls = true
	*c = *fresh
	return nil
}

func (c *session) auth(arg string) error {
	method, initial, _ := strings.Cut(arg, " ")
	var user, password string
	var err error
	switch strings.ToUpper(method) {
	case "PLAIN":
		user, password, err = c.plain(initial)
	case "LOGIN":
		user, password, err = c.login(initial)
	default:
		return c.say(504, "unknown method")
	}
	if err != nil {
		return err
	}
	right := subtle.ConstantTimeCompare([]byte(user), []byte(c.s.cfg.User)) & subtle.ConstantTimeCompare([]byte(password), []byte(c.s.cfg.Password))
	if c.s.cfg.User == "" || right != 1 {
		return c.say(535, "wrong user name or password")
	}
	c.signedIn = true
	return c.say(235, "signed in")
}

// plain reads RFC 4616.
func (c *session) plain(initial string) (user, password string, err error) {
	text, err := c.challenge("", initial)
	parts := strings.Split(text, "\x00")
	if err != nil || len(parts) != 3 {
		return "", "", err
	}
	return parts[1], parts[2], nil
}

func (c *session) login(initial string) (user, password string, err error) {
	if user, err = c.challenge("Username:", initial); err != nil {
		return "", "", err
	}
	password, err = c.challenge("Password:", "")
	return user, password, err
}

// challenge asks for one base64 text, unless it came with the command.
func (c *session) challenge(prompt, initial string) (string, error) {
	if initial == "" {
		if err := c.say(334, base64.StdEncoding.EncodeToString([]byte(prompt))); err != nil {
			return "", err
		}
		var err error
		if initial, err = c.line(); err != nil {
			return "", err
		}
	}
	b, _ := base64.StdEncoding.DecodeString(initial) // a malformed one is a wrong one
	return string(b), nil
}

func (c *session) mail(arg string) error {
	from, ok := address(arg, "FROM:")
	switch {
	case !c.greeted:
		return c.say(503, "say EHLO first")
	case c.s.cfg.User != "" && !c.signedIn:
		return c.say(530, "sign in first")
	case !ok:
		return c.say(501, "malformed")
	}
	c.reset()
	c.from, c.hasFrom = from, true
	return c.say(250, "ok")
}

func (c *session) rcpt(arg string) error {
	to, ok := address(arg, "TO:")
	switch {
	case !c.hasFrom:
		return c.say(503, "say MAIL first")
	case !ok || to == "":
		return c.say(501, "malformed")
	case len(c.to) >= maxRecipients:
		return c.say(452, "too many recipients")
	}
	c.to = append(c.to, to)
	return c.say(250, "ok")
}

// address reads "FROM:<a@b> SIZE=1".
func address(arg, keyword string) (string, bool) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", false
	}
	arg, ok := strings.CutPrefix(strings.TrimSpace(arg[len(keyword):]), "<")
	addr, _, closed := strings.Cut(arg, ">")
	return addr, ok && closed
}

func (c *session) data(string) error {
	if len(c.to) == 0 {
		return c.say(503, "say RCPT first")
	}
	if judge := c.s.cfg.Judge; judge != nil {
		if code, text := judge(c.from, c.to); code != 0 {
			return c.say(code, text)
		}
	}
	if err := c.say(354, "end with a dot"); err != nil {
		return err
	}
	raw, err := c.text()
	if errors.Is(err, errTooLong) {
		return errors.Join(c.say(552, "too long"), errDone)
	}
	if err != nil {
		return err
	}
	m := parse(raw)
	m.At, m.From, m.To, m.TLS, m.SignedIn = time.Now(), c.from, c.to, c.tls, c.signedIn
	c.s.keep(m)
	c.reset()
	return c.say(250, "taken")
}

var errTooLong = errors.New("mailbox: the message is too long")

// text reads a message up to the line with a dot (RFC 5321 §4.5.2).
func (c *session) text() ([]byte, error) {
	var raw []byte
	start := true // of a line
	for {
		_ = c.conn.SetDeadline(time.Now().Add(idleTimeout))
		piece, err := c.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		whole := err == nil
		if start && whole && strings.TrimRight(string(piece), "\r\n") == "." {
			return raw, nil
		}
		if start && piece[0] == '.' {
			piece = piece[1:]
		}
		if len(raw)+len(piece) > maxMessage {
			return nil, errTooLong
		}
		raw, start = append(raw, piece...), whole
	}
}

func (c *session) reset() { c.from, c.hasFrom, c.to = "", false, nil }

func (c *session) rset(string) error {
	c.reset()
	return c.say(250, "ok")
}

func (c *session) noop(string) error { return c.say(250, "ok") }

func (c *session) vrfy(string) error { return c.say(252, "send and see") }

func (c *session) quit(string) error { return errors.Join(c.say(221, "bye"), errDone) }
