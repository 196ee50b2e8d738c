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
	db, err := maxminddb.OpenBytes(table)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTable, err)
	}
	return &Table{db}, nil
}

// record is what a table of cities says of an address.
type record struct {
	City struct {
		Names map[string]string `maxminddb:"names"`
	} `maxminddb:"city"`
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
	} `maxminddb:"location"`
	Subdivisions []struct {
		Names map[string]string `maxminddb:"names"`
	} `maxminddb:"subdivisions"`
	Traits struct {
		User string `maxminddb:"user_type"`
	} `maxminddb:"traits"`
}

// Find returns where an address is; ok is false where the table says no coordinates.
func (t *Table) Find(address netip.Addr) (p Place, ok bool) {
	var r record
	if err := t.db.Lookup(address.Unmap().WithZone("")).Decode(&r); err != nil {
		return p, false
	}
	at := r.Location
	if at.Latitude == nil || at.Longitude == nil || !(math.Abs(*at.Latitude) <= 90) || !(math.Abs(*at.Longitude) <= 180) {
		return p, false
	}
	p = Place{City: r.City.Names["en"], Country: r.Country.Code, Latitude: *at.Latitude, Longitude: *at.Longitude}
	if len(r.Subdivisions) > 0 {
		p.Subdivision = r.Subdivisions[0].Names["en"]
	}
	if kind := r.Traits.User; kind != "" {
		business, residential := kind == "business", kind == "residential"
		p.Business, p.Residential = &business, &residential
	}
	return p, true
}
