package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol/auditlog"
)

// told appends events, n of them in mine, one each in other and foreign.
func (st *stack) told(t *testing.T, n int) {
	t.Helper()
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		var errs []error
		now := time.Now()
		for i := range n {
			kind := []audit.Kind{audit.RecoveryStarted, audit.OperationRequested}[i%2]
			errs = append(errs, audit.Append(ctx, tx, audit.Event{Env: st.mine.Env.ID, Kind: kind, Account: st.mine.account.ID, Trace: fmt.Sprint("t", i), RemoteAddr: "192.0.2.7",
				Time: now.Add(time.Duration(i-n) * time.Second), Detail: map[string]any{"operation": "reset", "note": fmt.Sprint("Word", i)}, Personal: map[string]string{"name": "Ada"}}))
		}
		for _, p := range []place{st.other, st.foreign} {
			errs = append(errs, audit.Append(ctx, tx, audit.Event{Env: p.Env.ID, Kind: audit.OperationRequested, Trace: "theirs", Time: now}))
		}
		errs = append(errs, audit.Append(ctx, tx, audit.Event{Org: st.mine.Org.ID, Kind: audit.OrgUpdated, Trace: "org", Time: now.Add(-48 * time.Hour)}))
		return errors.Join(errs...)
	})
}

// events asks for a page and returns the traces of its events.
func (st *stack) events(t *testing.T, key, query string) (traces []string, page auditList) {
	t.Helper()
	got := st.do(t, key, "GET", "/api/audit?"+query, "")
	var raw struct {
		Events []map[string]json.RawMessage `json:"events"`
		B      string                       `json:"backward_cursor"`
		F      string                       `json:"forward_cursor"`
	}
	if err := json.Unmarshal([]byte(got.body), &raw); got.status != http.StatusOK || err != nil {
		t.Fatalf("%s: %d %s", query, got.status, got.body)
	}
	for _, e := range raw.Events {
		var kind, trace string
		if err := errors.Join(json.Unmarshal(e["kind"], &kind), json.Unmarshal(e["trace"], &trace)); err != nil || e[kind] == nil {
			t.Fatalf("%s: %v %s", query, err, got.body)
		}
		payloads := 0
		for _, k := range auditKinds() {
			if e[k] != nil {
				payloads++
			}
		}
		if payloads != 1 {
			t.Errorf("%d payload members: %s", payloads, e)
		}
		traces = append(traces, trace)
	}
	return traces, auditList{Backward: raw.B, Forward: raw.F}
}

func TestAuditEventsAreFoundByWhatTheReferenceSays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		st.told(t, 4)
		since := url.QueryEscape(time.Now().Add(-72 * time.Hour).Format(time.RFC3339))
		for query, want := range map[string]string{
			"":                                       "theirs t3 t2 t1 t0",
			"reverse=true":                           "t0 t1 t2 t3 theirs",
			"start=" + since:                         "theirs t3 t2 t1 t0 org",
			"start=2020-01-01&reverse=true":          "org t0 t1 t2 t3 theirs",
			"end=2020-01-01&start=2019-01-01":        "",
			"env=" + st.mine.Env.ID:                  "t3 t2 t1 t0",
			"kind=operation_requested":               "theirs t3 t1",
			"kind=recovery_started&kind=org_updated": "t2 t0",
			"kind=ashby_integration_created":         "",
			"kind=operation_requested&env=" + st.mine.Env.ID:          "t3 t1",
			"query=account:" + st.mine.account.ID:                     "t3 t2 t1 t0",
			"query=trace:t2":                                          "t2",
			"query=word3":                                             "t3",
			"query=word3+WORD2":                                       "",
			"query=operation_requested+account:" + st.mine.account.ID: "t3 t1",
			"count=2": "theirs t3",
		} {
			if got, _ := st.events(t, st.owner, query); strings.Join(got, " ") != want {
				t.Errorf("%q: %v, want %q", query, got, want)
			}
		}
		if got, _ := st.events(t, st.mine.key, "start=2020-01-01"); strings.Join(got, " ") != "t3 t2 t1 t0" {
			t.Errorf("a key for one environment sees %v", got)
		}
		if got := st.do(t, st.mine.key, "GET", "/api/audit?env="+st.other.Env.ID, ""); got.status != http.StatusNotFound {
			t.Errorf("another environment: %d %s", got.status, got.body)
		}
		for _, bad := range []string{"kind=coffee", "count=0", "count=-1", "count=many", "start=yesterday", "end=1", "cursor=x", "cursor=f..", "reverse=maybe", "colour=red"} {
			if got := st.do(t, st.owner, "GET", "/api/audit?"+bad, ""); got.status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", bad, got.status, got.body)
			}
		}
	})
}

