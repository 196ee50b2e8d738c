package api

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/store"
)

// account is the wire type Account.
type account struct {
	ID           string        `json:"id"`
	Identifiers  []string      `json:"directory_identifiers"`
	ImmutableID  string        `json:"directory_immutable_identifier"`
	Name         string        `json:"name"`
	Subject      string        `json:"subject,omitempty"`
	HasBirthDate bool          `json:"have_birth_date"`
	Photo        *accountPhoto `json:"photo,omitempty"`
	Directory    string        `json:"directory"` // ours
	Env          string        `json:"env"`       // ours
	Disabled     bool          `json:"disabled"`  // ours
}

func wireAccount(a store.Account) account {
	out := account{
		ID: a.ID, Identifiers: append([]string{}, a.Identifiers...), ImmutableID: a.ImmutableID, Name: a.Name, Subject: a.Subject,
		HasBirthDate: a.BirthDate != "" || a.GivenBirthDate, Directory: a.Directory, Env: a.Env, Disabled: a.Disabled,
	}
	if a.Photo.Given() {
		out.Photo = &accountPhoto{a.Photo.SHA256, a.Photo.Created.UTC()}
	}
	return out
}

// accountsList is the wire type AccountsList.
type accountsList struct {
	Accounts   []account `json:"accounts"`
	NextOffset int       `json:"next_offset,omitempty"` // absent: that was all
}

// listAccounts answers with a page of the accounts of one, several or all environments.
func listAccounts(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	f := c.accountFilter()
	for _, d := range f.Directories {
		if err := c.findDirectory(ctx, tx, d); err != nil {
			return nil, as(err, store.ErrNotFound, bad("directory: not a directory that this key is for"))
		}
	}
	envs, err := c.chosen(ctx, tx)
	if err != nil {
		return nil, as(err, store.ErrNotFound, bad("env: not an environment that this key is for"))
	}
	found, more, err := pageOf(ctx, tx, envs, f)
	if err != nil {
		return nil, err
	}
	list := accountsList{Accounts: make([]account, 0, len(found))}
	for _, a := range found {
		list.Accounts = append(list.Accounts, wireAccount(a))
	}
	if more {
		list.NextOffset = f.Offset + len(found)
	}
	return list, nil
}

// pageOf reads a page that may cross environments, and whether there is more.
func pageOf(ctx context.Context, tx *store.Tx, envs []store.Environment, f store.AccountFilter) (page []store.Account, more bool, err error) {
	skip := f.Offset
	for _, e := range envs {
		part := f
		part.Offset, part.Count = skip, f.Count-len(page)+1
		found, err := tx.Accounts(ctx, e.ID, part)
		if err != nil {
			return nil, false, err
		}
		page = append(page, found...)
		if len(page) > f.Count {
			return page[:f.Count], true, nil
		}
		if len(found) > 0 || skip == 0 {
			skip = 0
			continue
		}
		n, err := tx.CountMatching(ctx, e.ID, f)
		if err != nil {
			return nil, false, err
		}
		skip -= n
	}
	return page, false, nil
}

// accountFilter reads the parameters.
func (c *call) accountFilter() store.AccountFilter {
	return store.AccountFilter{
		Offset: c.number("offset"), Count: c.number("count"), Directories: c.many("directory"), Query: c.text("q"), Bound: c.truth("verified"),
	}
}

// findAccount finds an account by its id, its immutable id or any identifier, in all
// environments that the key is for.
func (c *call) findAccount(ctx context.Context, tx *store.Tx, id string) error {
	a, err := tx.AccountByID(ctx, id)
	if err == nil {
		c.account = a
		return c.findEnv(ctx, tx, a.Env)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	envs, err := c.environments(ctx, tx)
	if err != nil {
		return err
	}
	found, err := accountsNamed(ctx, tx, envs, id)
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return store.ErrNotFound
	case len(found) > 1:
		return errAmbiguous
	}
	c.account = found[0]
	return c.findEnv(ctx, tx, c.account.Env)
}

// accountsNamed returns the accounts that have this immutable id or identifier.
func accountsNamed(ctx context.Context, tx *store.Tx, envs []store.Environment, id string) ([]store.Account, error) {
	var all []store.Account
	add := func(a store.Account) {
		if !slices.ContainsFunc(all, func(b store.Account) bool { return a.ID == b.ID }) {
			all = append(all, a)
		}
	}
	for _, e := range envs {
		directories, err := tx.Directories(ctx, e.ID)
		if err != nil {
			return nil, err
		}
		for _, d := range directories {
			for _, written := range spellings(id) {
				a, err := tx.AccountOf(ctx, e.ID, d.ID, written)
				if err == nil {
					add(a)
				} else if !errors.Is(err, store.ErrNotFound) {
					return nil, err
				}
			}
		}
		byName, err := tx.FindAccounts(ctx, e.ID, id)
		if err != nil {
			return nil, err
		}
		for _, a := range byName {
			add(a)
		}
	}
	return all, nil
}

// guid is the one form of immutable ids in which the case of letters says nothing.
var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// spellings are an immutable id as it was given, and as agents write it: many a tool prints
// GUIDs in capitals.
func spellings(id string) []string {
	if low := strings.ToLower(id); low != id && guid.MatchString(id) {
		return []string{id, low}
	}
	return []string{id}
}

// getAccount answers with one account.
func getAccount(_ context.Context, c *call, _ *store.Tx) (any, error) {
	return wireAccount(c.account), nil
}
