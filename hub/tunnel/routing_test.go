package tunnel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// installRedis is an installation whose nodes share a real Redis.
func installRedis(t *testing.T) (*installation, *testenv.Redis) {
	t.Helper()
	server := testenv.StartRedis(t)
	in := installOn(t, storetest.Open(t, storetest.SQLite(t)), func() coord.Coord {
		c, err := coord.OpenRedis(coord.RedisConfig{URL: server.URL()})
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	})
	return in, server
}

func TestP25_AnyNodeReachesTheAgent(t *testing.T) {
	in, _ := installRedis(t)
	a, b, c := in.start(t), in.start(t), in.start(t)
	meet(t, a, b, c)
	p := in.enrolled(t, a)
	large := strings.Repeat("x", 300<<10)
	p.serve = func(_ context.Context, m protocol.Method, body []byte) (any, error) {
		if m == protocol.MethodList {
			return protocol.ListPage{State: large}, nil
		}
		if m == protocol.MethodDescribe {
			return nil, protocol.Err(protocol.CodeServiceAuthentication, "wrong password")
		}
		return json.RawMessage(body), nil
	}
	one, two := p.dial(a), p.dial(b)
	for _, n := range []*node{a, b, c} {
		must(t, n.echo(t, in.to()))
		var page protocol.ListPage
		if err := n.Call(t.Context(), in.to(), protocol.MethodList, protocol.PrioritySync, protocol.ListRequest{}, &page); err != nil || page.State != large {
			t.Errorf("a large page: %d bytes, %v", len(page.State), err)
		}
		wantCode(t, "the agent's own error", n.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil), protocol.CodeServiceAuthentication)
	}
	one.leave()
	for _, n := range []*node{a, c} { // its other tunnel serves
		testenv.Eventually(t, "the call goes to the other tunnel", func() bool { return n.echo(t, in.to()) == nil })
	}
	foreign := in.to()
	foreign.Env = "another environment"
	wantCode(t, "another environment", c.echo(t, foreign), protocol.CodeUnavailable)
	b.stop()
	<-two.ended
	p.dial(c)
	for _, n := range []*node{a, c} {
		testenv.Eventually(t, "the agent that came back is found", func() bool { return n.echo(t, in.to()) == nil })
	}
}

func TestSeveralAgentsShareADirectory(t *testing.T) {
	in := install(t)
	n := in.start(t)
	var served [2]atomic.Int64
	release := make(chan struct{})
	for i := range served {
		p := newProcess(t)
		p.ticket = in.newTicket(t)
		p.serve = func(_ context.Context, _ protocol.Method, body []byte) (any, error) {
			served[i].Add(1)
			<-release
			return json.RawMessage(body), nil
		}
		l := p.dial(n)
		if l.welcome.State == protocol.AgentPending {
			must(t, n.Confirm(t.Context(), in.Env.ID, l.welcome.Agent, protocol.Fingerprint(p.keys.Public, p.sign), audit.Principal{}))
			<-l.ended
			p.agent, p.ticket = l.welcome.Agent, ""
			p.dial(n)
		}
	}
	done := sync.OnceFunc(func() { close(release) })
	t.Cleanup(done)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := n.echo(t, in.to()); err != nil {
				t.Error(err)
			}
		})
		testenv.Eventually(t, "the call arrived", func() bool { return served[0].Load()+served[1].Load() == int64(i+1) })
	}
	if a, b := served[0].Load(), served[1].Load(); a != 5 || b != 5 {
		t.Errorf("%d and %d calls; the less busy one is chosen", a, b)
	}
	done()
	wg.Wait()
}

