package store

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrateDatabase applies the migrations that the database does not have yet. Owners
// number theirs independently, so a lower number may come after a higher one.
func migrateDatabase(ctx context.Context, d goose.Dialect, db *sql.DB, log *slog.Logger, opts ...goose.ProviderOption) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	opts = append(opts, goose.WithAllowOutofOrder(true), goose.WithDisableGlobalRegistry(true))
	p, err := goose.NewProvider(d, db, files, opts...)
	if err != nil {
		return err
	}
	done, err := p.Up(ctx)
	for _, r := range done {
		log.InfoContext(ctx, "schema migrated", "version", r.Source.Version, "took", r.Duration)
	}
	return err
}
