package auditlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// cosignatureKind is the type of a key that signs cosignatures (C2SP tlog-cosignature).
const cosignatureKind = 0x04

// cosignatureSize is a key's hash, a time and an Ed25519 signature.
const cosignatureSize = 4 + 8 + ed25519.SignatureSize

// lineMark begins the line of a signature in a note (C2SP signed-note).
const lineMark = "— "

// Cosign returns the line by which somebody named name says that they saw the checkpoint
// at a time: a cosignature/v1 (C2SP tlog-cosignature), to stand in the note below the
// signature of the log. name has no space and no plus sign.
func (c Checkpoint) Cosign(key ed25519.PrivateKey, name string, at time.Time) string {
	public, _ := key.Public().(ed25519.PublicKey) // always is
	hash := cosignerHash(name, public)
	b := binary.BigEndian.AppendUint64(hash[:], uint64(at.Unix()))
	b = append(b, ed25519.Sign(key, c.cosigned(at.Unix()))...)
	return lineMark + name + " " + base64.StdEncoding.EncodeToString(b) + "\n"
}

// CheckCosignature returns when somebody named name, whose key public is, says to have
// seen the checkpoint. Its errors wrap ErrSignature.
func (c Checkpoint) CheckCosignature(line, name string, public ed25519.PublicKey) (time.Time, error) {
	text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), lineMark+name+" ")
	b, err := base64.StdEncoding.DecodeString(text)
	hash := cosignerHash(name, public)
	if !ok || err != nil || len(b) != cosignatureSize || len(public) != ed25519.PublicKeySize || [4]byte(b) != hash {
		return time.Time{}, fmt.Errorf("%w: not a cosignature of %q", ErrSignature, name)
	}
	at := binary.BigEndian.Uint64(b[4:])
	if !ed25519.Verify(public, c.cosigned(int64(at)), b[12:]) {
		return time.Time{}, fmt.Errorf("%w: the cosignature is of another checkpoint or key", ErrSignature)
	}
	return time.Unix(int64(at), 0).UTC(), nil
}

// cosigned is what a cosignature covers.
func (c Checkpoint) cosigned(at int64) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, c.Text())
}

func cosignerHash(name string, public ed25519.PublicKey) [4]byte {
	b := append([]byte(name+"\n"), cosignatureKind)
	sum := sha256.Sum256(append(b, public...))
	return [4]byte(sum[:4])
}
