package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
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

// A SealedImage is a picture that is to go to a storage, sealed.
type SealedImage struct {
	Env, Storage string
	Body         []byte
	moved        func(ctx context.Context, tx *Tx, object string) error // puts the name in its place
}

// maxMoves bounds what one round of moving reads.
const maxMoves = 8

// ImagesToMove returns pictures whose environment has a storage that they are not in: those
// of cases, of people, and of accounts. What is here for a while alone stays here: drafts
// and photos that people look at, what a directory lent, pictures of links.
func (tx *Tx) ImagesToMove(ctx context.Context) ([]SealedImage, error) {
	for _, list := range []func(context.Context) ([]SealedImage, error){tx.caseImagesToMove, tx.picturesToMove, tx.photosToMove} {
		if due, err := list(ctx); err != nil || len(due) > 0 {
			return due, err
		}
	}
	return nil, nil
}

// toMove joins a table, as i, with the storages to which its rows go.
const toMove = ` i JOIN storages s ON s.env = i.env AND s.active = 1 AND s.next_at <= $1 WHERE i.storage = ''`

func (tx *Tx) caseImagesToMove(ctx context.Context) ([]SealedImage, error) {
	return All(ctx, tx, func(scan Scan) (i SealedImage, err error) {
		var review, kind, text string
		if err = scan(&i.Env, &i.Storage, &review, &kind, &text); err == nil {
			i.Body, err = base64.RawStdEncoding.DecodeString(text)
		}
		i.moved = func(ctx context.Context, tx *Tx, object string) error {
			return tx.Swap(ctx, "UPDATE review_images SET storage = $5, body = $6 WHERE env = $1 AND review = $2 AND kind = $3 AND storage = '' AND body = $4",
				i.Env, review, kind, text, i.Storage, object)
		}
		return i, err
	}, "SELECT i.env, s.id, i.review, i.kind, i.body FROM review_images"+toMove+" ORDER BY i.env, i.review, i.kind LIMIT $2", Millis(tx.Now()), maxMoves)
}

func (tx *Tx) picturesToMove(ctx context.Context) ([]SealedImage, error) {
	return All(ctx, tx, func(scan Scan) (i SealedImage, err error) {
		var person, kind, text string
		if err = scan(&i.Env, &i.Storage, &person, &kind, &text); err == nil {
			i.Body, err = base64.RawStdEncoding.DecodeString(text)
		}
		i.moved = func(ctx context.Context, tx *Tx, object string) error {
			return tx.Swap(ctx, "UPDATE person_pictures SET storage = $5, body = $6 WHERE env = $1 AND person = $2 AND kind = $3 AND storage = '' AND body = $4",
				i.Env, person, kind, text, i.Storage, object)
		}
		return i, err
	}, "SELECT i.env, s.id, i.person, i.kind, i.body FROM person_pictures"+toMove+" AND i.kind IN ('selfie', 'picture') ORDER BY i.env, i.person, i.kind LIMIT $2",
		Millis(tx.Now()), maxMoves)
}

// photoKeySize is that of AES-256.
const photoKeySize = 32

func photoPlace(env, account string) string { return "postern/photo/v1\x00" + env + "\x00" + account }

// photosToMove seals each photo under a key of its own: the master key, under which it is
// here, changes with time, and what lies there does not.
func (tx *Tx) photosToMove(ctx context.Context) ([]SealedImage, error) {
	return All(ctx, tx, func(scan Scan) (i SealedImage, err error) {
		var account, text string
		if err := scan(&i.Env, &i.Storage, &account, &text); err != nil {
			return i, err
		}
		photo, err := tx.Unseal(photoCell(i.Env, account), text)
		if err != nil {
			return i, err
		}
		k := PersonKey{Secret: make([]byte, photoKeySize)}
		_, _ = rand.Read(k.Secret) // never fails
		sealed, err := k.Seal(photoPlace(i.Env, account), photo)
		if err != nil {
			return i, err
		}
		i.moved = func(ctx context.Context, tx *Tx, object string) error {
			return tx.photoMoved(ctx, i, account, text, object, k, sumOf(photo))
		}
		i.Body, err = base64.RawStdEncoding.DecodeString(sealed)
		return i, err
	}, "SELECT i.env, s.id, i.person, i.body FROM account_photos"+toMove+" AND i.expires_at = 0 ORDER BY i.env, i.person LIMIT $2", Millis(tx.Now()), maxMoves)
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

// PlanMove returns the name for an object that will hold a picture. Unless ImageMoved
// follows, the object is removed later, whatever happens to this node.
func (tx *Tx) PlanMove(ctx context.Context, i SealedImage) (Removal, error) {
	r := Removal{i.Env, i.Storage, "postern/" + NewID()}
	_, err := tx.Exec(ctx, "INSERT INTO storage_removals (env, storage, object, due_at) VALUES ($1, $2, $3, $4)", r.Env, r.Storage, r.Object, Millis(tx.Now().Add(moveTime)))
	return r, err
}

// ImageMoved puts the name of an object in the place of a picture, which is then no
// longer here. ErrConflict says that the picture was replaced, erased or moved
// meanwhile; the object is removed then.
func (tx *Tx) ImageMoved(ctx context.Context, i SealedImage, to Removal) error {
	tx.erased = true
	err := tx.Swap(ctx, "DELETE FROM storage_removals WHERE env = $1 AND storage = $2 AND object = $3", to.Env, to.Storage, to.Object)
	if err != nil {
		return err
	}
	return i.moved(ctx, tx, to.Object)
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
