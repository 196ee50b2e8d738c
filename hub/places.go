package hub

import (
	"net/netip"
	"sync/atomic"

	"github.com/postern-id/postern/hub/place"
	"github.com/postern-id/postern/hub/request"
)

// places says where addresses are, by the table that the operator has now, if any.
type places struct{ table atomic.Pointer[place.Table] }

// open reads a table, in place of the one before; "" is none.
func (p *places) open(path string) error {
	if path == "" {
		p.table.Store(nil)
		return nil
	}
	t, err := place.Open(path)
	if err == nil {
		p.table.Store(t)
	}
	return err
}

// Locate implements request.Locator.
func (p *places) Locate(address netip.Addr) (request.Location, bool) {
	t := p.table.Load()
	if t == nil {
		return request.Location{}, false
	}
	at, ok := t.Find(address)
	return request.Location{City: at.City, Country: at.Country, Subdivision: at.Subdivision, Latitude: at.Latitude, Longitude: at.Longitude,
		Business: at.Business, Residential: at.Residential}, ok
}
