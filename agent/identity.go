package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/postern-id/postern/agent/folder"
	"github.com/postern-id/postern/protocol"
)

// Files in the state folder.
const (
	keysFile     = "keys.json"
	identityFile = "identity.json"
)

// EnrolmentFiles are the files of the state folder that Enroll writes.
var EnrolmentFiles = []string{keysFile, identityFile}

// readableByOthers are the permission bits that the keys' file must not have.
const readableByOthers = 0o077

// ErrNotEnrolled says that the state folder has no identity.
var ErrNotEnrolled = errors.New("agent: not enrolled; ask the hub for a ticket and run: postern-agent enroll")

// An Identity is what enrolment left in the state folder: who this agent is, and
// which hub it belongs to.
type Identity struct {
	Agent     string    `json:"agent"`     // id
	Directory string    `json:"directory"` // id
	Hub       string    `json:"hub"`       // https address
	HubName   string    `json:"hub_name"`  // as the Noise prologue has it
	HubKey    []byte    `json:"hub_key"`   // static X25519 public key
	LogKey    []byte    `json:"log_key"`   // SHA-256 of the audit log's public key
	Enrolled  time.Time `json:"enrolled"`

	keys keys
}

// keys are the agent's secrets.
type keys struct {
	noise protocol.Keys
	sign  ed25519.PrivateKey
}

// keysText is how keys are written.
type keysText struct {
	NoisePrivate []byte `json:"noise_private"`
	NoisePublic  []byte `json:"noise_public"`
	SignSeed     []byte `json:"sign_seed"`
}

// LoadIdentity reads the identity from a state folder; ErrNotEnrolled if there is none.
func LoadIdentity(dir string) (*Identity, error) {
	id, err := readIdentity(dir)
	if err != nil {
		return nil, err
	}
	if id.keys, err = loadKeys(dir); err != nil {
		return nil, err
	}
	return id, nil
}

// LogKey returns the SHA-256 of the key of the hub's audit log, as the ticket pinned it in
// a state folder; ErrNotEnrolled if there is none. The agent's own keys are not read.
func LogKey(dir string) ([]byte, error) {
	id, err := readIdentity(dir)
	if err != nil {
		return nil, err
	}
	return id.LogKey, nil
}

// readIdentity reads what is no secret.
func readIdentity(dir string) (*Identity, error) {
	text, err := os.ReadFile(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%s has no %s)", ErrNotEnrolled, dir, identityFile)
	}
	if err != nil {
		return nil, err
	}
	id := &Identity{}
	if err := json.Unmarshal(text, id); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, identityFile), err)
	}
	if len(id.LogKey) != 32 {
		return nil, fmt.Errorf("%s: it does not pin the key of the hub's audit log; enrol anew in an empty state folder", filepath.Join(dir, identityFile))
	}
	return id, nil
}

// Fingerprint is what people compare when a further agent is confirmed.
func (id *Identity) Fingerprint() string { return id.keys.fingerprint() }

func (k keys) fingerprint() string {
	return protocol.Fingerprint(k.noise.Public, k.signPublic())
}

func (k keys) signPublic() ed25519.PublicKey {
	pub, _ := k.sign.Public().(ed25519.PublicKey) // always is
	return pub
}

func (id *Identity) save(dir string) error { return writeJSON(filepath.Join(dir, identityFile), id) }

func loadKeys(dir string) (keys, error) {
	path := filepath.Join(dir, keysFile)
	info, err := os.Stat(path)
	if err != nil {
		return keys{}, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&readableByOthers != 0 {
		return keys{}, fmt.Errorf("%s: others than its owner may read the agent's keys; run: chmod 600 %s", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return keys{}, err
	}
	if text, err = unprotect(text); err != nil {
		return keys{}, fmt.Errorf("%s: %w", path, err)
	}
	var t keysText
	if err := json.Unmarshal(text, &t); err != nil || len(t.SignSeed) != ed25519.SeedSize || len(t.NoisePrivate) != 32 || len(t.NoisePublic) != 32 {
		return keys{}, fmt.Errorf("%s: not the keys of an agent; enrol anew in an empty state folder", path) // the cause could quote a key
	}
	return keys{protocol.Keys{Private: t.NoisePrivate, Public: t.NoisePublic}, ed25519.NewKeyFromSeed(t.SignSeed)}, nil
}

// makeKeys loads the keys of dir, and makes them when there are none.
func makeKeys(dir string) (keys, error) {
	k, err := loadKeys(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	pair, err := protocol.GenerateKeys()
	if err != nil {
		return keys{}, err
	}
	_, sign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keys{}, err
	}
	k = keys{pair, sign}
	text, err := json.Marshal(keysText{pair.Private, pair.Public, sign.Seed()})
	if err != nil {
		return keys{}, err
	}
	if text, err = protect(text); err != nil {
		return keys{}, fmt.Errorf("protect the keys: %w", err)
	}
	return k, writeJSON(filepath.Join(dir, keysFile), json.RawMessage(text))
}

// writeJSON writes v so that a crash leaves the old file or the new one, readable by
// the owner alone.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return folder.Write(path, append(text, '\n'))
}
