package flow

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/protocol"
)

// Bounds of what a row keeps of a browser.
const (
	maxUserAgent = 512
	maxLanguage  = 35 // RFC 5646, section 4.4.1
	maxHints     = 32
	maxFlow      = 16
	maxOrigin    = 300 // scheme and a host name
)

// addressKeyPurpose is the purpose for which the store derives the keys of addresses.
const addressKeyPurpose = "postern/flow/address/v1"

// Start begins a recovery for an address, known or not: it writes the same row after
// the same work, and looks nothing up. It returns the recovery's id and the secret of
// its session, which the browser keeps in a cookie.
func (r *Recoveries) Start(ctx context.Context, s Start) (id, session string, err error) {
	address, err := recovery.NormalAddress(s.Address)
	if err != nil {
		return "", "", err
	}
	if err := r.admitClient(ctx, s.Client.Address); err != nil {
		return "", "", err
	}
	link, err := r.admitLink(ctx, s, address)
	if err != nil {
		return "", "", err
	}
	session = recovery.NewSecret()
	rec := r.newRow(s, address, link)
	rec.Session = recovery.HashSecret(session)
	err = r.Store.Tx(ctx, func(tx *store.Tx) error { return r.addRow(ctx, tx, rec, s, address, link) })
	if err != nil {
		return "", "", recovery.Plain(err)
	}
	return rec.ID, session, nil
}

// admitClient takes one from the client's bucket.
func (r *Recoveries) admitClient(ctx context.Context, client string) error {
	ok, err := r.Buckets.Take(ctx, "start:"+policy.Client(client), r.StartsPerAddress, startEvery)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", recovery.ErrUnavailable, err)
	case !ok:
		return recovery.ErrRateLimited
	}
	return nil
}

// admitLink verifies the presigned link, nil if there is none.
func (r *Recoveries) admitLink(ctx context.Context, s Start, address string) (*token.Link, error) {
	if s.Link == "" {
		return nil, nil
	}
	link, err := r.Links.Verify(ctx, s.Env, s.Link)
	if errors.Is(err, token.ErrInvalid) {
		return nil, recovery.ErrNotAdmitted
	}
	if err != nil {
		return nil, recovery.Plain(err)
	}
	if link.Email != token.AnyEmail {
		if of, err := recovery.NormalAddress(link.Email); err != nil || of != address {
			return nil, recovery.ErrNotAdmitted
		}
	}
	return &link, nil
}

func (r *Recoveries) newRow(s Start, address string, link *token.Link) *store.Recovery {
	in := recovery.Intent{Flow: recovery.Cut(s.Intent.Flow, maxFlow), Directories: head(s.Intent.Directories, maxHints), Actions: head(s.Intent.Actions, maxHints)}
	if s.Intent.key != nil {
		in.Key, in.Factor, in.Credential = s.Intent.key.hash, s.Intent.key.factor, s.Intent.key.credential
	}
	in.SignIn = s.Intent.signIn
	rec := &store.Recovery{Env: s.Env, ID: newRecoveryID(), State: recovery.Choosing, Language: recovery.Cut(s.Language, maxLanguage), Origin: recovery.Cut(s.Client.Origin, maxOrigin)}
	if link != nil {
		in = recovery.Intent{Flow: link.Flow, Directories: link.Directories, Actions: link.Operations, Restricted: true, Wishes: link.Policy}
		rec.Link = link.ID
	}
	s.Client.UserAgent = recovery.Cut(s.Client.UserAgent, maxUserAgent)
	rec.Intent, rec.Private = store.JSON(in), []byte(store.JSON(recovery.Private{Address: address, Client: s.Client}))
	rec.Address = keyedHash(r.Store.DeriveKeys(addressKeyPurpose)[0], s.Env, address)
	rec.ExpiresAt = r.Now().Add(chooseLife)
	rec.DueAt = rec.ExpiresAt
	return rec
}

func (r *Recoveries) addRow(ctx context.Context, tx *store.Tx, rec *store.Recovery, s Start, address string, link *token.Link) error {
	env, err := tx.Environment(ctx, s.Env)
	switch {
	case err != nil:
		return err
	case link == nil && env.Microsite.RequirePresigned:
		return recovery.ErrNotAdmitted
	case link != nil && link.OneShot:
		if err := tx.UseLink(ctx, s.Env, link.ID, rec.ID, link.Expires); errors.Is(err, store.ErrConflict) {
			return recovery.ErrNotAdmitted
		} else if err != nil {
			return err
		}
	}
	if err := tx.AddRecovery(ctx, rec); err != nil {
		return err
	}
	return audit.Append(ctx, tx, audit.Event{
		Env: s.Env, Kind: audit.RecoveryStarted, Trace: rec.ID, RemoteAddr: s.Client.Address, UserAgent: recovery.Cut(s.Client.UserAgent, maxUserAgent),
		Detail: map[string]string{"origin": s.Client.Origin, "link": rec.Link}, Personal: map[string]string{"address": address},
	})
}

// newRecoveryID returns the hub's random part as it stands in URLs.
func newRecoveryID() string {
	var b [protocol.RandomPart]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func head[T any](list []T, n int) []T { return list[:min(len(list), n)] }
