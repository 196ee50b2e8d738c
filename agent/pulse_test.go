package agent

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-id/postern/protocol"
)

// A quietWire is one end of a wire that can lose everything, and counts what it carries.
type quietWire struct {
	in, out chan []byte
	ended   chan struct{}
	lost    *atomic.Bool
	sent    atomic.Int32
}

func (w *quietWire) ReadMessage() ([]byte, error) {
	select {
	case b := <-w.in:
		return b, nil
	case <-w.ended:
		return nil, &protocol.CloseError{Code: protocol.CloseNormal}
	}
}

func (w *quietWire) WriteMessage(b []byte) error {
	w.sent.Add(1)
	if !w.lost.Load() {
		w.out <- append([]byte(nil), b...)
	}
	return nil
}

func (w *quietWire) Close(int, string) error {
	select {
	case <-w.ended:
	default:
		close(w.ended)
	}
	return nil
}

// quietTunnel is a tunnel of nobody's, and its end on the agent's side.
func quietTunnel(t *testing.T) (*tunnel, *quietWire) {
	t.Helper()
	lost, there, back := new(atomic.Bool), make(chan []byte, 9), make(chan []byte, 9)
	own := &quietWire{in: back, out: there, ended: make(chan struct{}), lost: lost}
	far := &quietWire{in: there, out: back, ended: make(chan struct{}), lost: lost}
	keys := make([]protocol.Keys, 2)
	for i := range keys {
		var err error
		if keys[i], err = protocol.GenerateKeys(); err != nil {
			t.Fatal(err)
		}
	}
	admit := func(_ context.Context, _ []byte, _ protocol.Hello) (protocol.Welcome, error) {
		return protocol.Welcome{State: protocol.AgentActive}, nil
	}
	go func() {
		if l, _, err := protocol.Accept(t.Context(), far, keys[0], "hub.example", admit, refusing{}); err == nil {
			_ = l.Run(t.Context())
		}
	}()
	l, w, err := protocol.Dial(t.Context(), own, keys[1], keys[0].Public, "hub.example", protocol.Hello{}, refusing{})
	if err != nil {
		t.Fatal(err)
	}
	return &tunnel{link: l, welcome: w, log: slog.New(slog.DiscardHandler), leaving: make(chan struct{})}, own
}

func TestAnIdleTunnelIsPingedFourTimesAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tun, w := quietTunnel(t)
		ctx, cancel := context.WithCancel(t.Context())
		w.sent.Store(0)
		ended := make(chan error, 1)
		go func() { ended <- tun.run(ctx) }()
		<-time.After(10*time.Minute + time.Second) // of the bubble's clock
		if n := w.sent.Load(); n < 39 || n > 40 {
			t.Errorf("%d messages in ten minutes, want 40", n)
		}
		cancel()
		<-ended
	})
}

func TestAHalfOpenTunnelIsNoticedInTimeForAnotherOne(t *testing.T) {
	const dialAgain = firstDelay + 2*time.Second // the hub looks at the old one, a page tries again
	for _, idle := range []time.Duration{0, 7 * time.Second, pingAfter - time.Millisecond, 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			tun, w := quietTunnel(t)
			ended := make(chan error, 1)
			go func() { ended <- tun.run(t.Context()) }()
			<-time.After(idle)
			w.lost.Store(true)
			start := time.Now()
			<-ended
			if took := time.Since(start); took+dialAgain > 24*time.Second {
				t.Errorf("idle for %v: noticed after %v", idle, took)
			}
		})
	}
}

func TestAProcessThatWasHeldUpAsksBeforeItGivesATunnelUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tun, w := quietTunnel(t)
		p := pulse{link: tun.link}
		w.sent.Store(0)
		<-time.After(time.Hour)
		if _, alive := p.feel(time.Now()); !alive || w.sent.Load() != 1 {
			t.Errorf("alive: %t; pings: %d", alive, w.sent.Load())
		}
		_ = w.Close(protocol.CloseNormal, "")
		_ = tun.link.Run(t.Context())
	})
}
