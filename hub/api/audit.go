package api

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/auditlog"
)

// Bounds and defaults of the list of events.
const (
	auditCount = 512            // as the public reference has it
	auditSince = 24 * time.Hour // likewise
)

// maxEntry bounds an index of the log. JavaScript counts so far.
const maxEntry = 1 << 52

// auditList is the wire type ListAuditEventsResponse.
type auditList struct {
	// Each is an AuditEvent: of its members exactly one is named like its kind, and differs
	// from kind to kind. Beside it may stand ours: account, personal.
	Events   []json.RawMessage `json:"events"`
	Backward string            `json:"backward_cursor,omitempty"` // of the page before this one
	Forward  string            `json:"forward_cursor,omitempty"`  // of the page after it, in the order of the list
}

// Which way a cursor goes. Behind it stand the id that it goes on from and the first id
// that the list began with.
const (
	cursorForward  = "f"
	cursorBackward = "b"
)

// auditFilter reads the parameters of the list.
func (c *call) auditFilter(ctx context.Context, tx *store.Tx) (f store.AuditFilter, words []string, err error) {
	f = store.AuditFilter{Kinds: c.many("kind"), Count: c.number("count"), OldestFirst: c.is("reverse")}
	if f.Envs, err = c.auditEnvs(ctx, tx); err != nil {
		return f, nil, err
	}
	start, err := moment("start", c.text("start"))
	end, err2 := moment("end", c.text("end"))
	if err != nil || err2 != nil {
		return f, nil, errOf(err, err2)
	}
	if c.text("start") == "" {
		start = tx.Now().Add(-auditSince)
	}
	f.From = audit.FirstID(start)
	if c.text("end") != "" {
		f.To = audit.FirstID(end)
	}
	for _, word := range strings.Fields(c.text("query")) {
		name, value, _ := strings.Cut(word, ":")
		switch {
		case name == "account" && value != "":
			f.Account = value
		case name == "trace" && value != "":
			f.Trace = value
		default:
			words = append(words, word)
		}
	}
	return f, words, nil
}

func errOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// auditEnvs returns the environments to look at; nil if the key is for everything and
// none was named.
func (c *call) auditEnvs(ctx context.Context, tx *store.Tx) ([]string, error) {
	if len(c.many("env")) == 0 && c.key.Admits(store.AllEnvs) {
		return nil, nil
	}
	envs, err := c.chosen(ctx, tx)
	ids := []string{none}
	for i, e := range envs {
		if i == 0 {
			ids = nil
		}
		ids = append(ids, e.ID)
	}
	return ids, err
}

// none is no environment's id: a key for environments that were all deleted sees nothing.
const none = "-"

// moment reads a date, which means its first moment in UTC, or a date and time.
func moment(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, bad(name + ": want a date like 2026-05-31 or a time like 2026-05-31T12:00:00Z")
}

// settleAudit has everything written that was answered before the list was asked for: its
// transaction looks at the key first, and sees nothing that comes later.
func settleAudit(_ context.Context, c *call) error {
	c.api.Store.Settle()
	return nil
}

// listAudit is the list of events, those of the last 24 hours unless start says
// otherwise. Words of query narrow it: account:ID, trace:ID, anything else to events that
// contain it. A cursor goes on where a page ended.
func listAudit(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	f, words, err := c.auditFilter(ctx, tx)
	if err != nil {
		return nil, err
	}
	if c.text("from") != "" {
		return nil, bad("from: is for the stream of events, a WebSocket; the list has start and cursor")
	}
	way, at := cursorForward, ""
	if cursor := c.text("cursor"); cursor != "" {
		parts := strings.Split(cursor, ".")
		if len(parts) != 3 || parts[0] != cursorForward && parts[0] != cursorBackward || parts[1] == "" {
			return nil, bad("cursor: not one of this list")
		}
		way, at = parts[0], parts[1]
		if c.text("start") == "" {
			f.From = parts[2] // what was 24 hours ago when the first page was asked for
		}
	}
	back := way == cursorBackward
	f.After = at
	if back {
		f.OldestFirst = !f.OldestFirst
	}
	page, err := audit.Search(ctx, tx, c.key.Org, f, words)
	if err != nil {
		return nil, err
	}
	return auditPage(page, f.OldestFirst, back, at, f.From)
}

// auditPage brings a page into the order of the list, with its cursors. A page that was
// read backwards has the page that it was asked from after it.
func auditPage(page audit.Page, oldestFirst, back bool, at, from string) (auditList, error) {
	out := auditList{Events: make([]json.RawMessage, len(page.Records))}
	n := len(page.Records)
	for i, r := range page.Records {
		b, err := r.Wire()
		if err != nil {
			return out, err
		}
		if back {
			i = n - 1 - i
		}
		out.Events[i] = b
	}
	first := ""
	if n > 0 {
		first = page.Records[0].ID
	} else if at != "" {
		first = beside(at, oldestFirst)
	}
	switch {
	case back:
		out.Forward = cursorAt(cursorForward, first, from)
		out.Backward = cursorAt(cursorBackward, page.Next, from)
	default:
		out.Forward = cursorAt(cursorForward, page.Next, from)
		if at != "" {
			out.Backward = cursorAt(cursorBackward, first, from)
		}
	}
	return out, nil
}

