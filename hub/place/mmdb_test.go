package place_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"sort"
)

// A table in the format MMDB (MaxMind DB 2.0), as far as these tests need it: a tree of
// 24-bit records over IPv6 addresses, IPv4 under ::/96, and one record of data per network.

// written returns a table that says of each network what its map says.
func written(networks map[string]map[string]any) []byte {
	type node [2]uint32
	tree, data := []node{{}}, bytes.Buffer{}
	leaf := map[[2]uint32]int{} // node, bit → offset of data
	names := make([]string, 0, len(networks))
	for n := range networks {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		p := netip.MustParsePrefix(n)
		bits, b := p.Bits(), p.Addr().As16()
		if p.Addr().Is4() {
			bits, b = bits+96, [16]byte{}
			four := p.Addr().As4()
			copy(b[12:], four[:])
		}
		at := uint32(0)
		for i := range bits {
			bit := uint32(b[i/8]>>(7-i%8)) & 1
			if i == bits-1 {
				leaf[[2]uint32{at, bit}] = data.Len()
				break
			}
			if tree[at][bit] == 0 {
				tree = append(tree, node{})
				tree[at][bit] = uint32(len(tree) - 1)
			}
			at = tree[at][bit]
		}
		put(&data, networks[n])
	}
	var out bytes.Buffer
	size := uint32(len(tree))
	for i, n := range tree {
		for bit := range uint32(2) {
			to := n[bit]
			if offset, ok := leaf[[2]uint32{uint32(i), bit}]; ok {
				to = size + 16 + uint32(offset)
			} else if to == 0 {
				to = size // nothing is known
			}
			out.Write([]byte{byte(to >> 16), byte(to >> 8), byte(to)})
		}
	}
	out.Write(make([]byte, 16))
	out.Write(data.Bytes())
	out.WriteString("\xab\xcd\xefMaxMind.com")
	put(&out, map[string]any{"node_count": size, "record_size": uint16(24), "ip_version": uint16(6), "database_type": "City", "languages": []any{"en"},
		"binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0), "build_epoch": uint64(1), "description": map[string]any{}})
	return out.Bytes()
}

// put writes one value: its control byte with type and size, then its bytes.
func put(b *bytes.Buffer, v any) {
	control := func(kind, size int) {
		if size >= 29 { // one more byte says how much more
			put29(b, kind, size)
			return
		}
		if kind > 7 {
			b.Write([]byte{byte(size), byte(kind - 7)})
			return
		}
		b.WriteByte(byte(kind<<5 | size))
	}
	switch v := v.(type) {
	case string:
		control(2, len(v))
		b.WriteString(v)
	case float64:
		control(3, 8)
		_ = binary.Write(b, binary.BigEndian, math.Float64bits(v))
	case uint16:
		control(5, 2)
		_ = binary.Write(b, binary.BigEndian, v)
	case uint32:
		control(6, 4)
		_ = binary.Write(b, binary.BigEndian, v)
	case uint64:
		control(9, 8)
		_ = binary.Write(b, binary.BigEndian, v)
	case map[string]any:
		control(7, len(v))
		names := make([]string, 0, len(v))
		for n := range v {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			put(b, n)
			put(b, v[n])
		}
	case []any:
		control(11, len(v))
		for _, one := range v {
			put(b, one)
		}
	}
}

func put29(b *bytes.Buffer, kind, size int) {
	b.Write([]byte{byte(kind<<5 | 29), byte(size - 29)})
}
