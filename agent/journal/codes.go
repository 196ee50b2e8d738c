package journal

import (
	"slices"
	"time"
)

// A Code is a code that the agent sent for one recovery. A new one replaces it.
type Code struct {
	Recovery string `json:"recovery"`
	MAC      []byte `json:"mac"`     // keyed hash of the code, never the code
	Expires  int64  `json:"expires"` // Unix seconds
	At       int64  `json:"at"`
}

// A Try is one attempt at a code.
type Try struct {
	Recovery string `json:"recovery"`
	OK       bool   `json:"ok"`
	At       int64  `json:"at"`
}

// codes is what is known of the codes of one recovery. It is a record of its own
// when the journal is rewritten.
type codes struct {
	Recovery string  `json:"recovery"`
	Current  *Code   `json:"current,omitempty"`
	Tries    int     `json:"tries,omitempty"` // failed ones at the current code
	Proven   bool    `json:"proven,omitempty"`
	Sends    []int64 `json:"sends,omitempty"`
	Failed   []int64 `json:"failed,omitempty"`
}

func (c *codes) sent(n Code) {
	c.Current, c.Tries = &n, 0
	c.Sends = append(c.Sends, n.At)
}

func (c *codes) tried(t Try) {
	if t.OK {
		c.Proven, c.Current = true, nil // single use
		return
	}
	c.Tries++
	c.Failed = append(c.Failed, t.At)
}

func (c *codes) lastFailed() int64 {
	if len(c.Failed) == 0 {
		return 0
	}
	return c.Failed[len(c.Failed)-1]
}

// A CodeState is what decides about sending or checking a code.
type CodeState struct {
	Code   *Code // the one that can be typed now; nil if there is none
	Tries  int   // failed ones at Code
	Proven bool  // the right one was typed
	Sends  int   // to the account of the recovery in the last hour
	Failed int   // wrong codes for that account in the last day
}

// CodeState reads the state for a recovery that was begun here.
func (j *Journal) CodeState(recovery string) (CodeState, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.byID[recovery]
	if e == nil || e.dropped {
		return CodeState{}, ErrNotBegun
	}
	s := CodeState{Code: e.code.Current, Tries: e.code.Tries, Proven: e.code.Proven}
	hour, day := j.now().Add(-time.Hour).Unix(), j.now().Add(-keepFailed).Unix()
	for _, o := range j.byID {
		if o.Account == e.Account {
			s.Sends += since(o.code.Sends, hour)
			s.Failed += since(o.code.Failed, day)
		}
	}
	return s, nil
}

func since(times []int64, t int64) int {
	n := 0
	for _, at := range slices.Backward(times) {
		if at <= t {
			break
		}
		n++
	}
	return n
}

// CodeSent writes that a code is about to be sent.
func (j *Journal) CodeSent(c Code) error {
	c.At = j.now().Unix()
	return j.write(record{CodeSent: &c}, func() error { return j.begunLocked(c.Recovery) })
}

// CodeTried writes the end of an attempt, before anybody is told of it.
func (j *Journal) CodeTried(t Try) error {
	t.At = j.now().Unix()
	return j.write(record{CodeTried: &t}, func() error { return j.begunLocked(t.Recovery) })
}

func (j *Journal) begunLocked(id string) error {
	if e := j.byID[id]; e == nil || e.dropped {
		return ErrNotBegun
	}
	return nil
}
