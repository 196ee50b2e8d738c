package directory

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/match"
)

// namesBatch is how many names are given keys in one transaction, about 50 ms.
const namesBatch = 1000

// KeyNames gives keys to the names of a directory that are new or have changed, in batches
// between which others write. Run does it behind each pass; meanwhile such names are
// compared one by one, and where they are too many every name counts as somebody else's too.
func (d *Directories) KeyNames(ctx context.Context, env, directory string) error {
	for {
		keys, err := d.keysAhead(ctx, env, directory)
		if err != nil || len(keys) == 0 {
			return err
		}
		n := 0
		err = d.store.Draft(ctx, func(tx *store.Tx) error { // what is lost has no keys, and says so
			all, err := tx.UnkeyedNames(ctx, env, directory, namesBatch)
			if n = len(all); err != nil || n == 0 {
				return err
			}
			for i, a := range all {
				if all[i].Keys = keys[a.Name]; all[i].Keys == nil {
					all[i].Keys = nameKeys(directory, a.Name)
				}
			}
			return tx.KeyNames(ctx, env, all)
		})
		if err != nil || n < namesBatch {
			return err
		}
	}
}

// keysAhead makes the keys of names that have none, while others write.
func (d *Directories) keysAhead(ctx context.Context, env, directory string) (map[string][]int64, error) {
	keys := map[string][]int64{}
	all, err := store.Get(ctx, d.store, func(tx *store.Tx) ([]store.NamedAccount, error) {
		return tx.UnkeyedNames(ctx, env, directory, namesBatch)
	})
	for _, a := range all {
		if keys[a.Name] == nil {
			keys[a.Name] = nameKeys(directory, a.Name)
		}
	}
	return keys, err
}

func nameKeys(directory, name string) []int64 {
	return store.NameKeys(directory, match.Name{Full: name}.Keys())
}

// Judge compares a document with an account at a strength. Under match.Photo people compare
// the face, and the name is held against the account besides, as for match.CommonName. Whether the name is somebody
// else's too is asked of the directory and of the operator's list. A
// birth date that an operator gave counts like the directory's, and where both are there both
// must agree. Agents never hear of it: in strict mode it does not count (T16).
func Judge(ctx context.Context, s *store.Store, a store.Account, strength match.Strength, d match.Document) (match.Grade, match.Reason, error) {
	return judge(ctx, s, a, strength, d, false)
}

