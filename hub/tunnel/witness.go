package tunnel

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
)

// An AuditLog is the log that agents witness.
type AuditLog interface {
	// Prove proves the row with an id, which it puts into the log first if need be, from
	// the log of from entries. audit.ErrRolledBack says that it never had so many.
	Prove(ctx context.Context, id string, from int64) (auditlog.Proof, error)
	// Head returns the newest checkpoint and its signed note.
	Head(ctx context.Context) (auditlog.Checkpoint, string, error)
	// Consistency proves that the log of to entries begins with that of from.
	Consistency(ctx context.Context, from, to int64) ([]auditlog.Hash, error)
	// Public is the log's key.
	Public() ed25519.PublicKey
}

// Rhythm of showing checkpoints to agents.
const (
	witnessTick  = 500 * time.Millisecond
	witnessLook  = 4                // ticks between two looks for new entries
	witnessEvery = 5 * time.Second  // to one agent, while nothing is asked of it
	witnessAgain = 30 * time.Second // to one that stopped: its administrator may have decided
	witnessLife  = 20 * time.Second // of one call
	witnessBurst = 64               // agents at one tick: thousands of them do not write to the store at once
)

// proofTries is how often an operation is proven anew, because the agent saw more of the
// log meanwhile: each time another operation of the same agent went through.
const proofTries = 8

// A view is what this node knows of what an agent has seen of the log.
type view struct {
	size   atomic.Int64 // from where proofs begin
	shown  atomic.Int64 // size of what it signed last to this node
	next   atomic.Int64 // not before this time, in Unix milliseconds, unless at once
	atOnce atomic.Bool
	asking atomic.Bool // one call at a time

	stopped atomic.Bool // it was shown two histories
	deaf    atomic.Bool // an agent of an older version, which knows no log
}

// said takes from the agent's hello where it stands.
func (v *view) said(h protocol.Hello) {
	v.size.Store(h.LogSize)
	v.stopped.Store(h.LogStopped != "")
	v.atOnce.Store(true)
}

// refused takes from an agent's refusal where it stands, and reports whether another
// proof may do.
func (v *view) refused(err error) (again bool) {
	var e *protocol.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case protocol.CodeLogBehind:
		v.size.Store(e.LogSize)
		return true
	case protocol.CodeLogInconsistent:
		v.size.Store(e.LogSize)
		v.stopped.Store(true)
	}
	return false
}

// saw notes that the agent has a checkpoint, unless it has a later one.
func (v *view) saw(size int64) {
	for {
		old := v.size.Load()
		if size <= old || v.size.CompareAndSwap(old, size) {
			return
		}
	}
}

// wants reports whether the head of a size is to be shown to the agent, and whether now.
func (v *view) wants(size int64, now time.Time) (ever, due bool) {
	switch {
	case v.deaf.Load():
		return false, false
	case v.atOnce.Load():
		return true, !v.asking.Load()
	}
	ever = v.stopped.Load() || v.shown.Load() < size
	return ever, ever && !v.asking.Load() && now.UnixMilli() >= v.next.Load()
}

// perform gives an operation to an agent with the proof that its entry is in the log. An
// agent that has seen more than this node thought says from where to prove; it has done
// nothing then (T8).
func (t *Tunnels) perform(ctx context.Context, c *conn, entry string, req protocol.PerformRequest) (out protocol.Outcome, err error) {
	send := func(p peer) error { return p.Call(ctx, protocol.MethodPerform, protocol.PriorityRecovery, req, &out) }
	if c.legacy() { // that protocol has no word for it
		err = t.give(ctx, c, send)
		return out, err
	}
	for range proofTries {
		if req.Log, err = t.prove(ctx, entry, c.view.size.Load()); err != nil {
			t.log.ErrorContext(ctx, "an operation cannot be proven to be in the audit log", "agent", c.Agent, "entry", entry, "error", err)
			return out, protocol.Err(protocol.CodeUnavailable, "the audit log cannot prove the operation now")
		}
		if err = t.give(ctx, c, send); !c.view.refused(err) {
			break
		}
	}
	if err == nil {
		c.view.saw(sizeOf(req.Log.Checkpoint))
	}
	t.showSoon(c) // also to one that stopped: it says so
	return out, err
}

