package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/agent/witness"
	"github.com/postern-id/postern/protocol"
)

// Bounds of one request's members. Real ids have 36 bytes, the longest known DN-like ids a few hundred.
const (
	maxID         = 512
	maxIdentifier = 512
	maxRequestID  = 64
	maxOrigin     = 300 // scheme, a host name of 253 bytes (RFC 1035) and a port
	maxState      = 64 << 10
)

// service answers the hub's calls for one directory, over all tunnels.
type service struct {
	id       *Identity
	dir      directory.Directory
	journal  *journal.Journal
	guard    *guard.Guard
	mail     *mailer // nil: the agent sends no mail
	sms      *texter // nil: nor text messages
	codeKey  []byte  // of the hashes of codes
	veto     *veto   // nil: nobody is asked
	statuses *statusLists
	known    *known.Store
	checker  *proof.Checker
	evidence proof.Settings
	state    string // folder
	trial    bool   // the file says evaluation = true: nothing is changed
	assessed assessments
	examined examinations
	counts   counters
	events   *eventLog
	witness  *witness.Log // what was seen of the hub's audit log
	passes   *passes
	slots    slots
	locks    accountLocks
	flights  flights
	givenUp  givenUp
	reads    contactReads
	photos   contactReads
	log      *slog.Logger
	now      func() time.Time
	alive    func() // nil: nobody waits for signs of life

	patience time.Duration // for a directory that lost an answer, while somebody waits

	asked   chan struct{}  // holds a token when somebody asked for something
	orders  sync.Mutex     // held while local orders are followed
	running sync.WaitGroup // calls
	notices sync.WaitGroup // mails to people, in the background
	ending  chan struct{}  // closed when no notice is tried again
	mu      sync.Mutex
	closing bool
}

// A call is one method of the protocol: where it queues, and what serves it.
type call struct {
	name  string
	class slotClass
	serve func(*service, context.Context, []byte, *event) (any, error)
}

// calls is the vocabulary of the agent. A method that is missing is unsupported.
var calls = map[protocol.Method]call{
	protocol.MethodDescribe:   {"describe", lookup, with((*service).describe)},
	protocol.MethodList:       {"list", bulk, with((*service).list)},
	protocol.MethodGet:        {"get", lookup, with((*service).get)},
	protocol.MethodListGroups: {"list_groups", lookup, with((*service).listGroups)},
	protocol.MethodBegin:      {"begin", recovery, with((*service).begin)},
	protocol.MethodContacts:   {"contacts", recovery, with((*service).contacts)},
	protocol.MethodSendCode:   {"send_code", recovery, with((*service).sendCode)},
	protocol.MethodCheckCode:  {"check_code", recovery, with((*service).checkCode)},
	protocol.MethodPerform:    {"perform", recovery, with((*service).perform)},
	protocol.MethodDrop:       {"drop", recovery, with((*service).drop)},
	protocol.MethodOutcome:    {"outcome", recovery, with((*service).outcome)},
	protocol.MethodRemoveKey:  {"remove_key", lookup, with((*service).removeKey)},
	protocol.MethodEvaluate:   {"evaluate", bulk, with((*service).evaluate)},
	protocol.MethodWitness:    {"witness", bulk, with((*service).witnessed)},
	protocol.MethodPhoto:      {"photo", recovery, with((*service).photo)},
	protocol.MethodExamine:    {"examine", lookup, with((*service).examine)},
}

// with decodes the body of a call.
func with[Q any](serve func(*service, context.Context, Q, *event) (any, error)) func(*service, context.Context, []byte, *event) (any, error) {
	return func(s *service, ctx context.Context, body []byte, e *event) (any, error) {
		var q Q
		dec := json.NewDecoder(bytes.NewReader(body))
		if err := dec.Decode(&q); err != nil {
			return nil, protocol.Err(protocol.CodeBadRequest, "the request cannot be read")
		}
		return serve(s, ctx, q, e)
	}
}

// serve answers one call and writes it into the event log, refusals too.
func (s *service) serve(ctx context.Context, m protocol.Method, body []byte, node string) (answer any, err error) {
	c, known := calls[m]
	if !known {
		return nil, protocol.Err(protocol.CodeUnsupported, fmt.Sprintf("this agent does not know method %d", m))
	}
	if !s.enter() {
		return nil, protocol.Err(protocol.CodeUnavailable, "the agent is stopping")
	}
	defer s.running.Done()
	defer s.busy()
	e := &event{Time: s.now(), Method: c.name, Node: node}
	start := time.Now()
	defer func() { s.record(e, start, err) }()
	defer func() {
		if broken := recover(); broken != nil {
			s.log.Error("a call broke", "method", c.name, "panic", fmt.Sprint(broken), "stack", string(debug.Stack()))
			answer, err = nil, protocol.Err(protocol.CodeInternal, "the agent has a defect; its log says more")
		}
	}()
	release, err := s.slots.take(ctx, c.class)
	if err != nil {
		return nil, err
	}
	defer release()
	return c.serve(s, ctx, body, e)
}

// enter reports whether another call may begin.
func (s *service) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.running.Add(1)
	return true
}

// stop lets no call begin any more and waits for those that run.
func (s *service) stop() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.running.Wait()
}

// record writes one line for people. A log that cannot be written stops nothing: the
// hub's audit log has the signed outcome.
func (s *service) record(e *event, start time.Time, err error) {
	e.Millis = time.Since(start).Milliseconds()
	if err != nil {
		e.refuse(err)
	}
	s.counts.add(e.Method, string(e.Code))
	if e.Method != "witness" || e.Code != "" { // those that were taken are in the sinks
		if err := s.events.write(*e); err != nil {
			s.log.Error("event log cannot be written", "error", err)
		}
	}
	level := slog.LevelDebug
	if e.Method == "perform" || e.Code != "" {
		level = slog.LevelInfo
	}
	s.log.Log(context.Background(), level, "request", "method", e.Method, "account", withoutAddresses(e.Account), "operation", e.Operation,
		"state", e.State, "replayed", e.Replayed, "code", e.Code, "message", withoutAddresses(e.Message), "ms", e.Millis)
}

// asError makes an error of a directory one that may cross the tunnel.
func asError(err error) *protocol.Error {
	var p *protocol.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return protocol.Err(protocol.CodeUnavailable, "the directory did not answer in time")
	}
	return protocol.Err(protocol.CodeInternal, err.Error())
}

// wellFormed refuses ids that no directory gives: P27 begins here, and each kind
// parses its own ids.
func wellFormed(what, text string, limit int) error {
	if text == "" || len(text) > limit || !utf8.ValidString(text) {
		return protocol.Err(protocol.CodeBadRequest, fmt.Sprintf("%s: want 1 to %d bytes of UTF-8", what, limit))
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return protocol.Err(protocol.CodeBadRequest, what+": control characters")
		}
	}
	return nil
}