func TestCursorsWalkTheWholeListBothWays(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	st.told(t, 11)
	for _, query := range []string{"count=3", "count=3&reverse=true", "count=2&query=operation_requested", "count=4&kind=recovery_started&kind=operation_requested"} {
		all, _ := st.events(t, st.owner, strings.Replace(strings.Replace(query, "count=3", "count=99", 1), "count=2", "count=99", 1))
		if strings.Contains(query, "count=4") {
			all, _ = st.events(t, st.owner, strings.Replace(query, "count=4", "count=99", 1))
		}
		var pages [][]string
		var walked []string
		got, page := st.events(t, st.owner, query)
		for {
			pages, walked = append(pages, got), append(walked, got...)
			if page.Forward == "" {
				break
			}
			got, page = st.events(t, st.owner, query+"&cursor="+page.Forward)
		}
		if !slices.Equal(all, walked) {
			t.Fatalf("%s: %v, want %v", query, walked, all)
		}
		for i := len(pages) - 2; i >= 0; i-- {
			if got, page = st.events(t, st.owner, query+"&cursor="+page.Backward); !slices.Equal(got, pages[i]) || page.Forward == "" {
				t.Fatalf("%s: page %d backwards is %v, want %v", query, i, got, pages[i])
			}
		}
		if page.Backward != "" {
			t.Errorf("%s: something before the first page", query)
		}
	}
}

// What the API gives is all that somebody needs who does not believe the hub: T9.
func TestT09_WhoResetThisAccountIsProvenWithoutBelievingTheHub(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	st.told(t, 6)
	ask := func(key, path string, v any) {
		t.Helper()
		if got := st.do(t, key, "GET", path, ""); got.status != http.StatusOK || json.Unmarshal([]byte(got.body), v) != nil {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
	}
	row, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]store.AuditRow, error) {
		return tx.AuditRows(t.Context(), st.mine.Org.ID, store.AuditFilter{Trace: "t3"})
	})
	if err != nil {
		t.Fatal(err)
	}
	var proof auditlog.Proof
	ask(st.mine.key, "/api/audit/events/"+row[0].ID+"/proof", &proof)
	pinned := sha256.Sum256(proof.Public)
	last, err := proof.Check(pinned, "id.vendor.test/audit/v1", auditlog.Checkpoint{})
	if err != nil || string(proof.Leaf) != row[0].Leaf {
		t.Fatal(err, string(proof.Leaf))
	}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.AgentWitnessed(ctx, st.mine.Env.ID, st.mine.agent.ID, store.Witness{Size: last.Size, Checkpoint: proof.Checkpoint, Seen: tx.Now()}),
			tx.AgentWitnessed(ctx, st.other.Env.ID, st.other.agent.ID, store.Witness{Size: last.Size, Checkpoint: proof.Checkpoint, Seen: tx.Now()}))
	})
	st.told(t, 5)
	var later auditlog.Proof
	ask(st.owner, "/api/audit/events/"+row[0].ID+"/proof?from="+fmt.Sprint(last.Size), &later)
	if err := st.api.Audit.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(st.owner, "/api/audit/events/"+row[0].ID+"/proof?from="+fmt.Sprint(last.Size), &later)
	if c, err := later.Check(pinned, "id.vendor.test/audit/v1", last); err != nil || c.Size <= last.Size {
		t.Fatal(c.Size, err)
	}
	var head auditHead
	ask(st.owner, "/api/audit/checkpoints", &head)
	if len(head.Witnesses) != 2 {
		t.Errorf("%d witnesses", len(head.Witnesses))
	}
	var mine auditHead
	if ask(st.mine.key, "/api/audit/checkpoints", &mine); len(mine.Witnesses) != 1 || mine.Witnesses[0].Agent != st.mine.agent.ID || mine.Witnesses[0].Checkpoint != proof.Checkpoint {
		t.Errorf("a key for one environment sees the witnesses %+v", mine.Witnesses)
	}
	newest, err := auditlog.OpenCheckpoint(head.Checkpoint, head.Public, head.Origin)
	if err != nil || string(head.LogKey) != string(pinned[:]) || newest.Size != head.Size {
		t.Fatal(err)
	}
	var c auditConsistent
	ask(st.owner, fmt.Sprintf("/api/audit/consistency?from=%d", last.Size), &c)
	if err := auditlog.CheckConsistency(last, newest, c.Proof); err != nil || c.To != newest.Size {
		t.Error(err, c)
	}
	for _, path := range []string{"/api/audit/consistency?from=900", "/api/audit/consistency?from=2&to=1", "/api/audit/leaves?from=900", "/api/audit/events/" + row[0].ID + "/proof?from=900"} {
		if got := st.do(t, st.owner, "GET", path, ""); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	var export strings.Builder
	for from, more := int64(0), true; more; {
		got := st.do(t, st.mine.key, "GET", fmt.Sprintf("/api/audit/leaves?count=5&from=%d", from), "")
		export.WriteString(got.body)
		var page auditlog.Export
		if err := json.Unmarshal([]byte(got.body), &page); err != nil {
			t.Fatal(got.body)
		}
		from, more = page.Next, page.Next > 0
	}
	report, err := auditlog.Verify(strings.NewReader(export.String()), pinned[:], map[string][]string{"an agent": {proof.Checkpoint, later.Checkpoint}})
	if err != nil || len(report.Problems) != 0 || report.Size != newest.Size || report.Root != newest.Root || report.Bytes != 11 || report.Others != newest.Size-11 || report.Checkpoints != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	if strings.Contains(export.String(), st.foreign.Org.ID) || strings.Contains(export.String(), "theirs") {
		t.Error("the export shows leaves of others")
	}
}

