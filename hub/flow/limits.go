package flow

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"math"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
)

// Numbers of issued codes, per address or account and method.
const (
	codeTries      = 5
	sendsPerHour   = 3                // to one address, asked for by one client
	mailsPerHour   = 9                // to one address or account, whoever asks: nobody's mailbox is flooded
	sendGap        = 30 * time.Second // mail needs a moment
	failuresPerDay = 10
	coolOff        = 24 * time.Hour
	hardStop       = 100 // failures without a success: an administrator must look
)

// purposeRecovery separates these counters from those of plain verifications.
const purposeRecovery = "recovery"

// never is the end of a cool-off that only an administrator or a success ends.
var never = time.UnixMilli(math.MaxInt64 / 1000).UTC()

// subjects of counters. Every address has one, whether or not it belongs to an account.
func addressSubject(rec *store.Recovery) string { return "address:" + rec.Address }

func accountSubject(directory, account string) string { return "account:" + directory + "/" + account }

// keyedHash names an address in counters and rows without saying it.
func keyedHash(key []byte, env, normal string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(env + "\x00" + normal))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// fail counts one more failed proof.
func fail(c store.ProofCounter, now time.Time) store.ProofCounter {
	if now.Sub(c.WindowAt) >= 24*time.Hour {
		c.Failures, c.WindowAt = 0, now
	}
	c.Failures, c.Total = c.Failures+1, c.Total+1
	if c.Failures >= failuresPerDay {
		c.Failures, c.CoolUntil = 0, now.Add(coolOff)
	}
	if c.Total >= hardStop {
		c.CoolUntil = never
	}
	return c
}

// cooling returns until when a method is shut for a subject; zero if it is not.
func (r *Recoveries) cooling(ctx context.Context, tx *store.Tx, env, subject, method string) (time.Time, error) {
	c, err := tx.ProofCounter(ctx, env, subject, method, purposeRecovery)
	if err != nil || !c.CoolUntil.After(r.Now()) {
		return time.Time{}, err
	}
	return c.CoolUntil, nil
}

// charge counts a proof as failed before it is judged, so that a crash or a race in
// between never gives a try for nothing; success forgets it. It reports whether the
// method was open.
func (r *Recoveries) charge(ctx context.Context, tx *store.Tx, env, subject, method string) (bool, error) {
	c, err := tx.ProofCounter(ctx, env, subject, method, purposeRecovery)
	if err != nil || c.CoolUntil.After(r.Now()) {
		return false, err
	}
	return true, tx.SaveProofCounter(ctx, env, subject, method, purposeRecovery, fail(c, r.Now()))
}

// sends says how many codes this client may still ask for, and from when on if none.
// One client cannot use up what another one may ask for: that would be a weapon (T31).
func (r *Recoveries) sends(ctx context.Context, tx *store.Tx, rec *store.Recovery) (left int, at time.Time, err error) {
	client, err := r.clientSubject(rec)
	if err != nil {
		return 0, at, err
	}
	left, at, err = r.mails(ctx, tx, rec.Env, client, sendsPerHour)
	if err != nil || left == 0 {
		return left, at, err
	}
	all, at, err := r.mails(ctx, tx, rec.Env, addressSubject(rec), mailsPerHour)
	return min(left, all), at, err
}

// mails says how many codes a subject may still get.
func (r *Recoveries) mails(ctx context.Context, tx *store.Tx, env, subject string, limit int) (left int, at time.Time, err error) {
	n, first, err := tx.CodeSends(ctx, env, subject, r.Now().Add(-time.Hour))
	if err != nil || n < limit {
		return limit - n, time.Time{}, err
	}
	return 0, first.Add(time.Hour), nil
}

// clientSubject is an address as one client asks for it.
func (r *Recoveries) clientSubject(rec *store.Recovery) (string, error) {
	p, err := recovery.PrivateOf(rec)
	return "client:" + keyedHash(r.Store.DeriveKeys(addressKeyPurpose)[0], rec.Env, policy.Client(p.Client.Address)+" "+p.Address), err
}

// randomChallenge is what no answer meets.
func randomChallenge() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
