package export

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/auditlog"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// A bench is an organisation with a log.
type bench struct {
	store *store.Store
	log   *audit.Log
	storetest.Fixture
	authority *testenv.Authority
}

func newBench(t *testing.T, c store.Config) *bench {
	t.Helper()
	s := storetest.Open(t, c)
	_, key, err := ed25519.GenerateKey(nil)
	a, err2 := testenv.NewAuthority()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	keep := func() time.Duration { return time.Nanosecond }
	return &bench{s, audit.NewLog(audit.LogConfig{Store: s, Key: key, Origin: auditlog.Origin("id.example.com"), Retain: keep}), storetest.Seed(t, s), a}
}

// happens appends an event for each trace and gives all of them their place in the log.
func (b *bench) happens(t *testing.T, kind audit.Kind, traces ...string) {
	t.Helper()
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		for _, trace := range traces {
			if err := audit.Append(t.Context(), tx, audit.Event{Env: b.Env.ID, Kind: kind, Trace: trace, Person: "p", RemoteAddr: "192.0.2.7", Personal: map[string]string{"name": "Ada"}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, b.log.Sequence(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) add(t *testing.T, s Settings) string {
	t.Helper()
	d := store.Destination{Org: b.Org.ID, Settings: []byte(store.JSON(s)), Envs: s.Envs, Kinds: s.Kinds}
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		if err := s.Check(t.Context(), tx, b.Org.ID, nil); err != nil {
			return err
		}
		return tx.AddDestination(t.Context(), &d)
	})
	if err != nil {
		t.Fatal(err)
	}
	return d.ID
}

func (b *bench) state(t *testing.T, id string) store.Destination {
	t.Helper()
	d, err := store.Get(t.Context(), b.store, func(tx *store.Tx) (store.Destination, error) { return tx.Destination(t.Context(), b.Org.ID, id) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (b *bench) exports(t *testing.T) *Exports {
	dial := (&net.Dialer{}).DialContext
	return New(Config{Store: b.store, Client: http.DefaultClient, Dial: dial, Host: "id.example.com", Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
}

// run runs a node until the test calls stop.
func (b *bench) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	x, done := b.exports(t), make(chan struct{})
	go func() {
		defer close(done)
		if err := x.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return func() { cancel(); <-done }
}

// hurry has a destination tried at once, whatever its back-off says.
func (b *bench) hurry(t *testing.T, id string) {
	t.Helper()
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), "UPDATE audit_destinations SET due_at = 0 WHERE id = $1 AND failures > 0 AND due_at < $2", id, store.Millis(tx.Now().Add(40*time.Second)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A receiver takes syslog over TLS, and can die in the middle of a message.
type receiver struct {
	*net.TCPListener
	config *tls.Config

	mu    sync.Mutex
	got   []string
	dying int // after so many messages; 0: never
}

func (b *bench) receiver(t *testing.T, names ...string) *receiver {
	t.Helper()
	cert, key, err := b.authority.Issue(names...)
	pair, err2 := tls.X509KeyPair(cert, key)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: testenv.FreePort(t)})
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{TCPListener: l, config: &tls.Config{Certificates: []tls.Certificate{pair}}}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r
}

func (r *receiver) serve(plain *net.TCPConn) {
	defer func() { _ = plain.Close() }()
	conn := tls.Server(plain, r.config)
	in := bufio.NewReader(conn)
	for {
		length, err := in.ReadString(' ')
		n, err2 := strconv.Atoi(strings.TrimSpace(length))
		if err != nil || err2 != nil {
			break
		}
		msg := make([]byte, n)
		if _, err := io.ReadFull(in, msg); err != nil {
			return
		}
		r.mu.Lock()
		if r.dying--; r.dying == 0 { // as a process that is killed: no close_notify
			r.mu.Unlock()
			_ = plain.SetLinger(0)
			return
		}
		r.got = append(r.got, string(msg))
		r.mu.Unlock()
	}
	_ = conn.Close()
}

func (r *receiver) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (b *bench) settings(addr string, f Format) Settings {
	return Settings{Name: "SIEM", URL: "tls://" + addr, Format: f, CA: string(b.authority.PEM), ServerName: "collector.test"}
}

var traceOf = func(line string) string {
	_, after, _ := strings.Cut(line, `"trace":"`)
	trace, _, _ := strings.Cut(after, `"`)
	return trace
}

// inOrder wants every trace, the first time each is seen in order: what is sent again
// after a failure repeats.
func inOrder(t *testing.T, lines, want []string) {
	t.Helper()
	var first []string
	for _, l := range lines {
		if trace := traceOf(l); !slices.Contains(first, trace) {
			first = append(first, trace)
		}
	}
	if !slices.Equal(first, want) {
		t.Errorf("got %d of %d: %v", len(first), len(want), first)
	}
}

func numbered(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("t%04d", i))
	}
	return all
}

func TestACollectorThatDiesGetsEveryEventInOrder(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newBench(t, c)
		r := b.receiver(t, "collector.test")
		r.dying = 120
		b.happens(t, audit.EnvUpdated, "before")
		id := b.add(t, b.settings(r.Addr().String(), RFC5424))
		first, second := b.run(t), b.run(t)
		b.happens(t, audit.EnvUpdated, numbered(0, 300)...)
		testenv.Eventually(t, "it fails once", func() bool { return b.state(t, id).Failures > 0 })
		if d := b.state(t, id); d.Error == "" || d.Sent > 300 {
			t.Errorf("%+v", d)
		}
		first() // a node stops, the other goes on
		b.happens(t, audit.EnvUpdated, numbered(300, 350)...)
		testenv.Eventually(t, "all is sent", func() bool { b.hurry(t, id); return b.state(t, id).Sent == 350 })
		second()
		inOrder(t, r.lines(), numbered(0, 350))
		if d := b.state(t, id); d.Error != "" || d.Failures != 0 || d.Dropped != 0 || d.SentAt.IsZero() {
			t.Errorf("%+v", d)
		}
		for _, l := range r.lines() {
			if !strings.HasPrefix(l, "<110>1 ") || strings.Contains(l, "Ada") || strings.Contains(l, "192.0.2.7") {
				t.Fatal(l)
			}
		}
	})
}

func TestOnlyTheCollectorOfTheCertificateIsSpokenTo(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	r, x := b.receiver(t, "somebody.else.test"), b.exports(t)
	id := b.add(t, b.settings(r.Addr().String(), CEF))
	if err := x.Test(t.Context(), b.state(t, id)); err == nil || !strings.Contains(err.Error(), "collector.test") {
		t.Error(err)
	}
	right := b.receiver(t, "collector.test")
	id = b.add(t, b.settings(right.Addr().String(), CEF))
	if err := x.Test(t.Context(), b.state(t, id)); err != nil {
		t.Fatal(err)
	}
	if got := right.lines(); len(got) != 1 || !strings.Contains(got[0], "audit_destination_test") || !strings.Contains(got[0], "CEF:0|") || len(r.lines()) != 0 {
		t.Error(got)
	}
	if d := b.state(t, id); d.Sent != 0 {
		t.Errorf("a test counts as %d sent", d.Sent)
	}
}

func TestWhatRetentionRemovesFirstIsCounted(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newBench(t, c)
		r := b.receiver(t, "collector.test")
		s := b.settings(r.Addr().String(), RFC5424)
		s.Kinds, s.Envs = []string{"env_updated"}, []string{b.Env.ID}
		id := b.add(t, s)
		b.happens(t, audit.EnvUpdated, numbered(0, 20)...)
		b.happens(t, audit.TemplateCreated, numbered(0, 7)...)
		if err := b.log.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.happens(t, audit.EnvUpdated, numbered(20, 30)...)
		stop := b.run(t)
		testenv.Eventually(t, "the rest is sent", func() bool { return b.state(t, id).Sent == 10 })
		stop()
		inOrder(t, r.lines(), numbered(20, 30))
		if d := b.state(t, id); d.Dropped != 20 {
			t.Errorf("%d dropped; want 20", d.Dropped)
		}
	})
}