func TestT29_ASecondLiveProcessIsQuarantined(t *testing.T) {
	in, _ := installRedis(t)
	a, b := in.start(t), in.start(t)
	meet(t, a, b)
	for name, second := range map[string]*node{"on the same node": a, "on another node": b} {
		t.Run(name, func(t *testing.T) {
			p := in.enrolled(t, a)
			served := atomic.Pointer[string]{}
			p.serve = func(_ context.Context, _ protocol.Method, body []byte) (any, error) {
				served.Store(&p.instance)
				return json.RawMessage(body), nil
			}
			if l := p.dial(a); l.welcome.State == protocol.AgentPending { // a further agent of the directory
				must(t, a.Confirm(t.Context(), in.Env.ID, p.agent, protocol.Fingerprint(p.keys.Public, p.sign), audit.Principal{}))
				<-l.ended
				p.dial(a)
			}
			before := in.audited(t, audit.AgentConflict)
			clone := p.again()
			clone.serve = func(context.Context, protocol.Method, []byte) (any, error) {
				t.Error("the clone was given a call")
				return nil, errors.New("clone")
			}
			q := clone.dial(second)
			if q.welcome.State != protocol.AgentQuarantined || q.welcome.BirthDateKey != nil {
				t.Errorf("the clone is %s", q.welcome.State)
			}
			if n := in.audited(t, audit.AgentConflict); n != before+1 {
				t.Errorf("%d conflicts recorded", n-before)
			}
			to := in.to()
			to.Agent = p.agent
			for _, n := range []*node{a, b} {
				must(t, n.echo(t, to))
			}
			status := agentStatus(t, second, p.agent)
			if status.ConflictSince.IsZero() || !slices.ContainsFunc(status.Tunnels, func(c TunnelStatus) bool { return c.State == protocol.AgentQuarantined }) {
				t.Errorf("status %+v", status)
			}
			q.leave()
			if l := clone.dial(a); l.welcome.State != protocol.AgentQuarantined { // it stays so, whatever it does
				t.Errorf("the clone came back as %s", l.welcome.State)
			}
			if l := p.dial(b); l.welcome.State != protocol.AgentActive {
				t.Errorf("the first process at another node: %s", l.welcome.State)
			}
			must(t, a.Resolve(t.Context(), in.Env.ID, p.agent, audit.Principal{}))
			if n := in.audited(t, audit.AgentResolved); n == 0 {
				t.Error("the decision is not recorded")
			}
			testenv.Eventually(t, "still two: quarantined again", func() bool {
				l, err := clone.tryDial(second)
				return err == nil && l.welcome.State == protocol.AgentQuarantined && !agentStatus(t, a, p.agent).ConflictSince.IsZero()
			})
		})
	}
}

func agentStatus(t *testing.T, n *node, agent string) AgentStatus {
	t.Helper()
	all, err := n.Status(t.Context(), n.Env.ID)
	must(t, err)
	i := slices.IndexFunc(all, func(a AgentStatus) bool { return a.ID == agent })
	if i < 0 {
		t.Fatalf("agent %s is not listed", agent)
	}
	return all[i]
}

func TestT29_ARestartedAgentIsNoClone(t *testing.T) {
	in := install(t)
	a, b := in.start(t), in.start(t)
	meet(t, a, b)
	p := in.enrolled(t, a)
	p.dial(a).leave()
	blocked := make(chan struct{})
	defer close(blocked)
	p.dialMute(t, a, blocked) // its machine lost power: the connection is not closed
	q := p.again()
	if l := q.dial(b); l.welcome.State != protocol.AgentActive {
		t.Errorf("after a power cut: %s", l.welcome.State)
	}
	testenv.Eventually(t, "calls go to the new tunnel, once the node of the old one has closed it", func() bool { return a.echo(t, in.to()) == nil })
	if n := in.audited(t, audit.AgentConflict); n != 0 {
		t.Errorf("%d conflicts recorded", n)
	}
}

