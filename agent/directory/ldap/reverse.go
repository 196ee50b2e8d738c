package ldap

import "math/bits"

// A reverse finds the groups of a member. Handles are hashes, so their first bits tell in
// which bucket of a few to look; like a roll it has no pointers but to the groups.
type reverse struct {
	shift  int
	starts []uint32 // of the buckets, and the end of the last
	member []uint64 // handles, bucket by bucket
	group  []uint32 // for each of member, in groups
	groups []*node
}

// bucketed is how many members a bucket has on average.
const bucketed = 4

// reversed turns the members of groups around. Where entries name their groups
// themselves nobody asks for more than nothing.
func reversed(nodes map[key]*node, named bool) *reverse {
	total := 0
	r := &reverse{groups: make([]*node, 0, len(nodes))}
	for _, n := range nodes {
		if !named {
			r.groups = append(r.groups, n)
			total += len(n.members)
		}
	}
	r.shift = 64 - bits.Len(uint(total/bucketed))
	r.starts = make([]uint32, 1<<(64-r.shift)+1)
	for _, n := range r.groups {
		for _, h := range n.members {
			r.starts[h>>r.shift]++
		}
	}
	end := uint32(0)
	for i, n := range r.starts {
		end += n
		r.starts[i] = end
	}
	r.member, r.group = make([]uint64, total), make([]uint32, total)
	for i, n := range r.groups {
		for _, h := range n.members { // from the end of each bucket to its beginning
			r.starts[h>>r.shift]--
			at := r.starts[h>>r.shift]
			r.member[at], r.group[at] = h, uint32(i)
		}
	}
	return r
}

// append appends the groups of a member, for all members in one order.
func (r *reverse) append(to []*node, member uint64) []*node {
	b := member >> r.shift
	for at := r.starts[b]; at < r.starts[b+1]; at++ {
		if r.member[at] == member {
			to = append(to, r.groups[r.group[at]])
		}
	}
	return to
}
