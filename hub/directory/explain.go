package directory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// maxMessage bounds what is kept of an agent's message, in bytes.
const maxMessage = 400

// A question ends a pass until an administrator answers it.
type question struct{ store.Pending }

// Error is what the administrator reads.
func (q *question) Error() string {
	if q.Reason == store.PendingFingerprint {
		return "The agent serves another directory than before. Nothing was changed. Point the agent back, or confirm that this is the directory from now on."
	}
	return fmt.Sprintf("%d of %d accounts would disappear, more than one in ten. Nothing was removed. Look whether the agent still sees all of the directory (base DN, filter, rights); then confirm, or correct it and synchronise again.", q.Missing, q.Of)
}

// unconfirmed says that the only agent that could be asked waits for an administrator.
type unconfirmed struct{ directory, agent string }

// Error is what the administrator reads.
func (u *unconfirmed) Error() string {
	return fmt.Sprintf("An agent of this directory waits to be confirmed. Compare the fingerprint that \"postern directory agents list %[1]s\" shows with the one that postern-agent shows on its own machine; if they are equal, confirm it: postern directory agents confirm %[1]s %[2]s --fingerprint …", u.directory, u.agent)
}

// Unwrap makes it an unavailable agent for everybody else.
func (u *unconfirmed) Unwrap() error {
	return protocol.Err(protocol.CodeUnavailable, "no agent of this directory is active")
}

// advice says what to do, by code. What the agent said follows it.
var advice = map[protocol.Code]string{
	protocol.CodeServiceAuthentication: "The agent cannot sign in to its directory. Check the account and the password in the agent's configuration; postern-agent check tries them.",
	protocol.CodeConfiguration:         "The agent or its directory is set up wrongly. postern-agent check on its machine shows what is wrong.",
	protocol.CodePermissionDenied:      "The directory does not let the agent list accounts. Give its account the right to read them.",
	protocol.CodeUnavailable:           "No agent of this directory answers. Start postern-agent, or look into its log why it does not connect.",
	protocol.CodeNotBegun:              "The agent ended the listing before it was finished. It is tried again.",
	protocol.CodeQuarantined:           "Two processes use the same agent key, so that agent is given nothing. Stop one of them, then confirm the agent.",
	protocol.CodeUnsupported:           "The agent cannot list accounts. Install a newer one.",
}

// explain turns the error of a pass into what is recorded.
func explain(err error) (store.SyncFailure, protocol.Code) {
	var q *question
	var u *unconfirmed
	var e *protocol.Error
	switch {
	case errors.As(err, &u):
		return store.SyncFailure{Error: u.Error()}, protocol.CodeUnavailable
	case errors.As(err, &q):
		return store.SyncFailure{Error: q.Error(), Pending: q.Pending}, protocol.CodeConfiguration
	case errors.As(err, &e):
		text, ok := advice[e.Code]
		if !ok {
			text = "The agent could not list the accounts."
		}
		if m := line(e.Message, maxMessage); m != "" {
			text += " It says: " + m
		}
		return store.SyncFailure{Error: text, NeedsReconnect: e.Code == protocol.CodeServiceAuthentication}, e.Code
	}
	return store.SyncFailure{Error: "The hub could not finish the synchronisation: " + line(err.Error(), maxMessage)}, protocol.CodeInternal
}

// line returns text from outside as one printable line of at most n bytes.
func line(text string, n int) string {
	if len(text) <= n && isLine(text) {
		return text
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "") // a rune may have been cut
	}
	return text
}

// isLine reports whether a text is printable ASCII with single spaces between words, as
// most are.
func isLine(text string) bool {
	space := true // before the text
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' || c == ' ' && space {
			return false
		}
		space = c == ' '
	}
	return !space
}
