package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"
)

// subjectSize is how many bits of the keyed hash stand in a subject, in bytes: 26
// characters of base32.
const subjectSize = 16

var subjectText = base32.StdEncoding.WithPadding(base32.NoPadding)

// PersonID returns how an environment names a person: a keyed hash of what identifies
// them, under the environment's own key, so that two environments cannot compare theirs.
func (tx *Tx) PersonID(ctx context.Context, env, identity string) (string, error) {
	key, err := tx.subjectKey(ctx, env)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("postern/subject/v1\x00" + identity))
	return strings.ToLower(subjectText.EncodeToString(mac.Sum(nil)[:subjectSize])), nil
}

// subjectKey returns the environment's key, made at its first use.
func (tx *Tx) subjectKey(ctx context.Context, env string) ([]byte, error) {
	cell := Cell{Env: env, Table: "subject_keys", Column: "secret", Row: env}
	sealed, err := One(ctx, tx, Text, "SELECT secret FROM subject_keys WHERE env = $1", env)
	if err == nil {
		return tx.Unseal(cell, sealed)
	}
	if !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	key := make([]byte, MasterKeySize)
	_, _ = rand.Read(key) // never fails
	if sealed, err = tx.Seal(cell, key); err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, "INSERT INTO subject_keys (env, secret, created_at) VALUES ($1, $2, $3)", env, sealed, Millis(tx.Now()))
	return key, err
}

// A Person is somebody who shared something with an environment.
type Person struct {
	Env, ID   string
	CreatedAt time.Time
	ErasedAt  time.Time // zero: not erased, or came again
}

// Person returns one person.
func (tx *Tx) Person(ctx context.Context, env, id string) (Person, error) {
	return One(ctx, tx, func(scan Scan) (p Person, err error) {
		var created, erased int64
		err = scan(&p.Env, &p.ID, &created, &erased)
		p.CreatedAt, p.ErasedAt = Time(created), Time(erased)
		return p, err
	}, "SELECT env, id, created_at, erased_at FROM people WHERE env = $1 AND id = $2", env, id)
}

// AddPerson makes a person known, or known again.
func (tx *Tx) AddPerson(ctx context.Context, env, id string) error {
	_, err := tx.Exec(ctx, `INSERT INTO people (env, id, created_at) VALUES ($1, $2, $3) ON CONFLICT (env, id) DO UPDATE SET erased_at = 0`,
		env, id, Millis(tx.Now()))
	return err
}

// ErasePerson destroys the key of a person, which the audit log uses too, and what was
// under it. That there was somebody, and when they consented, stays.
func (tx *Tx) ErasePerson(ctx context.Context, env, id string) error {
	if err := tx.Must(ctx, "UPDATE people SET erased_at = $3 WHERE env = $1 AND id = $2 AND erased_at = 0", env, id, Millis(tx.Now())); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM properties WHERE env = $1 AND person = $2", env, id); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "UPDATE request_shares SET client = '' WHERE env = $1 AND person = $2", env, id); err != nil {
		return err
	}
	// What applications that wait, or hold a token, would be told of them goes at once.
	if _, err := tx.Exec(ctx, `DELETE FROM oidc_exchanges WHERE env = $1 AND id IN (SELECT exchange FROM requests WHERE env = $1 AND person = $2 AND exchange <> '')`, env, id); err != nil {
		return err
	}
	if err := tx.removePictures(ctx, env, id); err != nil {
		return err
	}
	if err := tx.ErasePersonKey(ctx, env, id); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// A Property is what a person shared of one claim.
type Property struct {
	Claim     string
	Value     []byte    // JSON; nil once it was revoked
	SharedAt  time.Time // last
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time
}

func propertyPlace(env, person, claim string) string {
	return "postern/property/v1\x00" + env + "\x00" + person + "\x00" + claim
}

