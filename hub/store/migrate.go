package store

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"log/slog"
	"path"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// sqliteWords are where the two databases have no word in common. The text is
// PostgreSQL's; SQLite gets the other word.
var sqliteWords = strings.NewReplacer(
	"BIGSERIAL PRIMARY KEY", "INTEGER PRIMARY KEY", // numbers that the database gives
	"/* SQLite: WITHOUT ROWID */", "WITHOUT ROWID", // a table that is its primary key's index
)

// sqliteFiles are migrations in SQLite's words.
type sqliteFiles struct{ fs.FS }

// Open implements fs.FS.
func (f sqliteFiles) Open(name string) (fs.File, error) {
	if path.Ext(name) != ".sql" {
		return f.FS.Open(name)
	}
	b, err := fs.ReadFile(f.FS, name)
	if err != nil {
		return nil, err
	}
	file, err := f.FS.Open(name)
	return &sqliteFile{file, strings.NewReader(sqliteWords.Replace(string(b)))}, err
}

// sqliteFile reads the replaced text; everything else is the embedded file's.
type sqliteFile struct {
	fs.File
	text *strings.Reader
}

func (f *sqliteFile) Read(b []byte) (int, error) { return f.text.Read(b) }

// migrateDatabase applies the migrations that the database does not have yet. Owners
// number theirs independently, so a lower number may come after a higher one.
func migrateDatabase(ctx context.Context, d goose.Dialect, db *sql.DB, log *slog.Logger, opts ...goose.ProviderOption) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if d == goose.DialectSQLite3 {
		files = sqliteFiles{files}
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
