package review

import (
	"context"
	"errors"

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

// photographed reports whether the account of a case has a photo.
func photographed(ctx context.Context, tx *store.Tx, c store.Review) (bool, error) {
	_, err := photoOf(ctx, tx, c)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// checklist is Checklist, and the photo of the account where there is one.
func checklist(photo bool) []string {
	if !photo {
		return Checklist
	}
	return append(append([]string{}, Checklist...), AccountPhoto)
}
