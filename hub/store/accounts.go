package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// An Account of a directory, as the last pass found it.
type Account struct {
	ID, Env, Directory string
	ImmutableID        string // canonical; with Directory the key of the account
	Name               string
	Identifiers        []string // as the directory spells them
	BirthDate          string   // of the directory: keyed hash; empty: unknown
	GivenBirthDate     bool     // an operator gave one besides, see GivenBirthDate
	Disabled           bool
	Subject            string // whom a relying party calls this person; empty: nobody
	Created            time.Time
	Photo              Photo
}

// NormalIdentifier is the form in which identifiers are compared: directories ignore
// case, and people type spaces around an address.
func NormalIdentifier(identifier string) string {
	return strings.ToLower(strings.TrimSpace(identifier))
}

// maxMatches bounds how many accounts one identifier may give: more than one is already
// a question to the person.
const maxMatches = 20

const accountColumns = "a.id, a.env, a.directory, a.immutable_id, a.name, a.identifiers, a.birth_date, a.disabled, a.subject, a.created_at, " + givenColumn + ", " + photoColumns

func scanAccount(scan Scan) (a Account, err error) {
	var identifiers string
	var created, given, photographed, lent int64
	err = scan(&a.ID, &a.Env, &a.Directory, &a.ImmutableID, &a.Name, &identifiers, &a.BirthDate, &a.Disabled, &a.Subject, &created, &given, &a.Photo.SHA256, &photographed, &lent)
	if err == nil {
		err = ParseJSON(identifiers, &a.Identifiers)
	}
	a.GivenBirthDate = given == 1
	a.Created, a.Photo.Created, a.Photo.Until = Time(created), Time(photographed), Time(lent)
	return a, err
}

// FindAccounts returns the accounts of an environment that bear an identifier, in any
// case: none, one, or several. Swept accounts are not found.
func (tx *Tx) FindAccounts(ctx context.Context, env, identifier string) ([]Account, error) {
	return All(ctx, tx, scanAccount, "SELECT "+accountColumns+` FROM account_identifiers i JOIN accounts a ON a.num = i.account
		WHERE a.env = $1 AND i.identifier = $2 AND a.swept_at = 0 ORDER BY a.num LIMIT `+fmt.Sprint(maxMatches), env, NormalIdentifier(identifier))
}

// Account returns one account of an environment. A swept one is ErrNotFound.
func (tx *Tx) Account(ctx context.Context, env, id string) (Account, error) {
	return One(ctx, tx, scanAccount, "SELECT "+accountColumns+" FROM accounts a WHERE a.env = $1 AND a.id = $2 AND a.swept_at = 0", env, id)
}

// AccountByID finds the environment of an account, for the paths of the REST API, which
// name none. The caller checks that it may see that environment.
func (tx *Tx) AccountByID(ctx context.Context, id string) (Account, error) {
	return One(ctx, tx, scanAccount, "SELECT "+accountColumns+" FROM accounts a WHERE a.id = $1 AND a.swept_at = 0", id)
}

// AccountOf returns the account with an immutable id in a directory. A swept one is
// ErrNotFound.
func (tx *Tx) AccountOf(ctx context.Context, env, directory, immutableID string) (Account, error) {
	return One(ctx, tx, scanAccount, "SELECT "+accountColumns+` FROM accounts a
		WHERE a.env = $1 AND a.directory = $2 AND a.key = $3 AND a.swept_at = 0`, env, directory, accountKey(directory, immutableID))
}

// An AccountFilter narrows a list of accounts.
type AccountFilter struct {
	Directories []string // empty: every directory of the environment
	Query       string   // part of the name or of an identifier, in any case
	Subject     string   // bound to it; "": to whomever
	Bound       *bool    // with a subject, or without one; nil: either
	Offset      int
	Count       int // at most MaxAccounts
}

// MaxAccounts is the longest list of accounts.
const MaxAccounts = 1000

// where returns the condition of the filter, without offset and count.
func (f AccountFilter) where(env string) where {
	w := where{text: "a.env = $1 AND a.swept_at = 0", args: []any{env}}
	w.oneOf("a.directory", f.Directories)
	w.add("CASE a.subject WHEN '' THEN 0 ELSE 1 END = $%d", Flag(f.Bound != nil && *f.Bound), f.Bound != nil)
	w.add("a.subject = $%d AND a.subject <> ''", f.Subject, f.Subject != "")
	q := NormalIdentifier(f.Query)
	w.add(`(lower(a.name) LIKE $%[1]d ESCAPE '!' OR EXISTS
		(SELECT 1 FROM account_identifiers i WHERE i.account = a.num AND i.identifier LIKE $%[1]d ESCAPE '!'))`, "%"+escapeLike(q)+"%", q != "")
	return w
}

// Accounts lists accounts of an environment, those known longest first. An API that
// pages asks for one more than it shows.
func (tx *Tx) Accounts(ctx context.Context, env string, f AccountFilter) ([]Account, error) {
	w := f.where(env)
	return All(ctx, tx, scanAccount, fmt.Sprintf("SELECT %s FROM accounts a WHERE %s ORDER BY a.num LIMIT %d OFFSET %d",
		accountColumns, w.text, min(max(f.Count, 1), MaxAccounts+1), max(f.Offset, 0)), w.args...)
}

// CountMatching counts the accounts that a filter lets through, without its offset and count.
func (tx *Tx) CountMatching(ctx context.Context, env string, f AccountFilter) (int, error) {
	w := f.where(env)
	var n int
	err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM accounts a WHERE "+w.text, w.args...)
	return n, err
}

// escapeLike takes the meaning from the wildcards of LIKE … ESCAPE '!'.
func escapeLike(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}

// SetSubject binds an account to whom relying parties know as subject; empty unbinds.
func (tx *Tx) SetSubject(ctx context.Context, env, id, subject string) error {
	return tx.Must(ctx, "UPDATE accounts SET subject = $3 WHERE env = $1 AND id = $2 AND swept_at = 0", env, id, subject)
}

func scanGroup(scan Scan) (g protocol.Group, err error) {
	err = scan(&g.ID, &g.Name, &g.Kind)
	return g, err
}

// AccountGroups returns the groups of an account as the last pass found them. Agents of
// the public protocol list accounts without groups: ask them before a policy decides.
func (tx *Tx) AccountGroups(ctx context.Context, env, id string) ([]protocol.Group, error) {
	return All(ctx, tx, scanGroup, `SELECT g.immutable_id, g.name, g.kind FROM accounts a
		JOIN account_groups m ON m.account = a.num
		JOIN directory_groups g ON g.directory = a.directory AND g.immutable_id = m.grp
		WHERE a.env = $1 AND a.id = $2 AND a.swept_at = 0 ORDER BY g.name, g.immutable_id`, env, id)
}

// Groups lists groups of a directory whose name begins with prefix, in any case.
func (tx *Tx) Groups(ctx context.Context, env, directory, prefix string, count int) ([]protocol.Group, error) {
	return All(ctx, tx, scanGroup, `SELECT immutable_id, name, kind FROM directory_groups
		WHERE env = $1 AND directory = $2 AND lower(name) LIKE $3 ESCAPE '!' ORDER BY name, immutable_id LIMIT $4`,
		env, directory, escapeLike(strings.ToLower(prefix))+"%", min(max(count, 1), MaxAccounts))
}
