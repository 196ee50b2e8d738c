package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

func TestP25_AnEmployeeSwitchesNodesWithEveryRequest(t *testing.T) {
	c, o := startCluster(t, 3), openOffice(t)
	c.front.lead(c.nodes[0])
	c.startAgent(o.agent())
	c.connected()
	who := o.colleague(0)
	v := c.visit()
	secret := v.reset(who.email, func() string { return c.code(who.personal, 0) })
	o.wasReset(who, secret)
	for i, n := range c.nodes {
		if c.front.count(n) == 0 {
			t.Errorf("node %d served nothing", i)
		}
	}
	if v.press(); v.status == http.StatusOK && !v.done() {
		t.Errorf("a second press: %d %s", v.status, v.text())
	}
	o.wasReset(who, secret)

	other := o.colleague(1) // and the same in a real browser, at the nodes without the agent
	c.at(c.nodes[1:]...)
	j := c.on(testenv.Chromium(t))
	j.start(other.email, "password")
	j.prove(c.code(other.personal, 0))
	o.wasReset(other, j.reset())
}

// pressed presses until the agent can be asked again, as the page invites to.
func (v *visitor) pressed() string {
	v.t.Helper()
	poll(v.t, "the button leads to a result", func() bool {
		if v.ready() {
			v.press()
		} else {
			v.get("")
		}
		return v.done()
	})
	return v.secret()
}

// soonEnough is how long somebody waits at most for the outcome of an operation whose
// node was killed: ten seconds, and as much again for a busy machine.
const soonEnough = 20 * time.Second

func TestP25_NodesThatAreKilledInMidFlow(t *testing.T) {
	c, o := startCluster(t, 3), openOffice(t)
	a, b, d := c.nodes[0], c.nodes[1], c.nodes[2]
	c.front.lead(a)
	c.startAgent(o.agent())
	c.connected()

	t.Run("the agent's node after the code", func(t *testing.T) {
		who := o.colleague(0)
		c.front.serve(b, d)
		v := c.visit()
		v.begin(who.email, "password")
		v.prove(c.code(who.personal, 0))
		c.front.lead(b)
		c.kill(a)
		v.press()
		if !v.done() && !strings.Contains(v.text(), "Nothing was changed") && !v.ready() {
			t.Errorf("without the agent's node: %d %s", v.status, v.text())
		}
		o.wasReset(who, v.pressed())
	})
	a.start(t)

	t.Run("the agent's node right after the press", func(t *testing.T) {
		who := o.colleague(1)
		c.front.serve(a, d)
		v := c.visit()
		v.begin(who.email, "password")
		v.prove(c.code(who.personal, 0))
		came, release := o.holdModify()
		v.press()
		<-came
		c.front.lead(d)
		c.kill(b)
		release()
		start := time.Now()
		if v.get(""); !strings.Contains(v.page, "data-state") {
			t.Errorf("while nobody knows: %d %s", v.status, v.text())
		}
		secret := v.finish()
		if took := time.Since(start); took > soonEnough {
			t.Errorf("settled after %v", took)
		}
		o.wasReset(who, secret)
	})
	b.start(t)

	t.Run("the browser's node right after the press", func(t *testing.T) {
		who := o.colleague(2)
		c.front.serve(a)
		v := c.visit()
		v.begin(who.email, "password")
		v.prove(c.code(who.personal, 0))
		came, release := o.holdModify()
		go func() {
			<-came
			c.kill(a)
			release()
		}()
		v.press() // breaks
		if v.status != 0 && v.status != http.StatusBadGateway && v.status != http.StatusOK {
			t.Errorf("press: %d", v.status)
		}
		start := time.Now()
		<-a.child.Done()
		secret := v.finish()
		if took := time.Since(start); took > soonEnough {
			t.Errorf("settled after %v", took)
		}
		o.wasReset(who, secret)
	})
}
