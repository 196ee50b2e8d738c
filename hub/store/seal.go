package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Cell is the place of one sealed value. A value opens only there: copied to another
// row, column or environment it does not.
type Cell struct {
	Env    string // empty where the table is of the whole installation
	Table  string
	Column string
	Row    string // as the table of sealed columns says
}

// A sealedColumn is a column that holds sealed values. Rotation walks this table, so
// Seal refuses a cell that is not in it.
type sealedColumn struct {
	table, column string
	env           string // SQL expression of Cell.Env
	row           string // SQL expression of Cell.Row
}

// sealedColumns is the vocabulary of sealed columns.
var sealedColumns = []sealedColumn{
	{"account_acts", "body", "env", "id"},
	{"account_birth_dates", "body", "env", "person"},
	{"act_orders", "body", "env", "id"},
	{"account_photos", "body", "env", "person"},
	{"approval_asks", "proof", "env", "approval || '/' || staff"},
	{"approvals", "details", "env", "id"},
	{"audit_destinations", "settings", "''", "id"},
	{"audit_persons", "secret", "env", "person"},
	{"certificates", "value", "''", "name"},
	{"directories", "birth_date_key", "env", "id"},
	{"factors", "secret", "env", "id"},
	{"evaluation_rows", "detail", "env", "evaluation || '/' || account"},
	{"evaluations", "scope", "env", "id"},
	{"evidence", "raw", "env", "verification || '/' || seq"},
	{"hub_keys", "private", "''", "name"},
	{"mails", "body", "env", "id"},
	{"presign_keys", "secret", "env", "env"},
	{"secret_keys", "secret", "env", "env"},
	{"request_uses", "private", "env", "id"},
	{"request_sends", "address", "env", "request"},
	{"requests", "ticket", "env", "id"},
	{"subject_keys", "secret", "env", "env"},
	{"recoveries", "private", "env", "id"},
	{"recoveries", "result", "env", "id"},
	{"wallet_exchanges", "answer", "env", "id"},
	{"wallet_exchanges", "private", "env", "id"},
	{"wallet_signers", "private", "env", "host"},
	{"identity_providers", "secret", "env", "id"},
	{"oidc_exchanges", "private", "env", "id"},
	{"oidc_keys", "private", "env", "id"},
	{"sms_settings", "secret", "env", "env"},
	{"review_settings", "secret", "env", "env"},
	{"reviews", "secret", "env", "id"},
	{"manual_verifications", "details", "env", "id"},
	{"storages", "secret", "env", "id"},
	{"staff_keys", "secret", "''", "id"},
	{"webhook_deliveries", "content", "env", "id"},
	{"webhook_secrets", "former", "env", "env"},
	{"webhook_secrets", "secret", "env", "env"},
	{"webhooks", "authorization_header", "env", "id"},
}

func (c Cell) bytes() []byte {
	b := []byte("postern/cell/v1")
	for _, s := range []string{c.Env, c.Table, c.Column, c.Row} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// Errors of master keys and sealed cells.
var (
	ErrMasterKey = errors.New("store: this is not the master key of this store")
	errCell      = errors.New("store: a sealed value does not open in its place")
)

// keyRefresh is how often a node looks whether the master key was changed elsewhere.
const keyRefresh = 2 * time.Second

// keyring holds the master keys that this node has. More than one during a rotation.
type keyring struct {
	sync.RWMutex
	active string // id of the key that seals
	keys   map[string]masterKey
}

// masterKey is one master key with what is derived from it.
type masterKey struct {
	id   string
	raw  []byte
	aead cipher.AEAD
}

// MasterKeySize is the size of a master key in bytes.
const MasterKeySize = 32

func newMasterKey(raw []byte) (masterKey, error) {
	if len(raw) != MasterKeySize {
		return masterKey{}, fmt.Errorf("store: the master key has %d bytes; it must have %d", len(raw), MasterKeySize)
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte("postern/master-key/id/v1"))
	k := masterKey{id: hex.EncodeToString(mac.Sum(nil)[:8]), raw: raw}
	block, err := aes.NewCipher(derive(raw, "postern/master-key/seal/v1"))
	if err == nil {
		k.aead, err = cipher.NewGCMWithRandomNonce(block)
	}
	return k, err
}

// derive returns 32 bytes for one purpose (HKDF-SHA256, RFC 5869).
func derive(raw []byte, label string) []byte {
	b, err := hkdf.Key(sha256.New, raw, nil, label, MasterKeySize)
	if err != nil {
		panic(fmt.Sprintf("store: hkdf: %v", err)) // only for a length that it cannot give
	}
	return b
}

func (k masterKey) seal(c Cell, plain []byte) string {
	return k.id + "." + base64.RawURLEncoding.EncodeToString(k.aead.Seal(nil, nil, plain, c.bytes()))
}

func (k masterKey) open(c Cell, body string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %s.%s", errCell, c.Table, c.Column)
	}
	plain, err := k.aead.Open(nil, nil, b, c.bytes())
	if err != nil {
		return nil, fmt.Errorf("%w: %s.%s", errCell, c.Table, c.Column)
	}
	return plain, nil
}

// Seal encrypts plain for one cell (AES-256-GCM under the master key). The text that it
// returns goes into that cell and no other.
func (s *Store) Seal(c Cell, plain []byte) (string, error) {
	if !slices.ContainsFunc(sealedColumns, func(r sealedColumn) bool { return r.table == c.Table && r.column == c.Column }) {
		return "", fmt.Errorf("store: %s.%s is not in the table of sealed columns: rotation would miss it", c.Table, c.Column)
	}
	return s.activeKey().seal(c, plain), nil
}

// Unseal opens what Seal returned for the same cell.
func (s *Store) Unseal(c Cell, sealed string) ([]byte, error) {
	id, body, _ := strings.Cut(sealed, ".")
	s.keys.RLock()
	k, ok := s.keys.keys[id]
	s.keys.RUnlock()
	if !ok {
		return nil, fmt.Errorf("%w: %s.%s is sealed under key %q, which this node does not have", ErrMasterKey, c.Table, c.Column, id)
	}
	return k.open(c, body)
}

// DeriveKeys returns 32-byte keys for a purpose other than sealing, derived from the
// master keys that this node has: use the first to seal or sign, accept all. There is
// more than one only while the master key is being changed.
func (s *Store) DeriveKeys(purpose string) [][]byte {
	s.keys.RLock()
	defer s.keys.RUnlock()
	all := [][]byte{derive(s.keys.keys[s.keys.active].raw, purpose)}
	for _, id := range slices.Sorted(maps.Keys(s.keys.keys)) {
		if id != s.keys.active {
			all = append(all, derive(s.keys.keys[id].raw, purpose))
		}
	}
	return all
}

func (s *Store) activeKey() masterKey {
	s.keys.RLock()
	defer s.keys.RUnlock()
	return s.keys.keys[s.keys.active]
}

// watchKeys keeps the keyring up to date until ctx ends, and the copies on the disk when
// the key is no longer active. An error is logged once.
func (s *Store) watchKeys(ctx context.Context, active string) {
	last := ""
	for wait(ctx, s.keyRefresh) == nil {
		err := s.loadKeys(ctx)
		if now := s.activeKey().id; now != active {
			active = now
			s.certs.sealAnew()
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
			continue
		}
		if err.Error() != last {
			last = err.Error()
			s.log.ErrorContext(ctx, "master keys cannot be read", "error", err)
		}
	}
}
