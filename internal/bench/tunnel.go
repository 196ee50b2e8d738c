package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// window is how long one cell of a round is driven.
const window = 500 * time.Millisecond

// crowd are the numbers of callers at once.
var crowd = []int{1, 16, 256}

// measureTunnel drives round trips of 256 bytes asked and 512 answered through one
// connection to another process: a raw echo, a tunnel whose other end answers at once,
// and the product's agent with a directory that does. Callers of the hub's side go
// through tunnel.Tunnels, which re-reads the agent's standing from the store each time.
// The echo is gorilla with its defaults, one message for each question and answer, in a
// process of its own, its messages as long as the tunnel's frames; it has no Noise. One
// caller is compared with it on the same lane, several with the one without TLS, which is
// the faster; what TLS costs it has rows of its own.
func measureTunnel(s *stage, rounds int) []row {
	lanes := []*lane{newLane(s, "plain", false), newLane(s, "TLS", true)}
	for range rounds {
		for _, callers := range crowd {
			for _, l := range lanes {
				l.round(s, callers)
			}
		}
	}
	return append(lanes[0].rows(lanes[0]), lanes[1].rows(lanes[0])...)
}

// A lane is one way to the other process, with everything that is driven on it.
type lane struct {
	name                string
	raw, tunnel, lookup func(context.Context) error
	got                 map[cell]series
}

// A cell is a quantity of one peer with so many callers.
type cell struct {
	peer    string
	callers int
}

func newLane(s *stage, name string, secure bool) *lane {
	h := startHub(s, store.Config{Dir: s.disk()}, secure)
	peer := h.enrolKeys(s, 1)[0]
	startSelf(s, "agents", agentsSetup{URL: h.url, CAFile: h.caFile, HubKey: h.keys.Public, Keys: []protocol.Keys{peer.keys}})
	_, ticket := h.enrol(s, program{self(s), []string{childWord, "agent"}}, "custom", `kind = "bench"`)
	asked, known := filled(askedBytes-callOverhead), protocol.Ref{Identifier: "kim@example.com"}
	return &lane{
		name: name, raw: dialEcho(s, secure), got: map[cell]series{},
		tunnel: func(ctx context.Context) error {
			var answer json.RawMessage
			return h.tunnels.Call(ctx, h.to(peer.directory), protocol.MethodGet, protocol.PriorityLookup, asked, &answer)
		},
		lookup: func(ctx context.Context) error {
			var found protocol.AccountList
			return h.tunnels.Call(ctx, h.to(ticket.Directory), protocol.MethodGet, protocol.PriorityLookup, known, &found)
		},
	}
}

// callOverhead is what a frame has before its body: the raw echo's message is as long as
// the tunnel's frame.
const callOverhead = 14 + 5

// round drives every peer with so many callers: one caller is measured by its wait,
// several by how much they get done.
func (l *lane) round(s *stage, callers int) {
	for _, p := range []struct {
		name string
		ask  func(context.Context) error
	}{{"raw", l.raw}, {"tunnel", l.tunnel}, {"lookup", l.lookup}} {
		rate, waits := drive(s, callers, p.ask)
		if callers == 1 {
			rate = waits.median()
		}
		c := cell{p.name, callers}
		l.got[c] = append(l.got[c], rate)
	}
}

// rows compares with the raw echo on the same lane for one caller, and with the plain
// one for several.
func (l *lane) rows(plain *lane) (rows []row) {
	goals := map[cell]goal{}
	if l != plain {
		goals = map[cell]goal{{"tunnel", 1}: atMost(1.5), {"tunnel", 16}: atLeast(1.4), {"tunnel", 256}: atLeast(1.4)}
		for _, callers := range crowd[1:] {
			c := cell{"raw", callers}
			rows = append(rows, row{name: fmt.Sprintf("tunnel: the raw echo itself, %s, c=%d", l.name, callers), unit: "/s", anchor: "raw echo, plain", base: plain.got[c], ours: l.got[c]})
		}
	}
	for _, peer := range []struct{ name, text string }{{"tunnel", "tunnel: round trip"}, {"lookup", "tunnel: look-up by the agent"}} {
		for _, callers := range crowd {
			c := cell{peer.name, callers}
			r := row{name: fmt.Sprintf("%s, %s, c=%d", peer.text, l.name, callers), unit: "/s", anchor: "raw echo, plain", base: plain.got[cell{"raw", callers}], ours: l.got[c], goal: goals[c]}
			if callers == 1 {
				r.unit, r.anchor, r.base = "µs", "raw echo, "+l.name, l.got[cell{"raw", callers}]
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// drive asks with so many callers for a window. It returns answers per second and how
// long each was waited for, in microseconds.
func drive(s *stage, callers int, ask func(context.Context) error) (rate float64, joined series) {
	s.need(ask(s.ctx)) // warm
	var failed atomic.Pointer[error]
	waits := make([]series, callers)
	began := time.Now()
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for last := time.Now(); last.Sub(began) < window; {
				if err := ask(s.ctx); err != nil {
					failed.Store(&err)
					return
				}
				now := time.Now()
				waits[i] = append(waits[i], float64(now.Sub(last))/float64(time.Microsecond))
				last = now
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	if err := failed.Load(); err != nil {
		s.Fatal(*err)
	}
	for _, w := range waits {
		joined = append(joined, w...)
	}
	return float64(len(joined)) / took.Seconds(), joined
}

// dialEcho starts the raw echo in a process of its own and returns how to ask it:
// many callers share the connection, and answers come in order.
func dialEcho(s *stage, secure bool) func(context.Context) error {
	setup := echoSetup{Port: testenv.FreePort(s)}
	url, caFile := fmt.Sprintf("http://127.0.0.1:%d", setup.Port), ""
	if secure {
		setup.CertDir = testenv.Dir(s)
		_, err := testenv.WriteCertificate(setup.CertDir, "127.0.0.1")
		s.need(err)
		url, caFile = "https"+url[len("http"):], filepath.Join(setup.CertDir, "ca.pem")
	}
	startSelf(s, "echo", setup)
	ws, err := dial(s.ctx, url, caFile)
	s.need(err)
	e := &echoClient{ws: ws, question: filled(askedBytes), waiting: make(chan chan struct{}, 1024), ended: make(chan struct{})}
	go e.read()
	s.Cleanup(func() {
		_ = ws.Close()
		<-e.ended
	})
	return e.ask
}

type echoClient struct {
	ws       *websocket.Conn
	question []byte
	waiting  chan chan struct{} // in the order of the questions
	ended    chan struct{}
	mu       sync.Mutex // of writing
}

func (e *echoClient) ask(context.Context) error {
	answered := make(chan struct{})
	e.mu.Lock()
	e.waiting <- answered
	err := e.ws.WriteMessage(websocket.BinaryMessage, e.question)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-answered:
		return nil
	case <-e.ended:
		return context.Canceled
	}
}

func (e *echoClient) read() {
	defer close(e.ended)
	for {
		if _, _, err := e.ws.ReadMessage(); err != nil {
			return
		}
		close(<-e.waiting)
	}
}
