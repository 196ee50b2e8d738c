package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// Words of pages that this test expects.
const (
	wordsUnavailable = "We cannot go on at the moment" // an outage page
	wordsOutage      = "The directory cannot be reached at the moment"
	wordsAgain       = "nothing was changed" // the button, after an attempt that did nothing
)

// at lets the visitor talk to these nodes from now on.
func (c *cluster) at(nodes ...*edge) { c.front.serve(nodes...) }

// stops checks that the page is the honest one of an outage.
func (v *visitor) stops(what string) {
	v.t.Helper()
	if v.status != http.StatusServiceUnavailable || !strings.Contains(v.text(), wordsUnavailable) {
		v.t.Errorf("%s: %d %s", what, v.status, v.text())
	}
}

// says checks the words of the page.
func (v *visitor) says(words, what string) {
	v.t.Helper()
	if !strings.Contains(v.text(), words) {
		v.t.Errorf("%s: %d %s", what, v.status, v.text())
	}
}

// wrong types a wrong code and returns the status.
func (v *visitor) wrong() int {
	v.t.Helper()
	return v.post("code", "code", "00000000")
}

func TestP26_RedisStoppedLosesNothing(t *testing.T) {
	c, o := startCluster(t, 2), openOffice(t)
	near, far := c.nodes[0], c.nodes[1] // from the agent
	c.front.lead(near)
	c.startAgent(o.agent())
	c.connected()
	ready := func(i int) *visitor {
		v := c.visit()
		v.begin(o.colleague(i).email, "password")
		v.prove(c.code(o.colleague(i).personal, 0))
		return v
	}
	atNear, atFar, guessing, chooser := ready(0), ready(1), c.visit(), c.visit()
	guessing.begin(o.colleague(2).email, "password")
	rightCode := c.code(o.colleague(2).personal, 0)
	for range 3 {
		guessing.wrong()
	}
	chooser.get("/")
	chooser.post("start", "email", o.colleague(3).email)

	c.redis.Stop()
	late := c.visit()
	for _, n := range c.nodes {
		c.at(n)
		poll(t, "the node says that it is not ready", func() bool { return n.status("/readyz", "localhost") == http.StatusServiceUnavailable })
		late.path = ""
		late.get("/")
		late.want(http.StatusOK, "the first page")
		late.post("start", "email", o.colleague(4).email)
		late.stops("a start")
	}
	c.at(far)
	chooser.get("")
	chooser.says(wordsOutage, "the choice at a node without the agent")
	chooser.post("choose", "op", "password")
	chooser.stops("the choice at a node without the agent")
	atFar.press()
	atFar.says(wordsAgain, "a press at a node without the agent")
	guessing.wrong()
	guessing.wrong()
	guessing.post("code", "code", rightCode)
	if guessing.get(""); guessing.ready() {
		t.Error("a sixth try was judged while Redis was away")
	}
	c.at(near) // what needs no other node goes on
	chooser.get("")
	chooser.post("choose", "op", "password")
	chooser.prove(c.code(o.colleague(3).personal, 0))
	chooser.press()
	o.wasReset(o.colleague(3), chooser.finish())
	atNear.press()
	o.wasReset(o.colleague(0), atNear.finish())
	o.unchanged(o.colleague(1))

	c.redis.Start(t)
	for _, n := range c.nodes {
		poll(t, "the node is ready again", func() bool { return n.status("/readyz", "localhost") == http.StatusOK })
	}
	c.at(far)
	atFar.get("")
	o.wasReset(o.colleague(1), atFar.pressed())
	secret := late.reset(o.colleague(4).email, func() string { return c.code(o.colleague(4).personal, 0) })
	o.wasReset(o.colleague(4), secret)
	o.unchanged(o.colleague(2))

	flush := func() {
		t.Helper()
		if _, err := c.redis.Do(t.Context(), "FLUSHALL"); err != nil {
			t.Fatal(err)
		}
	}
	c.at(c.nodes...)
	v, who := c.visit(), o.colleague(5)
	v.get("/")
	v.post("start", "email", who.email)
	v.want(http.StatusOK, "the address")
	flush()
	poll(t, "the choice after the memory was emptied", func() bool {
		v.get("")
		return v.post("choose", "op", "password") == http.StatusOK
	})
	code := c.code(who.personal, 0)
	flush()
	v.get("")
	v.prove(code)
	flush()
	o.wasReset(who, v.pressed())
	if len(c.living()) != 2 {
		t.Error("a node ended")
	}
}

func TestP10_TriesCountWhateverBecomesOfNodesAndRedis(t *testing.T) {
	c, o := startCluster(t, 2), openOffice(t)
	c.startAgent(o.agent())
	c.connected()
	who := o.colleague(0)
	for round := range 2 { // five tries each, ten in a day
		c.connected()
		v := c.visit()
		v.begin(who.email, "password")
		code := c.code(who.personal, round)
		for i := range 5 {
			if i == 2 {
				if _, err := c.redis.Do(t.Context(), "FLUSHALL"); err != nil {
					t.Fatal(err)
				}
			}
			if i == 3 {
				n := c.nodes[round]
				c.kill(n)
				n.start(t)
				c.at(c.nodes...)
			}
			if status := v.wrong(); status != http.StatusUnprocessableEntity && status != http.StatusTooManyRequests {
				t.Errorf("try %d of round %d: %d %s", i, round, status, v.text())
			}
		}
		v.post("code", "code", code)
		if v.get(""); v.ready() {
			t.Fatalf("round %d: a sixth try was judged", round)
		}
	}
	v := c.visit()
	v.path = ""
	v.get("/")
	v.post("start", "email", who.email)
	poll(t, "an agent is known again", func() bool {
		v.get("")
		v.post("choose", "op", "password")
		return v.status != http.StatusServiceUnavailable
	})
	if v.status != http.StatusTooManyRequests {
		t.Errorf("after ten wrong codes in a day: %d %s", v.status, v.text())
	}
	o.unchanged(who)
}
