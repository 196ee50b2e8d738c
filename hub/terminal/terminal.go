// Package terminal signs command lines in: a terminal shows a key of its own, somebody of
// the staff approves it in the console, and the terminal fetches an API key that is
// sealed to that key. It knows no page and no role.
package terminal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/box"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// MaxLife is the longest life of a key that a terminal gets.
const MaxLife = 30 * 24 * time.Hour

// fetchWithin is how long a terminal has to fetch its key after the approval.
const fetchWithin = 5 * time.Minute

// Errors of Approve.
var (
	ErrKey  = errors.New("terminal: the address does not hold the key of a terminal")
	ErrCode = errors.New("terminal: another code stands on the terminal")
	ErrUsed = errors.New("terminal: this terminal was signed in before; start again there")
	ErrLife = errors.New("terminal: the key would live too long, or not at all")
)

// Buckets limits how often an address may ask.
type Buckets interface {
	Take(ctx context.Context, key string, burst int, every time.Duration) (bool, error)
}

// Config is what Terminals are made of.
type Config struct {
	Store   *store.Store
	Buckets Buckets
	Log     *slog.Logger
}

// Terminals signs command lines in. Its methods may be called from many goroutines and
// on many nodes at once.
type Terminals struct {
	cfg  Config
	held chan struct{} // one for each answer that is held back
	hold time.Duration // for so long
}

// New makes Terminals.
func New(cfg Config) *Terminals {
	return &Terminals{cfg: cfg, held: make(chan struct{}, maxHeld), hold: holdFor}
}

// parse reads a key: an X25519 public key in 43 characters of base64url.
func parse(key string) (*[32]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(key)
	if err != nil || len(b) != 32 {
		return nil, ErrKey
	}
	return (*[32]byte)(b), nil
}

// Valid reports whether a text is the key of a terminal.
func Valid(key string) bool {
	_, err := parse(key)
	return err == nil
}

// codeLabel begins the hash from which a code is made.
const codeLabel = "postern/terminal/v1"

// crockford has no letters that are taken for digits.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// Code is what our command line shows for its key: eight characters in two groups.
func Code(key string) string {
	sum := sha256.Sum256([]byte(codeLabel + key))
	text := crockford.EncodeToString(sum[:5])
	return text[:4] + "-" + text[4:]
}

// tail is how many last characters of its key stand for the code of a command line that
// shows nothing but the address.
const tail = 6

// fits reports whether what was typed was read from the terminal that has the key.
func fits(key, typed string) bool {
	typed = strings.TrimSpace(typed)
	plain := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(typed))
	ours := subtle.ConstantTimeCompare([]byte(plain), []byte(strings.ReplaceAll(Code(key), "-", "")))
	theirs := subtle.ConstantTimeCompare([]byte(typed), []byte(key[len(key)-tail:]))
	return ours|theirs == 1
}

// Check returns ErrKey or ErrCode if the code does not belong to the key.
func Check(key, typed string) error {
	switch {
	case !Valid(key):
		return ErrKey
	case !fits(key, typed):
		return ErrCode
	}
	return nil
}

// An Approval is what somebody of the staff allows a terminal. That it was them, with
// their passkey, is for the caller to know.
type Approval struct {
	Org, Staff, Name string // who: their organisation, id and name
	Key, Code        string // of the terminal; what was typed
	Role             string // of the API key, which is for the environments of who approves
	Life             time.Duration
	By               audit.Principal
	Address, Device  string // of the browser
}

// Approve makes an API key and leaves it for the terminal, sealed to the terminal's key.
// A terminal is approved once.
func (t *Terminals) Approve(ctx context.Context, a Approval) error {
	if err := Check(a.Key, a.Code); err != nil {
		return err
	}
	if a.Life <= 0 || a.Life > MaxLife {
		return ErrLife
	}
	to, _ := parse(a.Key) // Check did
	text := store.NewAPIKey()
	sealed, err := box.SealAnonymous(nil, []byte(text), to, rand.Reader)
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	return t.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		who, err := tx.Staff(ctx, a.Org, a.Staff)
		if err != nil {
			return err
		}
		if !store.AtLeast(who.Role, a.Role) || !who.Decides(tx.Now()) { // limited or suspended since the page asked
			return store.ErrNotFound
		}
		k, err := tx.CreateAPIKey(ctx, store.APIKey{Org: a.Org, Name: "Command line of " + a.Name, Hash: store.HashToken(text), Role: a.Role,
			Envs: who.Envs, Enabled: true, Expires: tx.Now().Add(a.Life), Staff: a.Staff, CreatedBy: a.Staff})
		if err != nil {
			return err
		}
		err = tx.AddTerminal(ctx, store.Terminal{Key: a.Key, Org: a.Org, Staff: a.Staff, Sealed: base64.StdEncoding.EncodeToString(sealed), Expires: tx.Now().Add(fetchWithin)})
		if errors.Is(err, store.ErrConflict) {
			return ErrUsed
		}
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Org: a.Org, Kind: audit.CLISignin, Actor: a.By, RemoteAddr: a.Address, UserAgent: a.Device,
			Detail: map[string]any{"session": k.ID, "role": a.Role, "envs": k.Envs, "expires_at": k.Expires.UTC()}})
	})
}
