package auditlog

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
)

// A Problem is something that an honest log does not show.
type Problem struct {
	Kind  string `json:"kind"`  // see below
	Index int64  `json:"index"` // first leaf that it may concern
	End   int64  `json:"end"`   // leaf after the last one
	Text  string `json:"text"`
}

// Kinds of problems.
const (
	Tampered   = "tampered"    // bytes or hashes are not what was signed
	Reordered  = "reordered"   // a leaf stands where another one was
	Truncated  = "truncated"   // leaves are missing that the log's own checkpoint counts
	Forked     = "forked"      // somebody has a signed checkpoint of another history
	RolledBack = "rolled back" // somebody has a signed checkpoint of a longer log
	Unsigned   = "unsigned"    // a checkpoint is not signed by the key of this log, or leaves stand behind the last one that is
)

// A Report is what Verify found.
type Report struct {
	Origin      string    `json:"origin"`
	Fingerprint []byte    `json:"log_key"`     // of the key that the checkpoints are signed with
	Size        int64     `json:"size"`        // leaves of the export
	Root        Hash      `json:"root"`        // of their tree
	Signed      int64     `json:"signed"`      // leaves of its last checkpoint
	Bytes       int64     `json:"bytes"`       // leaves whose bytes are there
	Dropped     int64     `json:"dropped"`     // the first ones, kept as hashes only
	Others      int64     `json:"others"`      // leaves that this key may not read
	Checkpoints int       `json:"checkpoints"` // of others, that agree
	Problems    []Problem `json:"problems"`
}

// mark is a checkpoint and where it came from.
type mark struct {
	Checkpoint
	from string
	own  bool // of the export
	root Hash // that the leaves have at its size
	seen bool
}

// verification is the state of Verify.
type verification struct {
	report Report
	public ed25519.PublicKey
	tree   Tree
	marks  []*mark // by size
	next   int     // first mark that is not reached
	hashes map[Hash]int64
	odd    []odd
	said   int64 // leaves that the log itself says it dropped
	hears  bool  // what it says to the organisation: the key may read that
}

// odd is a leaf whose bytes have another hash than its entry says.
type odd struct {
	index int64
	hash  Hash // of the bytes
}

// Verify reads an export from its beginning and compares it with itself, with its own
// checkpoints and with those that others have: notes maps where each came from to its
// texts. fingerprint is that of the pinned key; nil: that of the export is believed, and
// named in the report. The error says that the export cannot be read, or is of another
// key; what is wrong with the log stands in the report.
func Verify(export io.Reader, fingerprint []byte, notes map[string][]string) (Report, error) {
	v := &verification{hashes: map[Hash]int64{}, report: Report{Problems: []Problem{}}}
	pages := newExportReader(export)
	var own []string
	var entries []Entry
	for {
		p, err := pages.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = v.key(p, fingerprint)
		}
		if err != nil {
			return v.report, err
		}
		v.report.Dropped = max(v.report.Dropped, p.Dropped)
		if len(own) == 0 || own[len(own)-1] != p.Checkpoint {
			own = append(own, p.Checkpoint)
		}
		entries = append(entries, v.entries(p.Entries)...)
	}
	if v.public == nil {
		return v.report, fmt.Errorf("%w: the export is empty", ErrProof)
	}
	v.mark(own, notes)
	for _, e := range entries {
		v.add(e)
	}
	v.leaves(entries)
	v.compare()
	sort.SliceStable(v.report.Problems, func(i, j int) bool { return v.report.Problems[i].Index < v.report.Problems[j].Index })
	return v.report, nil
}

// key takes the key of the first page; the others must have the same.
func (v *verification) key(p Export, fingerprint []byte) error {
	got := Fingerprint(p.Public)
	switch {
	case len(p.Public) != ed25519.PublicKeySize:
		return fmt.Errorf("%w: %d bytes", ErrKey, len(p.Public))
	case fingerprint != nil && string(fingerprint) != string(got[:]):
		return fmt.Errorf("%w: the export's is %x", ErrKey, got)
	case v.public == nil:
		v.public, v.report.Origin, v.report.Fingerprint = p.Public, p.Origin, got[:]
	case string(v.public) != string(p.Public) || v.report.Origin != p.Origin:
		return fmt.Errorf("%w: the pages of the export are of two logs", ErrKey)
	}
	return nil
}

// entries keeps what is needed of a page: whether the bytes fit, not the bytes.
func (v *verification) entries(all []Entry) []Entry {
	for i, e := range all {
		if e.Leaf == "" {
			continue
		}
		v.report.Bytes++
		if h := LeafHash([]byte(e.Leaf)); h != e.Hash {
			v.odd = append(v.odd, odd{e.Index, h})
		} else {
			v.hear(e.Leaf)
		}
		all[i].Leaf = "-"
	}
	return all
}

