package e2e

import (
	"net/http"
	"testing"
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
}
