package agent

import (
	"context"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// Rhythm of telling the hub that the directory changed.
const (
	tellEvery = 500 * time.Millisecond // many changes at once are one message
	watchAnew = 30 * time.Second       // after the directory was lost
)

// spread tells the hub of changes in the directory until ctx ends, where its kind can
// tell. The hub then asks what changed: the message itself says nothing.
func (s *service) spread(ctx context.Context, tell func()) {
	w, ok := s.dir.(directory.Watcher)
	if !ok {
		return
	}
	news := make(chan struct{}, 1)
	changed := func() {
		select {
		case news <- struct{}{}:
		default: // one waits to be told already
		}
	}
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		announce(ctx, news, tell)
	}()
	for ctx.Err() == nil {
		err := w.Watch(ctx, changed)
		switch {
		case ctx.Err() != nil:
			return
		case protocol.CodeOf(err) == protocol.CodeUnsupported:
			s.log.Info("the directory does not tell of changes; the hub asks each hour", "error", err)
			<-ctx.Done()
			return
		}
		s.log.Warn("the directory is not watched; it is tried again", "error", withoutAddresses(errorText(err)))
		wait(ctx, watchAnew)
	}
}

func errorText(err error) string {
	if err == nil {
		return "it ended"
	}
	return err.Error()
}

// announce calls tell for what is in news, not too often.
func announce(ctx context.Context, news <-chan struct{}, tell func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
			tell()
		}
		if !wait(ctx, tellEvery) {
			return
		}
	}
}

// announce tells one node of the hub that the directory changed. Without a tunnel nobody
// is told: a hub that has been away asks by itself.
func (m *tunnels) announce() {
	m.mu.Lock()
	var list []*tunnel
	for t, live := range m.open {
		if live && t.welcome.State == protocol.AgentActive {
			list = append(list, t)
		}
	}
	m.mu.Unlock()
	for _, t := range list {
		if t.link.Event(protocol.EventChanged, protocol.Empty{}) == nil {
			return
		}
	}
}
