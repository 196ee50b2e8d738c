//go:build chaos

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// What is promised after each disturbance.
const (
	backWithin    = 30 * time.Second // the agent serves again
	settledWithin = 5 * time.Minute  // a frame that was lost on its way is given up after four
	spareFiles    = 6                // descriptors that come and go: pooled connections, a rewritten journal
	spareWork     = 8                // goroutines that do
	chaosStaff    = 150              // colleagues; each recovers once
)

// A chaos is an agent with its hub and directory, and roads between them. The agent's
// machine has a name server of its own and a small disk.
type chaos struct {
	t *testing.T
	*environment
	office *office
	agent  *agent
	dns    *testenv.DNS
	port   int // of the hub, at the address that DNS gives
	hub    *road
	moved  *road   // the same at another address
	dcs    []*road // to the directory, in the order of SRV
	state  string  // the small disk
	next   int     // colleague
	files  [2]int  // descriptors of agent and hub when nothing had happened
	clocks clocks
}

// clocks are those of the agent's machine and of the hub's; nil: the true one.
type clocks struct{ agent, hub *clock }

// freeNameServer is where the agent's machine asks for names: resolvers know no other port.
func freeNameServer(t *testing.T) string {
	t.Helper()
	for n := 1; n < 255; n++ {
		addr := fmt.Sprintf("127.77.0.%d:53", n)
		udp, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		_ = udp.Close()
		return addr
	}
	testenv.Missing(t, "a free loopback address with port 53")
	return ""
}

func startChaos(t *testing.T, k clocks) *chaos {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.Need(t, "unshare")
	c := &chaos{t: t, clocks: k, port: testenv.FreePort(t), dns: testenv.StartDNSAt(t, freeNameServer(t))}
	e := startEdge(t, edgeConfig{TLS: true, PublicURL: fmt.Sprintf("https://localhost:%d", c.port), Env: k.hub.environment()})
	server := fmt.Sprintf("127.0.0.1:%d", e.port)
	c.hub = openRoad(t, server, fmt.Sprintf("127.0.0.1:%d", c.port))
	c.moved = openRoad(t, server, fmt.Sprintf("127.0.0.2:%d", c.port))
	c.dns.Set(t, "localhost", "A 127.0.0.1")
	c.environment = e.environment(t, "chaos", "ldap")
	c.permit()
	c.office = openOfficeOf(t, chaosStaff)
	c.openControllers()
	c.prepareMachine()
	c.agent.enrol(c.ticket())
	c.agent.start()
	c.waitSynced(c.agent.began)
	return c
}

// openControllers makes three servers of one directory, which DNS lists.
func (c *chaos) openControllers() {
	var srv []string
	for i := range 3 {
		port := testenv.FreePort(c.t)
		c.dcs = append(c.dcs, openRoad(c.t, c.office.cutter.Addr, fmt.Sprintf("127.0.0.1:%d", port)))
		name := fmt.Sprintf("dc%d.corp.example", i+1)
		c.dns.Set(c.t, name, "A 127.0.0.1")
		srv = append(srv, fmt.Sprintf("SRV %d 0 %d %s.", i+1, port, name))
	}
	c.dns.Set(c.t, "_ldap._tcp.corp.example", srv...)
}

