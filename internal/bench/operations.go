package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/tunnel"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// Sizes of the experiment.
const (
	operationsAtOnce = 16
	operationTakes   = 50 * time.Millisecond
	longOperation    = time.Second
	lookups          = 21 // behind one long operation
)

// measureOperations has whole operations carried out, as a recovery does: begun before,
// then dispatched through the tunnel, journalled on a disk, sealed, signed. Only the
// directory behind the agent is none: it takes a while and changes nothing.
func measureOperations(s *stage, rounds int) []row {
	h := startHub(s, store.Config{Dir: s.disk()}, true)
	_, ticket := h.enrol(s, program{self(s), []string{childWord, "agent"}}, "custom", `kind = "bench"`)
	o := newOperations(s, h, ticket.Directory)
	var together, alone, idle, behind series
	for round := range rounds {
		alone = append(alone, o.together(s, round, 1))
		together = append(together, o.together(s, round, operationsAtOnce))
		a, b := o.lookups(s, round)
		idle, behind = append(idle, a), append(behind, b)
	}
	return []row{
		{name: fmt.Sprintf("operations: %d of %d ms at once", operationsAtOnce, operationTakes.Milliseconds()), unit: "ms", anchor: "one alone", base: alone, ours: together,
			goal: valueAtMost(55)},
		{name: "operations: look-up behind one of 1 s", unit: "ms", anchor: "idle", base: idle, ours: behind, goal: valueAtMost(1)},
	}
}

// operations are requests that were begun, by recovery id.
type operations struct {
	hub       *hub
	agent     string
	directory string
	recipient []byte

	mu       sync.Mutex
	requests map[string]protocol.PerformRequest
	rows     map[string]string // of the audit log, by recovery
}

func newOperations(s *stage, h *hub, directory string) *operations {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	s.need(err)
	o := &operations{hub: h, directory: directory, requests: map[string]protocol.PerformRequest{}, rows: map[string]string{}}
	o.recipient, err = seal.Encode(key.PublicKey())
	s.need(err)
	agents, err := store.Get(s.ctx, h.store, func(tx *store.Tx) ([]store.Agent, error) { return tx.Agents(s.ctx, h.env, directory) })
	s.need(err)
	o.agent = agents[0].ID
	h.execute = o.execute
	return o
}

// execute implements tunnel.Executor: the flow would read the recovery from the store.
func (o *operations) execute(ctx context.Context, _ tunnel.To, recovery string, send tunnel.Send) error {
	o.mu.Lock()
	request, row := o.requests[recovery], o.rows[recovery]
	o.mu.Unlock()
	request.Sent = time.Now().Unix()
	outcome, err := send(ctx, row, request)
	if err == nil && outcome.State != protocol.Done {
		err = fmt.Errorf("bench: the operation is %s: %w", outcome.State, outcome.Error)
	}
	return err
}

// begin begins a recovery of an account and returns its id.
func (o *operations) begin(s *stage, account string) string {
	own := make([]byte, protocol.RandomPart)
	_, _ = rand.Read(own) // never fails
	ask := protocol.BeginRequest{Recovery: own, Account: account, Operation: string(protocol.GetTemporaryPassword), Origin: "https://recovery.example.com"}
	var begun protocol.Begun
	s.need(o.hub.tunnels.Call(s.ctx, o.hub.to(o.directory), protocol.MethodBegin, protocol.PriorityRecovery, ask, &begun))
	if begun.Finding != nil {
		s.Fatal(begun.Finding)
	}
	m := protocol.Members{Recovery: protocol.RecoveryID(own, begun.Recovery), Directory: o.directory, Account: begun.Account, Operation: ask.Operation,
		Recipient: o.recipient, NotAfter: begun.NotAfter}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests[m.Recovery] = protocol.PerformRequest{ID: m.Recovery[:8], TTL: 60, Members: m, Context: m.Context()}
	return m.Recovery
}

// request writes the row of the audit log of each operation, and wakes the
// log, as a press does. What gives it its place in the log, and proves it, is part of
// carrying it out: nothing of that is done before.
func (o *operations) request(s *stage, recoveries []string) {
	s.need(o.hub.store.Tx(s.ctx, func(tx *store.Tx) error {
		for _, id := range recoveries {
			q := o.requests[id]
			row, err := audit.AppendRow(s.ctx, tx, audit.Event{Env: o.hub.env, Kind: audit.OperationRequested, Detail: protocol.RequestedEntry{
				Context: q.Context.String(), Agent: o.agent, Directory: o.directory, Operation: q.Members.Operation}})
			if err != nil {
				return err
			}
			o.rows[id] = row
		}
		return nil
	}))
	o.hub.audit.Soon()
}

// together carries out n operations at the same time and returns how long all took.
func (o *operations) together(s *stage, round, n int) float64 {
	var begun []string
	for i := range n {
		begun = append(begun, o.begin(s, fmt.Sprintf("%s/%d-%d-%d", operationTakes, round, n, i)))
	}
	o.request(s, begun)
	errs := make([]error, n)
	began := time.Now()
	var all sync.WaitGroup
	for i, recovery := range begun {
		all.Go(func() { errs[i] = o.hub.tunnels.Execute(s.ctx, o.agent, o.hub.env, recovery) })
	}
	all.Wait()
	took := millis(time.Since(began))
	for _, err := range errs {
		s.need(err)
	}
	return took
}

// lookups returns the median wait of a look-up while nothing happens, and while an
// operation is under way.
func (o *operations) lookups(s *stage, round int) (idle, behind float64) {
	idle = o.lookup(s)
	recovery := o.begin(s, fmt.Sprintf("%s/%d", longOperation, round))
	o.request(s, []string{recovery})
	ended := make(chan error, 1)
	go func() { ended <- o.hub.tunnels.Execute(s.ctx, o.agent, o.hub.env, recovery) }()
	for len(o.get(s, working)) == 0 {
		select {
		case err := <-ended:
			s.Fatalf("the operation ended early: %v", err)
		default:
		}
	}
	behind = o.lookup(s)
	if len(o.get(s, working)) == 0 {
		s.Fatal("the operation ended before the look-ups")
	}
	s.need(<-ended)
	return idle, behind
}

func (o *operations) lookup(s *stage) float64 {
	var waits series
	for range lookups {
		began := time.Now()
		o.get(s, "kim@example.com")
		waits = append(waits, millis(time.Since(began)))
	}
	return waits.median()
}

func (o *operations) get(s *stage, identifier string) []protocol.Account {
	var found protocol.AccountList
	s.need(o.hub.tunnels.Call(s.ctx, o.hub.to(o.directory), protocol.MethodGet, protocol.PriorityLookup, protocol.Ref{Identifier: identifier}, &found))
	return found.Accounts
}
