package ldap

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"strings"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// maxMemories is how many chains of passes are remembered: one, and one more while
// another node of the hub begins where a lost one was.
const maxMemories = 2

// A key names an entry: its UUID, or a hash of an id that is none.
type key [16]byte

// seed makes hashes of this process.
var seed = maphash.MakeSeed()

// A memory is what the passes with a token have listed: what was deleted, who left a
// group and what is still the same shows by comparison only.
type memory struct {
	token    string
	accounts roll
	ids      map[key]string // with which accounts were listed whose keys they are not
	groups   *membership
}

func newMemory() *memory { return &memory{ids: map[key]string{}} }

// forget removes an account.
func (m *memory) forget(k key) {
	m.accounts.remove(k)
	delete(m.ids, k)
}

// idOf is the id that an account was listed with.
func (m *memory) idOf(k key) string {
	if id := m.ids[k]; id != "" {
		return id
	}
	return ldapconn.FormatUUID(k)
}

// take gives the memory of a state away: to one pass at a time, which may spoil it.
func (d *Directory) take(token string) *memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, m := range d.memories {
		if token != "" && m.token == token {
			d.memories = append(d.memories[:i], d.memories[i+1:]...)
			return m
		}
	}
	return nil
}

// forget makes room for a pass that begins anew. Whoever goes on from what is forgotten has
// everything listed.
func (d *Directory) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.memories = nil
}

// keep remembers what a finished pass has listed.
func (d *Directory) keep(m *memory) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.memories = append(d.memories, m)
	if len(d.memories) > maxMemories {
		d.memories = d.memories[1:]
	}
}

// keyOf is the key of an account.
func (cfg Config) keyOf(s source, id string) key {
	if _, raw, err := cfg.parseUUID(first(s, cfg.uuidAttribute())); err == nil {
		return raw
	}
	sum := sha256.Sum256([]byte(id))
	return key(sum[:16])
}

// sumOf hashes everything that is listed of an account.
func sumOf(a protocol.Account) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	put := func(texts ...string) {
		for _, s := range texts {
			_, _ = h.WriteString(s) // never fails
			_ = h.WriteByte(0)
		}
	}
	number := func(n int64) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		_, _ = h.Write(b[:]) // never fails
	}
	put(a.ID, a.Name, a.BirthDate)
	number(int64(len(a.Identifiers)))
	if number(a.UpdatedAt.UnixNano()); a.Disabled {
		number(1)
	}
	put(a.Identifiers...)
	for _, g := range a.Groups {
		put(g.ID, g.Name)
	}
	return h.Sum64()
}

// handleOf hashes what groups name a member by: a DN in any spelling, or a login.
func handleOf(member string) uint64 {
	var b [256]byte
	if len(member) > len(b) {
		return maphash.String(seed, fold(member))
	}
	for i := range len(member) {
		if b[i] = folded[member[i]]; b[i] == 0 {
			return maphash.String(seed, fold(member))
		}
	}
	return maphash.Bytes(seed, b[:len(member)])
}

// folded are the characters of DNs in lower case, but for those that depend on others.
var folded = func() (all [256]byte) {
	for c := range byte(0x80) {
		switch {
		case strings.IndexByte(`\+"# `, c) >= 0:
		case c >= 'A' && c <= 'Z':
			all[c] = c + 'a' - 'A'
		default:
			all[c] = c
		}
	}
	return all
}()

// fold is ldapconn.FoldDN, cheaply for the usual names.
func fold(dn string) string {
	if simpleDN(dn) {
		return strings.ToLower(dn)
	}
	return ldapconn.FoldDN(dn)
}

// simpleDN holds for the usual names, which differ in case alone.
func simpleDN(dn string) bool {
	for i := range len(dn) {
		switch c := dn[i]; {
		case c >= 0x80, c == '\\', c == '+', c == '"', c == '#', c == ' ' && (i+1 == len(dn) || i == 0 || strings.IndexByte(",= ;", dn[i+1]) >= 0 || strings.IndexByte(",= ;", dn[i-1]) >= 0):
			return false
		}
	}
	return true
}