// prove proves an entry. A log that is shorter than what the agent saw says so: only the
// administrator of the agent's machine can decide what that means (T9).
func (t *Tunnels) prove(ctx context.Context, entry string, from int64) (auditlog.Proof, error) {
	p, err := t.cfg.Audit.Prove(ctx, entry, from)
	if errors.Is(err, audit.ErrRolledBack) {
		p, err = t.cfg.Audit.Prove(ctx, entry, 0)
		p.From = from
	}
	return p, err
}

// head returns the newest checkpoint as it is shown to an agent that has seen from entries.
func (t *Tunnels) head(ctx context.Context, from int64) (c auditlog.Checkpoint, q protocol.WitnessRequest, err error) {
	q = protocol.WitnessRequest{Public: t.cfg.Audit.Public(), From: from}
	if c, q.Checkpoint, err = t.cfg.Audit.Head(ctx); err != nil {
		return c, q, err
	}
	if q.Consistency, err = t.cfg.Audit.Consistency(ctx, from, c.Size); errors.Is(err, audit.ErrRolledBack) {
		err = nil // see prove
	}
	return c, q, err
}

// sizeOf reads the size of a checkpoint of this hub, or 0.
func sizeOf(note string) int64 {
	lines := strings.SplitN(note, "\n", 3)
	if len(lines) < 3 {
		return 0
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// witnesses is the work of showing checkpoints.
type witnesses struct {
	wanted atomic.Bool // an agent is to be shown the head, though that is what it was

	mu     sync.Mutex
	signed []signed // what the store does not have yet
}

// signed is what an agent answered.
type signed struct {
	agent    identity
	witness  store.Witness
	accepted bool // it acts again
}

// showSoon shows the head to an agent at the next tick.
func (t *Tunnels) showSoon(c *conn) {
	c.view.atOnce.Store(true)
	t.witnesses.wanted.Store(true)
}

// witness shows the newest checkpoint to this node's agents until ctx ends, behind
// everything else that they are asked, and writes down what they signed (T9).
func (t *Tunnels) witness(ctx context.Context) {
	tick := time.NewTicker(witnessTick)
	defer tick.Stop()
	last, left := int64(-1), false
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		t.recordSigned(ctx)
		wanted := t.witnesses.wanted.Swap(false)
		if t.roster.empty() || !wanted && n%witnessLook != 0 {
			continue
		}
		head, _, err := t.cfg.Audit.Head(ctx)
		if err != nil {
			t.log.Warn("the audit log cannot be shown to agents", "error", err)
			continue
		}
		if wanted || left || head.Size != last {
			last, left = head.Size, t.showAll(ctx, head.Size)
		}
	}
}

// showAll starts to show the head to agents that are due. It reports whether some are
// left who have not signed it.
func (t *Tunnels) showAll(ctx context.Context, size int64) (left bool) {
	now, burst := t.now(), witnessBurst
	for _, c := range t.roster.all() {
		if c.signKey == nil || c.state != protocol.AgentActive {
			continue
		}
		ever, due := c.view.wants(size, now)
		left = left || ever
		if !due || burst == 0 || c.attached() == nil || !c.view.asking.CompareAndSwap(false, true) {
			continue
		}
		burst--
		c.view.atOnce.Store(false)
		c.view.next.Store(now.Add(witnessEvery).UnixMilli())
		show := func() {
			defer c.view.asking.Store(false)
			t.show(ctx, c)
		}
		if !t.spawn(show) {
			c.view.asking.Store(false)
		}
	}
	return left
}

// show shows the head to one agent.
func (t *Tunnels) show(ctx context.Context, c *conn) {
	ctx, cancel := context.WithTimeout(ctx, witnessLife)
	defer cancel()
	var head auditlog.Checkpoint
	var q protocol.WitnessRequest
	var w protocol.Witnessed
	var err error
	for range proofTries {
		if head, q, err = t.head(ctx, c.view.size.Load()); err != nil {
			return // the next tick says so
		}
		if head.Size == 0 {
			return
		}
		err = t.give(ctx, c, func(p peer) error { return p.Call(ctx, protocol.MethodWitness, protocol.PrioritySync, q, &w) })
		if !c.view.refused(err) {
			break
		}
	}
	t.answered(ctx, c, head, q.Checkpoint, w, err)
}

// answered takes what an agent said of a checkpoint.
func (t *Tunnels) answered(ctx context.Context, c *conn, head auditlog.Checkpoint, note string, w protocol.Witnessed, err error) {
	switch protocol.CodeOf(err) {
	case "":
	case protocol.CodeUnsupported:
		c.view.deaf.Store(true)
		return
	case protocol.CodeLogInconsistent:
		c.view.next.Store(t.now().Add(witnessAgain).UnixMilli())
		t.recordStop(ctx, c, err)
		return
	default:
		t.log.Info("an agent did not witness the audit log", "agent", c.Agent, "error", err)
		return
	}
	if _, err := head.CheckCosignature(w.Signature, protocol.Witness(c.Agent), c.signKey); err != nil {
		t.log.Warn("an agent's signature of the audit log is not its own", "agent", c.Agent, "error", err)
		return
	}
	c.view.shown.Store(head.Size)
	c.view.saw(head.Size)
	s := signed{c.identity, store.Witness{Size: head.Size, Checkpoint: note + w.Signature, Failing: strings.Join(w.Failing, " ")}, c.view.stopped.Swap(false)}
	t.witnesses.mu.Lock()
	t.witnesses.signed = append(t.witnesses.signed, s)
	t.witnesses.mu.Unlock()
}

// recordSigned writes down what agents signed since the last time, in one transaction. A
// store that is away costs these: agents sign again.
func (t *Tunnels) recordSigned(ctx context.Context) {
	t.witnesses.mu.Lock()
	list := t.witnesses.signed
	t.witnesses.signed = nil
	t.witnesses.mu.Unlock()
	if len(list) == 0 {
		return
	}
	err := t.store.Tx(ctx, func(tx *store.Tx) error {
		for _, s := range list {
			if err := tx.AgentWitnessed(ctx, s.agent.Env, s.agent.Agent, s.witness); err != nil {
				return err
			}
			if !s.accepted {
				continue
			}
			if err := audit.Append(ctx, tx, audit.Event{Env: s.agent.Env, Kind: audit.AgentLogAccepted, Actor: audit.Principal{Agent: s.agent.Agent},
				Detail: map[string]any{"agent": s.agent.Agent, "directory": s.agent.Directory, "size": s.witness.Size}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.log.Warn("what agents signed of the audit log cannot be written down", "agents", len(list), "error", err)
	}
}

// recordStop writes down, once, that an agent was shown two histories and does nothing.
func (t *Tunnels) recordStop(ctx context.Context, c *conn, why error) {
	var e *protocol.Error
	if !errors.As(why, &e) {
		return
	}
	shown := e.LogHash
	if b, err := hex.DecodeString(shown); err != nil || len(b) != sha256.Size {
		shown = "" // an agent says what it likes
	}
	t.log.Error("an agent was shown another history of the audit log and does nothing: compare both heads at its machine", "agent", c.Agent, "directory", c.Directory, "shown", shown)
	err := t.store.Tx(ctx, func(tx *store.Tx) error {
		news, err := tx.AgentStopped(ctx, c.Env, c.Agent, shown)
		if err != nil || !news {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Env: c.Env, Kind: audit.AgentLogRefused, Actor: audit.Principal{Agent: c.Agent},
			Detail: map[string]any{"agent": c.Agent, "directory": c.Directory, "shown": shown}})
	})
	if err != nil {
		t.log.Warn("that an agent stopped cannot be written down", "agent", c.Agent, "error", err)
	}
}
