package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// A receiver is a real HTTPS server of the organisation.
type receiver struct {
	url string

	mu     sync.Mutex
	got    []recorded
	answer func(http.ResponseWriter, *http.Request)
}

// recorded is one request as it arrived.
type recorded struct {
	header http.Header
	body   []byte
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.got = append(r.got, recorded{req.Header.Clone(), body})
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		req.Body = io.NopCloser(bytes.NewReader(body))
		answer(w, req)
	}
}

func (r *receiver) requests() []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) answers(f func(http.ResponseWriter, *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// status answers with a status alone.
func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// jsonBody answers 200 with a JSON body.
func jsonBody(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, text)
	}
}

// A bench is an environment with receivers on loopback addresses, which the operator
// allowed: 127.0.0.9 only.
type bench struct {
	store *store.Store
	ca    *testenv.Authority
	env   string
	now   atomic.Int64 // milliseconds that the clock is ahead
}

const allowed = "127.0.0.9"

func (b *bench) clock() time.Time {
	return time.Now().Add(time.Duration(b.now.Load()) * time.Millisecond)
}

func newBench(t *testing.T, c store.Config) *bench {
	t.Helper()
	ca, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{ca: ca}
	c.Now = b.clock
	b.store = storetest.Open(t, c)
	b.env = storetest.Seed(t, b.store).Env.ID
	return b
}

func (b *bench) hooks(t *testing.T, change ...func(*Config)) *Hooks {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.ca.PEM)
	c := Config{
		Store: b.store, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Private: []netip.Prefix{netip.MustParsePrefix(allowed + "/32")}, Roots: roots, Now: b.clock,
	}
	for _, f := range change {
		f(&c)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// listen starts a receiver with a certificate for its address and more names.
func (b *bench) listen(t *testing.T, addr string, names ...string) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(l.Addr().String())
	cert, key, err := b.ca.Issue(append([]string{host}, names...)...)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{url: "https://" + l.Addr().String() + "/hook"}
	s := httptest.NewUnstartedServer(r)
	_ = s.Listener.Close()
	s.Listener, s.TLS = l, &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return r
}

