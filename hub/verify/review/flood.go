package review

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// How many cases are handed in within a day: reviewers look with care at what somebody
// may really need, and at nothing that a program makes (T31).
const (
	casesPerAccount = 3
	casesPerClient  = 20 // a company behind one address translator
	casesWindow     = 24 * time.Hour
)

// floodKeyPurpose is the purpose for which the store derives the key of clients' hashes.
const floodKeyPurpose = "postern/review/client/v1"

// counted are the subjects under which a person's cases are counted.
func (r *Reviews) counted(s verify.Subject) map[string]int {
	all := map[string]int{}
	if s.Account != "" {
		all["review-account:"+s.Directory+"/"+s.Account] = casesPerAccount
	}
	if s.Address != "" {
		m := hmac.New(sha256.New, r.Store.DeriveKeys(floodKeyPurpose)[0])
		m.Write([]byte(s.Env + " " + s.Address))
		all["review-client:"+base64.RawURLEncoding.EncodeToString(m.Sum(nil))] = casesPerClient
	}
	return all
}

// room reports whether the person may hand in one more case.
func (r *Reviews) room(ctx context.Context, tx *store.Tx, s verify.Subject) (bool, error) {
	for subject, most := range r.counted(s) {
		n, _, err := tx.CodeSends(ctx, s.Env, subject, tx.Now().Add(-casesWindow))
		if err != nil || n >= most {
			return false, err
		}
	}
	return true, nil
}

// count counts a case that was handed in.
func (r *Reviews) count(ctx context.Context, tx *store.Tx, s verify.Subject) error {
	for subject := range r.counted(s) {
		if err := tx.AddCodeSend(ctx, s.Env, subject); err != nil {
			return err
		}
	}
	return nil
}
