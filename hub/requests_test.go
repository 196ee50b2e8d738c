package hub

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/smscode"
	"github.com/postern-id/postern/hub/webhook"
)

// A counter sends the links of requests through a real service for text messages.
type counter struct {
	*request.Requests
	t        *testing.T
	store    *store.Store
	env      string
	messages chan url.Values
	service  string
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	s := storetest.Open(t, storetest.SQLite(t))
	c := &counter{t: t, store: s, env: storetest.Seed(t, s).Env.ID, messages: make(chan url.Values, 8)}
	service := httptest.NewServer(c)
	t.Cleanup(service.Close)
	c.service = service.URL
	hooks, err := webhook.New(webhook.Config{Store: s, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	none, err := notify.New(notify.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	c.Requests = request.New(request.Config{Store: s, Log: log, Mail: postman{none}, SMS: texting{smscode.NewRoute(s, hooks.Client(), time.Now)}})
	set := smscode.Settings{URL: service.URL + "/send", Body: "to={to}&text={text}", Countries: []string{"DE"}, Home: "DE"}
	if err := set.Check(); err != nil {
		t.Fatal(err)
	}
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.SetSMSSettings(t.Context(), c.env, []byte(store.JSON(set))) }); err != nil {
		t.Fatal(err)
	}
	return c
}

// ServeHTTP implements http.Handler.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	v, err := url.ParseQuery(string(b))
	if err != nil {
		http.Error(w, "malformed", http.StatusBadRequest)
	}
	c.messages <- v
}

func (c *counter) create(o request.Order) (store.Request, error) {
	o.Env, o.Origin, o.Claims = c.env, "https://recover.example.com", []string{"name"}
	return store.Change(c.t.Context(), c.store, func(tx *store.Tx) (store.Request, error) { return c.Create(c.t.Context(), tx, o) })
}

// runs sends until the test ends.
func (c *counter) runs() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.Run(ctx) }()
	c.t.Cleanup(func() { cancel(); <-ended })
}

func (c *counter) message() url.Values {
	c.t.Helper()
	select {
	case v := <-c.messages:
		return v
	case <-time.After(20 * time.Second):
		c.t.Fatal("no message")
		return nil
	}
}

func TestTheLinkOfARequestGoesToAPhoneOnceAndTheNumberIsForgotten(t *testing.T) {
	c := newCounter(t)
	c.runs()
	for _, own := range []string{"", "Acme needs you: {{.Link}} by Friday"} {
		r, err := c.create(request.Order{Phone: "0151 12345678", Message: own})
		if err != nil {
			t.Fatal(err)
		}
		c.Wake()
		m := c.message()
		if m.Get("to") != "+4915112345678" || !strings.Contains(m.Get("text"), request.Link(r)) || strings.HasPrefix(m.Get("text"), "Acme needs you: https://") != (own != "") {
			t.Errorf("sent %q", m)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for left := -1; left != 0; {
		err := c.store.Read(t.Context(), func(tx *store.Tx) error {
			return tx.Row(t.Context(), []any{&left}, "SELECT COUNT(*) FROM request_sends")
		})
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d numbers are kept: %v", left, err)
		}
	}
	select {
	case m := <-c.messages:
		t.Errorf("sent twice: %q", m)
	default:
	}
}

func TestTheLinkOfARequestGoesOverWhatsAppWhereThatIsSet(t *testing.T) {
	c := newCounter(t)
	_, err := c.create(request.Order{WhatsApp: "+4915112345678"})
	if !errors.Is(err, request.ErrChannel) || !strings.HasPrefix(err.Error(), "whatsapp: method not configured: set whatsapp in") {
		t.Errorf("where it is not set: %v", err)
	}
	set := smscode.Settings{URL: "http://127.0.0.1:1/never", Body: "{to}{text}", Countries: []string{"DE"}, Home: "DE"}
	set.WhatsApp = &smscode.WhatsApp{URL: c.service + "/send"}
	if err := set.Check(); err == nil || !strings.HasPrefix(err.Error(), "smscode: whatsapp: url or body must hold") {
		t.Errorf("a message without a text: %v", err)
	}
	for _, w := range []smscode.WhatsApp{
		{URL: c.service + "/send", Body: "To=whatsapp:{to}&Body={text}&Key={k}", Secrets: map[string]string{"k": "v3ry"}},
		{Twilio: &smscode.Twilio{Account: "AC1", Token: "v3ry", From: "+4930123", URL: c.service}},
	} {
		set.WhatsApp = &w
		if err := set.Check(); err != nil {
			t.Fatal(err)
		}
		if shown := store.JSON(set.Shown()); strings.Contains(shown, "v3ry") || !strings.Contains(shown, `"whatsapp":{`) {
			t.Errorf("shown: %s", shown)
		}
		if err := c.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.SetSMSSettings(t.Context(), c.env, []byte(store.JSON(set))) }); err != nil {
			t.Fatal(err)
		}
		r, err := c.create(request.Order{WhatsApp: "0151 12345678", Message: "Acme needs you: {{.Link}} by Friday"})
		if err != nil {
			t.Fatal(err)
		}
		if w.Twilio == nil {
			c.runs()
		}
		c.Wake()
		m := c.message()
		if m.Get("To") != "whatsapp:+4915112345678" || m.Get("Body") != "Acme needs you: "+request.Link(r)+" by Friday" || w.Twilio != nil && m.Get("From") != "whatsapp:+4930123" {
			t.Errorf("sent %q", m)
		}
	}
	if _, err := c.create(request.Order{WhatsApp: "+12125550123"}); !errors.Is(err, request.ErrAddress) {
		t.Errorf("to another country: %v", err)
	}
}

func TestALinkIsNotSentWhereNothingIsSetOrNobodyIsThere(t *testing.T) {
	c := newCounter(t)
	for name, o := range map[string]request.Order{"another country": {Phone: "+12125550123"}, "no number": {Phone: "x"}, "no address": {Mail: "nobody"}} {
		if _, err := c.create(o); !errors.Is(err, request.ErrAddress) && !errors.Is(err, request.ErrChannel) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.create(request.Order{Mail: "erika@example.com"}); !errors.Is(err, request.ErrChannel) || !strings.HasPrefix(err.Error(), "email: method not configured: set smtp") {
		t.Errorf("%v", err)
	}
	if err := c.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.SetSMSSettings(t.Context(), c.env, nil) }); err != nil {
		t.Fatal(err)
	}
	if _, err := c.create(request.Order{Phone: "+4915112345678"}); !errors.Is(err, request.ErrChannel) || !strings.HasPrefix(err.Error(), "phone: method not configured") {
		t.Errorf("%v", err)
	}
	n, err := store.Get(t.Context(), c.store, func(tx *store.Tx) (int, error) { return tx.CountRequests(t.Context(), c.env, store.RequestFilter{}) })
	if err != nil || n != 0 {
		t.Errorf("%d requests were made whose link went nowhere: %v", n, err)
	}
}
