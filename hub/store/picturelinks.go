package store

import (
	"context"
	"time"
)

func pictureLinkPlace(hash string) string { return "postern/picture-link/v1\x00" + hash }

// AddPictureLink makes a link to a picture of a person that ends at a time, and returns
// its secret. The picture is under the person's key.
func (tx *Tx) AddPictureLink(ctx context.Context, env, person string, body []byte, until time.Time) (secret string, err error) {
	k, err := tx.NeedPersonKey(ctx, env, person)
	if err != nil {
		return "", err
	}
	secret = NewToken()
	sealed, err := k.Seal(pictureLinkPlace(HashToken(secret)), body)
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `INSERT INTO picture_links (hash, env, person, body, expires_at) VALUES ($1, $2, $3, $4, $5)`,
		HashToken(secret), env, person, sealed, Millis(until))
	return secret, err
}

// LinkedPicture returns the picture of a link; ErrNotFound once it has ended, or the
// person was erased.
func (tx *Tx) LinkedPicture(ctx context.Context, secret string) ([]byte, error) {
	var env, person, sealed string
	hash := HashToken(secret)
	err := tx.Row(ctx, []any{&env, &person, &sealed}, `SELECT env, person, body FROM picture_links WHERE hash = $1 AND expires_at > $2`, hash, Millis(tx.Now()))
	if err != nil {
		return nil, err
	}
	k, err := tx.PersonKey(ctx, env, person)
	if err != nil {
		return nil, err
	}
	if k.Secret == nil {
		return nil, ErrNotFound
	}
	return k.Open(pictureLinkPlace(hash), sealed)
}

// PurgePictureLinks destroys the pictures of links that have ended.
func (tx *Tx) PurgePictureLinks(ctx context.Context) error {
	tx.erased = true
	_, err := tx.Exec(ctx, `DELETE FROM picture_links WHERE expires_at <= $1`, Millis(tx.Now()))
	return err
}

// removePictureLinks destroys those of a person.
func (tx *Tx) removePictureLinks(ctx context.Context, env, person string) error {
	_, err := tx.Exec(ctx, `DELETE FROM picture_links WHERE env = $1 AND person = $2`, env, person)
	return err
}