// hear takes what the log itself says of leaves that it dropped. It says so to every
// organisation, in a leaf of no environment: who reads such leaves reads that one.
func (v *verification) hear(leaf string) {
	if strings.Contains(leaf, `,"env":`) && !strings.Contains(leaf, KindDropped) { // most leaves
		return
	}
	var says struct {
		Kind    string `json:"kind"`
		Env     string `json:"env"`
		Dropped struct {
			To int64 `json:"to"`
		} `json:"audit_leaves_dropped"`
	}
	if json.Unmarshal([]byte(leaf), &says) != nil || says.Env != "" {
		return
	}
	if v.hears = true; says.Kind == KindDropped {
		v.said = max(v.said, says.Dropped.To)
	}
}

func (v *verification) problem(kind string, from, to int64, format string, args ...any) {
	v.report.Problems = append(v.report.Problems, Problem{kind, from, to, fmt.Sprintf(format, args...)})
}

// mark opens all checkpoints and sorts them by size.
func (v *verification) mark(own []string, notes map[string][]string) {
	open := func(text, from string, mine bool) {
		c, err := OpenCheckpoint(text, v.public, v.report.Origin)
		if err != nil {
			v.problem(Unsigned, 0, 0, "%s: %v", from, err)
			return
		}
		if mine {
			v.report.Signed = max(v.report.Signed, c.Size)
		}
		v.marks = append(v.marks, &mark{Checkpoint: c, from: from, own: mine})
	}
	for _, text := range own {
		open(text, "the export", true)
	}
	for from, all := range notes {
		for _, text := range all {
			open(text, from, false)
		}
	}
	sort.SliceStable(v.marks, func(i, j int) bool { return v.marks[i].Size < v.marks[j].Size })
	v.reach()
}

// reach notes the root for the marks of the present size.
func (v *verification) reach() {
	for v.next < len(v.marks) && v.marks[v.next].Size == v.tree.Size() {
		v.marks[v.next].root, v.marks[v.next].seen = v.tree.Root(), true
		v.next++
	}
}

// add takes one entry into the tree. A gap or a repetition ends what can be said.
func (v *verification) add(e Entry) {
	if want := v.tree.Size(); e.Index != want {
		if len(v.report.Problems) == 0 || v.report.Problems[len(v.report.Problems)-1].Index != want {
			v.problem(Truncated, want, max(e.Index, want), "the export goes on with entry %d where %d should stand", e.Index, want)
		}
		return
	}
	v.tree.Add(e.Hash)
	v.reach()
	v.hashes[e.Hash] = e.Index
}

// leaves says which leaves are not what their hashes say, and which are gone.
func (v *verification) leaves(entries []Entry) {
	for _, o := range v.odd {
		if was, found := v.hashes[o.hash]; found {
			v.problem(Reordered, o.index, o.index+1, "entry %d holds what was signed as entry %d", o.index, was)
			continue
		}
		v.problem(Tampered, o.index, o.index+1, "the bytes of entry %d were changed", o.index)
	}
	var unsaid int64 // behind the last leaf that is passed off as dropped
	for _, e := range entries {
		switch {
		case e.Leaf != "":
		case e.Why == WhyDropped && e.Index < v.report.Dropped:
			unsaid = max(unsaid, e.Index+1)
		case e.Why == WhyOther:
			v.report.Others++
		default:
			v.problem(Truncated, e.Index, e.Index+1, "the bytes of entry %d are gone, and the log does not say that it dropped them", e.Index)
		}
	}
	if v.hears && unsaid > v.said {
		v.problem(Truncated, v.said, unsaid, "the bytes of the entries from %d to %d are gone as if by age, and no entry of the log says that it dropped them", v.said, unsaid-1)
	}
	v.report.Size, v.report.Root = v.tree.Size(), v.tree.Root()
	if v.report.Size < v.report.Signed {
		v.problem(Truncated, v.report.Size, v.report.Signed, "the export ends after %d entries, its checkpoint counts %d", v.report.Size, v.report.Signed)
	}
}

// compare looks at every checkpoint. The leaves before the largest that agrees are
// proven; what is wrong lies behind it, and so does what nobody signed.
func (v *verification) compare() {
	var sound int64
	for _, m := range v.marks {
		switch {
		case !m.seen && !m.own && m.Size > v.report.Signed:
			v.problem(RolledBack, max(v.report.Signed, sound), m.Size, "%s has a signed checkpoint of %d entries of %s, the log has %d", m.from, m.Size, m.Time.Format(timeForm), v.report.Signed)
		case !m.seen:
			// said as truncated
		case m.root == m.Root:
			sound = m.Size
			if !m.own {
				v.report.Checkpoints++
			}
		case m.own:
			v.problem(Tampered, sound, m.Size, "the entries from %d to %d are not those that the log's own checkpoint was signed over", sound, m.Size-1)
		default:
			v.problem(Forked, sound, m.Size, "%s has a signed checkpoint of %d entries of %s with another root: the log has two histories, which part between %d and %d",
				m.from, m.Size, m.Time.Format(timeForm), sound, m.Size-1)
		}
	}
	if last := max(v.report.Signed, sound); v.report.Size > last {
		v.problem(Unsigned, last, v.report.Size, "the entries from %d to %d stand behind the last checkpoint: nobody signed them", last, v.report.Size-1)
	}
}
