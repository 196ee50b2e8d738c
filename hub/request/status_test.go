package request_test

import (
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

func TestADocumentWhoseStatusNobodyKnowsIsRecorded(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	c, err := d.authority.IssueClaims(map[string]any{
		"family_name": "Müller", "given_name": "Jürgen", "birthdate": "1980-02-29", "document_number": "D1234567", "issuing_country": "DE", "date_of_expiry": "2099-01-01",
	}, map[string]any{"status": map[string]any{"status_list": map[string]any{"uri": "http://status.example.org/1", "idx": 1}}}, d.now)
	d.ok(err)
	w := &evidencetest.Wallet{MDoc: d.wallet.MDoc, SDJWT: c}
	for mode, c := range map[string]struct {
		counts bool
		rows   int
		kind   audit.Kind
	}{
		"require": {false, 1, audit.ScanUnusable}, "prefer": {true, 1, audit.DocumentUnread}, "ignore": {true, 0, audit.DocumentUnread},
	} {
		d.ok(d.store.Tx(t.Context(), func(tx *store.Tx) error {
			return tx.SetCredentialStatus(t.Context(), d.fixture.Env.ID, store.CredentialStatus{Mode: mode})
		}))
		p := d.opens(d.create(request.Order{Claims: []string{"name"}}))
		d.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
		before := d.recorded(c.kind)
		if err := p.presentsAs(w, "pid"); (err == nil) != c.counts {
			t.Errorf("%s: %v", mode, err)
		}
		if rows := d.recorded(c.kind)[len(before):]; len(rows) != c.rows || c.rows == 1 && !strings.Contains(rows[0], "no https address") {
			t.Errorf("%s: %v", mode, rows)
		}
	}
}

// recorded are the audit rows of one kind.
func (d *desk) recorded(kind audit.Kind) (rows []string) {
	for _, r := range d.log() {
		if r.Kind == kind {
			rows = append(rows, string(r.Leaf))
		}
	}
	return rows
}
