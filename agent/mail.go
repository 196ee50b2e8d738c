package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/smtp"
	"os"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// smtpLife bounds one delivery: an employee waits for it.
const smtpLife = 20 * time.Second

// A mailer sends codes by the agent's own mail server.
type mailer struct {
	cfg SMTPConfig
	tls *tls.Config
}

// newMailer returns nil when the file names no mail server.
func newMailer(cfg SMTPConfig) (*mailer, error) {
	if !cfg.on() {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(cfg.Host)
	if err != nil {
		return nil, err
	}
	roots, err := rootsWith(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("smtp.ca_file: %w", err)
	}
	return &mailer{cfg, &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12}}, nil
}

// rootsWith is the system's certificates and those of a file (PEM); nil, which means
// the system's, without a file.
func rootsWith(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate (PEM) in it", path)
	}
	return pool, nil
}

// A codeText is the message with a code. account and operation are named to
// owners of strict accounts.
type codeText struct {
	code                                 protocol.Secret
	origin, language, account, operation string
	expires                              time.Time
}

// sendCode sends one message to all addresses, with the code in the body alone:
// subjects show on locked screens.
func (m *mailer) sendCode(ctx context.Context, to []string, t codeText) error {
	language := languageOf(t.language)
	words := codeWords[language]
	until := t.expires.UTC().Format("15:04 UTC")
	body := fmt.Sprintf(words.body, t.origin, t.code.Reveal(), until)
	if t.operation != "" {
		body = fmt.Sprintf(words.confirm, t.origin, t.code.Reveal(), until, t.account, inWords(t.operation, language))
	}
	return m.send(ctx, to, words.subject, body)
}

// probe signs in at the mail server and sends nothing.
func (m *mailer) probe(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Quit()
}

// connect dials, secures and signs in. The connection ends with ctx.
func (m *mailer) connect(ctx context.Context) (*smtp.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, smtpLife)
	socket, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.cfg.Host)
	if err != nil {
		cancel()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	var conn net.Conn = &endedConn{socket, func() { stop(); cancel() }}
	if m.cfg.TLS == tlsImplicit {
		conn = tls.Client(conn, m.tls)
	}
	c, err := smtp.NewClient(conn, m.tls.ServerName)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := m.secure(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// endedConn gives its timer back when it is closed.
type endedConn struct {
	net.Conn
	end func()
}

// Close closes the connection and its timer.
func (c *endedConn) Close() error { c.end(); return c.Conn.Close() }

func (m *mailer) secure(c *smtp.Client) error {
	if m.cfg.TLS == tlsStart || m.cfg.TLS == "" {
		if err := c.StartTLS(m.tls); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if m.cfg.User == "" {
		return nil
	}
	password, err := settings.ReadSecret(m.cfg.PasswordFile)
	if err != nil {
		return err
	}
	return c.Auth(smtp.PlainAuth("", m.cfg.User, password.Reveal(), m.tls.ServerName))
}

func deliver(c *smtp.Client, from string, to []string, text []byte) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	taken := 0
	var refused error
	for _, a := range to {
		if err := c.Rcpt(a); err != nil {
			refused = err
			continue
		}
		taken++
	}
	if taken == 0 {
		return refused
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // the message was taken
	return nil
}

// codeWords are the sentences of the message, by language.
var codeWords = map[string]struct{ subject, body, confirm string }{
	"en": {
		"Your recovery code",
		"Somebody is recovering an account at %s.\n\nIf it is you, type this code there:\n\n    %s\n\n" +
			"It works until %s. Give it to nobody, not even to the help desk.\nIf it is not you, do nothing and tell your IT department.\n",
		"Somebody at %[1]s asks for the account %[4]s: %[5]s.\n\nIf it is you, and you want exactly this, type this code there:\n\n    %[2]s\n\n" +
			"It works until %[3]s. Type it nowhere else, and give it to nobody, not even to the help desk.\nIf it is not you, do nothing and tell your IT department.\n",
	},
	"de": {
		"Ihr Wiederherstellungscode",
		"Jemand stellt bei %s ein Konto wieder her.\n\nWenn Sie es sind, geben Sie dort diesen Code ein:\n\n    %s\n\n" +
			"Er gilt bis %s. Geben Sie ihn niemandem, auch nicht dem Helpdesk.\nWenn Sie es nicht sind, tun Sie nichts und sagen Sie Ihrer IT-Abteilung Bescheid.\n",
		"Jemand bittet bei %[1]s für das Konto %[4]s: %[5]s.\n\nWenn Sie es sind und genau das wollen, geben Sie dort diesen Code ein:\n\n    %[2]s\n\n" +
			"Er gilt bis %[3]s. Geben Sie ihn nirgendwo sonst ein und niemandem, auch nicht dem Helpdesk.\nWenn Sie es nicht sind, tun Sie nichts und sagen Sie Ihrer IT-Abteilung Bescheid.\n",
	},
}

// headerList writes addresses so that none of them can begin another header.
func headerList(to []string) string {
	list := make([]string, len(to))
	for i, a := range to {
		list[i] = (&mail.Address{Address: a}).String()
	}
	return strings.Join(list, ", ")
}

func domainOf(addr string) string { return addr[strings.LastIndexByte(addr, '@')+1:] }
