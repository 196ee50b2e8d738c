package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol/auditlog"
)

// export writes the log as the API gives it, with every leaf.
func export(t *testing.T, l *audit.Log) string {
	t.Helper()
	var b bytes.Buffer
	for from, more := int64(0), true; more; {
		p, err := l.Export(t.Context(), from, 20, func(string, string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&b).Encode(p); err != nil {
			t.Fatal(err)
		}
		from, more = p.Next, p.Next > 0
	}
	return b.String()
}

// say appends events until the log has n, and returns its checkpoint.
func say(t *testing.T, s *store.Store, l *audit.Log, env string, n int64, what string) string {
	t.Helper()
	for c, _, _ := l.Head(t.Context()); c.Size < n; c = sequence(t, l) {
		events := make([]audit.Event, n-c.Size)
		for i := range events {
			events[i] = audit.Event{Env: env, Kind: audit.OperationRequested, Trace: what}
		}
		appendAll(t, s, events...)
	}
	_, note, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func kinds(r auditlog.Report) string {
	var all []string
	for _, p := range r.Problems {
		all = append(all, fmt.Sprintf("%s %d-%d", p.Kind, p.Index, p.End))
	}
	return strings.Join(all, ", ")
}

func verify(t *testing.T, text string, notes ...string) auditlog.Report {
	t.Helper()
	print := auditlog.Fingerprint(newLog(nil).Public())
	r, err := auditlog.Verify(strings.NewReader(text), print[:], map[string][]string{"an agent": notes})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whoever changes the database is found by the export alone or by what an agent saw.
func TestT09_WhatWasDoneToTheLogIsFoundAndWhere(t *testing.T) {
	for name, c := range map[string]struct {
		change []string // of the database, by somebody without the log's key
		want   string
	}{
		"nothing":             {nil, ""},
		"the bytes of a leaf": {[]string{"UPDATE audit_rows SET leaf = REPLACE(leaf, 'flow', 'cfo!') || ' ' WHERE id = (SELECT event FROM audit_entries WHERE seq = 17)"}, "tampered 17-18"},
		"two leaves change places": {[]string{
			"UPDATE audit_entries SET seq = -1 WHERE seq = 7", "UPDATE audit_entries SET seq = 7 WHERE seq = 9", "UPDATE audit_entries SET seq = 9 WHERE seq = -1",
		}, "reordered 7-8, reordered 9-10"},
		"a leaf is gone":                          {[]string{"DELETE FROM audit_rows WHERE id = (SELECT event FROM audit_entries WHERE seq = 31)"}, "truncated 31-32"},
		"a leaf and its hash change":              {[]string{"UPDATE audit_tiles SET hashes = 'AAAA' || SUBSTR(hashes, 5) WHERE id = '0/0'"}, "tampered 0-1, forked 0-25, tampered 0-50"},
		"old leaves are passed off as dropped":    {[]string{"DELETE FROM audit_rows WHERE id IN (SELECT event FROM audit_entries WHERE seq < 2)", "DELETE FROM audit_entries WHERE seq < 2"}, "truncated 0-1, truncated 1-2"},
		"they are, and the hub takes them for it": {[]string{"DELETE FROM audit_rows WHERE id IN (SELECT event FROM audit_entries WHERE seq < 2)", "DELETE FROM audit_entries WHERE seq < 2", "UPDATE audit_head SET dropped = 2"}, "truncated 0-2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.Open(t, storetest.SQLite(t))
			f := storetest.Seed(t, s)
			l := newLog(s)
			seen := say(t, s, l, f.Env.ID, 25, "flow")
			appendAll(t, s, audit.Event{Org: f.Env.Org, Kind: audit.OrgUpdated})
			sequence(t, l)
			say(t, s, l, f.Env.ID, 50, "flow")
			for _, statement := range c.change {
				if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Must(t.Context(), statement) }); err != nil {
					t.Fatal(err)
				}
			}
			r := verify(t, export(t, l), seen)
			if kinds(r) != c.want || r.Size != 50 || c.want == "" && (r.Checkpoints != 1 || r.Bytes != 50) {
				t.Errorf("%q, want %q: %+v", kinds(r), c.want, r)
			}
		})
	}
}

