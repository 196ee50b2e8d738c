// Package verify is the contract between the flow and the methods by which a person
// proves something, one sub-package per method. A verifier never sees a browser: it
// sends something to the subject and judges an answer. It counts nothing and decides
// nothing else.
package verify

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/protocol"
)

// A Subject is the person who is to prove something, as one recovery knows them.
type Subject struct {
	Env          string
	Directory    string
	Agent        string // that began the recovery
	Recovery     string // joined id, see protocol.RecoveryID
	Verification string // what a challenge is bound to
	Traits       protocol.Traits
	Contacts     protocol.Contacts // read live for this recovery
	Enroll       bool              // the account is set up, not got back: changes words only
	Language     string            // BCP 47
	Origin       string            // recovery domain
	Until        time.Time         // when the challenge ends
}

// A Challenge is what Check compares an answer with. Text is kept in the store and
// never holds the answer; Masked is where something was sent.
type Challenge struct {
	Text   string
	Masked []string
}

// A Verifier is one method. Its methods may be called from many goroutines.
type Verifier interface {
	// Method is the name by which policies ask for it.
	Method() policy.Method
	// Usable reports whether this subject can be asked at all.
	Usable(s Subject) bool
	// Send makes a challenge and sends it. An error means that the person has nothing
	// to answer with; it may be tried again.
	Send(ctx context.Context, s Subject) (Challenge, error)
	// Check judges an answer, in constant time where the hub itself compares. An error
	// says that it could not be judged.
	Check(ctx context.Context, s Subject, challenge, answer string) (bool, error)
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
