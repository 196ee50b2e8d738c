package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/export"
	"github.com/postern-id/postern/hub/store"
)

// Exports sends the audit log to collectors.
type Exports interface {
	// Test sends one marked event now; an error says why it was not taken.
	Test(ctx context.Context, d store.Destination) error
}

// destinationOut is a collector of the audit log as the API shows it.
type destinationOut struct {
	ID string `json:"id"`
	export.Settings
	AddedAt    time.Time `json:"added_at"`
	Sent       int64     `json:"sent"`
	Dropped    int64     `json:"dropped"`  // older than the log is kept before they could be sent, or too long
	Failures   int64     `json:"failures"` // in a row
	LastError  string    `json:"last_error,omitempty"`
	LastSentAt time.Time `json:"last_sent_at,omitzero"`
}

func wireDestination(d store.Destination) (destinationOut, error) {
	out := destinationOut{ID: d.ID, AddedAt: d.AddedAt, Sent: d.Sent, Dropped: d.Dropped, Failures: d.Failures, LastError: d.Error, LastSentAt: d.SentAt}
	err := json.Unmarshal(d.Settings, &out.Settings)
	out.Settings = out.Shown()
	return out, err
}

// findDestination finds a collector of the organisation. It gets what concerns every
// environment, so a key for some of them does not see it.
func (c *call) findDestination(ctx context.Context, tx *store.Tx, id string) (err error) {
	if !c.key.Admits(store.AllEnvs) {
		return store.ErrNotFound
	}
	c.collector, err = tx.Destination(ctx, c.key.Org, id)
	return err
}

// listDestinations lists the collectors that the audit log is sent to, and how that goes.
func listDestinations(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	list := []destinationOut{}
	if !c.key.Admits(store.AllEnvs) {
		return list, nil
	}
	all, err := tx.Destinations(ctx, c.key.Org)
	for _, d := range all {
		out, err := wireDestination(d)
		if err != nil {
			return nil, err
		}
		list = append(list, out)
	}
	return list, err
}

// addDestination has the audit log sent to a collector from now on.
func addDestination(ctx context.Context, c *call, tx *store.Tx, s *export.Settings) (any, error) {
	if !c.key.Admits(store.AllEnvs) {
		return nil, errForbidden
	}
	if err := c.checkDestination(ctx, tx, s); err != nil {
		return nil, err
	}
	d := store.Destination{Org: c.key.Org, Settings: []byte(store.JSON(s)), Envs: s.Envs, Kinds: s.Kinds}
	if err := tx.AddDestination(ctx, &d); err != nil {
		return nil, as(err, store.ErrConflict, bad("this organisation has as many destinations as it may; remove one first"))
	}
	c.detail = map[string]any{"request": map[string]any{"add_audit_destination": s.Shown()}, "audit_destination": d.ID}
	return wireDestination(d)
}

// replaceDestination sets all of a destination anew, secrets included: what was kept is
// never sent to an address that came later. It goes on where it was in the log.
func replaceDestination(ctx context.Context, c *call, tx *store.Tx, s *export.Settings) (any, error) {
	if err := c.checkDestination(ctx, tx, s); err != nil {
		return nil, err
	}
	d := c.collector
	d.Settings, d.Envs, d.Kinds = []byte(store.JSON(s)), s.Envs, s.Kinds
	c.detail = map[string]any{"request": map[string]any{"replace_audit_destination": s.Shown()}, "audit_destination": d.ID}
	return nil, tx.SaveDestination(ctx, d)
}

// removeDestination ends the sending to a collector.
func removeDestination(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"request": map[string]any{"remove_audit_destination": c.collector.ID}, "audit_destination": c.collector.ID}
	return nil, tx.RemoveDestination(ctx, c.key.Org, c.collector.ID)
}

func (c *call) checkDestination(ctx context.Context, tx *store.Tx, s *export.Settings) error {
	err := s.Check(ctx, tx, c.key.Org, c.collector.Envs)
	if w := (*export.Wrong)(nil); errors.As(err, &w) {
		return bad(w.Error())
	}
	return err
}

// destinationTest says how a test went.
type destinationTest struct {
	Taken bool   `json:"taken"`
	Error string `json:"error,omitempty"` // why not
	Took  int64  `json:"took_ms"`
}

// testDestination sends one marked event to a collector now, and says what happened. It
// does not stand in the log, and moves nothing.
func testDestination(ctx context.Context, c *call, _ any) (any, error) {
	start := time.Now()
	err := c.api.Exports.Test(ctx, c.collector)
	out := destinationTest{Taken: err == nil, Took: time.Since(start).Milliseconds()}
	if err != nil {
		out.Error = err.Error()
	}
	return out, nil
}
