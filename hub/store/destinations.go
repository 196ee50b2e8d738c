package store

import (
	"context"
	"strings"
	"time"
)

// maxDestinations bounds the collectors of one organisation.
const maxDestinations = 8

// maxLastError bounds what is kept of an error, in bytes.
const maxLastError = 500

// A Destination is a collector that the audit log is sent to.
type Destination struct {
	Org, ID  string
	Settings []byte   // JSON of hub/export; sealed in the store
	Envs     []string // empty: all, and what concerns none
	Kinds    []string // empty: all
	Next     int64    // index in the log of the first event that was not sent
	Sent     int64
	Dropped  int64 // gone before they were sent, or too long
	Failures int64 // in a row
	Error    string
	SentAt   time.Time // zero: never
	Due      time.Time
	AddedAt  time.Time
}

func destinationCell(id string) Cell {
	return Cell{Table: "audit_destinations", Column: "settings", Row: id}
}

// spaced writes words so that SQL finds one of them: with spaces around each.
func spaced(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return " " + strings.Join(words, " ") + " "
}

// AddDestination inserts d, which begins at the end of the log; ErrConflict when the
// organisation has as many as it may.
func (tx *Tx) AddDestination(ctx context.Context, d *Destination) error {
	var n int64
	if err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM audit_destinations WHERE org = $1", d.Org); err != nil {
		return err
	}
	if n >= maxDestinations {
		return ErrConflict
	}
	d.ID, d.AddedAt = NewID(), tx.Now()
	sealed, err := tx.Seal(destinationCell(d.ID), d.Settings)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO audit_destinations (id, org, settings, envs, kinds, seq, added_at) SELECT $1, $2, $3, $4, $5, size, CAST($6 AS BIGINT) FROM audit_head WHERE id = 1`,
		d.ID, d.Org, sealed, spaced(d.Envs), spaced(d.Kinds), Millis(d.AddedAt))
	return err
}

const destinationColumns = "SELECT id, org, settings, envs, kinds, seq, sent, dropped, failures, last_error, last_sent_at, due_at, added_at FROM audit_destinations WHERE "

func (tx *Tx) scanDestination(scan Scan) (d Destination, err error) {
	var sealed, envs, kinds string
	var at, due, added int64
	if err := scan(&d.ID, &d.Org, &sealed, &envs, &kinds, &d.Next, &d.Sent, &d.Dropped, &d.Failures, &d.Error, &at, &due, &added); err != nil {
		return d, err
	}
	d.Envs, d.Kinds, d.Due, d.AddedAt = strings.Fields(envs), strings.Fields(kinds), Time(due), Time(added)
	if at > 0 {
		d.SentAt = Time(at)
	}
	d.Settings, err = tx.Unseal(destinationCell(d.ID), sealed)
	return d, err
}

// Destinations lists those of an organisation, oldest first.
func (tx *Tx) Destinations(ctx context.Context, org string) ([]Destination, error) {
	return All(ctx, tx, tx.scanDestination, destinationColumns+"org = $1 ORDER BY added_at, id", org)
}

// Destination returns one.
func (tx *Tx) Destination(ctx context.Context, org, id string) (Destination, error) {
	return One(ctx, tx, tx.scanDestination, destinationColumns+"org = $1 AND id = $2", org, id)
}

// SaveDestination replaces settings and filters, and has it tried at once. Where it is in
// the log stays.
func (tx *Tx) SaveDestination(ctx context.Context, d Destination) error {
	sealed, err := tx.Seal(destinationCell(d.ID), d.Settings)
	if err != nil {
		return err
	}
	return tx.Must(ctx, "UPDATE audit_destinations SET settings = $3, envs = $4, kinds = $5, due_at = 0, failures = 0 WHERE org = $1 AND id = $2",
		d.Org, d.ID, sealed, spaced(d.Envs), spaced(d.Kinds))
}

// RemoveDestination deletes one.
func (tx *Tx) RemoveDestination(ctx context.Context, org, id string) error {
	return tx.Must(ctx, "DELETE FROM audit_destinations WHERE org = $1 AND id = $2", org, id)
}

// DueDestinations lists the ids of those that there is something new for, and that may be
// tried.
func (tx *Tx) DueDestinations(ctx context.Context) ([]string, error) {
	return All(ctx, tx, Text, `SELECT id FROM audit_destinations WHERE due_at <= $1 AND seq < (SELECT size FROM audit_head WHERE id = 1) ORDER BY due_at, id`, Millis(tx.Now()))
}

// ClaimDestination gives one to the caller until a time. ErrConflict if another node has
// it, or it is not due.
func (tx *Tx) ClaimDestination(ctx context.Context, id string, until time.Time) (Destination, error) {
	if err := tx.Swap(ctx, "UPDATE audit_destinations SET due_at = $2 WHERE id = $1 AND due_at <= $3", id, Millis(until), Millis(tx.Now())); err != nil {
		return Destination{}, err
	}
	return One(ctx, tx, tx.scanDestination, destinationColumns+"id = $1", id)
}

// DestinationSent says that d got the log up to, but not including, an index. ErrConflict
// if it is not the caller's any more.
func (tx *Tx) DestinationSent(ctx context.Context, d Destination, next, sent, dropped int64) error {
	at := d.SentAt
	if sent > 0 {
		at = tx.Now()
	}
	var millis int64
	if !at.IsZero() {
		millis = Millis(at)
	}
	return tx.Swap(ctx, `UPDATE audit_destinations SET seq = $4, sent = sent + $5, dropped = dropped + $6, failures = 0, last_error = '', last_sent_at = $7, due_at = 0
		WHERE id = $1 AND seq = $2 AND due_at = $3`, d.ID, d.Next, Millis(d.Due), next, sent, dropped, millis)
}

// DestinationFailed says why d got nothing, and when it is tried again. ErrConflict if it
// is not the caller's any more.
func (tx *Tx) DestinationFailed(ctx context.Context, d Destination, why string, again time.Time) error {
	return tx.Swap(ctx, "UPDATE audit_destinations SET failures = failures + 1, last_error = $3, due_at = $4 WHERE id = $1 AND due_at = $2",
		d.ID, Millis(d.Due), strings.ToValidUTF8(why[:min(len(why), maxLastError)], ""), Millis(again))
}

// countDropped counts, for collectors that were not sent them, events that are about to
// be deleted. An underscore of a kind stands for any character here: no two kinds differ
// in that alone.
func (tx *Tx) countDropped(ctx context.Context, from, to int64) error {
	_, err := tx.Exec(ctx, `UPDATE audit_destinations SET dropped = dropped + (
		SELECT COUNT(*) FROM audit_entries n JOIN audit_rows e ON e.id = n.event WHERE n.seq >= $1 AND n.seq < $2 AND n.seq >= audit_destinations.seq
		AND e.org = audit_destinations.org AND (audit_destinations.envs = '' OR audit_destinations.envs LIKE '% ' || e.env || ' %')
		AND (audit_destinations.kinds = '' OR audit_destinations.kinds LIKE '% ' || e.kind || ' %')) WHERE seq < $2`, from, to)
	return err
}
