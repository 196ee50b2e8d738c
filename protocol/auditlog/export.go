package auditlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An Export is a page of the log's leaves, as the hub gives them for verification
// elsewhere. A file holds one page after another.
type Export struct {
	Origin     string  `json:"origin"`
	Public     []byte  `json:"public"`     // key of the log
	Checkpoint string  `json:"checkpoint"` // the last one, a signed note
	Dropped    int64   `json:"dropped"`    // leaves from the first on that are kept as hashes only
	Entries    []Entry `json:"entries"`
	Next       int64   `json:"next,omitempty"` // index that the next page begins with; 0: none
}

// An Entry is one leaf. Without its bytes there is only its hash.
type Entry struct {
	Index int64  `json:"index"`
	Hash  Hash   `json:"hash"` // in the tree
	Leaf  string `json:"leaf,omitempty"`
	Why   string `json:"why,omitempty"` // why there are no bytes, see below
}

// Why an entry has no bytes.
const (
	WhyDropped = "dropped" // older than the hub keeps them
	WhyOther   = "other"   // of another organisation of this hub, or an environment that the API key is not for
	WhyMissing = "missing" // they should be there, and are not
)

// KindDropped is the kind of the one leaf whose meaning is known here: by it the log says
// that it dropped the bytes of all leaves before the index "to".
const KindDropped = "audit_leaves_dropped"

// Bounds of an export.
const (
	maxPage    = 64 << 20 // bytes of one page
	maxEntries = 1000     // of one page
)

// An exportReader reads page after page.
type exportReader struct {
	limit io.LimitedReader
	dec   *json.Decoder
}

func newExportReader(r io.Reader) *exportReader {
	e := &exportReader{limit: io.LimitedReader{R: r}}
	e.dec = json.NewDecoder(&e.limit)
	return e
}

// next returns io.EOF after the last page.
func (e *exportReader) next() (Export, error) {
	e.limit.N = maxPage
	var p Export
	err := e.dec.Decode(&p)
	switch {
	case errors.Is(err, io.EOF) && e.limit.N > 0:
		return p, io.EOF
	case err != nil:
		return p, fmt.Errorf("%w: a page of the export: %w", ErrProof, err)
	case len(p.Entries) > maxEntries:
		return p, fmt.Errorf("%w: a page of %d entries", ErrProof, len(p.Entries))
	}
	return p, nil
}

// maxWitnessLine bounds a line of a file of checkpoints, in bytes.
const maxWitnessLine = 4 * MaxCheckpoint

// ReadCheckpoints returns the checkpoints of a file: one signed note, or lines with a JSON
// object that has it as its member "checkpoint", as agents write them to their sinks,
// whatever a syslog put before it. Other lines are passed over. Nothing is checked yet.
func ReadCheckpoints(r io.Reader) ([]string, error) {
	var notes []string
	var text strings.Builder
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxWitnessLine)
	for lines.Scan() {
		line := lines.Text()
		if text.Len() < MaxCheckpoint {
			text.WriteString(line + "\n")
		}
		begin := strings.IndexByte(line, '{')
		if begin < 0 {
			continue
		}
		var record struct {
			Checkpoint string `json:"checkpoint"`
		}
		if json.Unmarshal([]byte(line[begin:]), &record) == nil && record.Checkpoint != "" {
			notes = append(notes, record.Checkpoint)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if len(notes) == 0 && strings.Contains(text.String(), "\n\n"+lineMark) {
		notes = append(notes, text.String())
	}
	return notes, nil
}
