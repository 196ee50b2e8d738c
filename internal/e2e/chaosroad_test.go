//go:build chaos

package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a road does with those who come new.
const (
	roadOpen   = iota
	roadClosed // takes the connection and resets it
	roadBusy   // 502, as a proxy whose server is away
	roadSilent // takes the connection and never answers
)

// A road is what lies between an agent and a server: bytes in both directions, and
// whatever can happen to them on the way.
type road struct {
	to string

	mode     atomic.Int32
	slow     atomic.Int64 // nanoseconds that everything takes longer
	life     atomic.Int64 // nanoseconds after which each connection is cut; 0: never
	accepted atomic.Int64
	cuts     atomic.Int64

	mu    sync.Mutex
	stop  bool
	trips map[*trip]bool
	wg    sync.WaitGroup
}

// A trip is one connection of a road.
type trip struct {
	from, to net.Conn
	frozen   atomic.Bool
	ended    chan struct{}
	once     sync.Once
}

func (p *trip) end() {
	p.once.Do(func() {
		close(p.ended)
		_ = p.from.Close()
		if p.to != nil {
			_ = p.to.Close()
		}
	})
}

// openRoad opens one at each address, for the length of the test.
func openRoad(t *testing.T, to string, addresses ...string) *road {
	t.Helper()
	r := &road{to: to, trips: map[*trip]bool{}}
	var listeners []net.Listener
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		r.wg.Go(func() { r.serve(l) })
	}
	t.Cleanup(func() {
		for _, l := range listeners {
			_ = l.Close()
		}
		r.mu.Lock()
		r.stop = true
		r.mu.Unlock()
		r.cut()
		r.wg.Wait()
	})
	return r
}

func (r *road) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		r.accepted.Add(1)
		p := &trip{from: c, ended: make(chan struct{})}
		r.mu.Lock()
		if r.stop {
			r.mu.Unlock()
			_ = c.Close()
			return
		}
		r.trips[p] = true
		r.mu.Unlock()
		r.wg.Go(func() { r.travel(p) })
	}
}

// travel serves one connection to its end.
func (r *road) travel(p *trip) {
	defer func() {
		p.end()
		r.mu.Lock()
		delete(r.trips, p)
		r.mu.Unlock()
	}()
	switch r.mode.Load() {
	case roadClosed:
		_ = p.from.(*net.TCPConn).SetLinger(0)
		return
	case roadSilent:
		<-p.ended
		return
	case roadBusy:
		if _, err := http.ReadRequest(bufio.NewReader(p.from)); err == nil {
			_, _ = io.WriteString(p.from, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}
		return
	}
	to, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	r.mu.Lock() // end may run at this moment
	p.to = to
	r.mu.Unlock()
	if d := time.Duration(r.life.Load()); d > 0 {
		defer time.AfterFunc(d, func() { r.cuts.Add(1); p.end() }).Stop()
	}
	var both sync.WaitGroup
	both.Go(func() { r.carry(p, to, p.from) })
	both.Go(func() { r.carry(p, p.from, to) })
	both.Wait()
	_ = to.Close()
}

// carry copies until one side ends; what is frozen takes no more and says nothing.
func (r *road) carry(p *trip, to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if p.frozen.Load() {
			<-p.ended
		}
		if d := time.Duration(r.slow.Load()); d > 0 {
			select {
			case <-time.After(d):
			case <-p.ended:
			}
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	p.end()
}

// all are the connections of this moment.
func (r *road) all() (list []*trip) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.trips {
		list = append(list, p)
	}
	return list
}

// cut ends every connection.
func (r *road) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.trips {
		p.end()
	}
}

// freeze lets every connection stand and carry nothing any more, as after a middlebox
// forgot it.
func (r *road) freeze() {
	for _, p := range r.all() {
		p.frozen.Store(true)
	}
}
