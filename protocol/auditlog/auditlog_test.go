package auditlog_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/postern-id/postern/protocol/auditlog"
)

const origin = "id.example.com/audit/v1"

var at = time.Date(2026, 5, 6, 7, 8, 9, 123_000_000, time.UTC)

// A history is a log of some leaves with everything that proofs need.
type history struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
	leaves  [][]byte
	stored  []tlog.Hash
}

func (h *history) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		all[i] = h.stored[n]
	}
	return all, nil
}

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
}

// newHistory makes a log with leaves "0", "1" …
func newHistory(t testing.TB, n int) *history {
	t.Helper()
	k := key('k')
	h := &history{public: k.Public().(ed25519.PublicKey), private: k}
	for i := range n {
		h.add(t, fmt.Sprint(i))
	}
	return h
}

func (h *history) add(t testing.TB, leaf string) {
	t.Helper()
	more, err := tlog.StoredHashes(int64(len(h.leaves)), []byte(leaf), h)
	if err != nil {
		t.Fatal(err)
	}
	h.leaves, h.stored = append(h.leaves, []byte(leaf)), append(h.stored, more...)
}

func (h *history) checkpoint(t testing.TB, size int64) auditlog.Checkpoint {
	t.Helper()
	root, err := tlog.TreeHash(size, h)
	if err != nil {
		t.Fatal(err)
	}
	return auditlog.Checkpoint{Origin: origin, Size: size, Root: root, Time: at}
}