func TestT29_TwoProcessesAtOnceAreNeverBothActive(t *testing.T) {
	in := install(t)
	a, b := in.start(t), in.start(t)
	meet(t, a, b)
	p := in.enrolled(t, a)
	for round := range 5 {
		one, two := p.again(), p.again()
		states := make(chan string, 2)
		var links [2]*link
		var wg sync.WaitGroup
		for i, x := range []*process{one, two} {
			n := []*node{a, b}[i]
			wg.Go(func() {
				l, err := x.tryDial(n)
				if err != nil {
					t.Error(err)
					return
				}
				links[i] = l
				states <- l.welcome.State
			})
		}
		wg.Wait()
		close(states)
		active := 0
		for s := range states {
			if s == protocol.AgentActive {
				active++
			}
		}
		if active != 1 {
			t.Errorf("round %d: %d active", round, active)
		}
		for _, l := range links {
			l.leave()
		}
		testenv.Eventually(t, "both are gone", func() bool { return len(a.roster.all())+len(b.roster.all()) == 0 })
		must(t, a.Resolve(t.Context(), in.Env.ID, p.agent, audit.Principal{}))
	}
}

func TestP26_LosingRedisLeavesLocalWorkAndComesBack(t *testing.T) {
	in, server := installRedis(t)
	a, b := in.start(t), in.start(t)
	meet(t, a, b)
	p := in.enrolled(t, a)
	p.dial(a)
	must(t, b.echo(t, in.to()))
	server.Stop()
	must(t, a.echo(t, in.to()))
	wantCode(t, "call through the other node during the outage", b.echo(t, in.to()), protocol.CodeUnavailable)
	late := p.again()
	late.instance = p.instance
	late.dial(b) // admitted meanwhile, by what this node knows
	must(t, b.echo(t, in.to()))
	clone := p.again()
	if l := clone.dial(b); l.welcome.State != protocol.AgentQuarantined {
		t.Errorf("a clone at the same node during the outage: %s", l.welcome.State)
	}
	server.Start(t)
	testenv.Eventually(t, "nodes know each other", func() bool { return len(a.mesh.Nodes()) == 2 && len(b.mesh.Nodes()) == 2 })
	for _, c := range b.roster.all() {
		c.close(protocol.CloseComeBack, "test")
	}
	testenv.Eventually(t, "the other node reaches the agent again", func() bool { return b.echo(t, in.to()) == nil })
}

func TestT29_AClonedKeyAdmittedDuringAnOutageIsFoundAfterIt(t *testing.T) {
	t.Parallel() // it waits for sweeps
	in, server := installRedis(t)
	a, b := in.start(t), in.start(t)
	meet(t, a, b)
	p := in.enrolled(t, a)
	first := p.dial(a)
	server.Stop()
	clone := p.again()
	l := clone.dial(b)
	if l.welcome.State != protocol.AgentActive {
		t.Fatalf("the other node cannot know: %s", l.welcome.State)
	}
	server.Start(t)
	if code := l.closeCode(t); code != protocol.CloseComeBack {
		t.Errorf("closed with %d", code)
	}
	if l := clone.dial(b); l.welcome.State != protocol.AgentQuarantined {
		t.Errorf("came back as %s", l.welcome.State)
	}
	select {
	case <-first.ended:
		t.Error("the first process was closed")
	default:
	}
}

// executions is an Executor that sends one operation and counts.
type executions struct {
	ran  atomic.Int64
	node atomic.Pointer[string]
	req  protocol.PerformRequest
	row  string // of the audit log
	out  chan protocol.Outcome
	err  error
}

func (x *executions) executor(name string) Executor {
	return func(ctx context.Context, _ To, recovery string, send Send) error {
		x.ran.Add(1)
		x.node.Store(&name)
		if x.err != nil {
			return x.err
		}
		req := x.req
		req.ID = recovery
		out, err := send(ctx, x.row, req)
		if err == nil {
			x.out <- out
		}
		return err
	}
}

