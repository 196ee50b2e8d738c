package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// How a mail route is encrypted.
const (
	StartTLS = "starttls" // must be offered; the usual choice
	Implicit = "implicit"
	Off      = "off" // only for a mail server on the same machine
)

// A Route is the mail server of the hub. The zero value sends nothing.
type Route struct {
	Host     string // host:port
	From     string // address, with a name or without
	User     string // "" signs in as nobody
	Password protocol.Secret
	TLS      string         // empty: StartTLS
	Roots    *x509.CertPool // nil: the system's
}

// ErrNoRoute says that the hub has no mail server.
var ErrNoRoute = errors.New("notify: no mail server is configured (smtp)")

// ErrRefused is wrapped by errors of a mail server that will not change its mind: an
// address or a message that it does not take (5xx).
var ErrRefused = errors.New("notify: the mail server refuses the mail")

// A route is a checked Route.
type route struct {
	Route
	from *mail.Address
	name string // of the server, in its certificate
}

// check reads a Route. nil without an error is no route.
func (r Route) check() (*route, error) {
	if r.Host == "" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		return nil, fmt.Errorf("notify: smtp: %q is not of the form host:port", r.Host)
	}
	from, err := mail.ParseAddress(r.From)
	if err != nil || !deliverable(from.Address) {
		return nil, fmt.Errorf("notify: smtp: the sender %q is no mail address", r.From)
	}
	switch r.TLS {
	case "":
		r.TLS = StartTLS
	case StartTLS, Implicit:
	case Off:
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, errors.New("notify: smtp: without encryption only a mail server on this machine is used")
		}
	default:
		return nil, fmt.Errorf("notify: smtp: tls is %s, %s or %s", StartTLS, Implicit, Off)
	}
	return &route{r, from, host}, nil
}

// A parcel is one message on its way.
type parcel struct {
	letter letter
	id     string
}

// send gives every parcel to the mail server over one connection. It returns one error
// for each, nil where the server took it. ctx bounds all of it.
func (r *route) send(ctx context.Context, at time.Time, parcels ...parcel) []error {
	errs := make([]error, len(parcels))
	c, err := r.connect(ctx)
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	defer func() { _ = c.Close() }()
	for i, p := range parcels {
		_, err := r.give(c, p, at)
		errs[i] = lasting(err)
		if errs[i] != nil && c.Reset() != nil {
			for j := i + 1; j < len(parcels); j++ {
				errs[j] = errs[i]
			}
			return errs
		}
	}
	_ = c.Quit()
	return errs
}

// give hands one parcel over, and returns what the server said of it.
func (r *route) give(c *smtp.Client, p parcel, at time.Time) (answer string, err error) {
	text, err := p.letter.render(r.from, p.id, at)
	if err != nil {
		return "", err
	}
	if utf8, _ := c.Extension("SMTPUTF8"); !utf8 && !isASCII(p.letter.To) {
		return "", failed(Recipient, fmt.Errorf("%w: it takes no addresses with non-ASCII letters", ErrRefused))
	}
	if err := c.Mail(r.from.Address); err != nil {
		return "", failed(Sender, err)
	}
	if err := c.Rcpt(p.letter.To); err != nil {
		return "", failed(Recipient, err)
	}
	return say(c.Text, text)
}

// say sends the words of a mail. net/smtp does so, too, but keeps the answer to itself,
// in which servers name the mail as their own logs do. What is refused before the words
// were said is refused because of whom they are for.
func say(c *textproto.Conn, text []byte) (answer string, err error) {
	id, err := c.Cmd("DATA")
	if err != nil {
		return "", failed(Recipient, err)
	}
	c.StartResponse(id)
	_, _, err = c.ReadResponse(354)
	c.EndResponse(id)
	if err != nil {
		return "", failed(Recipient, err)
	}
	w := c.DotWriter()
	if _, err := w.Write(text); err != nil {
		return "", failed(Words, err)
	}
	if err := w.Close(); err != nil {
		return "", failed(Words, err)
	}
	code, words, err := c.ReadResponse(250)
	return strconv.Itoa(code) + " " + words, failed(Words, err)
}

// lasting marks an answer of the server that another try will not change (5xx).
func lasting(err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) && answer.Code >= 500 {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// connect dials, secures and signs in. The connection ends with ctx.
func (r *route) connect(ctx context.Context) (*smtp.Client, error) {
	socket, err := new(net.Dialer).DialContext(ctx, "tcp", r.Host)
	if err != nil {
		return nil, failed(Connect, err)
	}
	var conn net.Conn = &bounded{socket, context.AfterFunc(ctx, func() { _ = socket.Close() })}
	cfg := &tls.Config{ServerName: r.name, RootCAs: r.Roots, MinVersion: tls.VersionTLS12}
	if r.TLS == Implicit {
		encrypted := tls.Client(conn, cfg)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, failed(Encrypt, errors.Join(err, conn.Close()))
		}
		conn = encrypted
	}
	c, err := smtp.NewClient(conn, r.name)
	if err != nil {
		return nil, failed(Connect, errors.Join(err, conn.Close()))
	}
	if err := r.secure(c, cfg); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// bounded is a connection that a context ends.
type bounded struct {
	net.Conn
	stop func() bool
}

// Close closes the connection and forgets the context.
func (b *bounded) Close() error { b.stop(); return b.Conn.Close() }

func (r *route) secure(c *smtp.Client, cfg *tls.Config) error {
	_, domain, _ := strings.Cut(r.from.Address, "@")
	if isASCII(domain) {
		if err := c.Hello(domain); err != nil {
			return failed(Connect, err)
		}
	}
	if r.TLS == StartTLS {
		if err := c.StartTLS(cfg); err != nil {
			return failed(Encrypt, fmt.Errorf("notify: STARTTLS: %w", err))
		}
	}
	if r.User == "" {
		return nil
	}
	return failed(SignIn, c.Auth(r.auth(c)))
}

// auth chooses how to sign in among what the server offers.
func (r *route) auth(c *smtp.Client) smtp.Auth {
	_, methods := c.Extension("AUTH")
	if list := strings.Fields(strings.ToUpper(methods)); slices.Contains(list, "LOGIN") && !slices.Contains(list, "PLAIN") {
		return &login{r.User, r.Password}
	}
	return smtp.PlainAuth("", r.User, r.Password.Reveal(), r.name)
}

// login is the method LOGIN, which some servers offer instead of PLAIN.
type login struct {
	user     string
	password protocol.Secret
}

// Start implements smtp.Auth. Like PLAIN it never speaks without encryption.
func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS {
		return "", nil, errors.New("notify: the password is not sent over an unencrypted connection")
	}
	return "LOGIN", nil, nil
}

// Next implements smtp.Auth: the server asks for two texts, in this order.
func (l *login) Next(fromServer []byte, more bool) ([]byte, error) {
	switch {
	case !more:
		return nil, nil
	case strings.HasPrefix(strings.ToLower(string(fromServer)), "user"):
		return []byte(l.user), nil
	case strings.HasPrefix(strings.ToLower(string(fromServer)), "pass"):
		return []byte(l.password.Reveal()), nil
	}
	return nil, errors.New("notify: the mail server asks for something unknown while signing in")
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}
