package review

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol/match"
)

// AccountPhoto is the kind of picture that is the photo of the account, beside Kinds, and
// the point of the list that the face is the one on it.
const AccountPhoto = "account"

// faceAccount asks a program whether the face is that of the account's photo.
const faceAccount = "face_account"

// accountOf returns the account that a case is about; store.ErrNotFound if there is none.
// Cases of requests have the one that whoever waits for the answer means, if any.
func accountOf(c store.Review) (string, error) {
	if ofBadge(c) {
		return "", store.ErrNotFound
	}
	if !ofRequest(c) {
		return c.Person, nil
	}
	d, err := detailsOf(c)
	if err == nil && d.Meant == "" {
		err = store.ErrNotFound
	}
	return d.Meant, err
}

// photoOf returns the photo of the account that a case is about, as it is now;
// store.ErrNotFound if there is none, *store.Elsewhere if it lies in a storage.
func photoOf(ctx context.Context, tx *store.Tx, c store.Review) ([]byte, error) {
	account, err := accountOf(c)
	if err != nil {
		return nil, err
	}
	return tx.AccountPhoto(ctx, c.Env, account)
}

// owners lists the addresses of whoever may not decide about a case: it would be theirs.
func owners(ctx context.Context, tx *store.Tx, s verify.Subject, meant string) ([]string, error) {
	own, err := verify.Addresses(ctx, tx, s)
	if err != nil || meant == "" {
		return own, err
	}
	a, err := tx.Account(ctx, s.Env, meant)
	if errors.Is(err, store.ErrNotFound) {
		return own, nil
	}
	return append(own, a.Identifiers...), err
}

// photoSum returns the SHA-256, in hexadecimal, of the photo of the account that a case is
// about, as it is now; "" if there is none. It tells whether two people saw the same one.
func photoSum(ctx context.Context, tx *store.Tx, c store.Review) (string, error) {
	account, err := accountOf(c)
	photo := ""
	if err == nil {
		photo, err = tx.AccountPhotoSum(ctx, c.Env, account)
	}
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return photo, err
}

// sum is the SHA-256 of a picture, in hexadecimal.
func sum(body []byte) string {
	s := sha256.Sum256(body)
	return hex.EncodeToString(s[:])
}

// saw keeps which photo a reviewer accepted, or, where same is false, accepted a document
// beside without saying that the face is the one on it.
func saw(c *store.Review, reviewer, photo string, same bool) error {
	d, err := detailsOf(*c)
	if err != nil || photo == "" {
		return err
	}
	list := &d.Photos
	if !same {
		list = &d.Unsure
	}
	if *list == nil {
		*list = map[string]string{}
	}
	(*list)[reviewer] = photo
	c.Details = []byte(store.JSON(d))
	return nil
}

// compared returns the decisions of those who saw the photo that the account has now, if it
// has one. Whether a document of a request is one does not hang on it.
func compared(ctx context.Context, tx *store.Tx, c store.Review, votes []store.ReviewVote) ([]store.ReviewVote, error) {
	if len(votes) == 0 || ofRequest(c) {
		return votes, nil
	}
	d, err := detailsOf(c)
	if err != nil {
		return nil, err
	}
	photo, err := photoSum(ctx, tx, c)
	return slices.DeleteFunc(slices.Clone(votes), func(v store.ReviewVote) bool { return photo != "" && d.Photos[v.Reviewer] != photo }), err
}

// faceSaid is what those who accepted a document of a request in the end said of the face
// and this photo of the account that is meant: the one on it, if everybody who saw it said
// so; nobody is sure, if one of them did not, for then no program says it in their place;
// not compared, if they were not shown it.
func faceSaid(c store.Review, votes []store.ReviewVote, meant, photo string) (match.Face, error) {
	d, err := detailsOf(c)
	if err != nil || d.Meant != meant || c.Outcome != Accepted {
		return match.NotCompared, err
	}
	said, same := 0, 0
	for _, v := range votes {
		if v.Round != c.Round || v.Verdict != string(Accept) {
			continue
		}
		if d.Unsure[v.Reviewer] == photo {
			return match.UnsureFace, nil
		}
		if said++; d.Photos[v.Reviewer] == photo {
			same++
		}
	}
	if said > 0 && said == same {
		return match.SameFace, nil
	}
	return match.NotCompared, nil
}

// checklist is Checklist, and the photo of the account where there is one.
func checklist(photo bool) []string {
	if !photo {
		return Checklist
	}
	return append(append([]string{}, Checklist...), AccountPhoto)
}
