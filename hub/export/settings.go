package export

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Settings say where and how events are sent.
type Settings struct {
	Name        string   `json:"name"`
	URL         string   `json:"url"` // tls://host:6514, or https://
	Format      Format   `json:"format"`
	ServerName  string   `json:"server_name,omitempty"`        // in the certificate, where it is not the host; tls only
	CA          string   `json:"ca,omitempty"`                 // PEM; empty: the authorities of the system; tls only
	Certificate string   `json:"client_certificate,omitempty"` // PEM; tls only
	Key         string   `json:"client_key,omitempty"`         // PEM; tls only
	Auth        string   `json:"authorization,omitempty"`      // header; https only
	Envs        []string `json:"env,omitempty"`                // empty: all, and what concerns none
	Kinds       []string `json:"kind,omitempty"`               // empty: all
	Personal    bool     `json:"personal,omitempty"`           // with names and client addresses, which erasing a person does not reach there
	MaxBytes    int      `json:"max_bytes,omitempty"`          // of one message; 0: DefaultBytes for tls, 64 KiB for https
}

// Sizes of one message, in bytes.
const (
	DefaultBytes = 8192 // RFC 5425 §4.3.1: receivers should take so many
	leastBytes   = 2048 // RFC 5425: every receiver must
	mostBytes    = 64 << 10
)

const (
	maxName   = 100
	maxAddr   = 2000
	maxPEM    = 64 << 10
	syslogTLS = "6514" // RFC 5425 §4.1
)

// Hidden stands for a secret that is shown.
const Hidden = "********"

// A Wrong is a setting that cannot be.
type Wrong struct{ Field, Text string }

// Error implements error.
func (w *Wrong) Error() string { return w.Field + ": " + w.Text }

// Shown is s without its secrets.
func (s Settings) Shown() Settings {
	if s.Key != "" {
		s.Key = Hidden
	}
	if s.Auth != "" {
		s.Auth = Hidden
	}
	if where, _, found := strings.Cut(s.URL, "?"); found { // tokens stand there
		s.URL = where + "?" + Hidden
	}
	return s
}

