package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"time"
)

// Elsewhere is the error of a picture that lies in a storage of its organisation: Fetch
// gets it.
type Elsewhere struct {
	Env, Storage, Object string
	open                 func(ctx context.Context, tx *Tx, sealed []byte) ([]byte, error)
}

// Error implements error.
func (*Elsewhere) Error() string { return "store: the picture lies in a storage" }

// ErrElsewhere says that the storage in which a picture lies did not give it back.
var ErrElsewhere = errors.New("store: the storage in which a picture lies did not give it back")

// A Shelf gives back objects that lie in storage of organisations' own.
type Shelf interface {
	// Object returns an object of a storage.
	Object(ctx context.Context, env, storage, name string) ([]byte, error)
}

// Fetch is Get for a function that returns a picture, from wherever that lies. It must not
// be called within a transaction, which nothing outside may keep waiting. ErrNotFound also
// if the picture was replaced or erased meanwhile; ErrElsewhere; without a shelf, the
// Elsewhere itself.
func Fetch(ctx context.Context, s *Store, shelf Shelf, fn func(tx *Tx) ([]byte, error)) ([]byte, error) {
	body, err := Get(ctx, s, fn)
	if away := (*Elsewhere)(nil); errors.As(err, &away) {
		return away.Fetch(ctx, s, shelf)
	}
	return body, err
}

// Fetch returns the picture, as the function Fetch does.
func (e *Elsewhere) Fetch(ctx context.Context, s *Store, shelf Shelf) ([]byte, error) {
	if shelf == nil {
		return nil, e
	}
	sealed, err := shelf.Object(ctx, e.Env, e.Storage, e.Object)
	if err != nil {
		return nil, errors.Join(ErrElsewhere, err)
	}
	return Get(ctx, s, func(tx *Tx) ([]byte, error) { return e.open(ctx, tx, sealed) })
}

// A SealedImage is a picture that is to go to a storage.
type SealedImage struct {
	Env, Storage string
	at           [2]string // its row in its table: case or person, kind; or account
	prepare      func(ctx context.Context, tx *Tx, object string) (Move, error)
}

// A Move is an object that is to be written to a storage, and the picture that goes there.
type Move struct {
	Removal
	Body  []byte // sealed for this object alone
	moved func(ctx context.Context, tx *Tx) error
}

// A MoveFrom is how far a round of moving has come; the zero value is its beginning.
type MoveFrom struct {
	list int
	env  string
	at   [2]string
}

// maxMoves bounds what is listed at once.
const maxMoves = 8

// ImagesToMove returns pictures whose environment has a storage that they are not in: those
// of cases, of people, and of accounts; and from where to go on, whatever became of these.
// What is here for a while alone stays here: drafts and photos that people look at, what a
// directory lent, pictures of links.
func (tx *Tx) ImagesToMove(ctx context.Context, from MoveFrom) ([]SealedImage, MoveFrom, error) {
	for ; from.list < len(moving); from = (MoveFrom{list: from.list + 1}) {
		m := moving[from.list]
		due, err := All(ctx, tx, func(scan Scan) (i SealedImage, err error) {
			err = scan(&i.Env, &i.Storage, &i.at[0], &i.at[1])
			i.prepare = func(ctx context.Context, tx *Tx, object string) (Move, error) { return m.prepare(tx, ctx, i, object) }
			return i, err
		}, m.list, Millis(tx.Now()), maxMoves, from.env, from.at[0], from.at[1])
		if err != nil {
			return nil, from, err
		}
		if n := len(due); n > 0 {
			from.env, from.at = due[n-1].Env, due[n-1].at
			return due, from, nil
		}
	}
	return nil, from, nil
}

// moving are the tables with pictures that go to storages.
var moving = []struct {
	list    string
	prepare func(*Tx, context.Context, SealedImage, string) (Move, error)
}{
	{toMove("review_images", "i.review, i.kind", ""), (*Tx).caseImageToMove},
	{toMove("person_pictures", "i.person, i.kind", " AND i.kind IN ('selfie', 'picture')"), (*Tx).pictureToMove},
	{toMove("account_photos", "i.person, ''", " AND i.expires_at = 0"), (*Tx).photoToMove},
}

// toMove lists the rows of a table that go to storages, by environment and columns.
func toMove(table, columns, condition string) string {
	return "SELECT i.env, s.id, " + columns + " FROM " + table + " i JOIN storages s ON s.env = i.env AND s.active = 1 AND s.next_at <= $1 WHERE i.storage = ''" + condition +
		" AND (i.env, " + columns + ") > ($3, $4, $5) ORDER BY 1, 3, 4 LIMIT $2"
}

