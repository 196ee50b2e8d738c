package oidc

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"sync"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// Bounds of what a node remembers, of relying parties and of keys. Whoever has more of
// them parses some anew.
const (
	maxParties = 1024
	maxSigners = 1024
)

// A parsed remembers what parsing gave: of relying parties by their rows, of keys by what
// is sealed. The rows are read each time, and what is remembered counts only for the very
// same ones: it says nothing that the store does not say, on any node.
type parsed struct {
	mu      sync.Mutex
	parties map[partyName]parsedParty
	signers map[store.SealedOIDCKey]crypto.Signer
}

type partyName struct{ env, id string }

type parsedParty struct {
	row    store.OIDCParty
	client party.Party
}

func newParsed() *parsed {
	return &parsed{parties: map[partyName]parsedParty{}, signers: map[store.SealedOIDCKey]crypto.Signer{}}
}

// party returns the client of a row, which nobody changes; store.ErrNotFound where its
// directory was removed.
func (k *parsed) party(row store.OIDCParty) (party.Party, error) {
	id := partyName{row.Env, row.ID}
	k.mu.Lock()
	known := k.parties[id]
	k.mu.Unlock()
	if known.row == row {
		return known.client, nil
	}
	c, err := party.Parse(row)
	if err != nil {
		return c, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.parties) >= maxParties {
		clear(k.parties)
	}
	k.parties[id] = parsedParty{row, c}
	return c, nil
}

// signer returns the private part of a key.
func (k *parsed) signer(s *store.Store, key store.SealedOIDCKey) (crypto.Signer, error) {
	k.mu.Lock()
	known := k.signers[key]
	k.mu.Unlock()
	if known != nil {
		return known, nil
	}
	der, err := s.OpenOIDCKey(key)
	if err != nil {
		return nil, err
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	signer, ok := private.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("oidc: a key cannot be read")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.signers) >= maxSigners {
		clear(k.signers)
	}
	k.signers[key] = signer
	return signer, nil
}

// partyByID finds a client by its client_id.
func (p *Provider) partyByID(ctx context.Context, id string) (party.Party, error) {
	row, err := store.Glance(ctx, p.cfg.Store, func(tx *store.Tx) (store.OIDCParty, error) { return tx.OIDCPartyByID(ctx, id) })
	if err != nil {
		return party.Party{}, err
	}
	return p.parsed.party(row)
}