// Check completes settings, and returns a *Wrong for what cannot work in the organisation.
// Environments that stood in the list before may have been removed since: what the log still
// holds of them goes on being sent, and a list without them could be one of all.
func (s *Settings) Check(ctx context.Context, tx *store.Tx, org string, before []string) error {
	if err := s.check(); err != nil {
		return err
	}
	for _, id := range s.Envs {
		if slices.Contains(before, id) {
			continue
		}
		if e, err := tx.Environment(ctx, id); errors.Is(err, store.ErrNotFound) || err == nil && e.Org != org {
			return &Wrong{"env", fmt.Sprintf("%.40q is not an environment of this organisation", id)}
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (s *Settings) check() error {
	if s.Name == "" || len(s.Name) > maxName || printable(s.Name) != s.Name {
		return &Wrong{"name", fmt.Sprintf("want one line of at most %d bytes", maxName)}
	}
	if !slices.Contains(Formats, s.Format) {
		return &Wrong{"format", fmt.Sprintf("%.20q is none of %v", s.Format, Formats)}
	}
	for _, k := range s.Kinds {
		if !slices.Contains(audit.Kinds, audit.Kind(k)) {
			return &Wrong{"kind", fmt.Sprintf("%.40q is not a kind of the audit log", k)}
		}
	}
	if s.MaxBytes != 0 && (s.MaxBytes < leastBytes || s.MaxBytes > mostBytes) {
		return &Wrong{"max_bytes", fmt.Sprintf("want a number from %d to %d", leastBytes, mostBytes)}
	}
	u, err := url.Parse(s.URL)
	if err != nil || len(s.URL) > maxAddr || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return &Wrong{"url", "want tls://host:6514 or https://host/path, without a password in it"}
	}
	switch u.Scheme {
	case "tls":
		return s.checkTLS(u)
	case "https", "http":
		return s.checkPost()
	}
	return &Wrong{"url", "want tls:// or https://"}
}

func (s *Settings) checkTLS(u *url.URL) error {
	if u.Path != "" || u.RawQuery != "" {
		return &Wrong{"url", "want tls://host:6514 and nothing behind it"}
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return &Wrong{"url", "want a port from 1 to 65535"}
		}
	}
	if s.Auth != "" {
		return &Wrong{"authorization", "is for https://"}
	}
	_, err := s.tls()
	return err
}

func (s *Settings) checkPost() error {
	if s.Format != JSONLines && s.Format != OCSF {
		return &Wrong{"format", "over https:// it is jsonl or ocsf"}
	}
	if s.CA != "" || s.Certificate != "" || s.Key != "" || s.ServerName != "" {
		return &Wrong{"url", "ca, server_name, client_certificate and client_key are for tls://"}
	}
	if len(s.Auth) > maxAddr || strings.ContainsFunc(s.Auth, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return &Wrong{"authorization", "want one line of ASCII"}
	}
	return nil
}

// address is host and port of a tls:// destination.
func (s *Settings) address() (string, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", &Wrong{"url", "is no address"}
	}
	port := u.Port()
	if port == "" {
		port = syslogTLS
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// tls is how a tls:// destination is spoken to.
func (s *Settings) tls() (*tls.Config, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, &Wrong{"url", "is no address"}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if s.ServerName != "" {
		c.ServerName = s.ServerName
	}
	if len(s.CA)+len(s.Certificate)+len(s.Key) > maxPEM {
		return nil, &Wrong{"ca", "it is too long"}
	}
	if s.CA != "" {
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM([]byte(s.CA)) {
			return nil, &Wrong{"ca", "want certificates as PEM"}
		}
	}
	if s.Certificate != "" || s.Key != "" {
		pair, err := tls.X509KeyPair([]byte(s.Certificate), []byte(s.Key))
		if err != nil {
			return nil, &Wrong{"client_certificate", "want a certificate and, in client_key, its key as PEM"}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// overTLS reports whether it is syslog.
func (s *Settings) overTLS() bool { return strings.HasPrefix(s.URL, "tls:") }

// most is the longest message, in bytes.
func (s *Settings) most() int {
	switch {
	case s.MaxBytes > 0:
		return s.MaxBytes
	case s.overTLS():
		return DefaultBytes
	}
	return mostBytes
}

// wants reports whether an event is for this destination.
func (s *Settings) wants(r audit.Record) bool {
	return (len(s.Envs) == 0 || slices.Contains(s.Envs, r.Env)) && (len(s.Kinds) == 0 || slices.Contains(s.Kinds, string(r.Kind)))
}

// message writes an event for this destination; nil if it does not fit even without its
// detail.
func (s *Settings) message(e Event, host string) ([]byte, error) {
	write := e.Line
	if s.overTLS() {
		write = e.Message
	}
	b, err := write(s.Format, host)
	if err == nil && len(b) > s.most() {
		e = e.brief()
		write = e.Line
		if s.overTLS() {
			write = e.Message
		}
		b, err = write(s.Format, host)
	}
	if len(b) > s.most() {
		return nil, err
	}
	return b, err
}

// of returns the event of a record as this destination may see it.
func (s *Settings) of(r audit.Record) (Event, error) {
	if !s.Personal && r.Person != "" {
		r.Personal, r.RemoteAddr, r.UserAgent = nil, "", ""
	}
	if !s.Personal {
		r.Actor.Email = ""
	}
	b, err := r.Wire()
	if err != nil {
		return Event{}, err
	}
	return Parse(fmt.Appendf(b[:len(b)-1], `,"log_index":%d}`, r.Index))
}

// read opens the settings of a destination.
func read(d store.Destination) (s Settings, err error) { return s, json.Unmarshal(d.Settings, &s) }