func (h *history) prove(t testing.TB, size, index, from int64) auditlog.Proof {
	t.Helper()
	text, err := h.checkpoint(t, size).Sign(h.private)
	p := auditlog.Proof{Public: h.public, Checkpoint: text, Index: index, Leaf: h.leaves[index], From: from}
	inclusion, err2 := tlog.ProveRecord(size, index, h)
	p.Inclusion = inclusion
	if from > 0 {
		consistency, err3 := tlog.ProveTree(size, from, h)
		p.Consistency, err2 = consistency, errors.Join(err2, err3)
	}
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCheckpointIsReadBackByWhoeverHasTheKeyAndByNobodyElse(t *testing.T) {
	h := newHistory(t, 7)
	c := h.checkpoint(t, 7)
	text, err := c.Sign(h.private)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "id.example.com/audit/v1\n7\n"+c.Root.String()+"\ntime 2026-05-06T07:08:09.123Z\n\n— id.example.com/audit/v1 ") {
		t.Errorf("the form is %q", text)
	}
	if got, err := auditlog.OpenCheckpoint(text, h.public, origin); err != nil || got != c {
		t.Errorf("%+v, %v", got, err)
	}
	other := key('o')
	forged, _ := c.Sign(other)
	elsewhere, _ := auditlog.Checkpoint{Origin: "evil.example/audit/v1", Size: 7, Root: c.Root, Time: at}.Sign(h.private)
	cosigned := text + strings.Split(forged, "\n\n")[1]
	if _, err := auditlog.OpenCheckpoint(cosigned, h.public, origin); err != nil {
		t.Errorf("a second signature: %v", err)
	}
	for _, c := range []struct {
		name, text string
		public     ed25519.PublicKey
		want       error
	}{
		{"another key's signature", forged, h.public, auditlog.ErrSignature},
		{"another key", text, other.Public().(ed25519.PublicKey), auditlog.ErrSignature},
		{"a short key", text, h.public[:31], auditlog.ErrKey},
		{"another log", elsewhere, h.public, auditlog.ErrOrigin},
		{"a changed size", strings.Replace(text, "\n7\n", "\n8\n", 1), h.public, auditlog.ErrSignature},
		{"no signature", strings.Split(text, "\n\n")[0] + "\n", h.public, auditlog.ErrCheckpoint},
		{"nothing", "", h.public, auditlog.ErrCheckpoint},
		{"too long", text + strings.Repeat(strings.Split(forged, "\n\n")[1], 40), h.public, auditlog.ErrCheckpoint},
	} {
		if _, err := auditlog.OpenCheckpoint(c.text, c.public, origin); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestCheckpointHasOneForm(t *testing.T) {
	h := newHistory(t, 1)
	for _, bad := range []auditlog.Checkpoint{
		{Origin: "a b", Size: 1, Time: at}, {Origin: "", Size: 1, Time: at}, {Origin: "a+b", Size: 1, Time: at}, {Origin: "a\nb", Size: 1, Time: at}, {Origin: origin, Size: -1, Time: at},
	} {
		if text, err := bad.Sign(h.private); !errors.Is(err, auditlog.ErrCheckpoint) {
			t.Errorf("%+v became %q, %v", bad, text, err)
		}
	}
}

// Every leaf of logs of every size up to 40 is proven, from every earlier size, and a
// proof with anything changed is refused.
func TestT08_ProofHoldsForItsLeafItsLogAndItsPastOnly(t *testing.T) {
	h := newHistory(t, 40)
	print := auditlog.Fingerprint(h.public)
	for size := int64(1); size <= 40; size++ {
		for range 12 {
			index, from := rand.Int64N(size), rand.Int64N(size+1)
			p := h.prove(t, size, index, from)
			c, err := p.Check(print, origin, h.checkpoint(t, from))
			if err != nil || c.Size != size {
				t.Fatalf("leaf %d of %d from %d: %v", index, size, from, err)
			}
			if _, err := p.Check(print, origin, auditlog.Checkpoint{}); err != nil {
				t.Fatalf("leaf %d of %d with no past: %v", index, size, err)
			}
		}
	}
	good := func() auditlog.Proof { return h.prove(t, 40, 17, 23) }
	last := h.checkpoint(t, 23)
	fork := newHistory(t, 20)
	for range 20 {
		fork.add(t, "another history")
	}
	for _, c := range []struct {
		name   string
		change func(p *auditlog.Proof)
		want   error
	}{
		{"another leaf", func(p *auditlog.Proof) { p.Leaf = []byte("18") }, auditlog.ErrInclusion},
		{"another index", func(p *auditlog.Proof) { p.Index = 16 }, auditlog.ErrInclusion},
		{"an index outside", func(p *auditlog.Proof) { p.Index = 40 }, auditlog.ErrInclusion},
		{"a negative index", func(p *auditlog.Proof) { p.Index = -1 }, auditlog.ErrProof},
		{"a shorter inclusion", func(p *auditlog.Proof) { p.Inclusion = p.Inclusion[1:] }, auditlog.ErrInclusion},
		{"an endless inclusion", func(p *auditlog.Proof) { p.Inclusion = make([]auditlog.Hash, 101) }, auditlog.ErrProof},
		{"an endless consistency", func(p *auditlog.Proof) { p.Consistency = make([]auditlog.Hash, 101) }, auditlog.ErrProof},
		{"a huge leaf", func(p *auditlog.Proof) { p.Leaf = make([]byte, auditlog.MaxLeaf+1) }, auditlog.ErrProof},
		{"no consistency", func(p *auditlog.Proof) { p.Consistency = nil }, auditlog.ErrInconsistent},
		{"a changed consistency", func(p *auditlog.Proof) { p.Consistency[0][0] ^= 1 }, auditlog.ErrInconsistent},
		{"from elsewhere", func(p *auditlog.Proof) { *p = h.prove(t, 40, 17, 22) }, auditlog.ErrBehind},
		{"an older checkpoint", func(p *auditlog.Proof) { *p = h.prove(t, 22, 17, 20) }, auditlog.ErrBehind},
		{"another key", func(p *auditlog.Proof) { p.Public = key('o').Public().(ed25519.PublicKey) }, auditlog.ErrKey},
		{"no key", func(p *auditlog.Proof) { p.Public = nil }, auditlog.ErrKey},
		{"a fork", func(p *auditlog.Proof) { *p = fork.prove(t, 40, 17, 23) }, auditlog.ErrInconsistent},
		{"a fork of the same size", func(p *auditlog.Proof) { *p = fork.prove(t, 23, 17, 0) }, auditlog.ErrInconsistent},
		{"a log that was rolled back", func(p *auditlog.Proof) { *p = h.prove(t, 20, 17, 0); p.From = 23 }, auditlog.ErrInconsistent},
	} {
		p := good()
		c.change(&p)
		if _, err := p.Check(print, origin, last); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := h.prove(t, 23, 17, 0).Check(print, origin, last); err != nil {
		t.Errorf("the checkpoint that was seen last, again: %v", err)
	}
}

func TestT09_TwoCheckpointsAreOfOneHistoryOrNot(t *testing.T) {
	h, other := newHistory(t, 30), newHistory(t, 12)
	for range 18 {
		other.add(t, "other")
	}
	for from := int64(0); from <= 30; from++ {
		var proof []auditlog.Hash
		if from > 0 && from < 30 {
			proof, _ = tlog.ProveTree(30, from, h)
		}
		if err := auditlog.CheckConsistency(h.checkpoint(t, from), h.checkpoint(t, 30), proof); err != nil {
			t.Errorf("from %d: %v", from, err)
		}
		err := auditlog.CheckConsistency(other.checkpoint(t, from), h.checkpoint(t, 30), proof)
		if forked := from > 12; forked != errors.Is(err, auditlog.ErrInconsistent) {
			t.Errorf("fork at 12, from %d: %v", from, err)
		}
	}
	if err := auditlog.CheckConsistency(h.checkpoint(t, 30), h.checkpoint(t, 29), nil); !errors.Is(err, auditlog.ErrInconsistent) {
		t.Errorf("rolled back: %v", err)
	}
	elsewhere := h.checkpoint(t, 30)
	elsewhere.Origin = "b/audit/v1"
	if err := auditlog.CheckConsistency(h.checkpoint(t, 3), elsewhere, nil); !errors.Is(err, auditlog.ErrOrigin) {
		t.Errorf("another log: %v", err)
	}
}

func TestTreeHasTheRootThatTlogComputes(t *testing.T) {
	h := newHistory(t, 70)
	var tree auditlog.Tree
	for n := int64(0); ; n++ {
		if want := h.checkpoint(t, n).Root; tree.Root() != want || tree.Size() != n {
			t.Fatalf("%d leaves: %s, want %s", n, tree.Root(), want)
		}
		if n == 70 {
			return
		}
		tree.Add(auditlog.LeafHash(h.leaves[n]))
	}
}

func TestProofSurvivesItsJSONWithinItsBound(t *testing.T) {
	h := newHistory(t, 40)
	p := h.prove(t, 40, 17, 23)
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := auditlog.ParseProof(b)
	if err == nil {
		_, err = got.Check(auditlog.Fingerprint(h.public), origin, h.checkpoint(t, 23))
	}
	if err != nil {
		t.Error(err)
	}
	p.Leaf, p.Inclusion, p.Consistency = make([]byte, auditlog.MaxLeaf), make([]auditlog.Hash, 100), make([]auditlog.Hash, 100)
	p.Checkpoint, p.Index, p.From = strings.Repeat("\n", auditlog.MaxCheckpoint), math.MaxInt64, math.MaxInt64
	b, _ = json.Marshal(p)
	if _, err := auditlog.ParseProof(b); err != nil {
		t.Errorf("the longest leaf in the highest tree takes %d bytes: %v", len(b), err)
	}
	if _, err := auditlog.ParseProof(append(b, make([]byte, auditlog.MaxProof)...)); !errors.Is(err, auditlog.ErrProof) {
		t.Error(err)
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	h := newHistory(f, 3)
	text, _ := h.checkpoint(f, 3).Sign(h.private)
	f.Add(text)
	f.Add(strings.Replace(text, "3", "03", 1))
	f.Add("\n\n— a AAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := auditlog.OpenCheckpoint(text, h.public, origin)
		if err != nil {
			return
		}
		if again, err := c.Sign(h.private); err != nil || !strings.HasPrefix(text, strings.SplitAfter(again, "\n\n")[0]) {
			t.Errorf("%q was read as %+v", text, c)
		}
	})
}

func FuzzProof(f *testing.F) {
	h := newHistory(f, 9)
	b, _ := json.Marshal(h.prove(f, 9, 4, 5))
	f.Add(b)
	f.Add([]byte(`{"index":9223372036854775807}`))
	last := h.checkpoint(f, 5)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := auditlog.ParseProof(b)
		if err != nil {
			return
		}
		c, err := p.Check(auditlog.Fingerprint(h.public), origin, last)
		if err == nil && (c.Size != 9 || string(p.Leaf) != fmt.Sprint(p.Index)) {
			t.Errorf("%s was believed", b)
		}
	})
}