// Objects are called so. The seal of one is bound to its name, too: a storage that gives
// back another object, or one that it was given before, gives back nothing that opens.
// Those of earlier versions are called postern/ alone and bound to their place: as the name
// stands in the store, no storage can pass one of them off as one of these.
const boundObjects = "postern/v2/"

// boundTo is what the seal of an object is bound to.
func boundTo(place, object string) string {
	if !strings.HasPrefix(object, boundObjects) {
		return place
	}
	return place + "\x00" + object
}

// unreadable is the error of a row whose picture does not open, or else the store's own.
func unreadable(i SealedImage, table string, err error) error {
	for _, is := range []error{errCell, ErrMasterKey, ErrErased, ErrNotFound} {
		if errors.Is(err, is) {
			return &Unreadable{Cell{i.Env, table, "body", strings.Trim(i.at[0]+"/"+i.at[1], "/")}, err}
		}
	}
	return err
}

// here reads the body of a picture that is still to be moved; ErrConflict if it is not.
func (tx *Tx) here(ctx context.Context, query string, i SealedImage, args ...any) (string, error) {
	text, err := One(ctx, tx, Text, query, append([]any{i.Env}, args...)...)
	if errors.Is(err, ErrNotFound) {
		return "", ErrConflict
	}
	return text, err
}

func (tx *Tx) caseImageToMove(ctx context.Context, i SealedImage, object string) (m Move, err error) {
	review, kind := i.at[0], i.at[1]
	text, err := tx.here(ctx, "SELECT body FROM review_images WHERE env = $1 AND review = $2 AND kind = $3 AND storage = ''", i, review, kind)
	if err != nil {
		return m, err
	}
	if m.Body, err = tx.caseImageSealed(ctx, i.Env, review, kind, text, object); err != nil {
		return m, unreadable(i, "review_images", err)
	}
	m.moved = func(ctx context.Context, tx *Tx) error {
		return tx.Swap(ctx, "UPDATE review_images SET storage = $5, body = $6 WHERE env = $1 AND review = $2 AND kind = $3 AND storage = '' AND body = $4",
			i.Env, review, kind, text, i.Storage, object)
	}
	return m, nil
}

// caseImageSealed seals a picture of a case for an object.
func (tx *Tx) caseImageSealed(ctx context.Context, env, review, kind, text, object string) ([]byte, error) {
	secret, err := tx.caseSecret(ctx, env, review)
	if err != nil {
		return nil, err
	}
	plain, err := tx.openInCase(env, review, secret, kind, text)
	if err != nil {
		return nil, err
	}
	sealed, err := tx.sealInCase(env, review, secret, boundTo(kind, object), plain)
	if err != nil {
		return nil, err
	}
	return base64.RawStdEncoding.DecodeString(sealed)
}

func (tx *Tx) pictureToMove(ctx context.Context, i SealedImage, object string) (m Move, err error) {
	person, kind := i.at[0], i.at[1]
	text, err := tx.here(ctx, "SELECT body FROM person_pictures WHERE env = $1 AND person = $2 AND kind = $3 AND storage = ''", i, person, kind)
	if err != nil {
		return m, err
	}
	if m.Body, err = tx.pictureSealed(ctx, i.Env, person, kind, text, object); err != nil {
		return m, unreadable(i, "person_pictures", err)
	}
	m.moved = func(ctx context.Context, tx *Tx) error {
		return tx.Swap(ctx, "UPDATE person_pictures SET storage = $5, body = $6 WHERE env = $1 AND person = $2 AND kind = $3 AND storage = '' AND body = $4",
			i.Env, person, kind, text, i.Storage, object)
	}
	return m, nil
}

// pictureSealed seals a picture of a person for an object.
func (tx *Tx) pictureSealed(ctx context.Context, env, person, kind, text, object string) ([]byte, error) {
	k, err := tx.PersonKey(ctx, env, person)
	if err != nil {
		return nil, err
	}
	plain, err := k.Open(picturePlace(env, person, kind), text)
	if err != nil {
		return nil, err
	}
	return k.sealObject(picturePlace(env, person, kind), object, plain)
}

// sealObject seals what goes into an object.
func (k PersonKey) sealObject(place, object string, plain []byte) ([]byte, error) {
	sealed, err := k.Seal(boundTo(place, object), plain)
	if err != nil {
		return nil, err
	}
	return base64.RawStdEncoding.DecodeString(sealed)
}

// openObject opens what a storage gave back for an object.
func (k PersonKey) openObject(place, object string, sealed []byte) ([]byte, error) {
	return k.Open(boundTo(place, object), base64.RawStdEncoding.EncodeToString(sealed))
}

// photoKeySize is that of AES-256.
const photoKeySize = 32

