package directory

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/match"
)

// Errors of Bind.
var (
	ErrNobody    = errors.New("directory: no account is that of the document beyond doubt")
	ErrSeveral   = errors.New("directory: the document could be that of more than one account")
	ErrFace      = errors.New("directory: nobody compared the person with the account's photo, or is sure")
	ErrNoPhoto   = errors.New("directory: the account has no photo to compare the person with")
	ErrOtherFace = errors.New("directory: the person is not the one on the account's photo")
)

// A Binding is a proof that is to be that of an account.
type Binding struct {
	Env, Directory string
	Identifier     string // that the account must bear; it narrows, and never stands for the document. "": any
	Strength       match.Strength
	Document       match.Document // without Face, which Compare finds out
	Strict         bool           // a face that agrees replaces no comparison of names (T16)

	// Compare returns what somebody, or a program, makes of the person beside the photo of
	// an account. nil: nobody compares.
	Compare func(ctx context.Context, a store.Account) (match.Face, error)
}

// maxFaces bounds how many photos one person is compared with: more accounts that could be
// theirs are told apart by nobody.
const maxFaces = 4

// Bind returns the one enabled account of a directory that a document is of, at a
// strength. Errors: those above, the store's, and Compare's.
func Bind(ctx context.Context, s *store.Store, b Binding) (store.Account, error) {
	d := b.Document
	candidates, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Account, error) {
		if b.Identifier != "" {
			return tx.FindAccounts(ctx, b.Env, b.Identifier)
		}
		return named(ctx, tx, b.Env, b.Directory, match.Name{Given: d.Given, Family: d.Family, Full: d.Full})
	})
	if err != nil {
		return store.Account{}, err
	}
	var found []store.Account
	why, compared := ErrNobody, 0
	for _, a := range candidates {
		if a.Disabled || a.Directory != b.Directory {
			continue
		}
		if d.Face = match.NotCompared; a.Photo.Given() && b.Compare != nil && compared < maxFaces {
			compared++
			if d.Face, err = b.Compare(ctx, a); err != nil {
				return store.Account{}, err
			}
		}
		fits, reason, err := b.fits(ctx, s, a, d)
		if err != nil {
			return store.Account{}, err
		}
		if fits {
			found = append(found, a)
		}
		why = later(why, reason)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return store.Account{}, why
	}
	return store.Account{}, ErrSeveral
}

// reasons are the errors for which an account does not fit, where they say more than
// ErrNobody.
var reasons = map[match.Reason]error{match.NameIsCommon: ErrSeveral, match.FaceDiffers: ErrOtherFace, match.FaceUnsure: ErrFace}

// fits judges one account, and returns the reason for which it does not fit.
func (b Binding) fits(ctx context.Context, s *store.Store, a store.Account, d match.Document) (ok bool, why, err error) {
	switch {
	case b.Strength != match.Photo:
	case !a.Photo.Given():
		return false, ErrNoPhoto, nil
	case d.Face == match.NotCompared: // Judge would go by the name alone
		return false, ErrFace, nil
	}
	grade, reason, err := judge(ctx, s, a, b.Strength, d, b.Strict)
	return grade == match.Match, reasons[reason], err
}

// doubts are the reasons in the order in which they matter to whoever asks.
var doubts = []error{ErrNobody, ErrNoPhoto, ErrOtherFace, ErrFace, ErrSeveral}

// later returns the one of two reasons that matters more.
func later(a, b error) error {
	if slices.Index(doubts, b) > slices.Index(doubts, a) {
		return b
	}
	return a
}
