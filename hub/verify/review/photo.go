package review

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/store"
)

// AccountPhoto is the kind of picture that is the photo of the account, beside Kinds, and
// the point of the list that the face is the one on it.
const AccountPhoto = "account"

// faceAccount asks a program whether the face is that of the account's photo.
const faceAccount = "face_account"

// photoOf returns the photo of the account that a case is about, as it is now;
// store.ErrNotFound if there is none. Cases of requests have no account.
func photoOf(ctx context.Context, tx *store.Tx, c store.Review) ([]byte, error) {
	if ofRequest(c) {
		return nil, store.ErrNotFound
	}
	return tx.AccountPhoto(ctx, c.Env, c.Person)
}

// photoSum returns the SHA-256, in hexadecimal, of the photo of the account that a case is
// about, as it is now; "" if there is none. It tells whether two people saw the same one.
func photoSum(ctx context.Context, tx *store.Tx, c store.Review) (string, error) {
	body, err := photoOf(ctx, tx, c)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), nil
}

// saw keeps which photo a reviewer accepted.
func saw(c *store.Review, reviewer, photo string) error {
	d, err := detailsOf(*c)
	if err != nil || photo == "" {
		return err
	}
	if d.Photos == nil {
		d.Photos = map[string]string{}
	}
	d.Photos[reviewer] = photo
	c.Details = []byte(store.JSON(d))
	return nil
}

// compared returns the decisions of those who saw the photo that the account has now, if it
// has one.
func compared(ctx context.Context, tx *store.Tx, c store.Review, votes []store.ReviewVote) ([]store.ReviewVote, error) {
	if len(votes) == 0 {
		return nil, nil
	}
	d, err := detailsOf(c)
	if err != nil {
		return nil, err
	}
	photo, err := photoSum(ctx, tx, c)
	return slices.DeleteFunc(slices.Clone(votes), func(v store.ReviewVote) bool { return photo != "" && d.Photos[v.Reviewer] != photo }), err
}

// checklist is Checklist, and the photo of the account where there is one.
func checklist(photo bool) []string {
	if !photo {
		return Checklist
	}
	return append(append([]string{}, Checklist...), AccountPhoto)
}
