package policy

import "net/netip"

// Client is what tries from an address, with a port or without, are counted under: an
// IPv4 address, or the /64 in which one IPv6 host may have any address. What is no
// address is counted together.
func Client(address string) string {
	ip, err := netip.ParseAddr(address)
	if with, e := netip.ParseAddrPort(address); e == nil {
		ip, err = with.Addr(), nil
	}
	if err != nil {
		return "unknown"
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	prefix, _ := ip.Prefix(64) // never fails for 64 of 128 bits
	return prefix.String()
}
