package coord

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// claimLife is how long a claim lasts without its node. That its node lives decides
// sooner; this only tidies up.
const claimLife = time.Hour

// A Claim says that a node holds something, such as an agent's tunnel. Of two claims
// the one with the greater Fence is newer.
type Claim struct {
	Set    string
	Node   string
	Fence  int64
	Detail []byte
}

func (c Claim) key() string { return c.Node + "/" + strconv.FormatInt(c.Fence, 10) }

// claimKey names a claim of this node.
type claimKey struct {
	set   string
	fence int64
}

// key is where the coordinator has a claim of this node.
func (m *Mesh) key(k claimKey) string { return Claim{Node: m.ID(), Fence: k.fence}.key() }

// heldClaim is a claim of this node as the coordinator has it, so that a node with many
// keeps each once, and when it was last written, zero if it must be written again.
type heldClaim struct {
	sealed  []byte
	written time.Time
}

// Claim makes known that this node holds something of a set. It lasts until Unclaim or
// the node's end, also when the coordinator loses its memory meanwhile. It returns what
// living nodes claimed before: of two that claim at the same moment, one sees the other.
func (m *Mesh) Claim(ctx context.Context, set string, detail []byte) (own Claim, before []Claim, err error) {
	fence, err := m.coord.Fence(ctx)
	if err != nil {
		return Claim{}, nil, err
	}
	own = Claim{Set: set, Node: m.ID(), Fence: fence, Detail: detail}
	key := own.key()
	h := heldClaim{sealed: m.sealValue(set, key, detail), written: m.now()}
	all, err := m.coord.SetList(ctx, set, key, h.sealed, claimLife)
	if err != nil {
		return Claim{}, nil, err
	}
	delete(all, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims[claimKey{set, fence}] = h
	return own, m.openClaimsLocked(set, all), nil
}

// write stores a claim again.
func (m *Mesh) write(ctx context.Context, k claimKey, h heldClaim) error {
	at := m.now()
	if err := m.coord.Set(ctx, k.set, m.key(k), h.sealed, claimLife); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, held := m.claims[k]; held {
		m.claims[k] = heldClaim{h.sealed, at}
	}
	return nil
}

// Unclaim takes a claim of this node back. If the coordinator is away, the claim stays
// until this node ends, and whoever follows it finds nothing.
func (m *Mesh) Unclaim(ctx context.Context, set string, fence int64) error {
	k := claimKey{set, fence}
	m.mu.Lock()
	delete(m.claims, k)
	m.mu.Unlock()
	return m.coord.Delete(ctx, set, m.key(k))
}

// Claims returns what living nodes claim of a set, the newest first.
func (m *Mesh) Claims(ctx context.Context, set string) ([]Claim, error) {
	sealed, err := m.coord.List(ctx, set)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.openClaimsLocked(set, sealed), nil
}

// openClaimsLocked opens the claims of living nodes, the newest first.
func (m *Mesh) openClaimsLocked(set string, sealed map[string][]byte) (all []Claim) {
	for key, s := range sealed {
		node, number, _ := strings.Cut(key, "/")
		fence, err := strconv.ParseInt(number, 10, 64)
		c := Claim{Set: set, Node: node, Fence: fence}
		if err != nil || c.key() != key {
			continue
		}
		if c.Detail, err = m.openValue(set, key, s); err != nil {
			continue // not written by a node of ours
		}
		if _, lives := m.nodes[c.Node]; lives || c.Node == m.ID() {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Claim) int { return cmp.Compare(b.Fence, a.Fence) })
	return all
}

// forgetWritten notes that no claim of this node is with the coordinator.
func (m *Mesh) forgetWritten() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, h := range m.claims {
		m.claims[k] = heldClaim{sealed: h.sealed}
	}
}

// renewClaims writes claims that the coordinator lost, or will lose soon.
func (m *Mesh) renewClaims(ctx context.Context) {
	due, lost := m.dueClaims()
	for k, h := range due {
		call, cancel := context.WithTimeout(ctx, commandTimeout)
		err := m.renew(call, k, h)
		cancel()
		if err != nil {
			return // at the next beat
		}
	}
	if lost && m.restored != nil {
		m.restored()
	}
}

// dueClaims are the claims to be written now. It reports whether some of them were lost.
func (m *Mesh) dueClaims() (due map[claimKey]heldClaim, lost bool) {
	due = map[claimKey]heldClaim{}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for k, h := range m.claims {
		if now.Sub(h.written) > claimLife/2 {
			due[k] = h
			lost = lost || h.written.IsZero()
		}
	}
	return due, lost
}

// renew writes a claim again, unless it was taken back meanwhile.
func (m *Mesh) renew(ctx context.Context, k claimKey, h heldClaim) error {
	held := func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		_, held := m.claims[k]
		return held
	}
	if !held() {
		return nil
	}
	if err := m.write(ctx, k, h); err != nil {
		return err
	}
	if !held() {
		return m.coord.Delete(ctx, k.set, m.key(k))
	}
	return nil
}
