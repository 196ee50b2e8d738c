package coord

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// claimLife is how long a claim lasts without its node. That its node lives decides
// sooner; this only tidies up.
const claimLife = time.Hour

// A Claim says that a node holds something, such as an agent's tunnel. Of two claims
// the one with the greater Fence is newer.
type Claim struct {
	Set    string `json:"set"`
	Node   string `json:"node"`
	Fence  int64  `json:"fence"`
	Detail []byte `json:"detail"`
}

func (c Claim) key() string { return c.Node + "/" + strconv.FormatInt(c.Fence, 10) }

// claimKey names a claim of this node.
type claimKey struct {
	set   string
	fence int64
}

// heldClaim is a claim of this node and when it was last written, zero if it must be
// written again.
type heldClaim struct {
	Claim
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
	h := &heldClaim{Claim: Claim{Set: set, Node: m.ID(), Fence: fence, Detail: detail}, written: m.now()}
	sealed, err := m.sealClaim(h.Claim)
	if err != nil {
		return Claim{}, nil, err
	}
	all, err := m.coord.SetList(ctx, set, h.key(), sealed, claimLife)
	if err != nil {
		return Claim{}, nil, err
	}
	delete(all, h.key())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims[claimKey{set, fence}] = h
	return h.Claim, m.openClaimsLocked(set, all), nil
}

func (m *Mesh) sealClaim(c Claim) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return m.sealValue(c.Set, c.key(), text), nil
}

// write stores a claim again.
func (m *Mesh) write(ctx context.Context, h *heldClaim) error {
	sealed, err := m.sealClaim(h.Claim)
	if err != nil {
		return err
	}
	at := m.now()
	if err := m.coord.Set(ctx, h.Set, h.key(), sealed, claimLife); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h.written = at
	return nil
}

// Unclaim takes a claim back. If the coordinator is away, the claim stays until this
// node ends, and whoever follows it finds nothing.
func (m *Mesh) Unclaim(ctx context.Context, c Claim) error {
	m.mu.Lock()
	delete(m.claims, claimKey{c.Set, c.Fence})
	m.mu.Unlock()
	return m.coord.Delete(ctx, c.Set, c.key())
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
		var c Claim
		text, err := m.openValue(set, key, s)
		if err != nil || json.Unmarshal(text, &c) != nil || c.Set != set || c.key() != key {
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
	for _, h := range m.claims {
		h.written = time.Time{}
	}
}

// renewClaims writes claims that the coordinator lost, or will lose soon.
func (m *Mesh) renewClaims(ctx context.Context) {
	var due []*heldClaim
	lost := false
	m.mu.Lock()
	for _, h := range m.claims {
		if m.now().Sub(h.written) > claimLife/2 {
			due = append(due, h)
			lost = lost || h.written.IsZero()
		}
	}
	m.mu.Unlock()
	for _, h := range due {
		call, cancel := context.WithTimeout(ctx, commandTimeout)
		err := m.renew(call, h)
		cancel()
		if err != nil {
			return // at the next beat
		}
	}
	if lost && m.restored != nil {
		m.restored()
	}
}

// renew writes a claim again, unless it was taken back meanwhile.
func (m *Mesh) renew(ctx context.Context, h *heldClaim) error {
	held := func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.claims[claimKey{h.Set, h.Fence}] == h
	}
	if !held() {
		return nil
	}
	if err := m.write(ctx, h); err != nil {
		return err
	}
	if !held() {
		return m.coord.Delete(ctx, h.Set, h.key())
	}
	return nil
}