func photoPlace(env, account string) string { return "postern/photo/v1\x00" + env + "\x00" + account }

// photoToMove seals a photo under a key of its own: the master key, under which it is here,
// changes with time, and what lies there does not.
func (tx *Tx) photoToMove(ctx context.Context, i SealedImage, object string) (m Move, err error) {
	account := i.at[0]
	text, err := tx.here(ctx, "SELECT body FROM account_photos WHERE env = $1 AND person = $2 AND storage = '' AND expires_at = 0", i, account)
	if err != nil {
		return m, err
	}
	photo, err := tx.Unseal(photoCell(i.Env, account), text)
	if err != nil {
		return m, unreadable(i, "account_photos", err)
	}
	k := PersonKey{Secret: make([]byte, photoKeySize)}
	_, _ = rand.Read(k.Secret) // never fails
	m.moved = func(ctx context.Context, tx *Tx) error {
		return tx.photoMoved(ctx, i, account, text, object, k, sumOf(photo))
	}
	m.Body, err = k.sealObject(photoPlace(i.Env, account), object, photo)
	return m, err
}

func (tx *Tx) photoMoved(ctx context.Context, i SealedImage, account, text, object string, k PersonKey, sum string) error {
	key, err := tx.Seal(photoCell(i.Env, account), k.Secret)
	if err != nil {
		return err
	}
	return tx.Swap(ctx, "UPDATE account_photos SET storage = $4, object = $5, body = $6, clean = $7 WHERE env = $1 AND person = $2 AND storage = '' AND body = $3",
		i.Env, account, text, i.Storage, object, key, sum)
}

// moveTime is how long writing an object may take before it is taken for abandoned.
const moveTime = 10 * time.Minute

// PlanMove names an object that will hold a picture, and seals the picture for it. Unless
// ImageMoved follows, the object is removed later, whatever happens to this node.
// ErrConflict says that the picture was replaced, erased or moved meanwhile, Unreadable
// that it does not open.
func (tx *Tx) PlanMove(ctx context.Context, i SealedImage) (Move, error) {
	object := boundObjects + NewID()
	m, err := i.prepare(ctx, tx, object)
	if err != nil {
		return m, err
	}
	m.Removal = Removal{i.Env, i.Storage, object}
	_, err = tx.Exec(ctx, "INSERT INTO storage_removals (env, storage, object, due_at) VALUES ($1, $2, $3, $4)", m.Env, m.Storage, m.Object, Millis(tx.Now().Add(moveTime)))
	return m, err
}

// ImageMoved puts the name of an object in the place of a picture, which is then no
// longer here. ErrConflict says that the picture was replaced, erased or moved
// meanwhile; the object is removed then.
func (tx *Tx) ImageMoved(ctx context.Context, to Move) error {
	tx.erased = true
	err := tx.Swap(ctx, "DELETE FROM storage_removals WHERE env = $1 AND storage = $2 AND object = $3", to.Env, to.Storage, to.Object)
	if err != nil {
		return err
	}
	return to.moved(ctx, tx)
}

// removeElsewhere asks for the removal of the pictures of a case that lie in a storage;
// an empty kind means all of them.
func (tx *Tx) removeElsewhere(ctx context.Context, env, review, kind string) error {
	_, err := tx.Exec(ctx, `INSERT INTO storage_removals (env, storage, object) SELECT env, storage, body FROM review_images
		WHERE env = $1 AND review = $2 AND storage <> '' AND (kind = $3 OR $3 = '') ON CONFLICT DO NOTHING`, env, review, kind)
	return err
}

// removePicturesElsewhere does the same with the pictures of a person.
func (tx *Tx) removePicturesElsewhere(ctx context.Context, env, person, kind string) error {
	_, err := tx.Exec(ctx, `INSERT INTO storage_removals (env, storage, object) SELECT env, storage, body FROM person_pictures
		WHERE env = $1 AND person = $2 AND storage <> '' AND (kind = $3 OR $3 = '') ON CONFLICT DO NOTHING`, env, person, kind)
	return err
}

// removePhotosElsewhere does the same with the photos of accounts; where is a condition on
// account_photos. With an environment its storages are gone before its accounts are.
func (tx *Tx) removePhotosElsewhere(ctx context.Context, where string, args ...any) error {
	_, err := tx.Exec(ctx, "INSERT INTO storage_removals (env, storage, object) SELECT env, storage, object FROM account_photos WHERE storage <> '' AND "+where+
		" AND EXISTS (SELECT 1 FROM storages s WHERE s.env = account_photos.env AND s.id = account_photos.storage) ON CONFLICT DO NOTHING", args...)
	return err
}
