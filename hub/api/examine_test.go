package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// Whoever may synchronise may ask how an agent is; what it said stands in the audit log,
// and a question that it does not answer is no record.
func TestT33_AnExaminationIsWordsWithWhatToDoAndLeavesARecord(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	path := "/api/directories/" + st.mine.Directory.ID + "/agents/" + st.mine.agent.ID + "/examine"
	got := st.do(t, st.mine.key, "POST", path, "")
	var said examinationOut
	if err := json.Unmarshal([]byte(got.body), &said); err != nil || got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if said.Directory != protocol.DirectoryUntrusted || len(said.Findings) != 2 || said.Findings[0].Number != 304 || said.Findings[1].Page != "docs/findings.md#f205" || !strings.Contains(said.Findings[0].Fix, "ca_file") {
		t.Errorf("%+v", said)
	}
	leaves := string(st.leaves(t))
	if strings.Count(leaves, `"kind":"agent_examined"`) != 1 || !strings.Contains(leaves, `"untrusted"`) || !strings.Contains(leaves, st.mine.agent.ID) {
		t.Errorf("the record: %s", leaves)
	}
	for code, want := range map[protocol.Code]int{protocol.CodeRateLimited: 429, protocol.CodeUnsupported: 409, protocol.CodeUnavailable: 503, protocol.CodeInternal: 500} {
		st.refuses = protocol.Err(code, "canary")
		if got := st.do(t, st.mine.key, "POST", path, ""); got.status != want || strings.Contains(got.body, "canary") {
			t.Errorf("%s: %d %s, want %d", code, got.status, got.body, want)
		} else if later := got.header.Get("Retry-After") != ""; later != (want == 429 || want == 503) {
			t.Errorf("%s: Retry-After %q", code, got.header.Get("Retry-After"))
		}
	}
	if leaves := string(st.leaves(t)); strings.Count(leaves, `"kind":"agent_examined"`) != 1 {
		t.Errorf("a record of what was not answered: %s", leaves)
	}
	if got := st.do(t, st.mine.key, "POST", strings.Replace(path, st.mine.agent.ID, st.foreign.agent.ID, 1), ""); got.status != 404 {
		t.Errorf("the agent of somebody else: %d %s", got.status, got.body)
	}
}
