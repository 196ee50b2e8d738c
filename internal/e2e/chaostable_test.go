//go:build chaos

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// proxyCuts is after how long a proxy ends each connection.
const proxyCuts = time.Minute

// hubKills is how often the hub is killed and started.
const hubKills = 50

// disturbances are everything that can happen without an administrator's doing.
var disturbances = []disturbance{
	{name: "the hub is killed in the middle of a press", do: func(c *chaos, t *testing.T, press func()) {
		came, release := c.office.holdModify()
		press()
		<-came
		c.edge.kill()
		release()
		c.edge.start(t)
	}},
	{name: "the hub is killed and started fifty times", do: func(c *chaos, t *testing.T, press func()) {
		var longest time.Duration
		for i := range hubKills {
			if i == hubKills/2 {
				press()
			}
			c.edge.kill()
			c.edge.start(t)
			longest = max(longest, c.back(t))
		}
		if longest > backWithin {
			t.Errorf("once the agent came back after %v", longest)
		}
		t.Logf("the longest of %d times that the agent was away: %v", hubKills, longest.Round(time.Millisecond))
	}},
	{name: "the hub's name moves to another address", do: func(c *chaos, t *testing.T, press func()) {
		before := c.moved.accepted.Load()
		c.dns.Set(t, "localhost", "A 127.0.0.2")
		c.hub.mode.Store(roadClosed)
		press()
		c.hub.cut()
		poll(t, "the agent comes at the new address", func() bool { return c.moved.accepted.Load() > before })
		t.Cleanup(func() { // back, for the others
			c.dns.Set(t, "localhost", "A 127.0.0.1")
			c.hub.mode.Store(roadOpen)
			c.moved.cut()
		})
	}},
	{name: "the name server fails", do: func(c *chaos, t *testing.T, press func()) {
		c.dns.Break(true)
		before := c.logged(c.agent, "tunnel lost")
		c.hub.cut()
		press()
		poll(t, "three attempts", func() bool { return c.logged(c.agent, "tunnel lost") >= before+3 })
		c.dns.Break(false)
	}},
	{name: "the connection is half open and the answer is lost", do: func(c *chaos, t *testing.T, press func()) {
		came, release := c.office.holdModify()
		press()
		<-came
		c.hub.freeze()
		release()
	}},
	{name: "the connection is half open and the question is lost", do: func(c *chaos, t *testing.T, press func()) {
		c.hub.freeze()
		press()
	}},
	{name: "everything on the way is silent", do: func(c *chaos, t *testing.T, press func()) {
		came, release := c.office.holdModify()
		press()
		<-came
		c.hub.mode.Store(roadSilent)
		defer c.hub.mode.Store(roadOpen) // for the others, too, where this one fails
		c.hub.freeze()
		release()
		before := c.hub.accepted.Load()
		poll(t, "the agent tries again", func() bool { return c.hub.accepted.Load() > before })
	}},
	{name: "a proxy cuts every connection after a while", do: func(c *chaos, t *testing.T, press func()) {
		c.hub.life.Store(int64(proxyCuts))
		defer func() {
			c.hub.life.Store(0)
			c.hub.cut()
		}()
		c.hub.cut()
		before := c.hub.cuts.Load()
		press()
		for i := range int64(2) {
			<-time.After(proxyCuts - within/2)
			poll(t, "the proxy cuts", func() bool { return c.hub.cuts.Load() > before+i })
			if took := c.back(t); took > 5*time.Second {
				t.Errorf("after a tunnel that was fine the agent waited %v", took)
			}
		}
	}},
	{name: "a proxy says 502", do: func(c *chaos, t *testing.T, press func()) {
		before := c.hub.accepted.Load()
		c.hub.mode.Store(roadBusy)
		defer c.hub.mode.Store(roadOpen)
		c.hub.cut()
		press()
		poll(t, "three attempts", func() bool { return c.hub.accepted.Load() >= before+3 })
	}},
	{name: "the hub's certificate is another one", do: func(c *chaos, t *testing.T, press func()) {
		c.edge.child.Stop()
		if err := os.RemoveAll(c.edge.file("caddy/certificates")); err != nil {
			t.Fatal(err)
		}
		c.edge.start(t)
		press()
	}},
	{name: "the directory server is started anew", do: func(c *chaos, t *testing.T, press func()) {
		c.office.slapd.Stop()
		press()
		c.office.slapd.Start(t)
	}},
	{name: "the directory server ends in the middle of a change", do: func(c *chaos, t *testing.T, press func()) {
		came, release := c.office.holdModify()
		press()
		<-came
		c.office.slapd.Stop()
		release()
		c.office.slapd.Start(t)
	}},
	{name: "the first of three domain controllers is down", do: func(c *chaos, t *testing.T, press func()) {
		c.dcs[0].mode.Store(roadClosed)
		c.dcs[0].cut()
		press()
		t.Cleanup(func() { c.dcs[0].mode.Store(roadOpen) })
	}},
	{name: "the first of three domain controllers answers nothing", do: func(c *chaos, t *testing.T, press func()) {
		c.dcs[0].mode.Store(roadSilent)
		c.dcs[0].freeze()
		press()
		t.Cleanup(func() {
			c.dcs[0].mode.Store(roadOpen)
			c.dcs[0].cut()
		})
	}},
	{name: "the agent is killed with the change before the directory", do: agentKilled(testenv.CutBefore)},
	{name: "the agent is killed with the change in the directory", do: agentKilled(testenv.HoldAnswer)},
	killedAfter(0), killedAfter(2), killedAfter(5), killedAfter(10), killedAfter(15), killedAfter(20), killedAfter(30), killedAfter(50), killedAfter(100),
	{name: "the agent's disk is full", do: fullDisk},
}

