package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/witness"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
)

// openWitness reads what was seen of the hub's audit log. The caller holds the state
// folder.
func (s *service) openWitness(cfg witness.Settings) (err error) {
	s.witness, err = witness.Open(s.witnessConfig(cfg))
	return err
}

func (s *service) witnessConfig(sinks witness.Settings) witness.Config {
	c := heads(s.id, s.state)
	c.Name, c.Key, c.Sinks, c.Now, c.Log = protocol.Witness(s.id.Agent), s.id.keys.sign, sinks, s.now, s.log
	return c
}

// heads is what reading the state of a folder needs.
func heads(id *Identity, state string) witness.Config {
	c := witness.Config{Dir: state, Origin: auditlog.Origin(id.HubName)}
	copy(c.Fingerprint[:], id.LogKey)
	return c
}

// Heads returns what the agent of a state folder has seen of the hub's audit log. It may
// be asked while the agent runs.
func Heads(state string) (witness.View, error) {
	id, err := readIdentity(state)
	if err != nil {
		return witness.View{}, err
	}
	return witness.Look(heads(id, state))
}

// proven refuses a request that is not shown to have an entry of its own in the hub's
// audit log: the agent acts on nothing that could be hidden afterwards (T8). It is asked
// of an operation alone, because nothing else that a hub can ask changes an account or
// lets anybody in: a code's message reaches its owner, and what forgets a passkey or ends
// a recovery takes power away and is told to the owner. All of it is in the event log.
func (s *service) proven(j job) error {
	leaf, err := s.witness.Check(j.request.Log)
	if err != nil {
		return s.logError(err)
	}
	e, err := requestedOf(leaf)
	if err != nil {
		return protocol.Err(protocol.CodeLogUnproven, "the audit log's entry: "+err.Error())
	}
	want := protocol.RequestedEntry{Context: j.context.String(), Agent: s.id.Agent, Directory: s.id.Directory, Operation: j.recovery.Operation}
	if e != want {
		return protocol.Err(protocol.CodeLogUnproven, "the audit log's entry is of another request")
	}
	return nil
}

// logError is what the hub is told of a proof that does not hold.
func (s *service) logError(err error) *protocol.Error {
	var e *protocol.Error
	switch {
	case errors.Is(err, witness.ErrBehind):
		e = protocol.Err(protocol.CodeLogBehind, "the proof does not begin at what this agent has seen of the audit log")
	case errors.Is(err, witness.ErrStopped):
		return s.stopped()
	case errors.Is(err, witness.ErrNoSink), errors.Is(err, witness.ErrFailed):
		return protocol.Err(protocol.CodeUnavailable, "the agent cannot put the audit log's checkpoint where its file says; look at its log and its disk")
	default:
		return protocol.Err(protocol.CodeLogUnproven, err.Error())
	}
	e.LogSize = s.witness.Last()
	return e
}

// stopped is the refusal of everything while two histories of the audit log are not
// decided about, or nil (T9).
func (s *service) stopped() *protocol.Error {
	hash := s.witness.Stopped()
	if hash == "" {
		return nil
	}
	e := protocol.Err(protocol.CodeLogInconsistent, "the hub showed two histories of its audit log; this agent does nothing until its administrator runs postern-agent accept-log")
	e.LogSize, e.LogHash = s.witness.Last(), hash
	return e
}

// requestedOf reads the leaf of an operation that was requested. One that could be read
// in two ways is refused: people and programs must see in it what this agent sees. So
// names count as they are spelled, unlike encoding/json's, which takes a long s for an s.
func requestedOf(leaf []byte) (out protocol.RequestedEntry, err error) {
	if err := unambiguous(leaf); err != nil {
		return out, err
	}
	var l map[string]json.RawMessage
	var kind string
	var detail map[string]any
	if json.Unmarshal(leaf, &l) != nil || json.Unmarshal(l["kind"], &kind) != nil {
		return out, errors.New("it cannot be read")
	}
	if kind != protocol.RequestedKind || json.Unmarshal(l[protocol.RequestedKind], &detail) != nil {
		return out, fmt.Errorf("it is of the kind %q", kind)
	}
	for name, to := range map[string]*string{"context": &out.Context, "agent": &out.Agent, "directory": &out.Directory, "operation": &out.Operation} {
		*to, _ = detail[name].(string) // an empty one is nobody's
	}
	return out, nil
}

// maxDepth of a leaf's JSON; the hub's have four.
const maxDepth = 16

// unambiguous refuses JSON in which a name stands twice in one object, in whatever case:
// readers would differ about which of them counts.
func unambiguous(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := unambiguousValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind it")
	}
	return nil
}

func unambiguousValue(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil || depth > maxDepth {
		return errors.New("it cannot be read")
	}
	open, nested := t.(json.Delim)
	if !nested {
		return nil
	}
	names := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return errors.New("it cannot be read")
			}
			text, _ := name.(string) // names are
			if text = strings.ToLower(text); names[text] {
				return errors.New("a name stands twice in it")
			}
			names[text] = true
		}
		if err := unambiguousValue(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("it cannot be read")
	}
	return nil
}

// witnessed takes the newest checkpoint of the audit log and signs it.
func (s *service) witnessed(ctx context.Context, q protocol.WitnessRequest, e *event) (any, error) {
	if err := s.obey(ctx); err != nil {
		return nil, err
	}
	c, line, err := s.witness.Witness(q.Checkpoint, q.Public, q.From, q.Consistency)
	if err != nil {
		return nil, s.logError(err)
	}
	e.Count = int(c.Size)
	return protocol.Witnessed{Size: c.Size, Signature: line, Failing: slices.Sorted(maps.Keys(s.witness.Failing()))}, nil
}

// acceptHere makes the history that stopped this agent the one that counts.
func (s *service) acceptHere(hash string, e *event) error {
	e.Operation = orderAccept + hash
	err := s.witness.Accept(hash)
	if errors.Is(err, witness.ErrNotOffered) {
		e.refuse(err)
		return nil
	}
	return err
}