// prepareMachine writes the agent's file, its view of names, and mounts its disk.
func (c *chaos) prepareMachine() {
	t := c.t
	conf := c.office.agent()
	conf.Directory = regexp.MustCompile(`urls = .*`).ReplaceAllString(conf.Directory, "srv = [\"_ldap._tcp.corp.example\"]\nserver_name = \"localhost\"")
	conf.Hub = fmt.Sprintf("ca_file = %q", c.edge.caFile())
	conf.Guard = "per_hour = 500\nper_day = 2000"
	a := &agent{t: t, dir: testenv.Dir(t), env: c.clocks.agent.environment()}
	a.write(conf)
	c.agent, c.state = a, filepath.Join(a.dir, "state")
	a.machine(c.dns)
	if err := os.Mkdir(c.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("chaos", c.state, "tmpfs", 0, "size=4m,mode=0700"); err != nil {
		testenv.Missing(t, "the right to mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		a.child.Stop()
		_ = syscall.Unmount(c.state, syscall.MNT_DETACH)
	})
}

// machine gives the agent's machine a name server.
func (a *agent) machine(dns *testenv.DNS) {
	a.t.Helper()
	server := strings.TrimSuffix(dns.Addr, ":53")
	for name, text := range map[string]string{"hosts": "", "resolv.conf": "nameserver " + server + "\noptions timeout:1 attempts:2\n"} {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
	script := fmt.Sprintf("mount --bind %s/hosts /etc/hosts && mount --bind %s/resolv.conf /etc/resolv.conf && exec \"$@\"", a.dir, a.dir)
	a.inside = []string{"unshare", "-m", "sh", "-c", script, "sh"}
}

// colleague is somebody who was never here before.
func (c *chaos) colleague() colleague {
	c.next++
	return c.office.colleague(c.next)
}

// proven is a visitor who has only to press the button.
func (c *chaos) proven(t *testing.T, who colleague) *visitor {
	v := c.visit()
	v.t = t
	v.begin(who.email, "password")
	v.prove(c.code(who.personal, 0))
	return v
}

// keepRunning starts the agent again where it ended, as the service manager does.
func (c *chaos) keepRunning() {
	select {
	case <-c.agent.child.Done():
		c.agent.start()
	default:
	}
}

// row is the agent as the hub shows it; false while the hub does not answer.
func (c *chaos) row() (agentRow, bool) {
	var list struct{ Agents []agentRow }
	status, body, err := c.try(http.MethodGet, "/api/directories/"+c.directory+"/agents", nil)
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &list) != nil || len(list.Agents) != 1 {
		return agentRow{}, false
	}
	return list.Agents[0], true
}

// back waits until the hub knows a tunnel of the agent, and returns how long that took.
func (c *chaos) back(t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	poll(t, "the agent is connected", func() bool {
		c.keepRunning()
		<-time.After(200 * time.Millisecond) // the hub counts questions
		a, ok := c.row()
		return ok && len(a.Nodes) > 0
	})
	return time.Since(start)
}

// recorded counts audit events of a kind; 0 while the hub does not say.
func (v *environment) recorded(kind string) int {
	var list struct{ Events []json.RawMessage }
	status, body, err := v.try(http.MethodGet, "/api/audit?count=1000&kind="+kind, nil)
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &list) != nil {
		return 0 // too many questions, perhaps
	}
	return len(list.Events)
}

// allRecorded waits until each operation that was asked for has its outcome.
func (v *environment) allRecorded(t *testing.T) {
	t.Helper()
	poll(t, "each operation has its outcome", func() bool {
		<-time.After(time.Second) // the hub counts questions
		asked, ended := v.recorded("operation_requested"), v.recorded("operation_finished")
		return asked > 0 && asked == ended
	})
}

// openFiles counts what a process has open.
func openFiles(t *testing.T, child *testenv.Child) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", child.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A disturbance presses the button of somebody who has proven who they are, in the
// middle of what it does, and returns when all is as before.
type disturbance struct {
	name string
	do   func(c *chaos, t *testing.T, press func())
	// may is what people may read instead of their new password, because a clock is far
	// off: that somebody must look, or that they must begin anew.
	may []string
}

// What people may read.
const (
	mustLook = "We do not know yet whether it worked" // and it did
	lapsed   = "The time has run out"                 // before the button was pressed, or the result was seen
)

// saysOne returns which of some sentences the page says, or "".
func (v *visitor) saysOne(some []string) string {
	for _, one := range some {
		if strings.Contains(v.text(), one) {
			return one
		}
	}
	return ""
}

// insist looks again and again, and presses where the page asks for it, until there is a
// result, or the page says what it may say.
func (v *visitor) insist(within time.Duration, may []string, meanwhile func()) (said string) {
	v.t.Helper()
	for deadline := time.Now().Add(within); !v.done(); <-time.After(time.Second) {
		meanwhile()
		if v.get(""); v.ready() {
			v.press()
		}
		if said := v.saysOne(may); said != "" {
			return said
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("what was pressed has no result after %v: %d %s", within, v.status, v.text())
		}
	}
	return ""
}