func TestAnOperationIsExecutedWhereTheAgentIs(t *testing.T) {
	in, _ := installRedis(t)
	x := &executions{out: make(chan protocol.Outcome, 4), req: protocol.PerformRequest{Members: protocol.Members{Recovery: "r", Operation: "unlock"}}}
	x.req.Context = x.req.Members.Context()
	x.row = in.requested(t, nil)
	a := in.start(t, func(c *Config) { c.Executor = x.executor("a") })
	b := in.start(t, func(c *Config) { c.Executor = x.executor("b") })
	meet(t, a, b)
	p := in.enrolled(t, a)
	started, release := make(chan struct{}, 4), make(chan struct{})
	p.serve = func(_ context.Context, m protocol.Method, body []byte) (any, error) {
		var req protocol.PerformRequest
		if m != protocol.MethodPerform || json.Unmarshal(body, &req) != nil || req.ID != "recovery-1" {
			return nil, protocol.Err(protocol.CodeBadRequest, "?")
		}
		started <- struct{}{}
		<-release
		return protocol.Outcome{Context: req.Context, State: protocol.Done}, nil
	}
	p.dial(a)
	for _, n := range []*node{a, b} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Execute(ctx, p.agent, in.Env.ID, "recovery-1") }()
		<-started
		cancel() // the browser goes away; what has begun goes on
		release <- struct{}{}
		if out := <-x.out; out.State != protocol.Done {
			t.Errorf("outcome %+v", out)
		}
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if name := *x.node.Load(); name != "a" {
			t.Errorf("executed on node %s", name)
		}
	}
	wantCode(t, "an operation as a call", b.Call(t.Context(), in.to(), protocol.MethodPerform, protocol.PriorityRecovery, x.req, nil), protocol.CodeBadRequest)
	wantCode(t, "an unknown agent", b.Execute(t.Context(), "3f0c2c8e-0000-4000-8000-000000000000", in.Env.ID, "r"), protocol.CodeUnavailable)
	wantCode(t, "another environment", b.Execute(t.Context(), p.agent, "another", "r"), protocol.CodeUnavailable)
	x.err = protocol.Err(protocol.CodeExpired, "too late")
	wantCode(t, "the executor's own error", b.Execute(t.Context(), p.agent, in.Env.ID, "r"), protocol.CodeExpired)
	x.err = errors.New("secret detail of the store")
	if err := b.Execute(t.Context(), p.agent, in.Env.ID, "r"); protocol.CodeOf(err) != protocol.CodeInternal || strings.Contains(err.Error(), "secret detail") {
		t.Errorf("another error: %v", err)
	}
}

// A writer with full access to Redis can at most have a recovery looked at: an operation
// is never a call, and only ids travel between nodes.
func TestT10_NodesTakeNoOperationFromEachOther(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	p.serve = func(context.Context, protocol.Method, []byte) (any, error) {
		t.Error("the agent was called")
		return nil, nil
	}
	p.dial(n)
	packed, err := packCall(remoteCall{in.to(), protocol.MethodPerform, protocol.PriorityRecovery}, []byte(`{}`))
	must(t, err)
	for _, b := range [][]byte{packed, nil, {0}, {255, 255, 1}, []byte("\x00\x02{}"), append([]byte{0, 200}, packed...)} {
		if _, err := decodeAnswer(n.serveCall(t.Context(), "another node", b)); err == nil {
			t.Errorf("served %q", b)
		}
	}
	for _, b := range []string{"", "null", "{}", "[", `{"to":{"agent":""},"recovery":"r"}`} {
		if _, err := decodeAnswer(n.serveExecute(t.Context(), "another node", []byte(b))); err == nil {
			t.Errorf("executed %q", b)
		}
	}
}

func TestAnOutcomeForAnotherContextIsNoOutcome(t *testing.T) {
	in := install(t)
	x := &executions{out: make(chan protocol.Outcome, 1), req: protocol.PerformRequest{Context: protocol.Context{1}}, row: in.requested(t, nil)}
	n := in.start(t, func(c *Config) { c.Executor = x.executor("a") })
	p := in.enrolled(t, n)
	p.serve = func(context.Context, protocol.Method, []byte) (any, error) {
		return protocol.Outcome{Context: protocol.Context{2}, State: protocol.Done}, nil
	}
	p.dial(n)
	wantCode(t, "execute", n.Execute(t.Context(), p.agent, in.Env.ID, "r"), protocol.CodeInternal)
}

