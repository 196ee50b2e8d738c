package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// saying makes a connected agent answer.
func (g *rig) saying(name string, say func() (protocol.Examination, error)) {
	a := g.enrol(name, 1)
	g.connect(a)
	g.agents.says[a.ID] = say
}

func TestT33_StaffAskAnAgentHowItIsAndTheAnswerIsRecorded(t *testing.T) {
	g := newRig(t)
	said, refused := protocol.Examination{Directory: protocol.DirectoryServes, Bases: protocol.BasesMissing, Disk: protocol.DiskLow}, error(nil)
	g.saying("dc-agent-1", func() (protocol.Examination, error) { return said, refused })
	a := g.signedIn().sees(200, "Examine the agent dc-agent-1")
	token := hidden.FindStringSubmatch(a.body)[2]
	a.send("/console/agents/examine", nil).sees(200, "How the agent dc-agent-1 is", "answers and lets the agent in", "Correct base_dns", "docs/findings.md#f317", "nearly full", "docs/findings.md#f205", "postern-agent doctor")
	said = protocol.Examination{Directory: protocol.DirectoryServes, Bases: protocol.BasesFound, Disk: protocol.DiskEnough}
	a.get("/console").send("/console/agents/examine", nil).sees(200, "Nothing is wrong")
	if strings.Contains(a.body, "findings.md") {
		t.Error("a finding where all is well")
	}
	all := g.audited(audit.AgentExamined)
	if len(all) != 2 || !strings.Contains(string(all[1].Detail)+string(all[0].Detail), `"missing"`) {
		t.Errorf("records: %+v", all)
	}
	for code, words := range map[protocol.Code]string{
		protocol.CodeRateLimited: "asked often enough within this hour", protocol.CodeUnsupported: "cannot be asked from here", protocol.CodeUnavailable: "is not connected now",
	} {
		refused = protocol.Err(code, "canary")
		a.get("/console").send("/console/agents/examine", nil).sees(200, words)
		if strings.Contains(a.body, "canary") {
			t.Errorf("%s: the agent's own words are shown", code)
		}
	}
	refused = protocol.Err(protocol.CodeInternal, "canary")
	if a.get("/console").send("/console/agents/examine", nil); a.status != http.StatusInternalServerError || len(g.audited(audit.AgentExamined)) != 2 {
		t.Errorf("status %d, %d records", a.status, len(g.audited(audit.AgentExamined)))
	}
	a.do(http.MethodPost, "/console/agents/examine", url.Values{"form": {token}, "env": {g.Env.ID}, "agent": {"nobody"}}).sees(404)
}

// Reading the status is not asking.
func TestOnlyThoseWhoMaySynchroniseAskAgents(t *testing.T) {
	g := newRig(t)
	g.saying("dc-agent-1", func() (protocol.Examination, error) { t.Error("asked"); return protocol.Examination{}, nil })
	owner := g.signedIn()
	token := g.invited(owner, "limited", "ann@example.com")
	ann := g.admin()
	key := g.joined(ann, token)
	ann.get("/console").send("/console/enter", url.Values{"answer": {string(key.Assert(challenge(t, ann.body)))}})
	if ann.get("/console").sees(200, "dc-agent-1"); strings.Contains(ann.body, "agents/examine") {
		t.Error("the button is shown to those whom it refuses")
	}
	form := hidden.FindStringSubmatch(ann.body)[2]
	ann.do(http.MethodPost, "/console/agents/examine", url.Values{"form": {form}, "env": {g.Env.ID}, "agent": {"x"}}).sees(403)
}

func TestAnExaminationInABrowserOnAPhoneAndADesk(t *testing.T) {
	g := newRig(t)
	said := protocol.Examination{Directory: protocol.DirectoryUntrusted, Bases: protocol.BasesUnknown, Disk: protocol.DiskFull}
	g.saying("dc-agent-1.corp.example.com", func() (protocol.Examination, error) { return said, nil })
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	looked(t, b, "examine-status")
	b.Click(`form[action*="agents/examine"] button`)
	b.WaitText("How the agent dc-agent-1.corp.example.com is")
	looked(t, b, "examine-wrong")
	said = protocol.Examination{Directory: protocol.DirectoryServes, Bases: protocol.BasesFound, Disk: protocol.DiskEnough}
	b.Open(g.url + "/console?lang=de")
	b.Click(`form[action*="agents/examine"] button`)
	b.WaitText("Wie es dem Agent dc-agent-1.corp.example.com geht")
	looked(t, b, "examine-well")
}
