// Package directory is the contract between the agent's core and the kinds of
// directory it can serve. It knows no server, no tunnel and no policy of the agent:
// a kind says what is true of an account and carries out one change; the core decides.
package directory

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/protocol"
)

// A Directory serves one directory. Its methods may be called from many goroutines.
// Errors are *protocol.Error with a code and a sentence for administrators; an error
// that wraps ErrUnsure says that the answer to a change was lost.
type Directory interface {
	Reader
	Writer
	// Close gives back connections. Nothing is called after it.
	Close() error
}

// Once stands for a state: list everything, and remember nothing of it.
const Once = "once"

// A Reader reads. Nothing it does is seen by the accounts' owners.
type Reader interface {
	// Describe says which directory this is and what it can do. It signs in and so
	// finds a wrong credential.
	Describe(ctx context.Context) (protocol.Description, error)
	// List yields every account page by page, or those changed since a former pass
	// when since is its state and the kind can tell. It ends with the state to give
	// next time. An error of yield ends the pass and is returned. Once, given as since,
	// lists everything for somebody who gives no state back.
	List(ctx context.Context, since string, page int, yield func(Page) error) (state string, err error)
	// Get finds accounts with their groups: none, one, or several when an identifier
	// is ambiguous.
	Get(ctx context.Context, ref protocol.Ref) ([]protocol.Account, error)
	// Groups lists groups by prefix of their name.
	Groups(ctx context.Context, q protocol.GroupsRequest) ([]protocol.Group, error)
	// Contacts reads addresses live. Values that are identifiers of the account stand
	// in Primary, never in Mail.
	Contacts(ctx context.Context, id string) (protocol.Contacts, error)
}

// A Writer changes one account at a time.
type Writer interface {
	// Facts reads, now, what the guard decides on. CodeAccountNotFound if id names none.
	Facts(ctx context.Context, id string) (Facts, error)
	// DryRun makes every check of Perform that reading can make and changes nothing.
	// Unlock alone is refused (CodeUnsupportedAccountState) when the account is not
	// locked; beside a task that sets a password it is never a reason to refuse: a
	// reset asks for "get_temporary_password?must_change=true,unlock" of everybody.
	DryRun(ctx context.Context, id string, tasks []protocol.Task) error
	// Stamp reads the account's change stamp for these tasks: an opaque text that
	// Settle compares. It may wait up to a second where stamps count whole seconds.
	Stamp(ctx context.Context, id string, tasks []protocol.Task) (string, error)
	// Perform carries out the tasks in one atomic change and verifies it. password is
	// the one to set, empty if no task sets one.
	Perform(ctx context.Context, c Change) (Result, error)
	// Settle says, over a fresh connection to the server that the stamp names, what
	// became of a change whose answer was lost: Done, Unchanged or Unknown. After a
	// restart c has no password any more; the stamp alone then decides. An error means
	// that the server could not be asked: ask again later.
	Settle(ctx context.Context, c Change) (protocol.State, error)
}

// A Keyed directory lists birth dates, which leave the agent only as the keyed hash
// of protocol.BirthDateHash. Until it was given a key it lists none.
type Keyed interface {
	// UseBirthDateKey sets the key for the passes that begin from now on.
	UseBirthDateKey(key []byte)
}

// A Personal directory can say of one person what documents say too, for the agent
// alone: a birth date never leaves it in clear.
type Personal interface {
	// Person reads who an account belongs to, live. Members that the directory does not
	// have are empty. CodeAccountNotFound if id names none.
	Person(ctx context.Context, id string) (Person, error)
}

// A Person is who an account belongs to, in the directory's own words.
type Person struct {
	Name          string // as a whole
	Family, Given string
	BirthDate     string // YYYY-MM-DD
}

// A Watcher can tell at once that List has something new.
type Watcher interface {
	// Watch calls changed when it has begun, and then for every change that List would
	// show, or for several at once; changed returns soon. It ends with ctx, or with an error
	// when the directory is not watched any more; CodeUnsupported says that it never is.
	Watch(ctx context.Context, changed func()) error
}

// maxPhoto bounds a picture: thumbnailPhoto has at most 100 KiB in the schema of Active
// Directory, jpegPhoto no bound, and cameras make up to seven megabytes.
const maxPhoto = 7 << 20

// Beginnings of pictures: JPEG (ISO/IEC 10918-1 B.1.1.3) and PNG (RFC 2083 3.1). Anything
// else that stands in an attribute is no picture of a person.
var pictureHeads = [][]byte{{0xff, 0xd8, 0xff}, []byte("\x89PNG\r\n\x1a\n")}

// IsPicture reports whether a value of a directory is a picture of a person by its
// beginning and its size. Whoever shows it writes it anew.
func IsPicture(b []byte) bool {
	return len(b) <= maxPhoto && slices.ContainsFunc(pictureHeads, func(head []byte) bool { return bytes.HasPrefix(b, head) })
}

// A Photographed directory has pictures of people.
type Photographed interface {
	// Photo reads the picture of an account, live: JPEG or PNG as the directory has it, nil
	// if it has none. CodeAccountNotFound if id names none.
	Photo(ctx context.Context, id string) ([]byte, error)
}

// While wraps yield so that no page is given after ctx ended: a kind that has read
// everything already would not notice.
func While(ctx context.Context, yield func(Page) error) func(Page) error {
	return func(p Page) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return yield(p)
	}
}

// A Page is part of a pass. Full says that the pass lists everything.
type Page struct {
	Full     bool
	Accounts []protocol.Account
	Deleted  []string // immutable ids
	Total    int      // expected in the whole pass; 0 if unknown
}

// Facts are what is true of an account at this moment.
type Facts struct {
	ID         string   // canonical immutable id
	DN         string   // where it stands, for the guard's base DNs and the local log
	Disabled   bool     // an administrator switched it off (administrative locks included), or it has ended
	Expired    bool     // Disabled because it has ended, where the directory tells
	Lasting    bool     // its password never expires, so a reset cannot ask for a new one
	Locked     bool     // locked by failed sign-ins
	Privileged string   // why it is a built-in administrator ("member of Domain Admins"); "" if it is none
	Self       bool     // it is the account that the agent itself signs in with
	Groups     []string // names and ids of all groups, nested ones included
	Policy     PasswordPolicy
	// Words are the account's names, logins and addresses. Directories refuse passwords with
	// parts of them: a temporary one keeps clear of every three letters in a row.
	Words []string
	// MakesPassword says that the directory makes temporary passwords itself: a Change has
	// none, and Perform gives it in its Result.
	MakesPassword bool
	// NeverSignedIn says for certain that nobody has signed in with the account yet. A
	// directory that cannot tell says false.
	NeverSignedIn bool
}

// A PasswordPolicy is the one that applies to the account.
type PasswordPolicy struct {
	MinLength  int  // 0 if unknown
	Complexity bool // three of four character classes
}

// A Change is what Perform carries out.
type Change struct {
	ID       string
	Tasks    []protocol.Task
	Password protocol.Secret
	Stamp    string // what Stamp said; it also names the server that Perform must write to
	// Chosen says that a person chose the password: it is held against the history and the
	// least age that the directory's policy has, where the directory can (T21).
	Chosen bool
}

// A Result is what Perform found out.
type Result struct {
	Secret     protocol.Secret // made by the directory itself (a link, a pass); empty otherwise
	MustChange bool            // the flag really took effect
}

// ErrUnsure is wrapped by an error of Perform after which nobody knows whether the
// directory was changed: the request was sent and no answer came.
var ErrUnsure = errors.New("directory: the answer to a change was lost")