// payloads are the members that the public reference wants in the payload of a kind,
// of those that rows write.
var payloads = map[audit.Kind][]string{
	audit.EnvCreated: {"request", "response"}, audit.EnvUpdated: {}, audit.TemplateCreated: {"request", "response"}, audit.TemplateUpdated: {"request", "template"},
	audit.TemplateDeleted: {"template"}, audit.OrgUpdated: {"request"}, audit.OrgMemberInvited: {"request"}, audit.OrgMemberRemoved: {"org_member"}, audit.OrgMemberUpdated: {"org_member", "request"},
	audit.APIKeyCreated: {"request", "response"}, audit.APIKeyUpdated: {"apikey", "request"}, audit.APIKeyDeleted: {"apikey"}, audit.RequestCreated: {"request", "response"},
	audit.RequestUpdated: {"request_id", "request"}, audit.RequestCanceled: {"request_id"}, audit.AccountUpdated: {"account", "directory", "request"}, audit.AccountPhotoUploaded: {"account", "directory"},
	audit.DirectoryCreated: {"request", "response"}, audit.DirectoryUpdated: {"directory", "request"}, audit.DirectoryDeleted: {"directory"},
	audit.EnvLogoUploaded: {"kind"}, audit.EnvLogoDeleted: {"kind"}, audit.DirectoryLogoUploaded: {"directory"}, audit.DirectoryLogoDeleted: {"directory"},
	audit.PeopleCompare: {"request", "response"}, audit.SharingRevoked: {"claims", "subject"},
}

func TestRecordsOfRowsHaveThePayloadOfTheReference(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	for _, r := range routes() {
		members := payloads[r.kind]
		if r.own || len(members) == 0 || r.pattern == "PATCH /api/accounts" { // whose record is of many accounts
			continue
		}
		st := start(t, s)
		st.prepare(t, st.mine, r.pattern)
		if got := st.do(t, st.owner, method(r.pattern), st.mine.path(r.pattern), st.mine.body(r.pattern)); got.status != r.status {
			t.Fatalf("%s: %d %s", r.pattern, got.status, got.body)
		}
		err := s.Read(t.Context(), func(tx *store.Tx) error {
			all, err := audit.List(t.Context(), tx, st.mine.Org.ID, store.AuditFilter{Kinds: []string{string(r.kind)}, Count: 1})
			if err != nil || len(all) == 0 {
				return fmt.Errorf("no record: %w", err)
			}
			var payload map[string]json.RawMessage
			if err := json.Unmarshal(all[0].Detail, &payload); err != nil {
				return err
			}
			for _, m := range members {
				if payload[m] == nil {
					t.Errorf("%s: %s lacks %s: %s", r.pattern, r.kind, m, all[0].Detail)
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", r.pattern, err)
		}
	}
}

func TestThePersonOfAnAccountIsErasedFromTheLogWhichStaysWhole(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	st.tx(t, func(ctx context.Context, tx *store.Tx) error { // an address was typed before anybody knew whose it is, and one that is somebody else's
		var errs []error
		for trace, address := range map[string]string{"t0": "ada@example.com", "other": "bob@example.com"} {
			errs = append(errs, audit.Append(ctx, tx, audit.Event{Env: st.mine.Env.ID, Kind: audit.RecoveryStarted, Trace: trace, Personal: map[string]string{"address": address}}))
		}
		return errors.Join(errs...)
	})
	st.told(t, 4)
	if got := st.do(t, st.owner, "GET", "/api/audit", ""); strings.Count(got.body, `"name":"Ada"`) != 4 || !strings.Contains(got.body, "ada@example.com") {
		t.Fatalf("before: %s", got.body)
	}
	path := "/api/accounts/" + st.mine.account.ID + "/history"
	for range 2 { // a lost answer is asked for again
		if got := st.do(t, st.owner, "DELETE", path, ""); got.status != http.StatusNoContent {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	got := st.do(t, st.owner, "GET", "/api/audit", "")
	if strings.Contains(got.body, "Ada") || strings.Contains(got.body, "ada@example.com") || !strings.Contains(got.body, "bob@example.com") || strings.Contains(got.body, "192.0.2.7") || !strings.Contains(got.body, `"vault_deleted"`) {
		t.Errorf("after: %s", got.body)
	}
	var list struct{ Events []struct{ ID string } }
	if err := json.Unmarshal([]byte(got.body), &list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Events {
		proof := st.do(t, st.owner, "GET", "/api/audit/events/"+e.ID+"/proof", "")
		p, err := auditlog.ParseProof([]byte(proof.body))
		if err != nil {
			t.Fatal(err, proof.body)
		}
		if _, err := p.Check(auditlog.Fingerprint(st.api.Audit.Public()), st.api.Audit.Origin(), auditlog.Checkpoint{}); err != nil {
			t.Errorf("%s: %v", e.ID, err)
		}
	}
}
