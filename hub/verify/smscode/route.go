package smscode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Errors of sending.
var (
	ErrOff   = errors.New("smscode: the environment sends no text messages")
	ErrLimit = errors.New("smscode: as many text messages were sent as are allowed")
)

// A Client makes requests to services that settings name, and nowhere that they must not
// go.
type Client interface {
	Do(r *http.Request) (*http.Response, error)
}

// A Route sends text messages, as each environment's settings say. It is safe for use by
// many goroutines.
type Route struct {
	store  *store.Store
	client Client
	now    func() time.Time
}

// NewRoute returns a route that reads settings and counts in s, and sends by client.
func NewRoute(s *store.Store, client Client, now func() time.Time) *Route {
	return &Route{s, client, now}
}

func (r *Route) keys() [][]byte { return r.store.DeriveKeys(KeyPurpose) }

// Settings returns those of an environment; ErrOff if it has none.
func (r *Route) Settings(ctx context.Context, env string) (Settings, error) {
	body, err := store.Get(ctx, r.store, func(tx *store.Tx) ([]byte, error) { return tx.SMSSettings(ctx, env) })
	var s Settings
	switch {
	case err != nil:
		return s, err
	case body == nil:
		return s, ErrOff
	}
	return s, json.Unmarshal(body, &s)
}

// On reports whether an environment sends text messages.
func (r *Route) On(ctx context.Context, env string) bool {
	_, err := r.Settings(ctx, env)
	return err == nil
}

// A Message carries a code to one phone.
type Message struct {
	Env, To  string
	Account  string // whose it is, for counting: directory and immutable id
	Client   string // address of the browser that asks, for counting; "" if unknown
	Enroll   bool   // the account is set up, not got back: changes words only
	Confirm  bool   // the phone is confirmed, not the person: changes words only
	Asked    bool   // the phone is confirmed, to be told to whoever asks for it: changes words only
	Second   bool   // it lets the operation go ahead: changes words only
	Language string // BCP 47
	Origin   string // recovery domain
	Code     protocol.Secret
	Until    time.Time
}

// Send counts a message and gives it to the environment's service. It returns when the
// service has taken it. Errors: ErrOff, ErrNumber, ErrCountry, ErrLimit, and those of the
// connection, which hold neither number nor code.
func (r *Route) Send(ctx context.Context, m Message) error {
	s, err := r.Settings(ctx, m.Env)
	if err != nil {
		return err
	}
	to, err := s.Number(m.To)
	if err != nil {
		return err
	}
	text, err := r.text(ctx, m)
	if err != nil {
		return err
	}
	req, err := s.request(ctx, to.E164, text)
	if err != nil {
		return errors.New("smscode: the request cannot be written")
	}
	if err := r.count(ctx, m, to, s); err != nil {
		return err
	}
	return r.post(req)
}

// maxReply is how much is read of what a service says, which nobody looks at: it may
// repeat the message.
const maxReply = 64 << 10

func (r *Route) post(req *http.Request) error {
	res, err := r.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // its text holds the address, and that may hold number and code
			err = u.Err
		}
		return fmt.Errorf("smscode: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxReply))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("smscode: the service answered with status %d", res.StatusCode)
	}
	return nil
}

// text writes the message. The last line lets browsers offer the code on the recovery
// host and nowhere else (WICG, Origin-bound one-time codes).
func (r *Route) text(ctx context.Context, m Message) (string, error) {
	e, err := store.Get(ctx, r.store, func(tx *store.Tx) (store.Environment, error) { return tx.Environment(ctx, m.Env) })
	if err != nil {
		return "", err
	}
	key := "sms.recover"
	switch {
	case m.Confirm:
		key = "sms.confirm"
	case m.Asked:
		key = "sms.asked"
	case m.Second:
		key = "sms.second"
	case m.Enroll:
		key = "sms.enroll"
	}
	host := ""
	if u, err := url.Parse(m.Origin); err == nil {
		host = u.Hostname()
	}
	code := m.Code.Reveal()
	text := locale.Choose(e.Microsite.Languages, m.Language).Text(key, "code", code, "company", strings.Join(strings.Fields(e.PublicName), " "), "site", host)
	if strings.HasPrefix(m.Origin, "https://") {
		text += "\n\n@" + host + " #" + code
	}
	return text, nil
}
