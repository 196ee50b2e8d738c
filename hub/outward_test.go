package hub

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/mailcode"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// outside is an organisation's mail server and webhook receiver.
type outside struct {
	fixture storetest.Fixture
	mail    *mailbox.Server
	mailer  mailer
	store   *store.Store
	org     organisation
	bodies  chan string
	answer  string
}

// allowedHost is the only inside address that the operator of these tests allows.
const allowedHost = "127.0.0.10"

func openOutside(t *testing.T) *outside {
	t.Helper()
	s := storetest.Open(t, storetest.SQLite(t))
	o := &outside{fixture: storetest.Seed(t, s), mail: testenv.StartSMTP(t, mailbox.Config{}), bodies: make(chan string, 10)}
	o.fixture.Accounts(t, s, protocol.Account{ID: "acc-1", Name: "Anna"})
	n, err := notify.New(notify.Config{Store: s, Route: notify.Route{Host: o.mail.Addr(), From: "no-reply@example.com", TLS: notify.Off}})
	if err != nil {
		t.Fatal(err)
	}
	hooks, err := webhook.New(webhook.Config{Store: s, Private: []netip.Prefix{netip.MustParsePrefix(allowedHost + "/32")}})
	if err != nil {
		t.Fatal(err)
	}
	o.mailer, o.store = mailer{n}, s
	o.org = organisation{s, hooks, slog.New(slog.NewTextHandler(t.Output(), nil)), time.Now}
	o.seed(t, s, o.receive(t))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = n.Run(ctx) }()
	also := make(chan struct{})
	go func() { defer close(also); _ = hooks.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; <-also })
	return o
}

func (o *outside) receive(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", allowedHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		o.bodies <- string(b)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, o.answer)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return "http://" + l.Addr().String()
}

