// Package verify is the contract between the flow and the methods by which a person
// proves something, one sub-package per method. A verifier never sees a browser: it
// opens a challenge for the subject and judges an answer. It counts nothing and decides
// nothing else.
package verify

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// A Subject is the person who is to prove something, as one recovery knows them. Of a
// decoy, for whom there is no account, Account, Person, Name and Contacts are empty and
// Context is random, the same for one recovery.
type Subject struct {
	Env          string
	Directory    string
	Agent        string // that began the recovery
	Recovery     string // joined id, see protocol.RecoveryID
	Verification string // what a challenge is bound to
	Action       protocol.Action
	Operation    string // canonical tasks
	Account      string // canonical immutable id; "" for a decoy
	Person       string // row id of the account
	Meant        string // row id of the account that somebody who answers a request is said to be, with whose photo people compare them; "": none
	Home         bool   // where the person lives is asked for as well
	Name         string
	Groups       []policy.Group
	Strength     policy.Strength  // how a proof that bears a name must match
	Context      protocol.Context // what evidence is bound to; zero until the recipient is known
	Recipient    []byte           // the browser's key; nil where the operation has no secret
	Proven       []policy.Method
	Terms        *protocol.Terms // what the agent asks for besides the policy; nil: nothing
	Traits       protocol.Traits
	Contacts     protocol.Contacts // read live for this recovery
	Enroll       bool              // the account is set up, not got back: changes words only
	Language     string            // BCP 47
	Client       string            // address of the browser that began
	Origin       string            // recovery domain: "https://host[:port]"
	RPID         string            // its host: RP id and name of every ceremony
	Until        time.Time         // when the challenge ends
	Device       string            // User-Agent of the browser that asks
	Address      string            // its IP address
	AskedAt      time.Time         // when the recovery began
}

// A Challenge is what Check compares an answer with.
type Challenge struct {
	Text   string          // private state, kept in the store; never holds the answer
	Masked []string        // where something will be sent, as far as Open knows
	Ask    json.RawMessage // what page and script are given; before the first proof it never depends on the account
	Case   string          // names the row that other people decide about

	// Send sends what the person answers with, and returns where to, masked. It is called
	// once the challenge is kept, because a person may answer before it returns. An error
	// means that they have nothing to answer with; another challenge is opened then. nil
	// where nothing is sent.
	Send func(ctx context.Context) (masked []string, err error)
}

// MaxAsk bounds Challenge.Ask, in bytes.
const MaxAsk = 64 << 10

// MaxAnswer bounds what is given to Check, in bytes.
const MaxAnswer = 256 << 10

// A Verdict is what a verifier says of an answer. Neither Right nor Pending is wrong.
type Verdict struct {
	Right    bool
	Pending  bool                // the answer was taken, and other people decide; see Challenge.Case
	Evidence []protocol.Evidence // for the agent; with Right at least one
	Context  *protocol.Context   // what people agreed to; nil: no agreement is bound to anything
	Claims   *evidence.Claims    // of a proof that bears a name: the flow matches it with the account
	Factor   string              // id of a thing that people enrol for themselves; see By
	Roots    policy.Roots        // what enrolled it (T17)
	Reason   string              // for the audit log, never for the person
	Unread   string              // with Right: why nobody knows whether the document was revoked, for the audit log
}

// By returns v with the factor that proved it: it is worth what enrolled that.
func (v Verdict) By(factor string, r policy.Roots) Verdict {
	v.Factor, v.Roots = factor, r
	return v
}

// A Verifier is one method. Its methods may be called from many goroutines.
type Verifier interface {
	// Method is the name by which policies ask for it.
	Method() policy.Method
	// Usable reports whether this subject can be asked at all.
	Usable(ctx context.Context, s Subject) bool
	// Open makes a challenge. An error means that the person cannot be asked; it may be
	// tried again. Methods that send nothing are opened for decoys too, and must give
	// them a challenge that looks like any other.
	Open(ctx context.Context, s Subject) (Challenge, error)
	// Check judges an answer, at most MaxAnswer bytes: what was typed, or the script's
	// JSON. The hub compares in constant time. An error says that it could not be
	// judged. A decoy's answer is judged too, and never counts.
	Check(ctx context.Context, s Subject, challenge, answer string) (Verdict, error)
}

// Attested is the verdict of a method that leaves nothing for the agent to check but
// its name.
func Attested(right bool, kind string) Verdict {
	if !right {
		return Verdict{}
	}
	return Verdict{Right: true, Evidence: []protocol.Evidence{{Type: kind}}}
}

// Digits is the length of a code that a person types.
const Digits = 8

// CleanCode takes out of a typed code what people put between digits. A text that is
// not Digits digits then gives "", which no code equals.
func CleanCode(typed string) string {
	if len(typed) > 4*Digits {
		return ""
	}
	code := strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '\u00a0' {
			return -1
		}
		return r
	}, typed)
	if len(code) != Digits || strings.Trim(code, "0123456789") != "" {
		return ""
	}
	return code
}

// Mask shortens an address so that its owner knows it and nobody else learns it.
func Mask(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return "•••"
	}
	first, size := utf8.DecodeRuneInString(address[:at])
	if size == 0 || size == at || first == utf8.RuneError {
		return "•••" + address[at:]
	}
	return string(first) + "•••" + address[at:]
}
