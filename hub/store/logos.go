package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
)

// A Logo is a picture that pages show. It is public.
type Logo struct {
	Kind  string // of an environment's: install, mobile or qr
	Sum   string // SHA-256 of Body in hexadecimal: its name in addresses
	Media string // media type
	Body  []byte
}

// NewLogo returns a logo with its sum. The caller has written the picture anew.
func NewLogo(kind, media string, body []byte) Logo {
	sum := sha256.Sum256(body)
	return Logo{Kind: kind, Sum: hex.EncodeToString(sum[:]), Media: media, Body: body}
}

func scanLogo(scan Scan) (l Logo, err error) {
	var body string
	if err = scan(&l.Kind, &l.Sum, &l.Media, &body); err == nil {
		l.Body, err = ParseBase64(body)
	}
	return l, err
}

// SetLogo stores a logo of an environment in place of the one of its kind.
func (tx *Tx) SetLogo(ctx context.Context, env string, l Logo) error {
	_, err := tx.Exec(ctx, `INSERT INTO env_logos (env, kind, sum, media, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (env, kind) DO UPDATE SET sum = excluded.sum, media = excluded.media, body = excluded.body`, env, l.Kind, l.Sum, l.Media, Base64(l.Body))
	return err
}

// RemoveLogo removes one; ErrNotFound if there is none.
func (tx *Tx) RemoveLogo(ctx context.Context, env, kind string) error {
	return tx.Must(ctx, "DELETE FROM env_logos WHERE env = $1 AND kind = $2", env, kind)
}

// Logos returns the logos of an environment, by kind.
func (tx *Tx) Logos(ctx context.Context, env string) ([]Logo, error) {
	return All(ctx, tx, scanLogo, "SELECT kind, sum, media, body FROM env_logos WHERE env = $1 ORDER BY kind", env)
}

// SetDirectoryLogo stores the logo of a directory; ErrNotFound if the environment has no
// such directory.
func (tx *Tx) SetDirectoryLogo(ctx context.Context, env, directory string, l Logo) error {
	return tx.Must(ctx, `INSERT INTO directory_logos (directory, env, sum, media, body) SELECT id, env, $3, $4, $5 FROM directories WHERE env = $1 AND id = $2
		ON CONFLICT (directory) DO UPDATE SET sum = excluded.sum, media = excluded.media, body = excluded.body`, env, directory, l.Sum, l.Media, Base64(l.Body))
}

// RemoveDirectoryLogo removes it; ErrNotFound if there is none.
func (tx *Tx) RemoveDirectoryLogo(ctx context.Context, env, directory string) error {
	return tx.Must(ctx, "DELETE FROM directory_logos WHERE env = $1 AND directory = $2", env, directory)
}

// LogoBySum returns a logo of any environment or directory by its sum, without a kind:
// whoever knows the sum knows the picture.
func (tx *Tx) LogoBySum(ctx context.Context, sum string) (Logo, error) {
	return One(ctx, tx, scanLogo, `SELECT '', sum, media, body FROM (SELECT sum, media, body FROM env_logos WHERE sum = $1
		UNION ALL SELECT sum, media, body FROM directory_logos WHERE sum = $1) AS found LIMIT 1`, sum)
}
