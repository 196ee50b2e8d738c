package mailbox_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
)

const sample = "From: a@example.com\r\nTo: b@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"M=C3=BCller\r\n..dots\r\n.\r\n--x\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+aGk8L2I+\r\n--x--\r\n"

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestMailIsTakenAndReadAsPeopleSeeIt(t *testing.T) {
	s := testenv.StartSMTP(t, mailbox.Config{})
	if err := smtp.SendMail(s.Addr(), nil, "a@example.com", []string{"b@example.com", "c@example.com"}, []byte(sample)); err != nil {
		t.Fatal(err)
	}
	m, err := s.Wait(within(t), func(m mailbox.Message) bool { return m.Subject == "Grüße" })
	if err != nil {
		t.Fatal(err)
	}
	if m.Text != "Müller\r\n..dots\r\n." || m.HTML != "<b>hi</b>" || len(m.To) != 2 || m.From != "a@example.com" || m.ID == "" {
		t.Errorf("message = %+v", m)
	}
	if string(m.Raw) != sample {
		t.Errorf("raw = %q", m.Raw)
	}
}

func TestSTARTTLSAndAuth(t *testing.T) {
	ca, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue("127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := testenv.StartSMTP(t, mailbox.Config{TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, User: "hub", Password: "right"})
	send := func(password string) error {
		c, err := smtp.Dial(s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.PEM)
		if err := c.StartTLS(&tls.Config{RootCAs: roots, ServerName: "localhost"}); err != nil {
			t.Fatal(err)
		}
		if password != "" {
			if err := c.Auth(smtp.PlainAuth("", "hub", password, "127.0.0.1")); err != nil {
				return err
			}
		}
		return c.Mail("a@example.com")
	}
	if err := send("right"); err != nil {
		t.Error(err)
	}
	if send("wrong") == nil || send("") == nil {
		t.Error("mail is taken without the password")
	}
}

func TestHostileClientsAreBounded(t *testing.T) {
	s := testenv.StartSMTP(t, mailbox.Config{Judge: func(_ string, to []string) (int, string) {
		if to[0] == "full@example.com" {
			return 452, "full"
		}
		return 0, ""
	}})
	talk := func(lines ...string) string {
		t.Helper()
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		in := bufio.NewReader(c)
		last, _ := in.ReadString('\n')
		for _, l := range lines {
			if _, err := fmt.Fprintf(c, "%s\r\n", l); err != nil {
				return "closed"
			}
			for {
				if last, err = in.ReadString('\n'); err != nil {
					return "closed"
				}
				if len(last) > 3 && last[3] == ' ' {
					break
				}
			}
		}
		return last[:3]
	}
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"unknown":      {[]string{"XYZZY"}, "500"},
		"no greeting":  {[]string{"MAIL FROM:<a@b>"}, "503"},
		"malformed":    {[]string{"EHLO x", "MAIL FROM:a@b"}, "501"},
		"no sender":    {[]string{"EHLO x", "RCPT TO:<a@b>"}, "503"},
		"no recipient": {[]string{"EHLO x", "MAIL FROM:<>", "DATA"}, "503"},
		"refused":      {[]string{"EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<full@example.com>", "DATA"}, "452"},
		"endless line": {[]string{"EHLO " + strings.Repeat("x", 10000)}, "closed"},
		"endless mail": {[]string{"EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", strings.Repeat(strings.Repeat("x", 999)+"\r\n", 1100)}, "552"},
		"no tls":       {[]string{"EHLO x", "STARTTLS"}, "502"},
		"bye":          {[]string{"QUIT"}, "221"},
	} {
		if got := talk(c.lines...); got != c.want && !(name == "endless mail" && got == "closed") {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("Subject: =?x?\r\nContent-Type: multipart/x\r\n\r\n--"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := mailbox.Parse(raw)
		if string(m.Raw) != string(raw) {
			t.Error("the raw message changed")
		}
	})
}
