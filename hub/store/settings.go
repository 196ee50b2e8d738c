package store

import "context"

// Setting returns a setting of the installation, or ErrNotFound.
func (tx *Tx) Setting(ctx context.Context, name string) (string, error) {
	return One(ctx, tx, Text, "SELECT value FROM settings WHERE name = $1", name)
}

// SetSetting writes a setting of the installation.
func (tx *Tx) SetSetting(ctx context.Context, name, value string) error {
	_, err := tx.Exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}
