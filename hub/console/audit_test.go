package console

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/export"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
)

// collects adds a destination to an organisation.
func (g *rig) collects(org, name, url string) string {
	g.t.Helper()
	d := store.Destination{Org: org, Settings: []byte(store.JSON(export.Settings{Name: name, URL: url, Format: export.JSONLines, Auth: "Bearer canary"}))}
	g.tx(func(ctx context.Context, tx *store.Tx) error { return tx.AddDestination(ctx, &d) })
	return d.ID
}

// collector takes posts.
func collector(t *testing.T) (where string, got *atomic.Value) {
	got = new(atomic.Value)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got.Store(string(b))
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

func TestTheAuditLogSaysWhereItGoesAndWhoWitnessesIt(t *testing.T) {
	g := newRig(t)
	a := g.signedIn().get("/console/settings").sees(200, "/console/settings/audit")
	a.get("/console/settings/audit").sees(200, "No agent has signed the log yet", "The log is sent nowhere yet", "postern audit destination add")
	if err := g.audit.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	agent := g.enrol("dc-agent-1", 1)
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.AgentWitnessed(ctx, g.Env.ID, agent.ID, store.Witness{Size: 1, Checkpoint: "note"})
	})
	where, got := collector(t)
	g.collects(g.Env.Org, "SIEM", where+"/in?token=canary")
	a.get("/console/settings/audit").sees(200, "<dd>1 event</dd>", "dc-agent-1", "signed the first 1 events", "SIEM", strings.TrimPrefix(where, "http://"))
	if strings.Contains(a.body, "canary") || strings.Contains(a.body, "/in") {
		t.Error("more than the host is shown")
	}
	a.fill("/console/settings/audit", "test", url.Values{"do": {"test"}}).sees(200, "SIEM took the test event")
	if b, _ := got.Load().(string); !strings.Contains(b, string(export.TestKind)) {
		t.Errorf("the collector got %q", b)
	}
	a.fill("/console/settings/audit", "remove", url.Values{"do": {"remove"}}).sees(200, "Removed.", "The log is sent nowhere yet")
	if rows := g.audited(audit.OrgUpdated); len(rows) != 1 || !strings.Contains(string(rows[0].Detail), "remove_audit_destination") {
		t.Errorf("%+v", rows)
	}
	g.collects(g.Env.Org, "gone", "http://127.0.0.1:1/")
	a.get("/console/settings/audit").fill("/console/settings/audit", "test", url.Values{"do": {"test"}}).sees(200, "gone did not take the test event", "refused")
	a.fill("/console/settings/audit", "test", url.Values{"do": {"other"}}).sees(404)
}

func TestT25_CollectorsAreTheirOrganisationsAndItsOwnersAlone(t *testing.T) {
	g := newRig(t)
	where, got := collector(t)
	g.collects(g.Env.Org, "SIEM", where)
	var foreign string
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.CreateOrganisation(ctx, store.Organisation{Name: "foreign"})
		foreign = o.ID
		return err
	})
	theirs := g.collects(foreign, "theirs", where)
	owner := g.signedIn().get("/console/settings/audit")
	if strings.Contains(owner.body, "theirs") {
		t.Error("shown to another organisation")
	}
	for _, do := range []string{"test", "remove"} {
		owner.get("/console/settings/audit").fill("/console/settings/audit", "test", url.Values{"do": {do}, "destination": {theirs}}).sees(404)
	}
	ann := g.admin()
	key := g.joined(ann, g.invited(owner, staff.Admin, "ann@acme.example"))
	ann.get("/console").send("/console/enter", url.Values{"answer": {string(key.Assert(challenge(t, ann.body)))}}).sees(200)
	token := hidden.FindStringSubmatch(ann.body)[2]
	if ann.get("/console/settings").sees(200); strings.Contains(ann.body, "settings/audit") {
		t.Error("an administrator is led to it")
	}
	ann.get("/console/settings/audit").sees(403, "Your role does not reach this")
	ann.do(http.MethodPost, "/console/settings/audit", url.Values{"form": {token}, "do": {"test"}, "destination": {theirs}}).sees(403)
	if got.Load() != nil {
		t.Error("something was sent")
	}
	if all, err := store.Get(t.Context(), g.store, func(tx *store.Tx) ([]store.Destination, error) {
		return tx.Destinations(t.Context(), foreign)
	}); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
}