func (b *bench) subscribe(t *testing.T, url string, events ...Event) string {
	t.Helper()
	w := store.Webhook{Env: b.env, URL: url, Enabled: true, Authorization: "Bearer of the receiver"}
	for _, e := range events {
		w.Events = append(w.Events, string(e))
	}
	id, err := store.Change(t.Context(), b.store, func(tx *store.Tx) (string, error) { return tx.AddWebhook(t.Context(), w) })
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var question = Question{Subject: "s", Language: "de", Directory: "d", ExternalID: "a", Action: protocol.ActionPassword, Context: protocol.Context{1, 2, 3}}

func TestRecoverAsksWithTheDocumentedPayload(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	b.subscribe(t, r.url, Recover)
	v, err := b.hooks(t).Ask(t.Context(), b.env, question)
	if err != nil || !v.Allows(b.clock()) || v.Message() != "" {
		t.Fatalf("Ask = %+v, %v", v, err)
	}
	got := r.requests()
	if len(got) != 1 {
		t.Fatalf("%d requests", len(got))
	}
	var body map[string]any
	if err := json.Unmarshal(got[0].body, &body); err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse(time.RFC3339, body["date"].(string)); err != nil {
		t.Error(err)
	}
	delete(body, "date")
	for k, want := range map[string]string{
		"event_type": "recover", "subject": "s", "language": "de", "directory": "d", "external_id": "a", "action": "password-reset",
		"org_name": "Example", "env_name": "production", "evidence_context": question.Context.String(),
	} {
		if body[k] != want {
			t.Errorf("%s = %v, want %s", k, body[k], want)
		}
		delete(body, k)
	}
	if len(body) > 0 {
		t.Errorf("members that nobody documented: %v", body)
	}
	if h := got[0].header; h.Get("Authorization") != "Bearer of the receiver" || h.Get("Content-Type") != "application/json" || h.Get("Date") == "" {
		t.Errorf("headers = %v", h)
	}
}

func TestP19_AnythingButAYesStopsTheRecovery(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	b.subscribe(t, r.url, Recover)
	h, short := b.hooks(t), b.hooks(t, func(c *Config) { c.Patience = 300 * time.Millisecond })
	hang := func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		yes    bool
		says   string
	}{
		"200":                {status(200), true, ""},
		"200, null":          {jsonBody(`{"deny_user_message":null}`), true, ""},
		"200, empty object":  {jsonBody(`{}`), true, ""},
		"200, other type":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "deny_user_message") }, true, ""},
		"200, denied":        {jsonBody(`{"deny_user_message":"Bitte rufen\u202e Sie\u0007 an.\nDanke"}`), false, "Bitte rufen Sie an.\nDanke"},
		"200, denied, empty": {jsonBody(`{"deny_user_message":""}`), false, "The organisation's own check refused this."},
		"200, not json":      {jsonBody(`{"deny_user_message"`), false, FailedMessage},
		"200, wrong type":    {jsonBody(`{"deny_user_message":true}`), false, FailedMessage},
		"200, endless":       {jsonBody(strings.Repeat(" ", maxAnswer) + "{}"), false, FailedMessage},
		"204":                {status(204), false, FailedMessage},
		"302":                {status(302), false, FailedMessage},
		"500":                {status(500), false, FailedMessage},
		"no answer":          {hang, false, FailedMessage},
	} {
		r.answers(c.answer)
		asks := h
		if name == "no answer" {
			asks = short // whoever answers has as long as in production, however busy the machine is
		}
		start := time.Now()
		v, err := asks.Ask(t.Context(), b.env, question)
		if err != nil || v.Allows(b.clock()) != c.yes || v.Message() != c.says || v.Silent() != (c.says == FailedMessage) {
			t.Errorf("%s: allowed %v, says %q, %v", name, v.Allows(b.clock()), v.Message(), err)
		}
		if d := time.Since(start); d > 20*short.patience {
			t.Errorf("%s: took %s", name, d)
		}
	}
	if !strings.HasPrefix(FailedMessage, "A custom integration failed") {
		t.Error("the public documents fix how the message begins")
	}
	before := len(r.requests())
	second := b.listen(t, allowed+":0")
	b.subscribe(t, second.url, Recover)
	r.answers(jsonBody(`{"deny_user_message":"no"}`))
	if v, err := h.Ask(t.Context(), b.env, question); err != nil || v.Allows(b.clock()) || v.Message() != "no" {
		t.Errorf("one of two says no: %+v, %v", v, err)
	}
	second.answers(status(500))
	r.answers(status(200))
	if v, err := h.Ask(t.Context(), b.env, question); err != nil || v.Allows(b.clock()) || !v.Silent() {
		t.Errorf("one yes, one silent: %+v, %v", v, err)
	}
	r.answers(status(500))
	second.answers(jsonBody(`{"deny_user_message":"no"}`))
	if v, err := h.Ask(t.Context(), b.env, question); err != nil || v.Silent() || v.Message() != "no" {
		t.Errorf("one silent, one no: %+v, %v", v, err)
	}
	for _, d := range b.history(t) {
		if d.Event != string(Recover) || !d.NextAt.IsZero() || len(d.Attempts) != 1 {
			t.Errorf("history: %+v", d)
		}
	}
	if n := len(r.requests()) - before; n != 3 {
		t.Errorf("the question was put %d times; it is never repeated", n)
	}
}

