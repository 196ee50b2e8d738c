package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pipeWire is one end of an in-memory wire. Whatever it carries is also recorded.
type pipeWire struct {
	in, out chan []byte
	done    chan struct{}
	end     *sync.Once
	closed  *atomic.Pointer[CloseError]
	tap     func([]byte)
}

func newPipe() (a, b *pipeWire) {
	x, y, done, once, closed := make(chan []byte, 64), make(chan []byte, 64), make(chan struct{}), &sync.Once{}, &atomic.Pointer[CloseError]{}
	return &pipeWire{x, y, done, once, closed, nil}, &pipeWire{y, x, done, once, closed, nil}
}

func (p *pipeWire) ReadMessage() ([]byte, error) {
	select {
	case b := <-p.in:
		return b, nil
	case <-p.done:
		select {
		case b := <-p.in: // what was sent before the end arrives before it
			return b, nil
		default:
		}
		return nil, p.closed.Load()
	}
}

func (p *pipeWire) WriteMessage(b []byte) error {
	b = bytes.Clone(b)
	if p.tap != nil {
		p.tap(b)
	}
	select {
	case p.out <- b:
		return nil
	case <-p.done:
		return p.closed.Load()
	}
}

func (p *pipeWire) Close(code int, reason string) error {
	p.end.Do(func() {
		p.closed.Store(&CloseError{code, reason})
		close(p.done)
	})
	return nil
}

// serveFunc is a Handler of one function.
type serveFunc func(ctx context.Context, m Method, body []byte) (any, error)

func (f serveFunc) ServeCall(ctx context.Context, m Method, body []byte) (any, error) {
	return f(ctx, m, body)
}
func (serveFunc) ServeEvent(string, []byte) {}

func keys(t testing.TB) Keys {
	t.Helper()
	k, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// connect makes a running link whose agent serves calls with serve.
func connect(t testing.TB, serve serveFunc, tap func([]byte)) (hub *Link) {
	t.Helper()
	aw, hw := newPipe()
	aw.tap = tap
	hubKeys, agentKeys := keys(t), keys(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		l, w, err := Dial(t.Context(), aw, agentKeys, hubKeys.Public, "id.example.com", Hello{Agent: "a1", Instance: "i1"}, serve)
		if err != nil || w.Node != "n1" {
			t.Errorf("dial: %+v %v", w, err)
			return
		}
		_ = l.Run(context.Background())
	})
	admit := func(_ context.Context, key []byte, h Hello) (Welcome, error) {
		if !bytes.Equal(key, agentKeys.Public) || h.Agent != "a1" {
			t.Errorf("admit saw key %x and hello %+v", key, h)
		}
		return Welcome{Node: "n1"}, nil
	}
	refuse := serveFunc(func(context.Context, Method, []byte) (any, error) {
		return nil, Err(CodeBadRequest, "agents do not call")
	})
	hub, _, err := Accept(t.Context(), hw, hubKeys, "id.example.com", admit, refuse)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	hub.Start(context.Background(), func(error) { close(ended) })
	t.Cleanup(func() { hub.Close(CloseNormal, ""); wg.Wait(); <-ended })
	return hub
}

func TestCallsAreAnsweredInAnyOrder(t *testing.T) {
	release := make(chan struct{})
	hub := connect(t, func(ctx context.Context, m Method, body []byte) (any, error) {
		if m == MethodList {
			<-release
		}
		return json.RawMessage(body), nil
	}, nil)
	slow := make(chan error, 1)
	go func() { slow <- hub.Call(t.Context(), MethodList, PrioritySync, "slow", nil) }()
	var got string
	if err := hub.Call(t.Context(), MethodGet, PriorityLookup, "quick", &got); err != nil || got != "quick" {
		t.Fatalf("got %q %v", got, err)
	}
	close(release)
	if err := <-slow; err != nil {
		t.Fatal(err)
	}
}