func TestAStoppingNodeSaysGoodbyeAndFinishesItsCalls(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	entered, release := make(chan struct{}), make(chan struct{})
	p.serve = func(_ context.Context, _ protocol.Method, body []byte) (any, error) {
		close(entered)
		<-release
		return json.RawMessage(body), nil
	}
	l := p.dial(n)
	called := make(chan error, 1)
	go func() { called <- n.echo(t, in.to()) }()
	<-entered
	stopped := make(chan struct{})
	go func() { defer close(stopped); n.stop() }()
	if e := <-l.events; !strings.HasPrefix(e, protocol.EventGoAway+" ") || protocol.Spread(strings.TrimPrefix(e, protocol.EventGoAway+" ")) < comeBackMin {
		t.Errorf("event %q", e)
	}
	close(release)
	if err := <-called; err != nil {
		t.Errorf("the running call: %v", err)
	}
	var ended *protocol.CloseError
	<-l.ended
	if !errors.As(l.err, &ended) || ended.Code != protocol.CloseComeBack || protocol.Spread(ended.Reason) < comeBackMin {
		t.Errorf("closed with %v", l.err)
	}
	<-stopped
	wantCode(t, "call after the end", n.echo(t, in.to()), protocol.CodeUnavailable)
}

func TestTunnelsOutliveTheServerTheyCameThrough(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	l := p.dial(n)
	old := n.server
	n.serve() // a reload of the edge: new handlers, the old server ends
	_ = old.Config.Close()
	must(t, n.echo(t, in.to()))
	select {
	case <-l.ended:
		t.Error("the tunnel ended with the server")
	default:
	}
	p.dial(n).leave()
}

func TestNothingIsLeftBehind(t *testing.T) {
	in := install(t)
	before := runtime.NumGoroutine()
	n := in.start(t)
	p := in.enrolled(t, n)
	idle := func() int { runtime.GC(); return runtime.NumGoroutine() }
	var links []*link
	p.dial(n).leave()
	testenv.Eventually(t, "quiet", func() bool { return len(n.roster.all()) == 0 })
	quiet := idle()
	const many = 20
	for range many {
		q := newProcess(t)
		q.ticket = in.newTicket(t)
		links = append(links, q.dial(n))
	}
	// Each tunnel costs one goroutine here and one at the agent's end, which this process holds too.
	testenv.Eventually(t, "one goroutine for each idle tunnel", func() bool { return idle() <= quiet+2*many })
	n.stop()
	for _, l := range links {
		<-l.ended
	}
	testenv.Eventually(t, "no goroutine is left", func() bool { return idle() <= before })
	if t.Failed() {
		var b bytes.Buffer
		buf := make([]byte, 1<<20)
		b.Write(buf[:runtime.Stack(buf, true)])
		fmt.Println(b.String())
	}
}

func TestStatusShowsEveryNodesTunnels(t *testing.T) {
	in := install(t)
	a, b := in.start(t), in.start(t)
	meet(t, a, b)
	p := in.enrolled(t, a)
	p.dial(a)
	p.dial(b)
	status := agentStatus(t, b, p.agent)
	if status.State != protocol.AgentActive || status.Version != "test" || status.Name != "host" || status.Fingerprint == "" || len(status.Tunnels) != 2 {
		t.Errorf("status %+v", status)
	}
	for _, c := range status.Tunnels {
		if c.Node == "" || c.Instance != p.instance || c.Address != "127.0.0.1" || time.Since(c.LastHeard) > within || c.Since.IsZero() {
			t.Errorf("tunnel %+v", c)
		}
	}
	if all, err := b.Status(t.Context(), "another environment"); err != nil || len(all) != 0 {
		t.Errorf("another environment: %v, %v", all, err)
	}
}
