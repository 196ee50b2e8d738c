package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// A Resolver finds the addresses of a host. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialTimeout bounds one TCP connection; a receiver across the world needs 0.3 s.
const dialTimeout = 5 * time.Second

// errForbidden says that a receiver is, or pretends to be, inside a network that
// webhooks do not reach.
var errForbidden = errors.New("webhook: the host has an address that webhooks may not reach")

// A guard dials hosts whose every address is public or expressly allowed. It resolves
// once and dials what it checked, so that a second answer of the name server has no
// effect.
type guard struct {
	resolver Resolver
	private  []netip.Prefix // allowed all the same
	only     bool           // nothing but those: for connections that are not encrypted
}

// dial is the DialContext of the transport.
func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	addrs, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTimeout}
	var last error
	for _, a := range addrs {
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

// resolve returns the addresses of a host, or an error if one of them is forbidden: a
// name that points inside as well as outside is an attack or a mistake.
func (g *guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := g.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if g.only && !g.allows(a) {
			return nil, errPlain
		}
		if !g.allows(a) {
			return nil, fmt.Errorf("%w: %s; the operator can allow the network with allow_private_webhooks", errForbidden, a)
		}
	}
	return addrs, nil
}

func (g *guard) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	found, err := g.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("webhook: %s has no address", host)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, nil
}

// allows decides on one address.
func (g *guard) allows(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsValid() && a.Zone() == "" && (g.isPrivate(a) || !g.only && isPublic(a))
}

// isPrivate reports whether the operator allowed the address's network.
func (g *guard) isPrivate(a netip.Addr) bool {
	return slices.ContainsFunc(g.private, func(p netip.Prefix) bool { return p.Contains(a) })
}

// special are networks of the IANA special-purpose registries (RFC 6890 and updates)
// that are not reached over the public Internet, or that carry another address inside
// them. Cloud metadata services are in 169.254.0.0/16, fc00::/7 and 100.64.0.0/10.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23",     // protocol assignments: Teredo, ORCHID, benchmarking
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4: an IPv4 address inside
	"3fff::/20",     // documentation
)

// public6 is the part of IPv6 that is routed at all; NAT64 (64:ff9b::/96), mapped,
// compatible, unique-local and link-local addresses are outside it.
var public6 = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		all[i] = netip.MustParsePrefix(s)
	}
	return all
}

// isPublic reports whether an address is reached over the public Internet.
func isPublic(a netip.Addr) bool {
	if a.Is6() && !public6.Contains(a) {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}
