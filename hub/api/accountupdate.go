package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// accountUpdate is the wire type AccountUpdateRequest. An empty subject unbinds, an empty
// birth date forgets the one that was given here.
type accountUpdate struct {
	Subject   *string `json:"subject,omitempty"`
	BirthDate *string `json:"birth_date,omitempty"` // YYYY-MM-DD, or a hash, see directory.BirthDateHash
}

// redacted implements redactor: a birth date is hashed, or guessed from its hash, in no time.
func (u accountUpdate) redacted() any {
	if u.BirthDate != nil {
		hidden := redactedSecret
		u.BirthDate = &hidden
	}
	return u
}

// updateAccount binds an account to a person, and keeps when its owner was born. Where the
// environment has recover webhooks they are asked about the binding first, and all have to
// agree: 403 with what they say, 503 where one gives no answer that counts.
func updateAccount(ctx context.Context, c *call, tx *store.Tx, req *accountUpdate) (any, error) {
	c.checked = map[string]bool{} // for this try of the transaction
	c.concerns, c.detail = c.account.ID, map[string]any{"account": c.account.ID, "directory": c.account.Directory, "request": req.redacted()}
	return nil, c.changeAccount(ctx, tx, *req)
}

// changeAccount changes the account of the call. What is refused of it changes nothing.
func (c *call) changeAccount(ctx context.Context, tx *store.Tx, u accountUpdate) error {
	hash, err := c.fits(ctx, tx, u)
	if err != nil {
		return err
	}
	if u.Subject != nil {
		if err := c.agreed(ctx, tx, c.bindingTo(*u.Subject)); err != nil {
			return err
		}
		if err := tx.SetSubject(ctx, c.account.Env, c.account.ID, *u.Subject); err != nil {
			return err
		}
	}
	switch {
	case u.BirthDate == nil:
		return nil
	case hash == "":
		return as(tx.RemoveGivenBirthDate(ctx, c.account.Env, c.account.ID), store.ErrNotFound, nil)
	}
	return tx.SetGivenBirthDate(ctx, c.account.Env, c.account.ID, hash)
}

// fits refuses an update that could not be made, whoever agrees to it. It returns the hash
// of the birth date.
func (c *call) fits(ctx context.Context, tx *store.Tx, u accountUpdate) (hash string, err error) {
	if u.BirthDate != nil && *u.BirthDate != "" {
		if hash, err = directory.BirthDateHash(*u.BirthDate, time.Now()); err != nil {
			return "", bad(plainError(err))
		}
	}
	if u.Subject == nil || *u.Subject == "" {
		return hash, nil
	}
	return hash, c.knows(ctx, tx, *u.Subject)
}

// knows refuses a subject of whom the account's environment does not know.
func (c *call) knows(ctx context.Context, tx *store.Tx, subject string) error {
	env, person, ok := request.ParseSubject(subject)
	if !ok || env != c.account.Env {
		return bad("subject: not one of the account's environment")
	}
	known, err := tx.Person(ctx, env, person)
	if errors.Is(err, store.ErrNotFound) || err == nil && !known.ErasedAt.IsZero() {
		return bad("subject: nobody of this name has shared anything here")
	}
	return err
}

// Bounds of a bulk change.
const (
	maxAccountUpdates  = 1000
	accountUpdatesSize = 512 << 10
)

// accountUpdates is the wire type AccountBulkUpdateRequest.
type accountUpdates struct {
	Accounts []accountUpdateItem `json:"accounts"`
}

type accountUpdateItem struct {
	ID        string  `json:"id"` // the account's own, its immutable one, or any identifier
	Subject   *string `json:"subject,omitempty"`
	BirthDate *string `json:"birth_date,omitempty"`
}

// accountResults is the wire type AccountBulkUpdateResponse.
type accountResults struct {
	Results []accountResult `json:"results"`
}

type accountResult struct {
	ID     string `json:"id"`     // as it was asked for
	Status int    `json:"status"` // 204; 400; 403: a recover webhook said no; 404; 409: several have the identifier, or it changed meanwhile; 503: a recover webhook gave no answer that counts
	Error  string `json:"error,omitempty"`
}

// updateAccounts changes several accounts, each for itself: what is refused of one does
// not hold the others up. Each that is changed has a record of its own, so that it is
// found by its account. Recover webhooks are asked about each binding, all of them within
// half a minute.
func updateAccounts(ctx context.Context, c *call, tx *store.Tx, req *accountUpdates) (any, error) {
	c.checked = map[string]bool{} // for this try of the transaction
	out, changed := accountResults{Results: []accountResult{}}, 0
	for _, item := range req.Accounts {
		err := c.findAccount(ctx, tx, item.ID)
		if err == nil {
			err = c.changeAccount(ctx, tx, accountUpdate{item.Subject, item.BirthDate})
		}
		result, err := resultOf(item.ID, err)
		if err != nil {
			return nil, err
		}
		if result.Status == http.StatusNoContent {
			changed++
			if err := c.recordUpdate(ctx, tx, accountUpdate{item.Subject, item.BirthDate}); err != nil {
				return nil, err
			}
		}
		out.Results = append(out.Results, result)
	}
	c.recorded = changed > 0
	if !c.recorded {
		c.env, c.concerns = store.Environment{}, "" // the record is the organisation's
		c.detail = map[string]any{"account": "", "directory": "", "request": accountUpdate{}, "asked": len(req.Accounts)}
	}
	return out, nil
}

// recordUpdate writes the record of the account of the call.
func (c *call) recordUpdate(ctx context.Context, tx *store.Tx, u accountUpdate) error {
	c.concerns, c.detail = c.account.ID, map[string]any{"account": c.account.ID, "directory": c.account.Directory, "request": u.redacted()}
	return c.append(ctx, tx, nil)
}

// resultOf says what came of one account; an error that is not the caller's ends it all.
func resultOf(id string, err error) (accountResult, error) {
	var refused badRequest
	var other refusal
	switch {
	case err == nil:
		return accountResult{id, http.StatusNoContent, ""}, nil
	case errors.As(err, &other):
		return accountResult{id, other.status, other.text}, nil
	case errors.As(err, &refused):
		return accountResult{id, http.StatusBadRequest, refused[0]}, nil
	case errors.Is(err, store.ErrNotFound):
		return accountResult{id, http.StatusNotFound, "account not found"}, nil
	case errors.Is(err, errAmbiguous):
		return accountResult{id, http.StatusConflict, "several accounts bear this identifier"}, nil
	}
	return accountResult{}, err
}
