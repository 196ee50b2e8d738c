// Package auditlog holds what both ends know of the audit log: signed checkpoints of a
// Merkle tree over its leaves (RFC 6962, as golang.org/x/mod/sumdb/tlog computes it) and
// the proofs against them. It knows no store and no tunnel, and of what leaves mean only
// KindDropped.
package auditlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Refusals. Every error of this package wraps one of them.
var (
	ErrCheckpoint   = errors.New("auditlog: not a checkpoint")
	ErrOrigin       = errors.New("auditlog: a checkpoint of another log")
	ErrSignature    = errors.New("auditlog: the checkpoint is not signed by the key of the log")
	ErrKey          = errors.New("auditlog: not the pinned key of the log")
	ErrProof        = errors.New("auditlog: not a proof")
	ErrInclusion    = errors.New("auditlog: the leaf is not in the log")
	ErrBehind       = errors.New("auditlog: the proof does not begin at the last checkpoint")
	ErrInconsistent = errors.New("auditlog: the log is not a continuation of what it was")
)

// MaxCheckpoint bounds the text of a checkpoint, in bytes: ours has some 300, further
// signatures have room.
const MaxCheckpoint = 4 << 10

// A Hash is a hash of the tree; in JSON and checkpoints in base64.
type Hash = tlog.Hash

// Origin names the log of a hub: the first line of its checkpoints and the name of its key.
func Origin(hub string) string { return hub + "/audit/v1" }

// A Checkpoint says what the log was when it had Size leaves.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   Hash
	Time   time.Time // when the hub signed it, to the millisecond
}

// timeMark begins the extension line that bears the time.
const timeMark = "time "

// timeForm is RFC 3339 with milliseconds, always in UTC.
const timeForm = "2006-01-02T15:04:05.000Z"

// Text returns what a signature of the checkpoint covers (C2SP tlog-checkpoint).
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n%s%s\n", c.Origin, c.Size, c.Root, timeMark, c.Time.UTC().Format(timeForm))
}

// Sign returns the checkpoint as a signed note. Its errors wrap ErrCheckpoint: the
// origin cannot name a key, or the size is negative.
func (c Checkpoint) Sign(key ed25519.PrivateKey) (string, error) {
	if _, err := parse(c.Text()); err != nil {
		return "", err
	}
	public, _ := key.Public().(ed25519.PublicKey)
	v, err := verifier(c.Origin, public)
	if err != nil {
		return "", err
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signer{v, key})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return string(signed), nil
}

// OpenCheckpoint reads a signed checkpoint of the log named origin, whose key public
// is. Signatures of others may stand beside the log's own; they are not looked at.
func OpenCheckpoint(text string, public ed25519.PublicKey, origin string) (Checkpoint, error) {
	if len(text) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("%w: %d bytes, at most %d", ErrCheckpoint, len(text), MaxCheckpoint)
	}
	v, err := verifier(origin, public)
	if err != nil {
		return Checkpoint{}, err
	}
	n, err := note.Open([]byte(text), note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, refused(text, origin, err)
	}
	c, err := parse(n.Text)
	if err == nil && c.Origin != origin {
		err = fmt.Errorf("%w: %q", ErrOrigin, c.Origin)
	}
	if err != nil {
		return Checkpoint{}, err
	}
	return c, nil
}

// refused tells a text that is no note from one of another log and one with the wrong
// signature.
func refused(text, origin string, err error) error {
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	first, _, _ := strings.Cut(text, "\n")
	switch {
	case !errors.As(err, &unknown) && !errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", ErrCheckpoint, err)
	case first != origin:
		return fmt.Errorf("%w: %q", ErrOrigin, first)
	}
	return ErrSignature
}

// parse reads what Text writes, and nothing else: one checkpoint has one form.
func parse(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return Checkpoint{}, fmt.Errorf("%w: %d lines", ErrCheckpoint, len(lines)-1)
	}
	c := Checkpoint{Origin: lines[0]}
	var err [3]error
	c.Size, err[0] = strconv.ParseInt(lines[1], 10, 64)
	var root []byte
	root, err[1] = base64.StdEncoding.DecodeString(lines[2])
	copy(c.Root[:], root)
	c.Time, err[2] = time.Parse(timeForm, strings.TrimPrefix(lines[3], timeMark))
	if e := errors.Join(err[:]...); e != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, e)
	}
	if c.Size < 0 || c.Text() != text {
		return Checkpoint{}, fmt.Errorf("%w: a line is not in its one form", ErrCheckpoint)
	}
	return c, nil
}

// Fingerprint is what tickets pin of a log's key.
func Fingerprint(public ed25519.PublicKey) [32]byte { return sha256.Sum256(public) }

// verifier makes the note verifier of a log's key, which bears the log's name.
func verifier(origin string, public ed25519.PublicKey) (note.Verifier, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: %d bytes", ErrKey, len(public))
	}
	text, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the origin %q cannot name a key: %w", ErrCheckpoint, origin, err)
	}
	return v, nil
}

// signer signs notes with a key that is never written as text.
type signer struct {
	note.Verifier
	key ed25519.PrivateKey
}

// Sign is of note.Signer.
func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }
