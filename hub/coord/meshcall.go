package coord

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// publishTimeout bounds one publication. It does not depend on any caller's deadline:
// a batch belongs to many.
const publishTimeout = commandTimeout

// maxWaiting bounds what waits for one peer while the coordinator is slow; who has
// more to send waits too.
const maxWaiting = maxBody

// A call is one of ours that waits for its answer.
type call struct {
	peer nodeID
	done chan struct{}
	body []byte
	err  error
}

// end settles the call. Whoever took it out of Mesh.calls calls it, once.
func (c *call) end(body []byte, err error) {
	c.body, c.err = body, err
	close(c.done)
}

// Call asks another node and returns its answer. Errors wrap ErrUnavailable if the
// request did not leave this node, or nobody there takes it, and are ErrNoAnswer, or
// ctx's, if it may have been served.
func (m *Mesh) Call(ctx context.Context, node, name string, body []byte) ([]byte, error) {
	id, err := parseNodeID(node)
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody || len(name) > maxName {
		return nil, fmt.Errorf("coord: call of %d bytes, at most %d", len(body), maxBody)
	}
	if id == m.self {
		return m.callSelf(ctx, name, body)
	}
	p, err := m.peerOf(id)
	if err != nil {
		return nil, err
	}
	number, c, err := m.openCall(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callMost)
	defer cancel()
	until, _ := ctx.Deadline()
	r := request{name, max(time.Millisecond, time.Until(until)), body}
	m.send(ctx, p, frameRequest, number, r.encode())
	select {
	case <-c.done:
		return c.body, c.err
	case <-ctx.Done():
		if m.takeCall(number) != nil {
			m.send(ctx, p, frameCancel, number, nil)
			return nil, ctx.Err()
		}
		<-c.done // the answer came at the same time
		return c.body, c.err
	}
}

// callSelf serves a call for this very node without sending it.
func (m *Mesh) callSelf(ctx context.Context, name string, body []byte) ([]byte, error) {
	h := m.handlers[name]
	if h == nil {
		return nil, fmt.Errorf("%w: nobody serves %s here", ErrUnavailable, name)
	}
	return h(ctx, m.ID(), slices.Clone(body)), nil
}

func (m *Mesh) openCall(to nodeID) (uint64, *call, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.serving {
		return 0, nil, fmt.Errorf("%w: this node is not running", ErrUnavailable)
	}
	m.lastID++
	c := &call{peer: to, done: make(chan struct{})}
	m.calls[m.lastID] = c
	return m.lastID, c, nil
}

// takeCall removes an open call, or returns nil if another did.
func (m *Mesh) takeCall(number uint64) *call {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.calls[number]
	delete(m.calls, number)
	return c
}

// send adds frames to what waits for a peer, and starts sending if nobody does. What
// gathers while one batch is on its way leaves as the next. It waits for room until
// ctx ends; then the frames are dropped.
func (m *Mesh) send(ctx context.Context, p *peer, kind frameKind, number uint64, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) > maxWaiting && len(body) > 0 {
		room := p.room
		p.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if ctx.Err() != nil {
			return
		}
	}
	p.waiting = appendFrames(p.waiting, kind, number, body)
	if kind == frameRequest {
		p.ids = append(p.ids, queued{number, len(p.waiting)})
	}
	if p.sending {
		return
	}
	if !m.begin() {
		m.fail(p.ids, ErrUnavailable)
		p.waiting, p.ids = nil, nil
		return
	}
	p.sending = true
	go m.flush(p)
}

// begin counts a piece of work that Run waits for, unless Run has ended.
func (m *Mesh) begin() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.serving {
		return false
	}
	m.work.Add(1)
	return true
}

// flush sends until nothing waits.
func (m *Mesh) flush(p *peer) {
	defer m.work.Done()
	var spare, sealed []byte
	for {
		runtime.Gosched() // others that are ready to call join this batch
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.sending = false
			p.mu.Unlock()
			return
		}
		frames, ids := p.waiting, p.ids
		p.waiting, p.ids = spare[:0], nil
		close(p.room)
		p.room = make(chan struct{})
		p.mu.Unlock()
		for sent := 0; sent < len(frames); {
			cut := sent + cutBatch(frames[sent:])
			h := header{from: m.self, to: p.id, time: m.now(), count: m.sent.Add(1), before: p.before}
			p.before = h.count
			sealed = sealBatch(sealed[:0], p.out, h, frames[sent:cut])
			if err := m.publish(p, sealed); err != nil {
				m.fail(slices.DeleteFunc(ids, func(q queued) bool { return q.end <= sent }), err)
				break
			}
			sent = cut
		}
		spare = frames
	}
}

// publish sends one batch. Nobody at the other end is an error.
func (m *Mesh) publish(p *peer, batch []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	n, err := m.coord.Publish(ctx, inboxOf(p.id), batch)
	switch {
	case err != nil && mayHaveArrived(err):
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("%w: node %s is gone", ErrUnavailable, p.id)
	}
	return nil
}

