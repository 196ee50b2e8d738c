package api

import "sync"

// places are few of something on this node. No organisation takes all of them, so that one
// of them never shuts the others out.
type places struct {
	most, each int // on the node; for one organisation

	mu    sync.Mutex
	taken int
	by    map[string]int // organisation
}

func newPlaces(most, each int) *places { return &places{most: most, each: each, by: map[string]int{}} }

// take takes a place for an organisation, and reports whether there was one.
func (p *places) take(org string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.most || p.by[org] >= p.each {
		return false
	}
	p.taken++
	p.by[org]++
	return true
}

// leave gives a place back.
func (p *places) leave(org string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.by[org]--; p.by[org] == 0 {
		delete(p.by, org)
	}
}