// beside is where an empty page turns round: the event that it was asked from belongs to
// the page before it, and is to be read again. Ids have one length.
func beside(id string, oldestFirst bool) string {
	if oldestFirst {
		return id + "Z"
	}
	return id[:len(id)-1]
}

func cursorAt(way, id, from string) string {
	if id == "" {
		return ""
	}
	return way + "." + id + "." + from
}

// findEvent finds an event of the organisation, in an environment that the key is for.
func (c *call) findEvent(ctx context.Context, tx *store.Tx, id string) error {
	row, err := tx.AuditRow(ctx, c.key.Org, id)
	if err == nil && !c.key.Admits(row.Env) {
		return store.ErrNotFound
	}
	c.event = row
	return err
}

// auditHead is what is known of the log now.
type auditHead struct {
	Origin     string         `json:"origin"`
	Public     []byte         `json:"public"`  // key of the log
	LogKey     []byte         `json:"log_key"` // its SHA-256, as tickets pin it
	Checkpoint string         `json:"checkpoint"`
	Size       int64          `json:"size"`
	Root       string         `json:"root"`
	Time       time.Time      `json:"time,omitzero"`
	Witnesses  []auditWitness `json:"witnesses"`
}

// auditWitness is an agent that signed a checkpoint of the log.
type auditWitness struct {
	Agent      string    `json:"agent"`
	Name       string    `json:"name"`
	Public     []byte    `json:"public"`     // key of its signature
	Size       int64     `json:"size"`       // of the newest checkpoint that it signed
	Checkpoint string    `json:"checkpoint"` // a note with the hub's signature and its own
	SeenAt     time.Time `json:"seen_at,omitzero"`
	Stopped    string    `json:"stopped,omitempty"` // hash of the head by which it stopped
}

// witnesses returns the agents that witness the log, of environments that the key is for.
func witnesses(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	agents, err := tx.WitnessedAgents(ctx, c.key.Org)
	out := []auditWitness{}
	for _, a := range agents {
		if c.key.Admits(a.Env) {
			out = append(out, auditWitness{a.ID, a.Name, a.SignKey, a.Witness.Size, a.Witness.Checkpoint, a.Witness.Seen, a.Witness.Stopped})
		}
	}
	return out, err
}

// auditCheckpoints shows the last checkpoint of the log, the key that it is signed with,
// and what agents signed.
func auditCheckpoints(ctx context.Context, c *call, seen any) (any, error) {
	head, note, err := c.api.Audit.Head(ctx)
	print := auditlog.Fingerprint(c.api.Audit.Public())
	signed, _ := seen.([]auditWitness)
	return auditHead{
		Origin: c.api.Audit.Origin(), Public: c.api.Audit.Public(), LogKey: print[:],
		Checkpoint: note, Size: head.Size, Root: head.Root.String(), Time: head.Time, Witnesses: signed,
	}, err
}

// auditProof is the proof of an event, with the log's past from a size on.
func auditProof(ctx context.Context, c *call, _ any) (any, error) {
	p, err := c.api.Audit.Prove(ctx, c.event.ID, int64(c.number("from")))
	return p, as(err, audit.ErrRolledBack, bad("from: the log has fewer entries"))
}

// auditConsistent is a proof about two sizes of the log.
type auditConsistent struct {
	From  int64           `json:"from"`
	To    int64           `json:"to"`
	Proof []auditlog.Hash `json:"proof"`
}

// auditConsistency shows that one size of the log is a continuation of an earlier one.
func auditConsistency(ctx context.Context, c *call, _ any) (any, error) {
	out := auditConsistent{From: int64(c.number("from")), To: int64(c.number("to"))}
	if out.To == 0 {
		head, _, err := c.api.Audit.Head(ctx)
		if err != nil {
			return nil, err
		}
		out.To = head.Size
	}
	proof, err := c.api.Audit.Consistency(ctx, out.From, out.To)
	out.Proof = append([]auditlog.Hash{}, proof...)
	return out, as(err, audit.ErrRolledBack, bad("from, to: the log has fewer entries, or from is behind to"))
}

// auditLeaves is a page of the log for verification elsewhere. What the key may not read
// is there as a hash.
func auditLeaves(ctx context.Context, c *call, _ any) (any, error) {
	page, err := c.api.Audit.Export(ctx, int64(c.number("from")), c.number("count"), func(org, env string) bool {
		return org == c.key.Org && c.key.Admits(env)
	})
	return page, as(err, audit.ErrRolledBack, bad("from: the log has fewer entries"))
}

// auditKinds are the words of the parameter kind.
func auditKinds() []string {
	all := make([]string, len(audit.Kinds), len(audit.Kinds)+len(audit.Elsewhere))
	for i, k := range audit.Kinds {
		all[i] = string(k)
	}
	return append(all, audit.Elsewhere...)
}