// fail ends calls whose request was not sent.
func (m *Mesh) fail(ids []queued, err error) {
	for _, q := range ids {
		if c := m.takeCall(q.number); c != nil {
			c.end(nil, err)
		}
	}
}

// receive opens one batch and hands out its frames. It is called from the bus's one
// goroutine.
func (m *Mesh) receive(b []byte) {
	p, frames, err := m.admit(b)
	if err != nil {
		if n := m.refused.Add(1); n&(n-1) == 0 { // the first, the second, the fourth …: an intruder must not fill the log
			m.log.Warn("batch between nodes refused", "refused_so_far", n, "error", err)
		}
		return
	}
	_ = eachFrame(frames, func(f frame) error { // sealed by a peer: a malformed one ends the batch
		m.take(p, f)
		return nil
	})
}

// admit checks everything about a batch and remembers that it was opened.
func (m *Mesh) admit(b []byte) (*peer, []byte, error) {
	h, err := parseHeader(b)
	if err != nil {
		return nil, nil, err
	}
	if h.to != m.self {
		return nil, nil, fmt.Errorf("coord: batch for node %s", h.to)
	}
	if d := m.now().Sub(h.time); d > clockSkew || d < -clockSkew {
		return nil, nil, fmt.Errorf("coord: batch is %v off this node's clock", d)
	}
	m.mu.Lock()
	p := m.peers[h.from]
	m.mu.Unlock()
	if p == nil {
		if p, err = m.newPeer(h.from); err != nil {
			return nil, nil, err
		}
	}
	frames, err := openBatch(p.in, h, b)
	if err != nil {
		return nil, nil, fmt.Errorf("coord: batch of node %s: %w", h.from, err)
	}
	p = m.keepPeer(p) // only now: strangers cost no memory
	p.inMu.Lock()
	defer p.inMu.Unlock()
	if h.count <= p.got {
		return nil, nil, fmt.Errorf("coord: batch of node %s replayed", h.from)
	}
	if h.before != p.got { // one was lost, and with it pieces of bodies
		clear(p.parts)
		p.partial = 0
	}
	p.got = h.count
	return p, frames, nil
}

// take handles one frame.
func (m *Mesh) take(p *peer, f frame) {
	body, whole := p.assemble(f)
	if !whole {
		return
	}
	switch f.kind {
	case frameRequest:
		m.serve(p, f.call, body)
	case frameReply, frameRefuse:
		m.answered(p, f, body)
	case frameCancel:
		p.inMu.Lock()
		cancel := p.running[f.call]
		p.inMu.Unlock()
		if cancel != nil {
			cancel()
		}
	}
}

// answered ends one of our calls, if it is one to this peer.
func (m *Mesh) answered(p *peer, f frame, body []byte) {
	m.mu.Lock()
	c := m.calls[f.call]
	if c == nil || c.peer != p.id {
		m.mu.Unlock()
		return
	}
	delete(m.calls, f.call)
	m.mu.Unlock()
	if f.kind == frameRefuse {
		c.end(nil, fmt.Errorf("%w: the other node does not take the call", ErrUnavailable))
		return
	}
	c.end(body, nil)
}

// assemble collects the frames of one body and returns it, owned by the caller, once
// it is whole.
func (p *peer) assemble(f frame) ([]byte, bool) {
	key := part{f.kind, f.call}
	p.inMu.Lock()
	defer p.inMu.Unlock()
	begun := p.parts[key]
	first, more := f.flags&flagFirst != 0, f.flags&flagMore != 0
	switch {
	case first && !more:
		return slices.Clone(f.body), true
	case first:
		begun = new([]byte)
		p.parts[key] = begun
	case begun == nil:
		return nil, false // its beginning was lost, or it was too long
	}
	p.partial += len(f.body)
	*begun = append(*begun, f.body...)
	if !more || len(*begun) > maxBody || p.partial > partialBytes {
		delete(p.parts, key)
		p.partial -= len(*begun)
	}
	return *begun, !more && len(*begun) <= maxBody
}

// serve runs the handler of a request in a goroutine of its own.
func (m *Mesh) serve(p *peer, number uint64, body []byte) {
	r, err := decodeRequest(body)
	if err != nil {
		return
	}
	h := m.handlers[r.name]
	if h == nil || !m.takeSlot() {
		m.send(m.ctx, p, frameRefuse, number, nil)
		return
	}
	if !m.begin() {
		<-m.slots
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, min(r.within, callMost))
	p.inMu.Lock()
	p.running[number] = cancel
	p.inMu.Unlock()
	go func() {
		defer m.work.Done()
		defer func() { <-m.slots }()
		defer p.ran(number, cancel)
		m.send(ctx, p, frameReply, number, h(ctx, p.id.String(), r.payload))
	}()
}

func (m *Mesh) takeSlot() bool {
	select {
	case m.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p *peer) ran(number uint64, cancel context.CancelFunc) {
	cancel()
	p.inMu.Lock()
	defer p.inMu.Unlock()
	delete(p.running, number)
}
