package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// newAgent writes the file of one more agent, which is neither enrolled nor running.
func (c *cluster) newAgent(conf agentConfig) *agent {
	c.t.Helper()
	a := &agent{t: c.t, dir: testenv.Dir(c.t)}
	a.write(conf)
	return a
}

// row is the agent with an id as one node sees it.
func (c *cluster) row(n *edge, id string) agentRow {
	c.t.Helper()
	for _, a := range c.agents(n) {
		if a.ID == id {
			return a
		}
	}
	c.t.Fatalf("no agent %s", id)
	return agentRow{}
}

// decide sends an administrator's decision about an agent and returns the status.
func (c *cluster) decide(method, id, what string, body any) int {
	c.t.Helper()
	status, _, err := c.try(method, "/api/directories/"+c.directory+"/agents/"+id+what, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return status
}

// served lists what an agent was asked, from its own event log.
func (a *agent) served() (n int) {
	for _, method := range []string{"begin", "contacts", "perform", "list", "get", "outcome"} {
		n += len(a.events(method))
	}
	return n
}

func TestT19_P11_AgentsThatAreStrangersClonesOrRevokedGetNothing(t *testing.T) {
	c, o := startCluster(t, 2), openOffice(t)
	one, two := c.nodes[0], c.nodes[1]
	c.front.lead(one)
	first := c.startAgent(o.agent())
	c.connected()
	ready := func(n int) *visitor {
		v := c.visit()
		v.begin(o.colleague(n).email, "password")
		v.prove(c.code(o.colleague(n).personal, 0))
		return v
	}
	original := c.agents(one)[0]

	// A further agent waits until somebody has compared its fingerprint (T19).
	c.front.lead(two)
	second, ticket := c.newAgent(o.agent()), c.ticket()
	second.enrol(ticket)
	again := exec.CommandContext(t.Context(), programs.agent, "enroll", "--config", c.newAgent(o.agent()).config())
	again.Stdin = strings.NewReader(ticket)
	if out, err := again.CombinedOutput(); err == nil {
		t.Errorf("a ticket was used twice: %s", out)
	}
	second.start()
	list := c.agents(two)
	if len(list) != 2 || list[1].State != "pending" {
		t.Fatalf("agents: %+v", list)
	}
	pending := list[1]
	poll(t, "the second agent is connected", func() bool { return len(c.row(two, pending.ID).Nodes) > 0 })
	c.at(two)
	v := ready(0)
	o.wasReset(o.colleague(0), v.pressed())
	if n := second.served(); n != 0 {
		t.Errorf("the pending agent was asked %d times", n)
	}
	if s := c.decide(http.MethodPost, pending.ID, "/confirm", map[string]string{"fingerprint": original.Fingerprint}); s != http.StatusBadRequest {
		t.Errorf("confirmed by another agent's fingerprint: %d", s)
	}
	if s := c.decide(http.MethodPost, pending.ID, "/confirm", map[string]string{"fingerprint": pending.Fingerprint}); s != http.StatusNoContent {
		t.Fatalf("confirm: %d", s)
	}
	first.stop()
	poll(t, "only the second agent is left, and it works", func() bool {
		v = c.visit()
		v.get("/")
		v.post("start", "email", o.colleague(1).email)
		return v.post("choose", "op", "password") == http.StatusOK
	})
	v.prove(c.code(o.colleague(1).personal, 0))
	o.wasReset(o.colleague(1), v.pressed())

	// A second process with the same key is quarantined, on whatever node (P11, T29).
	c.front.lead(one)
	clone := c.newAgent(o.agent())
	if err := os.CopyFS(filepath.Join(clone.dir, "state"), os.DirFS(filepath.Join(second.dir, "state"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(clone.dir, "state", "keys.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	known := clone.served()
	clone.start()
	poll(t, "the conflict is shown", func() bool { return c.row(one, pending.ID).Conflict != "" })
	for i, n := range []*edge{one, two} {
		c.at(n)
		v := ready(2 + i)
		o.wasReset(o.colleague(2+i), v.pressed())
	}
	if n := clone.served(); n != known {
		t.Errorf("the clone was asked %d times", n-known)
	}
	clone.kill()
	if s := c.decide(http.MethodPost, pending.ID, "/release", nil); s != http.StatusNoContent {
		t.Errorf("release: %d", s)
	}
	if a := c.row(one, pending.ID); a.Conflict != "" {
		t.Errorf("after the release: %+v", a)
	}

	// A revoked agent gets nothing, on every node, from the moment of the decision.
	c.front.lead(nil)
	atOne, atTwo := ready(4), ready(5)
	before := len(second.events("perform"))
	if s := c.decide(http.MethodDelete, pending.ID, "", nil); s != http.StatusNoContent {
		t.Fatalf("revoke: %d", s)
	}
	revoked := time.Now()
	c.at(one)
	atOne.press()
	c.at(two)
	atTwo.press()
	for _, v := range []*visitor{atOne, atTwo} {
		if v.done() {
			t.Errorf("a press after the revocation: %s", v.text())
		}
	}
	for _, n := range c.nodes {
		poll(t, "its tunnels have ended", func() bool { return len(c.row(n, pending.ID).Nodes) == 0 })
	}
	t.Logf("all tunnels of the revoked agent ended within %v", time.Since(revoked).Round(time.Millisecond))
	if n := len(second.events("perform")); n != before {
		t.Errorf("the revoked agent was given %d operations", n-before)
	}
	o.unchanged(o.colleague(4))
	o.unchanged(o.colleague(5))
}