func TestLinesArePostedAndAFailingCollectorGetsThemAgain(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	var mu sync.Mutex
	var lines []string
	failing := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if failing || r.Header.Get("Authorization") != "Splunk s3cret" || r.Header.Get("Content-Type") != "application/x-ndjson" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		in := bufio.NewScanner(r.Body)
		for in.Scan() {
			lines = append(lines, in.Text())
		}
	}))
	defer server.Close()
	id := b.add(t, Settings{Name: "SIEM", URL: server.URL + "/in", Format: OCSF, Auth: "Splunk s3cret", Personal: true})
	b.happens(t, audit.EnvUpdated, numbered(0, 20)...)
	stop := b.run(t)
	defer stop()
	testenv.Eventually(t, "it fails", func() bool { return strings.Contains(b.state(t, id).Error, "503") })
	mu.Lock()
	failing = false
	mu.Unlock()
	testenv.Eventually(t, "all is sent", func() bool { b.hurry(t, id); return b.state(t, id).Sent == 20 })
	mu.Lock()
	defer mu.Unlock()
	inOrder(t, lines, numbered(0, 20))
	var e ocsfEvent
	if err := json.Unmarshal([]byte(lines[0]), &e); err != nil || e.Type != 300403 || e.Source == nil || e.Source.IP != "192.0.2.7" || !strings.Contains(lines[0], "Ada") {
		t.Errorf("%s %v", lines[0], err)
	}
}

func TestAMembersAddressLeavesOnlyToACollectorOfWhatIsPersonal(t *testing.T) {
	r := audit.Record{ID: "1", Time: time.Now(), Kind: audit.EnvUpdated, Actor: audit.Principal{OrgMember: "m", Email: "ann@example.com"}, Detail: []byte("{}")}
	for _, personal := range []bool{false, true} {
		e, err := (&Settings{Personal: personal}).of(r)
		if err != nil || strings.Contains(string(e.raw), `"org_member_email":"ann@example.com"`) != personal || e.Principal.OrgMember != "m" {
			t.Errorf("personal %v: %v %s", personal, err, e.raw)
		}
	}
}

// What cannot be read holds the log up for every collector: owners see it where they look.
func TestAnEventThatCannotBeReadIsNoSilence(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	id := b.add(t, Settings{Name: "SIEM", URL: server.URL, Format: JSONLines})
	b.happens(t, audit.RecoveryStarted, "damaged")
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.Must(t.Context(), `UPDATE audit_rows SET leaf = REPLACE(leaf, '"members":{"name":"', '"members":{"name":"AAAA')`)
	})
	if err != nil {
		t.Fatal(err)
	}
	x := b.exports(t)
	for range 2 {
		if more, err := x.step(t.Context(), id); more || err == nil {
			t.Fatalf("%v %v", more, err)
		}
		if _, err := x.step(t.Context(), id); !errors.Is(err, store.ErrConflict) {
			t.Errorf("it is tried again at once: %v", err)
		}
		b.hurry(t, id)
	}
	if d := b.state(t, id); d.Failures != 2 || !strings.Contains(d.Error, "damaged") || d.Sent != 0 {
		t.Errorf("%+v", d)
	}
}
