package proof

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// A Case is all that one decision rests on. Nothing in it but Evidence comes from a hub.
type Case struct {
	Context   protocol.Context // recomputed by this agent
	Account   string           // whose operation it is, canonical
	Terms     Terms
	Evidence  []protocol.Evidence
	AgentCode bool             // the agent's own code was typed, for this recovery
	Person    directory.Person // members that do not count yet are empty (T16)
	Keys      []Key            // of the account, those that count (T3)
	Approvers []Approver       // those who may approve now
	// Owner returns the account that a document is tied to, or "".
	Owner func(issuer, number string) string
	// Status returns the status list token at an address; it is asked only where the file
	// says so, for a document that is the person's.
	Status func(uri string) ([]byte, error)
	Begun  time.Time // of the recovery, by this agent's clock
	Now    time.Time
}

// A Key is an enrolled passkey, with what proved it in.
type Key struct {
	evidence.Credential
	Strength Strength
}

// An Approver is a person's passkey that may approve.
type Approver struct {
	ID     string // what the challenge names
	Person string // account of the person: persons are counted (T7)
	evidence.Credential
}

// A Piece is one piece of evidence that holds.
type Piece struct {
	Method string
	Type   string
	Issuer string // of a document, or the approver's id
	Hash   [sha256.Size]byte
	Number string   // of a document: never written anywhere but as a keyed hash
	by     Strength // of a passkey: what proved it in
	person string   // of an approver
	tied   bool     // the document proved this account before
}

// A Verdict is what a case came to.
type Verdict struct {
	Pieces  []Piece
	Proven  []string // methods
	Refused []string // why other pieces do not hold, for the local log
	// Strength is what everything rests on: a passkey counts as what proved it in.
	Strength Strength
	// New are documents that proved the account together with something that
	// identifies, and are not tied to it yet.
	New []Piece
}

// Refusals of this package, behind which stands the reason in words without personal data.
var (
	errKind     = errors.New("the agent does not check this kind")
	errNobody   = errors.New("no enrolled passkey of the account that counts")
	errSubject  = errors.New("nobody approves for themselves")
	errTwice    = errors.New("the person has approved already")
	errOther    = errors.New("the document proved another account before")
	errNoPerson = errors.New("the directory has no name and birth date that count")
	errMismatch = errors.New("name or birth date are others than in the directory")
	errNoStatus = errors.New("the document names no status list, and the file requires one")
	errNoNumber = errors.New("the document has no number")
)

// Check looks at every piece, and says whether the terms are met. Pieces that do not
// hold count for nothing; the error says what is missing, in words for administrators.
func (c *Checker) Check(k Case) (Verdict, error) {
	var v Verdict
	if k.AgentCode {
		v.Pieces = append(v.Pieces, Piece{Method: MethodAgentCode, Type: evidence.TypeAgentCode})
	}
	for _, e := range k.Evidence {
		if !evidence.Verifiable(e.Type) || e.Type == evidence.TypeAgentCode { // words of the hub
			continue
		}
		p, err := c.piece(k, e, v.Pieces)
		if err != nil {
			v.Refused = append(v.Refused, e.Type+": "+err.Error())
			continue
		}
		v.Pieces = append(v.Pieces, p)
	}
	v.Proven = provenBy(v.Pieces, k.Terms)
	v.Strength = v.restsOn()
	if !k.Terms.Proven(v.Proven) {
		return v, v.missing(k.Terms)
	}
	if !identified(v) {
		return v, errors.New("a name alone never identifies: a passkey, the agent's code, an approval or a document that proved the account before is needed besides")
	}
	for _, p := range v.Pieces {
		if p.Number != "" && !p.tied {
			v.New = append(v.New, p)
		}
	}
	return v, nil
}

// missing puts together why terms are not met.
func (v Verdict) missing(t Terms) error {
	have := "nothing"
	if len(v.Proven) > 0 {
		have = strings.Join(v.Proven, " and ")
	}
	text := fmt.Sprintf("the account needs evidence that the agent checks itself, one of %v; %s holds", t.Methods, have)
	if len(v.Refused) > 0 {
		text += "; refused: " + strings.Join(v.Refused, "; ")
	}
	return errors.New(text)
}

// provenBy lists the methods that pieces prove. Approvals count as persons.
func provenBy(pieces []Piece, t Terms) []string {
	var proven []string
	var persons []string
	for _, p := range pieces {
		if p.Method == MethodApproval {
			persons = append(persons, p.person)
			if len(persons) < max(1, t.Approvals) {
				continue
			}
		}
		if !slices.Contains(proven, p.Method) {
			proven = append(proven, p.Method)
		}
	}
	return proven
}

// identified reports whether a piece says which account is meant, and not only who
// somebody is (T15). One approval does not where the terms want several.
func identified(v Verdict) bool {
	return slices.ContainsFunc(v.Pieces, func(p Piece) bool { return p.tied }) ||
		slices.ContainsFunc(v.Proven, func(m string) bool { return m == MethodPasskey || m == MethodAgentCode || m == MethodApproval })
}

// piece checks one piece.
func (c *Checker) piece(k Case, e protocol.Evidence, before []Piece) (_ Piece, err error) {
	if len(e.Raw) > evidence.MaxRaw {
		return Piece{}, evidence.ErrFormat
	}
	p := Piece{Type: e.Type, Hash: sha256.Sum256(e.Raw)}
	a := c.anchors
	a.MaxAge = max(k.Now.Sub(k.Begun), 0) + time.Minute // the context is fresh; approvals may have taken hours
	switch e.Type {
	case evidence.TypePasskey:
		p.Method = MethodPasskey
		p.by, err = passkey(k, e.Raw, a)
		return p, err
	case evidence.TypeApproval:
		return approval(p, k, e.Raw, a, before)
	}
	if kind, known := documents[e.Type]; known {
		return c.document(p, kind, k, e.Raw, a)
	}
	return p, errKind
}

// passkey checks an assertion by one of the account's enrolled keys, and says what proved
// that one in.
func passkey(k Case, raw []byte, a evidence.Anchors) (Strength, error) {
	s, err := evidence.ParseAssertion(raw)
	if err != nil {
		return Strength{}, err
	}
	i := slices.IndexFunc(k.Keys, func(o Key) bool { return bytes.Equal(o.ID, s.Credential) })
	if i < 0 {
		return Strength{}, errNobody
	}
	return k.Keys[i].Strength, evidence.CheckPasskey(raw, k.Keys[i].Credential, k.Context, a)
}

// approval checks one person's signature over the approval challenge (T7).
func approval(p Piece, k Case, raw []byte, a evidence.Anchors, before []Piece) (Piece, error) {
	var who Approver
	id, err := evidence.CheckApproval(raw, k.Context, a, func(approver string, credential []byte) (evidence.Credential, bool) {
		i := slices.IndexFunc(k.Approvers, func(o Approver) bool { return o.ID == approver && bytes.Equal(o.Credential.ID, credential) })
		if i < 0 {
			return evidence.Credential{}, false
		}
		who = k.Approvers[i]
		return who.Credential, true
	})
	switch {
	case err != nil:
		return p, err
	case who.Person == "" || strings.EqualFold(who.Person, k.Account):
		return p, errSubject
	case slices.ContainsFunc(before, func(o Piece) bool { return strings.EqualFold(o.person, who.Person) && o.Method == MethodApproval }):
		return p, errTwice
	}
	p.Method, p.Issuer, p.person = MethodApproval, id, who.Person
	return p, nil
}