func TestP19_NobodyListeningOrNoStoreStopsTheRecovery(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.subscribe(t, "https://"+allowed+":1/", Recover)
	h := b.hooks(t)
	if v, err := h.Ask(t.Context(), b.env, question); err != nil || v.Allows(b.clock()) || v.Message() != FailedMessage {
		t.Errorf("nobody listening: %+v, %v", v, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := h.Ask(ctx, b.env, question); err == nil || v.Allows(b.clock()) {
		t.Errorf("the store cannot be read: %+v, %v", v, err)
	}
	if (Verdict{}).Allows(time.Time{}) {
		t.Error("the zero verdict allows")
	}
}

func TestT23_AVerdictIsGoodForAMinute(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	v, err := b.hooks(t).Ask(t.Context(), b.env, question)
	if err != nil || !v.Allows(b.clock()) {
		t.Fatalf("without webhooks: %+v, %v", v, err)
	}
	if v.Allows(b.clock().Add(61 * time.Second)) {
		t.Error("allowed after 61 s")
	}
}

// questions are bindings of as many accounts.
func questions(n int) (all []Question) {
	for i := range n {
		all = append(all, Question{Trace: "call", Subject: "s", Directory: "d", ExternalID: strconv.Itoa(i), Action: protocol.ActionBinding})
	}
	return all
}

func TestManyQuestionsArePutAFewAtATimeAndEachHasItsAnswer(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	b.subscribe(t, r.url, Recover)
	var under, most atomic.Int64
	r.answers(func(w http.ResponseWriter, req *http.Request) {
		for n := under.Add(1); ; {
			if had := most.Load(); had >= n || most.CompareAndSwap(had, n) {
				break
			}
		}
		defer under.Add(-1)
		var q struct {
			ExternalID string `json:"external_id"`
		}
		_ = json.NewDecoder(req.Body).Decode(&q)
		if strings.HasSuffix(q.ExternalID, "7") {
			jsonBody(`{"deny_user_message":"not `+q.ExternalID+`"}`)(w, req)
		}
	})
	all, err := b.hooks(t).AskEach(t.Context(), b.env, questions(50))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range all {
		if want := i%10 != 7; v.Allows(b.clock()) != want || !want && v.Message() != fmt.Sprint("not ", i) {
			t.Errorf("%d: %+v", i, v)
		}
	}
	if n := most.Load(); n > askedAtOnce {
		t.Errorf("%d at once", n)
	}
	if n := len(b.history(t)); n != 50 {
		t.Errorf("history of %d questions", n)
	}
}

func TestP19_WhatCannotBeAskedInTimeIsDenied(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	b.subscribe(t, r.url, Recover)
	r.answers(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	h := b.hooks(t, func(c *Config) { c.Patience = 200 * time.Millisecond })
	start := time.Now()
	all, err := h.AskEach(t.Context(), b.env, questions(400))
	if err != nil || len(all) != 400 || time.Since(start) > 5*time.Second {
		t.Fatalf("%d verdicts after %s, %v", len(all), time.Since(start), err)
	}
	for i, v := range all {
		if v.Allows(b.clock()) || !v.Silent() || v.Message() != FailedMessage {
			t.Fatalf("%d: %+v", i, v)
		}
	}
	if n := len(r.requests()); n == 0 || n > 2*manyLast*askedAtOnce {
		t.Errorf("%d were asked", n)
	}
}

func TestP18_AReceiverCanTellAReplay(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r := b.listen(t, allowed+":0")
	b.subscribe(t, r.url, Recover)
	if _, err := b.hooks(t).Ask(t.Context(), b.env, question); err != nil {
		t.Fatal(err)
	}
	secrets, err := b.store.WebhookSecrets(t.Context(), b.env)
	secret := secrets.Present
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	// accept is what the documentation tells receivers to do.
	accept := func(q recorded, now time.Time) bool {
		id := q.header.Get("X-Nametag-ID")
		stamp, mac, _ := strings.Cut(strings.TrimPrefix(q.header.Get("X-Postern-Signature"), "t="), ",v1=")
		at := time.Unix(parseInt(stamp), 0)
		ok := q.header.Get("X-Nametag-Signature") == sign(secret, q.body) && mac == sign(secret, []byte(stamp+"."+id+"."+string(q.body))) &&
			now.Sub(at).Abs() < 5*time.Minute && !seen[id]
		seen[id] = true
		return ok
	}
	q := r.requests()[0]
	if !accept(q, b.clock()) {
		t.Fatal("the delivery itself was refused")
	}
	if accept(q, b.clock()) {
		t.Error("the same delivery was taken twice")
	}
	other := recorded{q.header.Clone(), q.body}
	other.header.Set("X-Nametag-ID", store.NewID())
	if accept(other, b.clock()) {
		t.Error("a replay under a new id was taken")
	}
	seen = map[string]bool{}
	if accept(q, b.clock().Add(time.Hour)) {
		t.Error("a replay an hour later was taken")
	}
}

func parseInt(s string) (n int64) {
	for _, c := range s {
		n = n*10 + int64(c-'0')
	}
	return n
}

// The golden vector is what the published command computes:
// printf '{"a":1}' | openssl dgst -sha256 -hmac webhook-00…00
func TestSignatureUsesTheWholeTextOfTheSecret(t *testing.T) {
	got := sign("webhook-"+strings.Repeat("0", 64), []byte(`{"a":1}`))
	if want := goldenSignature; got != want {
		t.Errorf("sign = %s, want %s", got, want)
	}
}

const goldenSignature = "3b3414c093d72e9c44667c026c42ce3653defe5178c70fb89c72583920e6ff87"
