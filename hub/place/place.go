// Package place says where an address of the internet is, as far as a table of the
// operator's own says it: a file in the format MMDB, with the members of a table of
// cities. It asks nobody, and knows no request and no person.
package place

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"

	"github.com/oschwald/maxminddb-golang/v2"
)

// maxTable bounds the table, which is held in memory: the largest of cities have about
// 150 MB.
const maxTable = 512 << 20

// ErrTable says that a file is no table of places.
var ErrTable = errors.New("place: not a table of places in the format MMDB")

// A Place is where an address is.
type Place struct {
	City, Subdivision     string // in English; "": not said
	Country               string // ISO 3166-1 alpha-2; "": not said
	Latitude, Longitude   float64
	Business, Residential *bool // nil: not said
}

// A Table finds places. It is safe for use by many goroutines.
type Table struct{ db *maxminddb.Reader }

// Open reads a table whole, so that its file may be replaced; the new one counts after the
// next Open. Errors: ErrTable, or the file's.
func Open(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxTable+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxTable {
		return nil, fmt.Errorf("%w: %s has more than %d MB", ErrTable, path, maxTable>>20)
	}
	t, err := New(b)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return t, err
}

// New reads a table. ErrTable if it is none.
func New(table []byte) (*Table, error) {
	if err := checkMetadata(table); err != nil {
		return nil, err
	}
	db, err := maxminddb.OpenBytes(table)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTable, err)
	}
	return &Table{db}, nil
}

// maxText bounds a text that is taken from a record, in bytes.
const maxText = 200

// text returns the text at a path of a record, "" if there is none.
func text(r maxminddb.Result, path ...any) (s string) {
	if r.DecodePath(&s, path...) != nil || len(s) > maxText {
		return ""
	}
	return s
}

// degrees returns the number at a path of a record; ok is false unless it is one of
// degrees, up to most on either side.
func degrees(r maxminddb.Result, most float64, path ...any) (value float64, ok bool) {
	var said *float64
	if r.DecodePath(&said, path...) != nil || said == nil || !(math.Abs(*said) <= most) {
		return 0, false
	}
	return *said, true
}

// Find returns where an address is; ok is false where the table says no coordinates. Of
// the record single values alone are read: what a damaged one says of its size makes
// nothing grow.
func (t *Table) Find(address netip.Addr) (p Place, ok bool) {
	r := t.db.Lookup(address.Unmap().WithZone(""))
	if r.Err() != nil || !r.Found() {
		return p, false
	}
	latitude, north := degrees(r, 90, "location", "latitude")
	longitude, east := degrees(r, 180, "location", "longitude")
	if !north || !east {
		return p, false
	}
	p = Place{City: text(r, "city", "names", "en"), Subdivision: text(r, "subdivisions", 0, "names", "en"), Country: text(r, "country", "iso_code"),
		Latitude: latitude, Longitude: longitude}
	if kind := text(r, "traits", "user_type"); kind != "" {
		business, residential := kind == "business", kind == "residential"
		p.Business, p.Residential = &business, &residential
	}
	return p, true
}
