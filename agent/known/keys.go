package known

import (
	"bytes"
	"errors"
	"slices"
	"time"
)

// Wait is how long a new passkey, and a new value of an attribute, counts as absent.
const Wait = 72 * time.Hour

// maxKeys bounds the passkeys of one account.
const maxKeys = 20

// Refusals of this package.
var (
	ErrTied    = errors.New("known: the document proved another account")
	ErrFull    = errors.New("known: the account has too many passkeys")
	ErrUnknown = errors.New("known: there is none")
)

// A Key is a passkey that enroll_key brought in.
type Key struct {
	Account    string   `json:"account"` // immutable id
	Credential []byte   `json:"credential"`
	PublicKey  []byte   `json:"public_key"` // COSE_Key
	RPID       string   `json:"rp_id"`
	Hash       []byte   `json:"hash"`                // as the operation carried it
	Strength   []string `json:"strength"`            // methods that proved it in at their root, never "passkey" (T17)
	Approvals  int      `json:"approvals,omitempty"` // persons, where "approval" is among them
	Active     int64    `json:"active"`              // Unix seconds: before, it counts as absent
}

// Enrol lets a passkey in, active after Wait. Again with the same hash it changes nothing.
func (s *Store) Enrol(k Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, o := range s.state.Keys {
		if o.Account != k.Account {
			continue
		}
		if bytes.Equal(o.Hash, k.Hash) {
			return nil
		}
		n++
	}
	if n >= maxKeys {
		return ErrFull
	}
	k.Active = s.now().Add(Wait).Unix()
	before := s.state.Keys
	s.state.Keys = append(slices.Clone(before), k)
	if err := s.saveLocked(); err != nil {
		s.state.Keys = before
		return err
	}
	return nil
}

// RemoveKey forgets a passkey, one that waits too. ErrUnknown if the account has none
// with this hash.
func (s *Store) RemoveKey(account string, hash []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.state.Keys
	kept := slices.DeleteFunc(slices.Clone(before), func(k Key) bool { return k.Account == account && bytes.Equal(k.Hash, hash) })
	if len(kept) == len(before) {
		return ErrUnknown
	}
	s.state.Keys = kept
	if err := s.saveLocked(); err != nil {
		s.state.Keys = before
		return err
	}
	return nil
}

// Keyring lists all passkeys.
func (s *Store) Keyring() []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.state.Keys)
}

// ReadKeyring lists all passkeys in a state folder, beside a running agent: the file is
// replaced whole. It is empty where there is none.
func ReadKeyring(dir string) ([]Key, error) {
	s := &Store{dir: dir}
	err := s.read()
	return s.state.Keys, err
}

// Keys lists the passkeys of an account, those that wait too.
func (s *Store) Keys(account string) []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Key
	for _, k := range s.state.Keys {
		if k.Account == account {
			all = append(all, k)
		}
	}
	return all
}

// HasKey reports whether a passkey was let in for an account.
func (s *Store) HasKey(account string, hash []byte) bool {
	return slices.ContainsFunc(s.Keys(account), func(k Key) bool { return bytes.Equal(k.Hash, hash) })
}

// A tie is a document that proved an account.
type tie struct {
	Document string `json:"document"` // keyed hash of issuer and number
	Account  string `json:"account"`
	At       int64  `json:"at"`
}

// Document is the keyed hash by which a document is known: of its issuer and number.
func (s *Store) Document(issuer, number string) string { return s.keyed("document", issuer, number) }

// Owner returns the account that a document is tied to, or "" (T15).
func (s *Store) Owner(document string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ownerLocked(document)
}

func (s *Store) ownerLocked(document string) string {
	for _, t := range s.state.Ties {
		if t.Document == document {
			return t.Account
		}
	}
	return ""
}

// Tie ties a document to an account. ErrTied if it proved another one.
func (s *Store) Tie(account, document string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.ownerLocked(document) {
	case account:
		return nil
	case "":
	default:
		return ErrTied
	}
	before := s.state.Ties
	s.state.Ties = append(slices.Clone(before), tie{document, account, s.now().Unix()})
	if err := s.saveLocked(); err != nil {
		s.state.Ties = before
		return err
	}
	return nil
}