// The database copied back: the log is shorter than an agent saw it, and when it has
// grown again it is another one.
func TestT09_RolledBackLogIsFoundShorterAndGrownAgain(t *testing.T) {
	c := storetest.SQLite(t)
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	f := storetest.Seed(t, s)
	l := newLog(s)
	early := say(t, s, l, f.Env.ID, 20, "before")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	backup, err := os.ReadFile(filepath.Join(c.Dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	late := say(t, s, newLog(s), f.Env.ID, 30, "to be forgotten")
	whole := export(t, newLog(s))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, whole, early, late); len(r.Problems) != 0 || r.Checkpoints != 2 {
		t.Fatalf("before: %+v", r)
	}
	c.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(c.Dir, store.FileName), backup, 0o600); err != nil {
		t.Fatal(err)
	}
	s = storetest.Open(t, c)
	l = newLog(s)
	if r := verify(t, export(t, l), early, late); kinds(r) != "rolled back 20-30" {
		t.Errorf("copied back: %+v", r)
	}
	say(t, s, l, f.Env.ID, 40, "instead")
	if r := verify(t, export(t, l), early, late); kinds(r) != "forked 20-30" {
		t.Errorf("grown again: %+v", r)
	}
	pages := strings.SplitAfter(whole, "\n")
	if r := verify(t, pages[0], early); kinds(r) != "truncated 20-30" {
		t.Errorf("a cut export: %+v", r)
	}
	if r := verify(t, pages[0]+pages[0]+pages[1], early); len(r.Problems) == 0 {
		t.Errorf("a page twice: %+v", r)
	}
	if r := verify(t, pages[1]+pages[0], early); !strings.Contains(kinds(r), "truncated 0-") {
		t.Errorf("pages in another order: %+v", r)
	}
	forged, _ := auditlog.Checkpoint{Origin: origin, Size: 20, Time: time.Now()}.Sign(newOtherKey())
	if r := verify(t, whole, forged, "nonsense"); kinds(r) != "unsigned 0-0, unsigned 0-0" {
		t.Errorf("a forged checkpoint: %+v", r)
	}
}

// Dropped leaves and erased persons leave an export that verifies, and says so.
func TestDroppedAndErasedAreSaidAndTheRestVerifies(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		l := audit.NewLog(audit.LogConfig{Store: s, Key: logKey(), Origin: origin, Retain: func() time.Duration { return 400 * 24 * time.Hour }})
		for i := range 40 {
			appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.EnvUpdated, Time: time.Now().Add(-time.Duration(420-i) * 24 * time.Hour)})
		}
		appendAll(t, s, audit.Event{Env: f.Env.ID, Kind: audit.RecoveryStarted, Account: "ada", Personal: map[string]string{"name": "Canary"}})
		sequence(t, l)
		_, seen, _ := l.Head(t.Context())
		if err := l.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return audit.Erase(t.Context(), tx, f.Env.ID, "ada") }); err != nil {
			t.Fatal(err)
		}
		sequence(t, l)
		text := export(t, l)
		r := verify(t, text, seen)
		if audit.LeavesDropped != auditlog.KindDropped {
			t.Error("who verifies does not know how the log says that it dropped leaves")
		}
		if len(r.Problems) != 0 || r.Dropped < 20 || r.Dropped > 21 || r.Bytes != r.Size-r.Dropped || r.Size != 42 || r.Checkpoints != 1 {
			t.Errorf("%+v", r)
		}
		if strings.Contains(text, "Canary") {
			t.Error("the erased name is in the export")
		}
	})
}

func TestCheckpointsAreReadFromWhateverAgentsWriteThemTo(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	note := say(t, s, newLog(s), f.Env.ID, 3, "x")
	line, _ := json.Marshal(map[string]string{"kind": "witnessed", "checkpoint": note})
	for name, text := range map[string]string{
		"a note": note, "lines": string(line) + "\n" + string(line), "syslog": "Jan  1 00:00:00 host postern-agent[7]: " + string(line) + "\nother\n{broken\n{}\n",
	} {
		notes, err := auditlog.ReadCheckpoints(strings.NewReader(text))
		if err != nil || len(notes) == 0 || notes[0] != note {
			t.Errorf("%s: %q, %v", name, notes, err)
		}
	}
	if notes, err := auditlog.ReadCheckpoints(strings.NewReader("nothing\n")); err != nil || len(notes) != 0 {
		t.Error(notes, err)
	}
}

// Whoever hands on a file may write entries behind those that were signed.
func TestT09_EntriesBehindTheLastCheckpointAreNotTheLogs(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	l := newLog(s)
	note := say(t, s, l, f.Env.ID, 12, "true")
	leaf := `{"id":"01JD","kind":"operation_finished","trace":"never happened"}`
	page := auditlog.Export{Origin: l.Origin(), Public: l.Public(), Checkpoint: note, Entries: []auditlog.Entry{{Index: 12, Hash: auditlog.LeafHash([]byte(leaf)), Leaf: leaf}}}
	b, err := json.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, export(t, l)+string(b), note); kinds(r) != "unsigned 12-13" {
		t.Errorf("%q: %+v", kinds(r), r)
	}
}
