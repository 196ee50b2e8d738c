package auditlog_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/postern-id/postern/protocol/auditlog"
)

func TestT09_ACosignatureIsOfOneCheckpointOneNameAndOneKey(t *testing.T) {
	h := newHistory(t, 7)
	c, other := h.checkpoint(t, 7), h.checkpoint(t, 6)
	witness := key('w')
	public, _ := witness.Public().(ed25519.PublicKey)
	line := c.Cosign(witness, "agent-1", at)
	if got, err := c.CheckCosignature(line, "agent-1", public); err != nil || !got.Equal(at.Truncate(time.Second)) {
		t.Errorf("%v, %v", got, err)
	}
	strange, _ := key('s').Public().(ed25519.PublicKey)
	for name, err := range map[string]error{
		"another checkpoint": second(other.CheckCosignature(line, "agent-1", public)),
		"another name":       second(c.CheckCosignature(line, "agent-2", public)),
		"another key":        second(c.CheckCosignature(line, "agent-1", strange)),
		"a short key":        second(c.CheckCosignature(line, "agent-1", public[:31])),
		"a cut line":         second(c.CheckCosignature(line[:len(line)-9], "agent-1", public)),
		"nothing":            second(c.CheckCosignature("", "agent-1", public)),
	} {
		if !errors.Is(err, auditlog.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// It stands in the note beside the log's own signature, which is read as before.
	text, err := c.Sign(h.private)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := auditlog.OpenCheckpoint(text+line, h.public, origin); err != nil || got != c {
		t.Errorf("%+v, %v", got, err)
	}
	var unknown *note.UnverifiedNoteError
	if _, err := note.Open([]byte(text+line), note.VerifierList()); !errors.As(err, &unknown) || len(unknown.Note.UnverifiedSigs) != 2 {
		t.Errorf("the line is no signature of a note: %v", err)
	}
	if !strings.HasSuffix(line, "\n") {
		t.Errorf("%q", line)
	}
}

func second(_ time.Time, err error) error { return err }
