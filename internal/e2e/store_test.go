package e2e

import (
	"net/http"
	"testing"
)

func TestP26_StoreStoppedNothingProceeds(t *testing.T) {
	c, o := startCluster(t, 2), openOffice(t)
	a := c.startAgent(o.agent())
	c.connected()
	who := o.colleague(0)
	ready, proving, chooser := c.visit(), c.visit(), c.visit()
	ready.begin(who.email, "password")
	ready.prove(c.code(who.personal, 0))
	proving.begin(o.colleague(1).email, "password")
	code := c.code(o.colleague(1).personal, 0)
	chooser.get("/")
	chooser.post("start", "email", o.colleague(2).email)
	mails := len(c.edge.mail.Messages())

	c.pg.Stop()
	for _, n := range c.nodes {
		poll(t, "the node says that it is not ready", func() bool { return n.status("/readyz", "localhost") == http.StatusServiceUnavailable })
		if s := n.status("/healthz", "localhost"); s != http.StatusOK {
			t.Errorf("healthz: %d", s)
		}
		c.at(n)
		late := c.visit()
		if late.get("/"); late.status == http.StatusOK {
			late.post("start", "email", o.colleague(3).email)
		}
		late.stops("a start")
		chooser.post("choose", "op", "password")
		chooser.stops("a choice")
		proving.post("code", "code", code)
		proving.stops("a code")
		ready.press()
		ready.stops("a press")
		ready.get(ready.recovery())
		ready.stops("the page of a recovery")
		if status, _, err := n.rest(t).try(http.MethodGet, "/api/envs", nil); err != nil || status != http.StatusServiceUnavailable {
			t.Errorf("REST without a store: %d %v", status, err)
		}
	}
	for i := range 4 {
		o.unchanged(o.colleague(i))
	}
	if n := len(c.edge.mail.Messages()); n != mails {
		t.Errorf("%d mails were sent without a store", n-mails)
	}

	c.pg.Start(t)
	for _, n := range c.nodes {
		poll(t, "the node is ready again", func() bool { return n.status("/readyz", "localhost") == http.StatusOK })
	}
	c.at(c.nodes...)
	c.connected()
	ready.get("")
	o.wasReset(who, ready.pressed())
	proving.get("")
	proving.prove(code) // nothing was lost, no try either
	o.wasReset(o.colleague(1), proving.pressed())
	chooser.get("")
	chooser.post("choose", "op", "password")
	chooser.prove(c.code(o.colleague(2).personal, 0))
	o.wasReset(o.colleague(2), chooser.pressed())
	select {
	case <-a.child.Done():
		t.Error("the agent ended")
	default:
	}
	if len(c.living()) != 2 {
		t.Error("a node ended")
	}
}