func TestALargeAnswerIsCutAndJoined(t *testing.T) {
	want := strings.Repeat("x", 3<<20)
	hub := connect(t, func(context.Context, Method, []byte) (any, error) { return want, nil }, nil)
	for _, p := range []Priority{PrioritySync, PriorityRecovery} {
		var got string
		if err := hub.Call(t.Context(), MethodList, p, Empty{}, &got); err != nil || got != want {
			t.Fatalf("priority %d: %d bytes, %v", p, len(got), err)
		}
	}
}

func TestAnAnswerAboveTheLimitIsAnErrorAndTheLinkLives(t *testing.T) {
	hub := connect(t, func(_ context.Context, m Method, _ []byte) (any, error) {
		if m == MethodList {
			return strings.Repeat("x", MaxBody+1), nil
		}
		return "ok", nil
	}, nil)
	if err := hub.Call(t.Context(), MethodList, PrioritySync, Empty{}, nil); CodeOf(err) != CodeInternal {
		t.Fatalf("got %v", err)
	}
	if err := hub.Call(t.Context(), MethodGet, PrioritySync, Empty{}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestTheDeadlineTravelsAndACancelReachesTheAgent(t *testing.T) {
	ended := make(chan error, 2)
	hub := connect(t, func(ctx context.Context, _ Method, _ []byte) (any, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline at the agent")
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	go cancel()
	if err := hub.Call(ctx, MethodGet, PriorityLookup, Empty{}, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the agent saw %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := hub.Call(ctx, MethodGet, PriorityLookup, Empty{}, nil); err == nil {
		t.Fatal("no error after the deadline")
	}
	<-ended
}

func TestABrokenTunnelSaysWhetherAnythingCanHaveHappened(t *testing.T) {
	started := make(chan struct{})
	hub := connect(t, func(ctx context.Context, _ Method, _ []byte) (any, error) {
		close(started)
		<-ctx.Done()
		return nil, nil
	}, nil)
	got := make(chan error, 1)
	go func() { got <- hub.Call(context.Background(), MethodPerform, PriorityRecovery, Empty{}, nil) }()
	<-started
	hub.Close(CloseComeBack, "test")
	if err := <-got; CodeOf(err) != CodeInternal {
		t.Errorf("mid-call: %v, want %s", err, CodeInternal)
	}
	deadline := time.Now().Add(5 * time.Second)
	for CodeOf(hub.Call(t.Context(), MethodPerform, PriorityRecovery, Empty{}, nil)) != CodeUnavailable {
		if time.Now().After(deadline) {
			t.Fatal("a call on a closed link is not CodeUnavailable")
		}
	}
}

func TestP11_AnotherHubKeyOrNameEndsTheHandshake(t *testing.T) {
	pinned, other := keys(t), keys(t)
	for name, c := range map[string]struct {
		hub     Keys
		hubName string
	}{
		"another key":  {other, "id.example.com"},
		"another name": {pinned, "evil.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			aw, hw := newPipe()
			admit := func(context.Context, []byte, Hello) (Welcome, error) { t.Error("admitted"); return Welcome{}, nil }
			var wg sync.WaitGroup
			wg.Go(func() { _, _, _ = Accept(t.Context(), hw, c.hub, c.hubName, admit, nil) })
			if _, _, err := Dial(t.Context(), aw, keys(t), pinned.Public, "id.example.com", Hello{}, nil); err == nil {
				t.Error("the agent spoke to a hub that it does not know")
			}
			wg.Wait()
		})
	}
}

func TestP11_AnInterceptorSeesAndChangesNothing(t *testing.T) {
	const canary = "Tmp-canary-7315"
	var seen []byte
	hub := connect(t, func(context.Context, Method, []byte) (any, error) { return canary, nil }, func(b []byte) { seen = append(seen, b...) })
	var got string
	if err := hub.Call(t.Context(), MethodGet, PriorityLookup, canary, &got); err != nil || got != canary {
		t.Fatal(got, err)
	}
	hub.Close(CloseNormal, "")
	if bytes.Contains(seen, []byte("canary")) {
		t.Error("the text is on the wire")
	}
}

func TestARefusalReachesTheAgentWithItsCode(t *testing.T) {
	aw, hw := newPipe()
	hubKeys := keys(t)
	admit := func(context.Context, []byte, Hello) (Welcome, error) {
		return Welcome{}, fmt.Errorf("%w: %w", Err(CodePermissionDenied, "the key was revoked"), &CloseError{CloseComeBackHourly, "revoked"})
	}
	go func() { _, _, _ = Accept(t.Context(), hw, hubKeys, "h", admit, nil) }()
	_, _, err := Dial(t.Context(), aw, keys(t), hubKeys.Public, "h", Hello{}, nil)
	if CodeOf(err) != CodePermissionDenied {
		t.Fatalf("got %v", err)
	}
	<-aw.done
	if c := aw.closed.Load(); c.Code != CloseComeBackHourly && c.Code != CloseNormal {
		t.Errorf("closed with %v", c)
	}
}

func TestTooManyOpenCallsAreRefusedAtOnce(t *testing.T) {
	release := make(chan struct{})
	hub := connect(t, func(context.Context, Method, []byte) (any, error) { <-release; return nil, nil }, nil)
	var refused, answered atomic.Int32
	var wg sync.WaitGroup
	for range maxServing + 10 {
		wg.Go(func() {
			if err := hub.Call(t.Context(), MethodGet, PriorityLookup, Empty{}, nil); CodeOf(err) == CodeUnavailable {
				if refused.Add(1) == 10 {
					close(release)
				}
			} else if err == nil {
				answered.Add(1)
			}
		})
	}
	wg.Wait()
	if refused.Load() != 10 || answered.Load() != maxServing {
		t.Errorf("refused %d, answered %d", refused.Load(), answered.Load())
	}
}

func TestEventsAndGoodbyesAreTold(t *testing.T) {
	told := make(chan string, 4)
	aw, hw := newPipe()
	hubKeys := keys(t)
	go func() {
		l, _, err := Dial(t.Context(), aw, keys(t), hubKeys.Public, "h", Hello{}, eventHandler(told))
		if err == nil {
			_ = l.Run(context.Background())
		}
	}()
	hub, _, err := Accept(t.Context(), hw, hubKeys, "h", func(context.Context, []byte, Hello) (Welcome, error) { return Welcome{}, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(hub.Event("state", AgentQuarantined), hub.GoAway("node stops"), hub.Ping()); err != nil {
		t.Fatal(err)
	}
	if a, b := <-told, <-told; a != `state "quarantined"` || b != EventGoAway+" node stops" {
		t.Errorf("told %q and %q", a, b)
	}
	hub.Close(CloseNormal, "")
}

type eventHandler chan string

func (eventHandler) ServeCall(context.Context, Method, []byte) (any, error) { return nil, nil }
func (h eventHandler) ServeEvent(name string, body []byte)                  { h <- name + " " + string(body) }

// lateWire returns from a write only after the link has ended, as a writer does that
// the scheduler forgot.
type lateWire struct {
	Wire
	armed *atomic.Bool
	ended chan struct{}
}

func (w lateWire) WriteMessage(b []byte) error {
	err := w.Wire.WriteMessage(b)
	if w.armed.Load() {
		<-w.ended
	}
	return err
}

func TestACallThatLeftIsNeverCalledUnsent(t *testing.T) {
	aw, hw := newPipe()
	hubKeys := keys(t)
	served := make(chan struct{})
	go func() {
		l, _, err := Dial(t.Context(), aw, keys(t), hubKeys.Public, "h", Hello{}, serveFunc(func(context.Context, Method, []byte) (any, error) {
			close(served)
			_ = aw.Close(CloseNormal, "died in the middle")
			return nil, nil
		}))
		if err == nil {
			_ = l.Run(context.Background())
		}
	}()
	late := lateWire{hw, &atomic.Bool{}, make(chan struct{})}
	hub, _, err := Accept(t.Context(), late, hubKeys, "h", func(context.Context, []byte, Hello) (Welcome, error) { return Welcome{}, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	late.armed.Store(true)
	go func() {
		_ = hub.Run(context.Background())
		close(late.ended)
	}()
	err = hub.Call(t.Context(), MethodPerform, PriorityRecovery, Empty{}, nil)
	<-served
	if err != nil && CodeOf(err) != CodeInternal {
		t.Errorf("the agent served it, and the caller was told: %v", err)
	}
}
