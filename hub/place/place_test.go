package place_test

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/postern-id/postern/hub/place"
)

// berlin is a record as tables of cities have it.
func berlin(kind string) map[string]any {
	return map[string]any{
		"city": map[string]any{"names": map[string]any{"en": "Berlin", "de": "Berlin"}}, "country": map[string]any{"iso_code": "DE"},
		"location": map[string]any{"latitude": 52.5, "longitude": 13.4}, "subdivisions": []any{map[string]any{"names": map[string]any{"en": "State of Berlin"}}},
		"traits": map[string]any{"user_type": kind},
	}
}

func TestATableSaysWhereAnAddressIsAndNothingOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	table := written(map[string]map[string]any{
		"203.0.113.0/24": berlin("business"), "2001:db8::/32": berlin(""), "198.51.100.0/24": {"country": map[string]any{"iso_code": "FR"}},
		"192.0.2.0/24": {"location": map[string]any{"latitude": 91.0, "longitude": 0.0}},
	})
	if err := os.WriteFile(path, table, 0o600); err != nil {
		t.Fatal(err)
	}
	places, err := place.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{"203.0.113.7": true, "::ffff:203.0.113.7": true, "2001:db8::1%eth0": true, "2001:db9::1": false, "198.51.100.1": false, "192.0.2.1": false, "127.0.0.1": false} {
		p, ok := places.Find(netip.MustParseAddr(address))
		if ok != want {
			t.Errorf("%s: %+v %v", address, p, ok)
		}
		if ok && (p.City != "Berlin" || p.Subdivision != "State of Berlin" || p.Country != "DE" || p.Latitude != 52.5 || p.Longitude != 13.4) {
			t.Errorf("%s: %+v", address, p)
		}
	}
	if p, _ := places.Find(netip.MustParseAddr("203.0.113.7")); p.Business == nil || !*p.Business || p.Residential == nil || *p.Residential {
		t.Errorf("of a business: %+v", p)
	}
	if p, _ := places.Find(netip.MustParseAddr("2001:db8::1")); p.Business != nil {
		t.Errorf("nobody said whose: %+v", p)
	}
}

func TestWhatIsNoTableIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	if err := os.WriteFile(path, []byte("not one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := place.Open(path); !errors.Is(err, place.ErrTable) {
		t.Errorf("%v", err)
	}
	if _, err := place.Open(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// A few damaged bytes may say that a map has 16 million members, and the library makes
// room for as many as it is told.
func TestADamagedTableMakesNothingGrow(t *testing.T) {
	whole := written(map[string]map[string]any{"203.0.113.0/24": berlin("business")})
	const huge = "\xff\xff\xff\xff" // a map of 16,843,036 members
	at := bytes.Index(whole, []byte("names")) + len("names")
	city := slices.Concat(whole[:at], []byte(huge), whole[at+len(huge):])
	at = bytes.Index(whole, []byte("description")) + len("description")
	described := slices.Concat(whole[:at], []byte(huge), whole[at:])
	endless := slices.Concat(whole[:bytes.LastIndex(whole, []byte("MaxMind.com"))+len("MaxMind.com")], []byte{0x20, 0x00}) // points to itself
	for what, table := range map[string][]byte{"record": city, "description": described, "pointer": endless, "none": whole[:40]} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		places, err := place.New(table)
		if err == nil {
			places.Find(netip.MustParseAddr("203.0.113.7"))
		} else if !errors.Is(err, place.ErrTable) {
			t.Errorf("%s: %v", what, err)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%s: %d bytes", what, grown)
		}
		if (err == nil) != (what == "record") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A table is a file of the operator's; one that is damaged says nothing, and stops nobody.
func FuzzTable(f *testing.F) {
	f.Add(written(map[string]map[string]any{"203.0.113.0/24": berlin("business")}))
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	f.Fuzz(func(_ *testing.T, table []byte) {
		if places, err := place.New(table); err == nil {
			places.Find(netip.MustParseAddr("203.0.113.7"))
			places.Find(netip.MustParseAddr("2001:db8::1"))
		}
	})
}
