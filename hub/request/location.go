package request

import (
	"net/netip"
	"slices"
)

// IPLocation is the claim of where a browser is, as far as its address says so.
const IPLocation = "ip_location"

// Location is the wire type Location.
type Location struct {
	Business    *bool   `json:"business,omitempty"`
	City        string  `json:"city,omitempty"`
	Country     string  `json:"country,omitempty"` // ISO 3166-1 alpha-2
	Latitude    float64 `json:"latitude"`
	Longitude   float64 `json:"longitude"`
	POBox       *bool   `json:"po_box,omitempty"`
	Residential *bool   `json:"residential,omitempty"`
	Subdivision string  `json:"subdivision,omitempty"`
}

// A Locator says where an address is, as far as its operator's own table does.
type Locator interface {
	Locate(address netip.Addr) (Location, bool)
}

// seenFrom is the value of IPLocation: the members of the wire types RequestBrowser and
// RequestMobileDevice.
type seenFrom struct {
	Address  string    `json:"remote_address"`
	Location *Location `json:"remote_address_location,omitempty"`
}

// seen returns what is known by itself of whoever has a link and agrees.
func (q *Requests) seen(names []string, by Client) map[string]any {
	address, err := netip.ParseAddr(by.Address)
	if err != nil || !slices.Contains(names, IPLocation) {
		return nil
	}
	s := seenFrom{Address: address.Unmap().WithZone("").String()}
	if q.Places != nil {
		if l, ok := q.Places.Locate(address.Unmap()); ok {
			s.Location = &l
		}
	}
	return map[string]any{IPLocation: s}
}

// seenIn reads a value of IPLocation that was kept.
func seenIn(v any) (s seenFrom) {
	m, _ := v.(map[string]any)
	s.Address = asText(m["remote_address"])
	l, ok := m["remote_address_location"].(map[string]any)
	if !ok {
		return s
	}
	number := func(name string) float64 { n, _ := l[name].(float64); return n }
	s.Location = &Location{Business: asFlag(l["business"]), City: asText(l["city"]), Country: asText(l["country"]), Latitude: number("latitude"), Longitude: number("longitude"),
		POBox: asFlag(l["po_box"]), Residential: asFlag(l["residential"]), Subdivision: asText(l["subdivision"])}
	return s
}
