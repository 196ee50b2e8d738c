package directory

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/match"
)

// Errors of Bind.
var (
	ErrNobody  = errors.New("directory: no account is that of the document beyond doubt")
	ErrSeveral = errors.New("directory: the document could be that of more than one account")
	ErrFace    = errors.New("directory: nobody compared the person with the account's photo")
)

// Bind returns the one enabled account of a directory that a document is of, at a
// strength. identifier, where it is not empty, is one that the account must bear: it
// narrows, and never stands for the document.
func Bind(ctx context.Context, s *store.Store, env, directory, identifier string, strength match.Strength, d match.Document) (store.Account, error) {
	if strength == match.Photo {
		return store.Account{}, ErrFace
	}
	candidates, err := store.Get(ctx, s, func(tx *store.Tx) ([]store.Account, error) {
		if identifier != "" {
			return tx.FindAccounts(ctx, env, identifier)
		}
		name := match.Name{Given: d.Given, Family: d.Family, Full: d.Full}
		return tx.AccountsNamed(ctx, env, directory, store.NameKeys(directory, name.Keys()))
	})
	if err != nil {
		return store.Account{}, err
	}
	var found []store.Account
	common := false
	for _, a := range candidates {
		if a.Disabled || a.Directory != directory {
			continue
		}
		grade, why, err := Judge(ctx, s, a, strength, d)
		switch {
		case err != nil:
			return store.Account{}, err
		case grade == match.Match:
			found = append(found, a)
		case why == match.NameIsCommon:
			common = true
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1 || common:
		return store.Account{}, ErrSeveral
	}
	return store.Account{}, ErrNobody
}