// judge is Judge; strict says that a face that agrees replaces no comparison of names.
func judge(ctx context.Context, s *store.Store, a store.Account, strength match.Strength, d match.Document, strict bool) (grade match.Grade, reason match.Reason, err error) {
	known := match.Account{ID: a.ImmutableID, Name: match.Name{Full: a.Name}, BirthDateHash: a.BirthDate, HasPhoto: a.Photo.Exists(), Strict: strict}
	if strength == match.Photo && known.HasPhoto {
		strength = match.CommonName
	}
	var given string
	err = s.Read(ctx, func(tx *store.Tx) (err error) {
		if known.Key, err = tx.BirthDateKey(ctx, a.Env, a.Directory); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if given, err = tx.GivenBirthDate(ctx, a.Env, a.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		err = nil
		if strength == match.CommonName {
			known.Collides, err = collides(ctx, tx, a, match.Name{Given: d.Given, Family: d.Family, Full: d.Full})
		}
		return err
	})
	if err != nil {
		return match.No, "", err
	}
	if known.BirthDateHash == "" {
		known.BirthDateHash = given
	}
	grade, reason = match.Judge(strength, d, known)
	if grade != match.No && given != "" && !match.BirthDate(known.Key, a.ImmutableID, given, d.BirthDate) {
		grade, reason = match.No, match.BirthDateOther
	}
	return grade, reason, nil
}

// collides reports whether the document could be that of another account of the
// directory, or bears a name of the operator's list.
func collides(ctx context.Context, tx *store.Tx, a store.Account, document match.Name) (bool, error) {
	keys := document.Keys()
	others, err := tx.Namesakes(ctx, a.Env, a.Directory, a.ID, store.NameKeys(a.Directory, keys))
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(others, func(name string) bool { return match.Names(document, match.Name{Full: name}) == match.Match }) {
		return true, nil
	}
	names, all, err := unkeyed(ctx, tx, a.Env, a.Directory)
	if err != nil || !all {
		return true, err
	}
	if slices.ContainsFunc(names, func(n store.NamedAccount) bool {
		return n.ID != a.ID && match.Names(document, match.Name{Full: n.Name}) == match.Match
	}) {
		return true, nil
	}
	return tx.CommonName(ctx, a.Env, store.NameKeys(a.Env, keys))
}

// maxUnkeyed is how many names without keys are compared one by one, in some 20 ms.
const maxUnkeyed = 2 * namesBatch

// unkeyed returns the accounts whose names have no keys yet. all is false if they are too many.
func unkeyed(ctx context.Context, tx *store.Tx, env, directory string) (names []store.NamedAccount, all bool, err error) {
	many, err := tx.ManyUnkeyed(ctx, env, directory, maxUnkeyed)
	if err != nil || many {
		return nil, false, err
	}
	names, err = tx.UnkeyedNames(ctx, env, directory, maxUnkeyed)
	return names, true, err
}

// named returns the accounts of a directory whose names a document could bear, to be
// judged one by one. ErrSeveral while too many names have no keys yet.
func named(ctx context.Context, tx *store.Tx, env, directory string, document match.Name) ([]store.Account, error) {
	names, all, err := unkeyed(ctx, tx, env, directory)
	if err == nil && !all {
		err = ErrSeveral
	}
	if err != nil {
		return nil, err
	}
	keys := document.Keys()
	found, err := tx.AccountsNamed(ctx, env, directory, store.NameKeys(directory, keys))
	for _, n := range names {
		if err != nil {
			return nil, err
		}
		if !sharesKey(match.Name{Full: n.Name}, keys) || slices.ContainsFunc(found, func(a store.Account) bool { return a.ID == n.ID }) {
			continue
		}
		var a store.Account
		a, err = tx.Account(ctx, env, n.ID)
		found = append(found, a)
	}
	return found, err
}

func sharesKey(name match.Name, keys []string) bool {
	return slices.ContainsFunc(name.Keys(), func(k string) bool { return slices.Contains(keys, k) })
}

// Namesake reports whether a document with exactly the account's name could be that of
// another account of its directory, or whether the operator's list has the name.
func Namesake(ctx context.Context, tx *store.Tx, a store.Account) (bool, error) {
	return collides(ctx, tx, a, match.Name{Full: a.Name})
}

// Bounds of the operator's list.
const (
	maxCommonList  = 64 << 20 // bytes
	maxCommonNames = 500_000  // above the threshold
)

// ErrCommonNames says that a list is not of the form "name,count".
var ErrCommonNames = errors.New("directory: a list of common names has lines of the form name,count")

// ReadCommonNames reads a CSV file of full names and how many people bear each. It returns
// the keys, for store.SetCommonNames, of those that at least threshold people bear, and
// how many names they are.
func ReadCommonNames(env string, list io.Reader, threshold int) (keys []int64, n int, err error) {
	r := csv.NewReader(io.LimitReader(list, maxCommonList))
	r.ReuseRecord, r.FieldsPerRecord = true, 2
	for line := 1; ; line++ {
		f, err := r.Read()
		if errors.Is(err, io.EOF) {
			return keys, n, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%w: line %d", ErrCommonNames, line)
		}
		count, err := strconv.Atoi(strings.TrimSpace(f[1]))
		switch {
		case err != nil && line == 1:
			continue // a heading
		case err != nil || count < 0:
			return nil, 0, fmt.Errorf("%w: line %d", ErrCommonNames, line)
		case count < max(threshold, 1):
			continue
		}
		if n++; n > maxCommonNames {
			return nil, 0, fmt.Errorf("directory: more than %d common names; raise the threshold", maxCommonNames)
		}
		keys = append(keys, store.NameKeys(env, match.Name{Full: f[0]}.Keys())...)
	}
}