// PutProperty keeps what a person shared of a claim, in place of what they shared
// before, under their key.
func (tx *Tx) PutProperty(ctx context.Context, env, person string, p Property) error {
	k, err := tx.NeedPersonKey(ctx, env, person)
	if err != nil {
		return err
	}
	value, err := k.Seal(propertyPlace(env, person, p.Claim), p.Value)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO properties (env, person, claim, value, shared_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (env, person, claim) DO UPDATE SET value = excluded.value, shared_at = excluded.shared_at, expires_at = excluded.expires_at, revoked_at = 0`,
		env, person, p.Claim, value, Millis(tx.Now()), Millis(p.ExpiresAt))
	return err
}

// Properties returns what a person shared, by claim.
func (tx *Tx) Properties(ctx context.Context, env, person string) ([]Property, error) {
	k, err := tx.PersonKey(ctx, env, person)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return All(ctx, tx, func(scan Scan) (p Property, err error) {
		var value string
		var shared, expires, revoked int64
		if err = scan(&p.Claim, &value, &shared, &expires, &revoked); err != nil {
			return p, err
		}
		p.SharedAt, p.ExpiresAt, p.RevokedAt = Time(shared), Time(expires), Time(revoked)
		if value != "" {
			p.Value, err = k.Open(propertyPlace(env, person, p.Claim), value)
		}
		return p, err
	}, "SELECT claim, value, shared_at, expires_at, revoked_at FROM properties WHERE env = $1 AND person = $2 ORDER BY claim", env, person)
}

// RevokeProperty forgets what a person shared of a claim; ErrNotFound if nothing is
// shared.
func (tx *Tx) RevokeProperty(ctx context.Context, env, person, claim string) error {
	if claim == PictureClaim {
		if err := tx.removePictures(ctx, env, person); err != nil {
			return err
		}
	}
	return tx.Must(ctx, "UPDATE properties SET value = '', revoked_at = $4 WHERE env = $1 AND person = $2 AND claim = $3 AND revoked_at = 0",
		env, person, claim, Millis(tx.Now()))
}

// A Share is one person's consent in one request.
type Share struct {
	Request, Person string
	Claims          []string
	Scopes          []string // of the request; AddShare does not need them
	Client          string   // User-Agent of the person; sealed at rest, gone once nothing is shared by it
	SharedAt        time.Time
	ExpiresAt       time.Time // zero: never
	RevokedAt       time.Time
}

func sharePlace(env, person, request string) string {
	return "postern/share/v1\x00" + env + "\x00" + person + "\x00" + request
}

// AddShare records a consent, in place of an earlier one of the same person in the same
// request.
func (tx *Tx) AddShare(ctx context.Context, env string, s Share) error {
	client := ""
	if s.Client != "" {
		k, err := tx.NeedPersonKey(ctx, env, s.Person)
		if err != nil {
			return err
		}
		if client, err = k.Seal(sharePlace(env, s.Person, s.Request), []byte(s.Client)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO request_shares (env, request, person, claims, shared_at, expires_at, client) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (env, request, person) DO UPDATE SET claims = excluded.claims, shared_at = excluded.shared_at, expires_at = excluded.expires_at, revoked_at = 0,
		client = excluded.client`, env, s.Request, s.Person, JSON(s.Claims), Millis(tx.Now()), Millis(s.ExpiresAt), client)
	return err
}

// WidenShare adds claims to a consent that stands; ErrNotFound if it was taken back, or its
// time is over.
func (tx *Tx) WidenShare(ctx context.Context, env, request, person string, claims []string) error {
	return tx.Must(ctx, `UPDATE request_shares SET claims = $4 WHERE env = $1 AND request = $2 AND person = $3 AND revoked_at = 0 AND (expires_at = 0 OR expires_at > $5)`,
		env, request, person, JSON(claims), Millis(tx.Now()))
}

// RevokeShare marks a consent as taken back.
func (tx *Tx) RevokeShare(ctx context.Context, env, request, person string) error {
	return tx.Must(ctx, "UPDATE request_shares SET revoked_at = $4, client = '' WHERE env = $1 AND request = $2 AND person = $3 AND revoked_at = 0",
		env, request, person, Millis(tx.Now()))
}

// maxShares bounds what is read of one person.
const maxShares = 200

// Shares returns a person's consents, the last first.
func (tx *Tx) Shares(ctx context.Context, env, person string) ([]Share, error) {
	k, err := tx.PersonKey(ctx, env, person)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return All(ctx, tx, func(scan Scan) (s Share, err error) {
		var claims, scopes, client string
		var shared, expires, revoked int64
		if err = scan(&s.Request, &s.Person, &claims, &shared, &expires, &revoked, &scopes, &client); err != nil {
			return s, err
		}
		s.SharedAt, s.ExpiresAt, s.RevokedAt = Time(shared), Time(expires), Time(revoked)
		if client != "" && k.Secret != nil {
			b, err := k.Open(sharePlace(env, person, s.Request), client)
			if err != nil {
				return s, err
			}
			s.Client = string(b)
		}
		if err = ParseJSON(scopes, &s.Scopes); err != nil {
			return s, err
		}
		return s, ParseJSON(claims, &s.Claims)
	}, `SELECT s.request, s.person, s.claims, s.shared_at, s.expires_at, s.revoked_at, r.scopes, s.client
		FROM request_shares s JOIN requests r ON r.env = s.env AND r.id = s.request WHERE s.env = $1 AND s.person = $2
		ORDER BY s.shared_at DESC, s.request LIMIT $3`, env, person, maxShares)
}
