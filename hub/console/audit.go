package console

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/export"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/auditlog"
)

// AuditLog is the log that stands over the audit events of all organisations of a hub.
type AuditLog interface {
	// Head returns the last checkpoint, the zero value while nothing was logged.
	Head(ctx context.Context) (auditlog.Checkpoint, string, error)
	// Public is the key that checkpoints are signed with.
	Public() ed25519.PublicKey
}

// Exports sends the audit log to collectors.
type Exports interface {
	// Test sends one marked event now; an error says why it was not taken.
	Test(ctx context.Context, d store.Destination) error
}

// auditPath is the page of the audit log: how long it is, who witnesses it, and where it
// is sent to.
const auditPath = settingsPath + "/audit"

// testTime bounds the test of a collector; a sending takes 20 seconds at most.
const testTime = 25 * time.Second

// audited is what the page of the audit log shows.
type audited struct {
	Size         int
	Head         time.Time // zero: nothing was logged
	Key          string    // SHA-256 of the log's key, hexadecimal, as --log-key takes it
	Witnesses    []witness
	Destinations []destination
	Tested       *tested
}

// A witness is an agent that keeps what it saw of the log.
type witness struct {
	Name    string
	Size    int // of the newest checkpoint that it signed
	Seen    time.Time
	Stopped bool // it was shown two histories, and acts no more
}

// A destination is a collector, without anything secret.
type destination struct {
	ID, Name, Host, Error   string
	Format                  export.Format
	Sent, Dropped, Failures int
	SentAt                  time.Time // zero: never
}

// tested says how a test went.
type tested struct{ Name, Error string }

func (v *visit) auditLog() { v.showAudit(nil) }

func (v *visit) showAudit(t *tested) {
	ctx, cancel := v.context()
	defer cancel()
	p := new(settingsPage)
	head, _, err := v.console.cfg.Audit.Head(ctx)
	key := auditlog.Fingerprint(v.console.cfg.Audit.Public())
	if err == nil {
		err = v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
			p.Audit = &audited{Size: int(head.Size), Head: head.Time, Key: hex.EncodeToString(key[:]), Tested: t}
			return errors.Join(p.Audit.witnesses(ctx, tx, v.org), p.Audit.destinations(ctx, tx, v.org))
		})
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.showSettings("audit", "audit.title", p)
}

func (a *audited) witnesses(ctx context.Context, tx *store.Tx, org string) error {
	agents, err := tx.WitnessedAgents(ctx, org)
	for _, g := range agents {
		a.Witnesses = append(a.Witnesses, witness{g.Name, int(g.Witness.Size), g.Witness.Seen, g.Witness.Stopped != ""})
	}
	return err
}

func (a *audited) destinations(ctx context.Context, tx *store.Tx, org string) error {
	all, err := tx.Destinations(ctx, org)
	for _, d := range all {
		s, err := settingsOfDestination(d)
		if err != nil {
			return err
		}
		one := destination{ID: d.ID, Name: s.Name, Format: s.Format, Sent: int(d.Sent), Dropped: int(d.Dropped), Failures: int(d.Failures), Error: d.Error, SentAt: d.SentAt}
		if u, err := url.Parse(s.URL); err == nil { // the rest of it may hold a token
			one.Host = u.Host
		}
		a.Destinations = append(a.Destinations, one)
	}
	return err
}

// settingsOfDestination reads them, without secrets.
func settingsOfDestination(d store.Destination) (s export.Settings, err error) {
	err = json.Unmarshal(d.Settings, &s)
	return s.Shown(), err
}

// changeAudit tests or removes a destination.
func (v *visit) changeAudit() {
	switch v.field("do") {
	case "test":
		v.testDestination()
	case "remove":
		v.removeDestination()
	default:
		v.fail(errNoPage)
	}
}

// testDestination sends one marked event now, and says what happened. It changes nothing.
func (v *visit) testDestination() {
	ctx, cancel := context.WithTimeout(v.r.Context(), testTime)
	defer cancel()
	d, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) (store.Destination, error) {
		return tx.Destination(ctx, v.org, v.field("destination"))
	})
	if err != nil {
		v.fail(err)
		return
	}
	s, err := settingsOfDestination(d)
	if err != nil {
		v.fail(err)
		return
	}
	t := &tested{Name: s.Name}
	if err := v.console.cfg.Exports.Test(ctx, d); err != nil {
		t.Error = err.Error()
	}
	v.showAudit(t)
}

// removeDestination ends the sending to a collector.
func (v *visit) removeDestination() {
	ctx, cancel := v.context()
	defer cancel()
	id := v.field("destination")
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.RemoveDestination(ctx, v.org, id); err != nil {
			return err
		}
		return v.decided(ctx, tx, "", audit.OrgUpdated, map[string]any{"request": map[string]any{"remove_audit_destination": id}, "audit_destination": id})
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.done(auditPath, "removed")
}

// Owns reports whether the reader may see where the audit log goes.
func (s *screen) Owns() bool { return s.visit.role == store.RoleOwner }
