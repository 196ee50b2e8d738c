package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// Certificates is the storage of certificates, their keys and ACME accounts that all
// nodes share, in the semantics of Caddy's storage: names are paths of files, something
// absent is fs.ErrNotExist. Values are sealed. A copy of what this node read or wrote
// lies sealed on its disk, so that reading goes on while the database is away.
type Certificates struct {
	s      *Store
	copies *copies
	locks  leases
}

// Certificates returns the certificate storage.
func (s *Store) Certificates() *Certificates { return s.certs }

// A CertificateInfo describes a file or a folder of the certificate storage.
type CertificateInfo struct {
	Name     string
	Modified time.Time
	Size     int64 // of the value in clear
	Terminal bool  // a file
}

// Limits of the certificate storage.
const (
	maxCertificate  = 1 << 20         // bytes of one value; a chain with its key has a few thousand
	certificateRead = 3 * time.Second // then the database counts as away and the disk copy answers: a browser waits
)

func certificateCell(name string) Cell {
	return Cell{Table: "certificates", Column: "value", Row: name}
}

// cleanName brings a name into the form in which it is stored.
func cleanName(name string) string { return strings.Trim(path.Clean("/"+name), "/") }

// Store writes a file.
func (c *Certificates) Store(ctx context.Context, name string, value []byte) error {
	name = cleanName(name)
	if name == "" || len(value) > maxCertificate {
		return fmt.Errorf("store: certificate file %q of %d bytes; at most %d fit", name, len(value), maxCertificate)
	}
	f, err := Change(ctx, c.s, func(tx *Tx) (certificateFile, error) { return tx.storeCertificate(ctx, name, value) })
	if err != nil {
		return fmt.Errorf("store: certificate %s: %w", name, err)
	}
	c.copies.keep(f)
	return nil
}

// certificateFile is a row of certificates, and a file of the disk copy.
type certificateFile struct {
	Name     string `json:"name"`
	Value    string `json:"value"` // sealed
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"`
}

func (f certificateFile) info() CertificateInfo {
	return CertificateInfo{Name: f.Name, Modified: Time(f.Modified), Size: f.Size, Terminal: true}
}

func (tx *Tx) storeCertificate(ctx context.Context, name string, value []byte) (f certificateFile, err error) {
	f = certificateFile{Name: name, Size: int64(len(value)), Modified: Millis(tx.Now())}
	if f.Value, err = tx.Seal(certificateCell(name), value); err != nil {
		return f, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO certificates (name, value, size, modified_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, size = excluded.size, modified_at = excluded.modified_at`,
		f.Name, f.Value, f.Size, f.Modified)
	return f, err
}

func scanCertificate(scan Scan) (f certificateFile, err error) {
	err = scan(&f.Name, &f.Value, &f.Size, &f.Modified)
	return f, err
}

// Load reads a file.
func (c *Certificates) Load(ctx context.Context, name string) ([]byte, error) {
	name = cleanName(name)
	f, err := c.file(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.s.Unseal(certificateCell(name), f.Value)
}

// file reads a file from the database, or from the disk copy while that is away.
func (c *Certificates) file(ctx context.Context, name string) (certificateFile, error) {
	read, cancel := context.WithTimeout(ctx, certificateRead)
	defer cancel()
	f, err := Get(read, c.s, func(tx *Tx) (certificateFile, error) {
		return One(read, tx, scanCertificate, "SELECT name, value, size, modified_at FROM certificates WHERE name = $1", name)
	})
	switch {
	case err == nil:
		c.copies.keep(f)
		return f, nil
	case errors.Is(err, ErrNotFound):
		c.copies.drop(name)
		return f, absent(name)
	case ctx.Err() != nil:
		return f, ctx.Err()
	}
	f, ok := c.copies.load(name)
	if !ok { // whether it exists is not known
		return f, fmt.Errorf("store: certificate %s: %w", name, err)
	}
	return f, nil
}

func absent(name string) error { return fmt.Errorf("store: certificate %s: %w", name, fs.ErrNotExist) }

// Delete removes a file, or a folder with everything in it. An absent one is no error.
func (c *Certificates) Delete(ctx context.Context, name string) error {
	name = cleanName(name)
	names, err := c.names(ctx, name)
	if err != nil {
		return err
	}
	err = c.s.Tx(ctx, func(tx *Tx) error {
		for _, n := range append(names, name) {
			if _, err := tx.Exec(ctx, "DELETE FROM certificates WHERE name = $1", n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: delete certificate %s: %w", name, err)
	}
	for _, n := range append(names, name) {
		c.copies.drop(n)
	}
	return nil
}

// names returns the names of all files below a folder.
func (c *Certificates) names(ctx context.Context, folder string) ([]string, error) {
	below := folder + "/"
	if folder == "" {
		below = ""
	}
	read, cancel := context.WithTimeout(ctx, certificateRead)
	defer cancel()
	names, err := Get(read, c.s, func(tx *Tx) ([]string, error) {
		// Not a range, which a database with another collation would order differently.
		return All(read, tx, Text, "SELECT name FROM certificates WHERE substr(name, 1, $1) = $2 ORDER BY name", len(below), below)
	})
	if err != nil && ctx.Err() == nil {
		if known := c.copies.below(below); len(known) > 0 {
			return known, nil
		}
	}
	return names, err
}

// Exists reports whether there is a file or a folder of that name.
func (c *Certificates) Exists(ctx context.Context, name string) bool {
	_, err := c.Stat(ctx, name)
	return err == nil
}

// List returns the names of the files and folders in a folder, with all that is below
// them if it is recursive.
func (c *Certificates) List(ctx context.Context, folder string, recursive bool) ([]string, error) {
	folder = cleanName(folder)
	names, err := c.names(ctx, folder)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, absent(folder)
	}
	var all []string
	seen := map[string]bool{}
	for _, name := range names {
		parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(name, folder), "/"), "/")
		for i := range parts {
			n := path.Join(folder, path.Join(parts[:i+1]...))
			if !seen[n] && (recursive || i == 0) {
				seen[n] = true
				all = append(all, n)
			}
		}
	}
	return all, nil
}

// Stat describes a file or a folder.
func (c *Certificates) Stat(ctx context.Context, name string) (CertificateInfo, error) {
	name = cleanName(name)
	f, err := c.file(ctx, name)
	if err == nil {
		return f.info(), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return CertificateInfo{}, err
	}
	names, errNames := c.names(ctx, name)
	if errNames != nil {
		return CertificateInfo{}, errNames
	}
	if len(names) == 0 {
		return CertificateInfo{}, err
	}
	return CertificateInfo{Name: name}, nil
}
