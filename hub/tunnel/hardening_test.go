package tunnel

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/carrier"
)

// interceptor is a wire on which somebody who broke TLS sits: it sees what the agent
// sends, and can send more, or other bytes.
type interceptor struct {
	*carrier.Conn
	mu     sync.Mutex
	seen   [][]byte
	change func([]byte) [][]byte // what is sent instead; nil: the message as it is
}

func (i *interceptor) WriteMessage(b []byte) error {
	i.mu.Lock()
	i.seen = append(i.seen, slices.Clone(b))
	change := i.change
	i.mu.Unlock()
	if change == nil {
		return i.Conn.WriteMessage(b)
	}
	for _, m := range change(slices.Clone(b)) {
		if err := i.Conn.WriteMessage(m); err != nil {
			return err
		}
	}
	return nil
}

// dialThrough opens a tunnel through an interceptor.
func (p *process) dialThrough(t *testing.T, n *node) (*interceptor, *protocol.Link) {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}}
	ws, _, err := d.Dial("ws"+strings.TrimPrefix(n.server.URL, "http")+protocol.Path, nil)
	must(t, err)
	i := &interceptor{Conn: carrier.New(ws)}
	hello := protocol.Hello{Agent: p.agent, Instance: p.instance, Time: time.Now()}
	l, _, err := protocol.Dial(t.Context(), i, p.keys, n.keys.Public, hubName, hello, linkHandler{p, nil})
	must(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = l.Run(context.Background()) }()
	t.Cleanup(func() { l.Close(protocol.CloseNormal, ""); <-ended })
	testenv.Eventually(t, "the hub is ready for the tunnel", func() bool {
		return slices.ContainsFunc(n.roster.all(), func(c *conn) bool { return c.attached() != nil })
	})
	return i, l
}

func TestP13_AReplayedMessageEndsTheTunnel(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	for name, pick := range map[string]func(seen [][]byte) []byte{
		"the handshake": func(seen [][]byte) []byte { return seen[0] },
		"the hello":     func(seen [][]byte) []byte { return seen[1] },
		"a reply":       func(seen [][]byte) []byte { return seen[len(seen)-1] },
	} {
		i, _ := p.dialThrough(t, n)
		must(t, n.echo(t, in.to()))
		i.mu.Lock()
		replayed := slices.Clone(pick(i.seen))
		i.change = func([]byte) [][]byte { return [][]byte{replayed} }
		i.mu.Unlock()
		wantCode(t, "a call answered by "+name, n.echo(t, in.to()), protocol.CodeInternal)
		testenv.Eventually(t, name+" replayed ends the tunnel", func() bool { return len(n.roster.all()) == 0 })
	}
}

func TestT28_AChangedReplyIsNoReply(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	for name, change := range map[string]func([]byte) [][]byte{
		"a bit flipped": func(b []byte) [][]byte { b[len(b)/2] ^= 1; return [][]byte{b} },
		"cut off":       func(b []byte) [][]byte { return [][]byte{b[:len(b)-1]} },
		"held back":     func(b []byte) [][]byte { return [][]byte{b[:0]} },
		"twice":         func(b []byte) [][]byte { return [][]byte{b, b} },
	} {
		i, _ := p.dialThrough(t, n)
		i.mu.Lock()
		i.change = change
		i.mu.Unlock()
		var got json.RawMessage
		err := n.Call(t.Context(), in.to(), protocol.MethodGet, protocol.PriorityLookup, protocol.Ref{ID: "x"}, &got)
		if name != "twice" {
			wantCode(t, name, err, protocol.CodeInternal)
		}
		testenv.Eventually(t, name+": the tunnel ends", func() bool { return len(n.roster.all()) == 0 })
	}
}

func TestT28_TheHubsKeyAndNameArePinned(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	other, err := protocol.GenerateKeys()
	must(t, err)
	for name, dial := range map[string]func(w protocol.Wire, h protocol.Hello) error{
		"another hub key": func(w protocol.Wire, h protocol.Hello) error {
			_, _, err := protocol.Dial(t.Context(), w, p.keys, other.Public, hubName, h, linkHandler{p, nil})
			return err
		},
		"another hub name": func(w protocol.Wire, h protocol.Hello) error {
			_, _, err := protocol.Dial(t.Context(), w, p.keys, n.keys.Public, "evil.example.com", h, linkHandler{p, nil})
			return err
		},
	} {
		if dial(carrier.New(rawSocket(t, n)), protocol.Hello{Agent: p.agent, Instance: p.instance}) == nil {
			t.Errorf("%s: the handshake succeeded", name)
		}
	}
	if len(n.roster.all()) != 0 {
		t.Error("a tunnel is open")
	}
}

func TestMalformedHellosAreRefused(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := in.enrolled(t, n)
	long := strings.Repeat("x", maxWords+1)
	for name, h := range map[string]protocol.Hello{
		"no instance":                 {},
		"long instance":               {Instance: strings.Repeat("x", maxInstance+1)},
		"long name":                   {Instance: "i", Name: long},
		"long version":                {Instance: "i", Version: long},
		"long guard":                  {Instance: "i", GuardHash: long},
		"ticket, no key":              {Instance: "i", Ticket: "t"},
		"ticket, key of another size": {Instance: "i", Ticket: "t", SignKey: make([]byte, 31)},
	} {
		_, _, err := protocol.Dial(t.Context(), carrier.New(rawSocket(t, n)), p.keys, n.keys.Public, hubName, h, linkHandler{p, nil})
		if protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}
