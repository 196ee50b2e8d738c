package store

import (
	"context"
	"errors"
	"time"
)

// Kinds of pictures of people.
const (
	PictureSelfie = "selfie"  // verified with a document
	PictureChosen = "picture" // that is shown of them
	PictureDraft  = "draft"   // that they look at before they send it
	PictureAsked  = "asked"   // that they sent, and that people look at
)

// PictureClaim is the claim by whose consent pictures are kept. They go with it.
const PictureClaim = "picture"

func picturePlace(env, person, kind string) string {
	return "postern/picture/v1\x00" + env + "\x00" + person + "\x00" + kind
}

// PutPicture keeps a picture of a person under their key, in place of one of the same
// kind. The caller has written it anew, and asked for consent.
func (tx *Tx) PutPicture(ctx context.Context, env, person, kind string, body []byte) error {
	k, err := tx.NeedPersonKey(ctx, env, person)
	if err != nil {
		return err
	}
	sealed, err := k.Seal(picturePlace(env, person, kind), body)
	if err != nil {
		return err
	}
	if err := tx.removePicturesElsewhere(ctx, env, person, kind); err != nil {
		return err
	}
	tx.erased = true
	_, err = tx.Exec(ctx, `INSERT INTO person_pictures (env, person, kind, body, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (env, person, kind) DO UPDATE SET body = excluded.body, created_at = excluded.created_at, storage = ''`, env, person, kind, sealed, Millis(tx.Now()))
	return err
}

// Picture returns a picture of a person and since when it is there; ErrNotFound if there
// is none, Elsewhere if it lies in a storage.
func (tx *Tx) Picture(ctx context.Context, env, person, kind string) (body []byte, since time.Time, err error) {
	var sealed, storage string
	var at int64
	if err := tx.Row(ctx, []any{&sealed, &at, &storage}, "SELECT body, created_at, storage FROM person_pictures WHERE env = $1 AND person = $2 AND kind = $3", env, person, kind); err != nil {
		return nil, since, err
	}
	if storage != "" {
		return nil, Time(at), &Elsewhere{env, storage, sealed, func(ctx context.Context, tx *Tx, body []byte) ([]byte, error) {
			return tx.openPicture(ctx, env, person, kind, sealed, body)
		}}
	}
	k, err := tx.PersonKey(ctx, env, person)
	if err != nil {
		return nil, since, err
	}
	body, err = k.Open(picturePlace(env, person, kind), sealed)
	return body, Time(at), err
}

// openPicture opens what a storage gave back for a picture of a person; ErrNotFound if it
// is not theirs any more.
func (tx *Tx) openPicture(ctx context.Context, env, person, kind, object string, sealed []byte) ([]byte, error) {
	if _, err := One(ctx, tx, Text, "SELECT kind FROM person_pictures WHERE env = $1 AND person = $2 AND kind = $3 AND storage <> '' AND body = $4", env, person, kind, object); err != nil {
		return nil, err
	}
	k, err := tx.PersonKey(ctx, env, person)
	if err != nil {
		return nil, err
	}
	return k.openObject(picturePlace(env, person, kind), object, sealed)
}

// PictureSince returns since when a picture of a person is there; zero if there is none.
func (tx *Tx) PictureSince(ctx context.Context, env, person, kind string) (since time.Time, err error) {
	var at int64
	err = tx.Row(ctx, []any{&at}, "SELECT created_at FROM person_pictures WHERE env = $1 AND person = $2 AND kind = $3", env, person, kind)
	if errors.Is(err, ErrNotFound) {
		return since, nil
	}
	return Time(at), err
}

// RemovePicture destroys a picture of a person, if there is one of the kind.
func (tx *Tx) RemovePicture(ctx context.Context, env, person, kind string) error {
	if err := tx.removePicturesElsewhere(ctx, env, person, kind); err != nil {
		return err
	}
	tx.erased = true
	_, err := tx.Exec(ctx, "DELETE FROM person_pictures WHERE env = $1 AND person = $2 AND kind = $3", env, person, kind)
	return err
}

// PurgeDrafts destroys what nobody sent who began to before a time.
func (tx *Tx) PurgeDrafts(ctx context.Context, before time.Time) error {
	tx.erased = true
	_, err := tx.Exec(ctx, "DELETE FROM person_pictures WHERE kind = $1 AND created_at < $2", PictureDraft, Millis(before))
	return err
}

// removePictures destroys the pictures of a person, those of links among them, and ends
// what people are asked about them.
func (tx *Tx) removePictures(ctx context.Context, env, person string) error {
	tx.erased = true
	if err := tx.withdrawBadge(ctx, env, person); err != nil {
		return err
	}
	if err := tx.removePictureLinks(ctx, env, person); err != nil {
		return err
	}
	if err := tx.removePicturesElsewhere(ctx, env, person, ""); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM person_pictures WHERE env = $1 AND person = $2", env, person)
	return err
}
