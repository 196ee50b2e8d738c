// Package known is what the agent remembers of people for longer than a recovery:
// passkeys that it let in, documents that proved an account, since when it has seen
// the attributes that it relies on, and who may approve. It decides nothing and knows
// no directory: names, numbers and addresses are kept as keyed hashes, or sealed.
package known

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/folder"
)

// fileName is in the state folder. maxFile bounds it: a few hundred bytes for each
// account whose group is strict.
const (
	fileName = "known.json"
	maxFile  = 256 << 20
)

// Labels that separate the keys of this package from each other and from other uses
// of the agent's secret.
const (
	hashInfo = "postern/known-hash/v1"
	sealInfo = "postern/known-seal/v1"
)

// A Store is the memory. Its methods may be called from many goroutines; those that
// return an error have written to the disk when it is nil.
type Store struct {
	dir  string
	now  func() time.Time
	hash []byte // key of the keyed hashes
	aead cipher.AEAD

	mu    sync.Mutex
	state state
	dirty bool // observations that are not on the disk yet
}

// state is the file.
type state struct {
	Version int    `json:"version"`
	Born    int64  `json:"born"`    // Unix seconds: when this memory began
	Settled bool   `json:"settled"` // the first pass over the directory is over
	Keys    []Key  `json:"keys,omitempty"`
	Ties    []tie  `json:"documents,omitempty"`
	Seen    people `json:"seen,omitempty"`
}

const version = 1

// Open reads the memory in dir, and begins an empty one where there is none. secret is
// the agent's own, now its clock.
func Open(dir string, secret []byte, now func() time.Time) (*Store, error) {
	s := &Store{dir: dir, now: now, state: state{Version: version, Born: now().Unix(), Seen: people{}}}
	var err error
	if s.hash, err = hkdf.Key(sha256.New, secret, nil, hashInfo, sha256.Size); err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, sealInfo, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	return s, s.read()
}

func (s *Store) read() error {
	path := filepath.Join(s.dir, fileName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s.state); err != nil || s.state.Version != version {
		return fmt.Errorf("%s: not a memory of this version (%v); move it aside to begin anew: enrolled passkeys and known documents are then forgotten", path, err)
	}
	if s.state.Seen == nil {
		s.state.Seen = people{}
	}
	return nil
}

// saveLocked writes everything, so that a crash leaves the old file or the new one.
func (s *Store) saveLocked() error {
	text, err := json.Marshal(s.state)
	if err != nil {
		return err
	}
	if err := folder.Write(filepath.Join(s.dir, fileName), text); err != nil {
		return err
	}
	s.dirty = false
	return nil
}

// keyed hashes words under the agent's key, each with its length.
func (s *Store) keyed(words ...string) string {
	h := hmac.New(sha256.New, s.hash)
	for _, w := range words {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(w))))
		_, _ = io.WriteString(h, w)
	}
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil))
}

// seal hides a text from who has the file alone; what binds it to its place.
func (s *Store) seal(text, what string) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return s.aead.Seal(nonce, nonce, []byte(text), []byte(what))
}

// open returns what seal hid, or "".
func (s *Store) open(sealed []byte, what string) string {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return ""
	}
	text, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(what))
	if err != nil {
		return ""
	}
	return string(text)
}