func (o *outside) seed(t *testing.T, s *store.Store, url string) {
	t.Helper()
	env := o.fixture.Env.ID
	err := s.Tx(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.AddDomain(t.Context(), env, "recover.example.com"); err != nil {
			return err
		}
		if err := tx.DomainProven(t.Context(), env, "recover.example.com"); err != nil {
			return err
		}
		_, err := tx.AddWebhook(t.Context(), store.Webhook{Env: env, URL: url, Enabled: true,
			Events: []string{string(webhook.Recover), string(webhook.DirectoryProviderErr), string(webhook.Audit)}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (o *outside) body(t *testing.T) map[string]any {
	t.Helper()
	select {
	case b := <-o.bodies:
		var m map[string]any
		if err := json.Unmarshal([]byte(b), &m); err != nil {
			t.Fatal(err)
		}
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("the webhook was not called")
		return nil
	}
}

func TestTheFlowsMailArrives(t *testing.T) {
	o := openOutside(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	env := o.fixture.Env.ID
	err := o.mailer.SendCode(ctx, mailcode.Message{Env: env, To: []string{"anna@home.example"}, Code: protocol.NewSecret("48151623"),
		Until: time.Now().Add(time.Minute), Origin: "https://recover.example.com"})
	if err != nil || !strings.Contains(o.mail.Messages()[0].Text, "48151623") {
		t.Fatal(err)
	}
	notice := operation.Notice{Env: env, Contacts: protocol.Contacts{Primary: []string{"anna@corp.example"}}, Account: "Anna", Action: protocol.ActionUnlock,
		At: time.Now(), Token: protocol.NewSecret("tok"), Until: time.Now().Add(time.Hour), Client: recovery.Client{Origin: "https://recover.example.com"}}
	if err := o.store.Tx(ctx, func(tx *store.Tx) error { return o.mailer.Queue(ctx, tx, notice) }); err != nil {
		t.Fatal(err)
	}
	o.mailer.Wake()
	notice.Contacts = protocol.Contacts{}
	if err := o.store.Tx(ctx, func(tx *store.Tx) error { return o.mailer.Queue(ctx, tx, notice) }); !errors.Is(err, operation.ErrNoAddress) {
		t.Errorf("nobody to tell: %v", err)
	}
	m, err := o.mail.Wait(ctx, func(m mailbox.Message) bool { return m.To[0] == "anna@corp.example" })
	if err != nil || !strings.Contains(m.Text, "https://recover.example.com/not-me?token=tok") {
		t.Errorf("%s, %v", m.Text, err)
	}
}

// What people decided about a photo is mailed in the language in which it was sent.
func TestWhatBecameOfABadgePhotoIsMailed(t *testing.T) {
	o := openOutside(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d := request.Decision{Request: store.Request{Env: o.fixture.Env.ID, Ticket: "ticket", Origin: "https://recover.example.com"}, To: "anna@home.example", Language: "de", Until: time.Now().Add(time.Hour)}
	for taken, says := range map[bool]string{true: "und es genommen", false: "konnte es nicht nehmen"} {
		d.Taken = taken
		if err := o.store.Tx(ctx, func(tx *store.Tx) error { return postman{o.mailer.Notifier}.QueueDecision(ctx, tx, d) }); err != nil {
			t.Fatal(err)
		}
		o.mailer.Wake()
		m, err := o.mail.Wait(ctx, func(m mailbox.Message) bool { return strings.Contains(m.Text, says) })
		if err != nil || m.To[0] != "anna@home.example" || !strings.Contains(m.Text, "https://recover.example.com/request#ticket") {
			t.Errorf("%v %s, %v", m.To, m.Text, err)
		}
	}
	d.To = "no address"
	if err := o.store.Tx(ctx, func(tx *store.Tx) error { return postman{o.mailer.Notifier}.QueueDecision(ctx, tx, d) }); err != nil {
		t.Errorf("an address that is none keeps a decision from being written down: %v", err)
	}
}

func TestTheOrganisationIsAskedAndHearsOfFailures(t *testing.T) {
	o := openOutside(t)
	q := operation.VetoRequest{Env: o.fixture.Env.ID, Directory: o.fixture.Directory.ID, Account: "acc-1", Action: protocol.ActionMFA, Context: protocol.Context{1}}
	if ok, _, err := o.org.Allowed(t.Context(), q); !ok || err != nil {
		t.Errorf("no objection: %v, %v", ok, err)
	}
	if b := o.body(t); b["action"] != "mfa-reset" || b["external_id"] != "acc-1" || b["evidence_context"] != q.Context.String() {
		t.Errorf("question = %v", b)
	}
	o.answer = `{"deny_user_message":"not today"}`
	if ok, says, err := o.org.Allowed(t.Context(), q); ok || says != "not today" || err != nil {
		t.Errorf("a no: %v, %q, %v", ok, says, err)
	}
	o.body(t)
	o.answer = `{"deny_user_message"`
	if ok, says, err := o.org.Allowed(t.Context(), q); ok || says != webhook.FailedMessage || !errors.Is(err, errSilent) {
		t.Errorf("P19, no answer: %v, %q, %v", ok, says, err)
	}
	o.body(t)
	f := operation.Failure{Directory: o.fixture.Directory, Account: "acc-1", Action: protocol.ActionPassword, Recovery: "r1", Err: protocol.Err(protocol.CodeUnavailable, "gone")}
	if err := o.store.Tx(t.Context(), func(tx *store.Tx) error { return o.org.DirectoryFailed(t.Context(), tx, q.Env, f) }); err != nil {
		t.Fatal(err)
	}
	o.org.Wake()
	if b := o.body(t); b["action"] != "user_reset_password" || b["error"] != "unavailable: gone" || b["directory_kind"] != "ldap" || b["external_id"] != "acc-1" {
		t.Errorf("failure = %v", b)
	}
	o.org.SyncFailed(t.Context(), q.Env, q.Directory, "agent: failed to list users")
	if b := o.body(t); b["action"] != "sync" || b["error"] != "agent: failed to list users" {
		t.Errorf("failed sync = %v", b)
	}
}