// strike lets one disturbance happen, and looks at what is promised after it.
func (c *chaos) strike(t *testing.T, d disturbance) {
	who := c.colleague()
	v := c.proven(t, who)
	var pressed sync.WaitGroup
	d.do(c, t, func() { pressed.Go(func() { v.press() }) })
	start := time.Now()
	c.back(t)
	c.proven(t, c.colleague()) // the agent was asked for the private address
	took := time.Since(start)
	if took > backWithin {
		t.Errorf("the agent served again after %v, want %v", took, backWithin)
	}
	pressed.Wait()
	said := v.insist(settledWithin, d.may, c.keepRunning)
	c.office.t = t
	switch n := c.office.changes(who); {
	case said == "":
		c.office.wasReset(who, v.secret())
	case n > 1 || n == 0 && said == mustLook:
		t.Errorf("the page says %q, and the account was changed %d times", said, n)
	default:
		t.Logf("the page says %q, and the account was changed %d times", said, n)
	}
	c.allRecorded(t)
	var files [2]int
	poll(t, "what was opened is closed", func() bool {
		files = [2]int{openFiles(t, c.agent.child), openFiles(t, c.edge.child)}
		return files[0] <= c.files[0]+spareFiles && files[1] <= c.files[1]+spareFiles
	})
	t.Logf("served again after %v; descriptors of agent and hub %v, at first %v", took.Round(time.Millisecond), files, c.files)
}

// disturb lets disturbances happen, each to an agent that serves.
func (c *chaos) disturb(list []disturbance) {
	who := c.office.colleague(0)
	c.office.wasReset(who, c.visit().reset(who.email, func() string { return c.code(who.personal, 0) }))
	c.files = [2]int{openFiles(c.t, c.agent.child), openFiles(c.t, c.edge.child)}
	for _, d := range list {
		if !c.t.Run(d.name, func(t *testing.T) { c.at(t).strike(t, d) }) {
			c.back(c.t)
		}
	}
}

func TestChaos(t *testing.T) {
	c := startChaos(t, clocks{})
	c.disturb(disturbances)
	t.Run("no goroutine is left", func(t *testing.T) { c.at(t).countWork(t) })
	t.Run("two machines with one key", func(t *testing.T) { c.at(t).strike(t, cloned) })
}

// at lets failures be those of a part of the test. The servers stay those of the whole.
func (c *chaos) at(t *testing.T) *chaos {
	v, o := *c.environment, *c.office
	v.t, v.rest.t, o.t = t, t, t
	c.environment, c.office = &v, &o
	return c
}

var goroutineForm = regexp.MustCompile(`(?m)^goroutine \d+ `)

// work ends a program and counts the goroutines that it had.
func work(t *testing.T, child *testenv.Child) int {
	t.Helper()
	before, err := os.ReadFile(child.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	<-child.Done()
	after, err := os.ReadFile(child.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	return len(goroutineForm.FindAll(after[len(before):], -1))
}

// countWork compares what the programs do after all this with what they do when they
// were just started.
func (c *chaos) countWork(t *testing.T) {
	worn := [2]int{work(t, c.agent.child), work(t, c.edge.child)}
	c.edge.start(t)
	c.agent.start()
	c.back(t)
	who := c.colleague()
	v := c.proven(t, who)
	v.press()
	c.office.wasReset(who, v.finish())
	fresh := [2]int{work(t, c.agent.child), work(t, c.edge.child)}
	c.edge.start(t)
	c.agent.start()
	c.back(t)
	if slices.Contains(append(worn[:], fresh[:]...), 0) || worn[0] > fresh[0]+spareWork || worn[1] > fresh[1]+spareWork {
		t.Errorf("goroutines of agent and hub: %v after all disturbances, %v fresh", worn, fresh)
	}
	t.Logf("goroutines of agent and hub: %v after all disturbances, %v fresh", worn, fresh)
}

// logged counts lines of the agent's log with a text.
func (c *chaos) logged(a *agent, text string) int {
	b, _ := os.ReadFile(filepath.Join(a.dir, "agent.log")) // none yet: no line
	return strings.Count(string(b), text)
}
