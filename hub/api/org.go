package api

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/postern-id/postern/hub/store"
)

// organisation is the wire type Org. Whoever may change them also sees the addresses.
type organisation struct {
	Name    string         `json:"name"`
	Role    string         `json:"role" words:"role"` // the caller's
	Envs    []string       `json:"envs"`              // those that the caller reaches, oldest first
	Allowed []netip.Prefix `json:"allowed_ip_addresses,omitempty"`
}

// getOrg answers with the organisation of the key.
func getOrg(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	o, err := tx.Organisation(ctx, c.key.Org)
	if err != nil {
		return nil, err
	}
	out := organisation{Name: o.Name, Role: c.key.Role, Envs: []string{}}
	if roleReaches(c.key.Role, RoleAdmin) {
		out.Allowed = o.Allowed
	}
	envs, err := c.environments(ctx, tx)
	for _, e := range envs {
		out.Envs = append(out.Envs, e.ID)
	}
	return out, err
}

// orgUpdate is the wire type OrgUpdateRequest. An empty list lets everybody in.
type orgUpdate struct {
	Name    *string   `json:"name,omitempty"`
	Allowed *[]string `json:"allowed_ip_addresses,omitempty"`
}

// maxAddresses bounds the list of addresses, which is read at every request.
const maxAddresses = 256

// updateOrg changes the name of the organisation and from where it may be reached.
func updateOrg(ctx context.Context, c *call, tx *store.Tx, req *orgUpdate) (any, error) {
	if !c.key.Admits(store.AllEnvs) {
		return nil, errForbidden
	}
	o, err := tx.Organisation(ctx, c.key.Org)
	if err != nil {
		return nil, err
	}
	if req.Name != nil {
		if err := checkText("name", *req.Name); err != nil {
			return nil, err
		}
		o.Name = *req.Name
	}
	if req.Allowed != nil {
		if o.Allowed, err = networks(*req.Allowed); err != nil {
			return nil, err
		}
		if from := c.from(); !o.Admits(from) {
			return nil, bad(fmt.Sprintf("allowed_ip_addresses: %s, from where this is asked, is not among them: the list would shut you out", from))
		}
	}
	return nil, tx.UpdateOrganisation(ctx, o)
}

// networks reads addresses and networks.
func networks(all []string) (out []netip.Prefix, err error) {
	if len(all) > maxAddresses {
		return nil, bad(fmt.Sprintf("allowed_ip_addresses: at most %d", maxAddresses))
	}
	for _, text := range all {
		p, err := network(text)
		if err != nil {
			return nil, bad(fmt.Sprintf("allowed_ip_addresses: %.60q is no address or network such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32", text))
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}

// network reads an address, or a network whose address has no bits of a host: who writes
// 192.0.2.7/24 may have meant either.
func network(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, err
	}
	if p != p.Masked() || p.Addr().Is4In6() {
		return p, fmt.Errorf("api: %s is not the address of a network", text)
	}
	return p, nil
}

// from returns the address that the request comes from; the zero value if it has none.
func (c *call) from() netip.Addr {
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		host = c.r.RemoteAddr
	}
	a, _ := netip.ParseAddr(host)
	return a.Unmap().WithZone("")
}
