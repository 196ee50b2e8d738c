package agent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func begin(t *testing.T, l *protocol.Link, account string) (protocol.BeginRequest, protocol.Begun, error) {
	t.Helper()
	q := protocol.BeginRequest{Recovery: make([]byte, protocol.RandomPart), Account: account, Operation: "unlock", Origin: "recover.example.com"}
	_, _ = rand.Read(q.Recovery)
	var b protocol.Begun
	err := l.Call(t.Context(), protocol.MethodBegin, protocol.PriorityRecovery, q, &b)
	return q, b, err
}

func TestAgentEnrolsRunsAndServesACall(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.StateDir = filepath.Join(t.TempDir(), "state")
	ticket := protocol.Ticket{
		Hub: "http://" + h.nodes[0].addr, HubName: "hub.example", HubKey: h.keys.Public, LogKey: hubLog.Fingerprint(),
		Directory: "directory-1", Secret: "one use", Expires: time.Now().Add(time.Hour),
	}
	e, err := Enroll(t.Context(), cfg, "test", ticket, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	hello := h.hellosSoFar()[0]
	if hello.Ticket != "one use" || len(hello.SignKey) != 32 || hello.GuardHash == "" || hello.Agent != "" {
		t.Errorf("hello = %+v", hello)
	}
	if e.Agent != "agent-1" || e.State != protocol.AgentActive || e.Fingerprint == "" {
		t.Errorf("enrolment = %+v", e)
	}
	if _, err := Enroll(t.Context(), cfg, "test", ticket, testLog(t)); err == nil || !strings.Contains(err.Error(), "already enrolled") {
		t.Errorf("a second time: %v", err)
	}
	testenv.Eventually(t, "the link of the enrolment is gone", func() bool { return len(h.nodes[0].open()) == 0 })
	startAgent(t, cfg)
	l := link(t, h.nodes[0])
	var d protocol.Description
	if err := l.Call(t.Context(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, &d); err != nil || d.Kind != "test" {
		t.Errorf("describe = %+v, %v", d, err)
	}
	hello = h.hellosSoFar()[1]
	if hello.Agent != "agent-1" || hello.Ticket != "" || hello.SignKey != nil || hello.Instance == "" {
		t.Errorf("hello = %+v", hello)
	}
}

func TestP11_TicketOfAnotherHubIsWorthNothing(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.StateDir = t.TempDir()
	other, err := protocol.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	good := protocol.Ticket{
		Hub: "http://" + h.nodes[0].addr, HubName: "hub.example", HubKey: h.keys.Public, LogKey: hubLog.Fingerprint(), Directory: "directory-1", Secret: "s", Expires: time.Now().Add(time.Hour),
	}
	for name, change := range map[string]func(*protocol.Ticket){
		"key":       func(k *protocol.Ticket) { k.HubKey = other.Public },
		"name":      func(k *protocol.Ticket) { k.HubName = "other.example" },
		"directory": func(k *protocol.Ticket) { k.Directory = "directory-2" },
		"expired":   func(k *protocol.Ticket) { k.Expires = time.Now().Add(-time.Second) },
		"plain":     func(k *protocol.Ticket) { k.Hub = "http://192.0.2.1" },
	} {
		one := good
		change(&one)
		if _, err := Enroll(t.Context(), cfg, "test", one, testLog(t)); err == nil {
			t.Errorf("%s: enrolled", name)
		}
		if _, err := LoadIdentity(cfg.StateDir); !errors.Is(err, ErrNotEnrolled) {
			t.Errorf("%s: identity: %v", name, err)
		}
	}
	h.set(func() {
		h.admit = func(protocol.Hello) error { return protocol.Err(protocol.CodeExpired, "the ticket was used") }
	})
	if _, err := Enroll(t.Context(), cfg, "test", good, testLog(t)); err == nil || !strings.Contains(err.Error(), "the ticket was used") {
		t.Errorf("refused: %v", err)
	}
}

func TestTwoTunnelsGoToTwoNodesWithOneInstance(t *testing.T) {
	h := newTestHub(t, 2, nil)
	startAgent(t, h.enrolled(t, "http"))
	link(t, h.nodes[0])
	link(t, h.nodes[1])
	for _, hello := range h.hellosSoFar() {
		if hello.Instance != h.hellosSoFar()[0].Instance {
			t.Error("the tunnels have different instances")
		}
	}
	h.nodes[1].stop()
	testenv.Eventually(t, "the other tunnel is left", func() bool { return len(h.nodes[1].open()) == 0 })
	link(t, h.nodes[0])
	h.nodes[1] = h.startNode("node-b", h.nodes[1].addr, nil)
	link(t, h.nodes[1])
	link(t, h.nodes[0])
}

func TestOneNodeGetsOneTunnel(t *testing.T) {
	h := newTestHub(t, 1, nil)
	h.set(func() { h.count = 2 }) // the second node is behind no address that the agent knows
	p := startAgent(t, h.enrolled(t, "http"))
	testenv.Eventually(t, "the agent looked for the second node", func() bool { return len(h.hellosSoFar()) >= 3 })
	link(t, h.nodes[0])
	p.stop(t)
	h = newTestHub(t, 1, nil)
	startAgent(t, h.enrolled(t, "http"))
	first := link(t, h.nodes[0])
	wait(t.Context(), 200*time.Millisecond) // there is nothing to see when nothing is dialled
	if n := len(h.hellosSoFar()); n != 1 {
		t.Errorf("%d hellos to the only node, want 1", n)
	}
	// A node comes up, and the hub says so.
	if err := first.Event(protocol.EventNodes, protocol.NodesEvent{Nodes: 2}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the agent looks for the second node", func() bool { return len(h.hellosSoFar()) >= 2 })
	if got := h.hellosSoFar()[1].Nodes; len(got) != 1 || got[0] != "node-a" {
		t.Errorf("the second hello names the nodes %v", got)
	}
	if got := link(t, h.nodes[0]); got != first {
		t.Error("looking for a second node replaced the first tunnel")
	}
}

func TestHubThatAdmitsASecondTunnelToOneNodeKeepsTheFirst(t *testing.T) {
	h := newTestHub(t, 1, nil)
	h.set(func() { h.count, h.crowded = 2, true })
	startAgent(t, h.enrolled(t, "http"))
	testenv.Eventually(t, "the agent looked for the second node", func() bool { return len(h.hellosSoFar()) >= 3 })
	first := link(t, h.nodes[0])
	for range 20 {
		if err := first.Call(t.Context(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil); err != nil {
			t.Fatalf("the first tunnel: %v", err)
		}
	}
}

// heldCall has the agent called, and its directory hold what it asks until release is
// closed. What the call ends in comes then.
func (p *process) heldCall(t *testing.T, l *protocol.Link) (release chan struct{}, answer chan error) {
	t.Helper()
	entered := make(chan struct{})
	release, answer = make(chan struct{}), make(chan error, 1)
	p.company.mu.Lock()
	p.company.hold = func() { close(entered); <-release }
	p.company.mu.Unlock()
	go func() {
		_, _, err := begin(t, l, accountID(1))
		answer <- err
	}()
	<-entered
	return release, answer
}

func TestGoAwayOpensTheReplacementFirstAndFinishesCalls(t *testing.T) {
	h := newTestHub(t, 2, nil)
	h.set(func() { h.count = 1 }) // so that one tunnel is all the agent wants
	p := startAgent(t, h.enrolled(t, "http"))
	testenv.Eventually(t, "a tunnel", func() bool { return len(h.nodes[0].open())+len(h.nodes[1].open()) == 1 })
	from, to := h.nodes[0], h.nodes[1]
	if len(to.open()) == 1 {
		from, to = to, from
	}
	old := link(t, from)
	release, answer := p.heldCall(t, old)
	if err := old.GoAway("stopping"); err != nil {
		t.Fatal(err)
	}
	link(t, to)
	if len(from.open()) != 1 {
		t.Error("the old tunnel was closed while a call was running")
	}
	close(release)
	if err := <-answer; err != nil {
		t.Errorf("the call that was running: %v", err)
	}
	if _, _, err := begin(t, link(t, to), accountID(2)); err != nil {
		t.Errorf("a call on the replacement: %v", err)
	}
}

func TestStoppingAgentAnswersTheCallThatRuns(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.Guard.SensitiveGroups = nil // their hourly look reads facts too
	p := startAgent(t, cfg)
	l := link(t, h.nodes[0])
	release, answer := p.heldCall(t, l)
	p.cancel()
	testenv.Eventually(t, "new calls are refused", func() bool {
		return protocol.CodeOf(l.Call(t.Context(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil)) == protocol.CodeUnavailable
	})
	close(release)
	if err := <-answer; err != nil {
		t.Errorf("the call that was running: %v", err)
	}
	p.stop(t)
}

func TestQuarantinedAgentStaysConnectedAndDoesNothing(t *testing.T) {
	for state, says := range map[string]string{
		protocol.AgentQuarantined: "quarantined: another process", protocol.AgentPending: "waiting to be confirmed",
	} {
		h := newTestHub(t, 1, nil)
		h.set(func() { h.state = state })
		p := startAgent(t, h.enrolled(t, "http"))
		l := link(t, h.nodes[0])
		_, _, err := begin(t, l, accountID(1))
		wantCode(t, err, protocol.CodeQuarantined)
		if !p.log.Has(says) {
			t.Errorf("%s: the log does not say %q", state, says)
		}
		h.set(func() { h.state = protocol.AgentActive })
		l.Close(protocol.CloseComeBack, "an administrator decided")
		testenv.Eventually(t, "the agent serves", func() bool {
			open := h.nodes[0].open()
			return len(open) == 1 && open[0].Call(t.Context(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil) == nil
		})
		p.stop(t)
	}
}

func TestP28_ClockSkewIsReportedAndEndsNothing(t *testing.T) {
	h := newTestHub(t, 1, nil)
	h.set(func() { h.ahead = 10 * time.Minute })
	p := startAgent(t, h.enrolled(t, "http"))
	l := link(t, h.nodes[0])
	if err := l.Call(t.Context(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil); err != nil {
		t.Error(err)
	}
	if !p.log.Has("clocks differ") {
		t.Error("the log does not say that the clocks differ")
	}
}

func TestNothingThatAHubDoesEndsTheAgent(t *testing.T) {
	h := newTestHub(t, 1, nil)
	var tries atomic.Int32
	h.set(func() {
		h.admit = func(protocol.Hello) error {
			switch tries.Add(1) {
			case 1:
				return protocol.Err(protocol.CodePermissionDenied, "no")
			case 2:
				return errors.New("broken")
			}
			return nil
		}
	})
	p := startAgent(t, h.enrolled(t, "http"))
	for range 3 {
		link(t, h.nodes[0]).Close(1012, "restart")
		testenv.Eventually(t, "the tunnel is lost", func() bool { return p.log.Has("tunnel lost") })
	}
	link(t, h.nodes[0])
	select {
	case err := <-p.done:
		t.Fatalf("the agent ended: %v", err)
	default:
	}
}

func TestTunnelRunsInsideTLSWithAPrivateCAAndThroughAProxy(t *testing.T) {
	auth, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := auth.Issue("hub.test", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, auth.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	h := newTestHub(t, 1, &cert)
	cfg := h.enrolled(t, "https")

	p := startAgent(t, cfg)
	testenv.Eventually(t, "the unknown certificate is refused", func() bool { return p.log.Has("certificate") })
	p.stop(t)

	cfg.Hub.CAFile = ca
	p = startAgent(t, cfg)
	link(t, h.nodes[0])
	p.stop(t)

	password := filepath.Join(t.TempDir(), "proxy-password")
	if err := os.WriteFile(password, []byte("pr0xy"), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy, asked := startProxy(t)
	cfg.Hub.Proxy, cfg.Hub.ProxyUser, cfg.Hub.ProxyPasswordFile = "http://"+proxy, "agent", password
	testenv.Eventually(t, "the old tunnel is gone", func() bool { return len(h.nodes[0].open()) == 0 })
	startAgent(t, cfg)
	link(t, h.nodes[0])
	if asked.Load() == 0 {
		t.Error("the proxy was not asked")
	}
}

// startProxy starts a proxy that knows CONNECT and one user.
func startProxy(t *testing.T) (addr string, asked *atomic.Int32) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = &atomic.Int32{}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, ok := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
		if r.Method != http.MethodConnect || !ok || user != "agent" || pass != "pr0xy" {
			http.Error(w, "no", http.StatusProxyAuthRequired)
			return
		}
		asked.Add(1)
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		down, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
		_, _ = io.Copy(down, up)
		_ = down.Close()
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return ln.Addr().String(), asked
}

func TestAgentLeavesNoGoroutineBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		h := newTestHub(t, 2, nil)
		p := startAgent(t, h.enrolled(t, "http"))
		link(t, h.nodes[0])
		l := link(t, h.nodes[1])
		if err := l.Call(t.Context(), protocol.MethodList, protocol.PrioritySync, protocol.ListRequest{Page: 3}, nil); err != nil {
			t.Error(err)
		}
		p.stop(t)
		for _, n := range h.nodes {
			n.stop()
		}
	}
	testenv.Eventually(t, "every goroutine has ended", func() bool { return runtime.NumGoroutine() <= before })
}

func TestBackoffIsJitteredBoundedAndReset(t *testing.T) {
	var b backoff
	broken := errors.New("broken")
	for i := range 40 {
		limit := min(firstDelay<<min(i, 10), maxDelay)
		if d := b.after(broken, 0); d < 0 || d >= limit {
			t.Errorf("attempt %d waits %v, want below %v", i, d, limit)
		}
	}
	spread := map[time.Duration]bool{}
	for range 20 {
		spread[b.after(broken, 0)/time.Second] = true
	}
	if len(spread) < 5 {
		t.Errorf("20 waits fall on %d different seconds", len(spread))
	}
	if d := b.after(broken, lastedLong); d >= firstDelay {
		t.Errorf("after a tunnel that lasted: %v", d)
	}
	for range 20 {
		d := b.after(&protocol.CloseError{Code: protocol.CloseComeBackHourly}, 0)
		if d < 50*time.Minute || d > 70*time.Minute {
			t.Errorf("come back hourly: %v", d)
		}
		if d := b.after(&protocol.CloseError{Code: protocol.CloseComeBack}, lastedLong); d >= comeBack {
			t.Errorf("come back: %v", d)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if wait(ctx, time.Hour) {
		t.Error("a wait outlived its context")
	}
}