// fullDisk lets several people press while nothing can be written. The first rows may
// still find room in what the journal has of its last page.
func fullDisk(c *chaos, t *testing.T, press func()) {
	var who []colleague
	var visitors []*visitor
	for range 5 {
		who = append(who, c.colleague())
		visitors = append(visitors, c.proven(t, who[len(who)-1]))
	}
	file := c.fill(t)
	press()
	refused := 0
	for i, v := range visitors {
		v.press()
		if !v.done() && c.office.changes(who[i]) == 0 {
			refused++
		}
	}
	if refused == 0 {
		t.Error("everything could be written on a full disk")
	}
	t.Logf("on a full disk %d of %d were not carried out", refused, len(visitors))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for i, v := range visitors {
		poll(t, "a result, now that there is room", func() bool {
			c.keepRunning()
			if v.get(""); v.ready() {
				v.press()
			}
			return v.done()
		})
		c.office.wasReset(who[i], v.secret())
	}
}

// agentKilled kills it when its change is on the way to the directory.
func agentKilled(cut testenv.Cut) func(*chaos, *testing.T, func()) {
	return func(c *chaos, t *testing.T, press func()) {
		there, gone := make(chan struct{}), make(chan struct{})
		first := true
		c.office.cutter.On(func(op byte) testenv.Cut {
			if !first || op != testenv.LDAPModify && op != testenv.LDAPExtended {
				return testenv.Pass
			}
			first = false
			close(there)
			if cut == testenv.CutBefore {
				<-gone
			}
			return cut
		})
		t.Cleanup(func() { c.office.cutter.On(func(byte) testenv.Cut { return testenv.Pass }) })
		press()
		<-there
		if cut == testenv.HoldAnswer {
			poll(t, "the directory has the change", func() bool { return c.office.changes(c.office.colleague(c.next)) == 1 })
		}
		c.agent.kill()
		close(gone)
		c.agent.start()
	}
}

// killedAfter kills it some milliseconds after the press, wherever it is.
func killedAfter(ms int) disturbance {
	return disturbance{name: "the agent is killed " + strconv.Itoa(ms) + " ms after the press", do: func(c *chaos, t *testing.T, press func()) {
		press()
		<-time.After(time.Duration(ms) * time.Millisecond)
		c.agent.kill()
		c.agent.start()
	}}
}

// fill leaves no byte on the agent's disk, and returns the file to remove.
func (c *chaos) fill(t *testing.T) string {
	t.Helper()
	file := filepath.Join(c.state, "full")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
	return file
}

// cloned is a machine that was copied with its keys while it ran.
var cloned = disturbance{name: "cloned", do: func(c *chaos, t *testing.T, press func()) {
	twin := &agent{t: t, dir: testenv.Dir(t), inside: c.agent.inside}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", c.agent.dir+"/.", twin.dir).CombinedOutput(); err != nil { // with its modes
		t.Fatalf("%v: %s", err, out)
	}
	_ = os.Remove(filepath.Join(twin.dir, "agent.log"))
	before := len(twin.events("perform")) // its log was copied, too
	twin.start()
	poll(t, "one of two is quarantined", func() bool { return c.logged(twin, `"quarantined`) > 0 })
	press()
	if n := c.recorded("agent_conflict"); n != 1 {
		t.Errorf("%d conflicts are recorded", n)
	}
	poll(t, "the button leads to the first machine", func() bool { return c.office.changes(c.office.colleague(c.next)) == 1 })
	if n := len(twin.events("perform")) - before; n != 0 {
		t.Errorf("the copy was given %d operations", n)
	}
	twin.kill()
}}
