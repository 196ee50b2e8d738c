//go:build chaos

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// controllers are three names of a Samba domain controller in DNS, with a road to each.
// The first has the role of the PDC emulator: it is the name that the domain says.
type controllers struct {
	*environment
	samba *testenv.Samba
	seen  *testenv.Cutter
	agent *agent
	roads []*road
	next  int // of those who were hired
}

func startControllers(t *testing.T) *controllers {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.Need(t, "unshare")
	c := &controllers{samba: testenv.StartSamba(t)}
	c.seen = testenv.NewCutter(t, net.JoinHostPort(c.samba.Addr, "636"))
	e := startEdge(t, edgeConfig{TLS: true})
	c.environment = e.environment(t, "controllers", "ad")
	c.permit()
	c.hire(t, 40)
	dns := testenv.StartDNSAt(t, freeNameServer(t))
	dns.Set(t, "localhost", "A 127.0.0.1")
	var srv []string
	for i := range 3 {
		port := testenv.FreePort(t)
		c.roads = append(c.roads, openRoad(t, c.seen.Addr, fmt.Sprintf("127.0.0.1:%d", port)))
		name := fmt.Sprintf("dc%d.corp.example", i+1)
		dns.Set(t, name, "A 127.0.0.1")
		srv = append(srv, fmt.Sprintf("SRV %d 0 %d %s.", i+1, port, name))
	}
	if c.samba.Host != "dc1.corp.example" {
		t.Fatalf("the controller is %s", c.samba.Host)
	}
	dns.Set(t, "_ldap._tcp.dc._msdcs.corp.example", srv...)
	conf := sambaAgent(c.samba)
	conf.Directory = regexp.MustCompile(`urls = .*`).ReplaceAllString(conf.Directory, "srv = [\"_ldap._tcp.dc._msdcs.corp.example\"]\nserver_name = \"localhost\"")
	conf.Directory = strings.Replace(conf.Directory, c.samba.CAFile, c.seen.CAFile, 1)
	conf.Hub = fmt.Sprintf("ca_file = %q", e.caFile())
	conf.Guard = "per_hour = 500\nper_day = 2000"
	c.agent = &agent{t: t, dir: testenv.Dir(t)}
	c.agent.write(conf)
	c.agent.machine(dns)
	c.agent.enrol(c.ticket())
	c.agent.start()
	c.waitSynced(c.agent.began)
	return c
}

// hire adds somebody who was never here before.
func (c *controllers) hire(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		login := fmt.Sprintf("chaos%03d", i+1)
		c.samba.AddPerson(t, testenv.SambaStaff, login, testenv.SambaEmployeePassword, map[string][]string{"mail": {login + "@corp.example"}, "otherMailbox": {login + "@home.example"}})
	}
}

// A moment is when a controller goes away.
type moment int

const (
	never moment = iota
	atFirst
	atThePress // for a few seconds
)

// reset lets somebody get back in while way happens to a controller, and checks that the
// domain was written to once.
func (c *controllers) reset(t *testing.T, when moment, way, back func()) {
	t.Helper()
	c.next++
	who, writes := fmt.Sprintf("chaos%03d", c.next), c.seen.Requests(testenv.LDAPModify)
	v := c.visit()
	v.t = t
	if when == atFirst {
		way()
	}
	start := time.Now()
	v.begin(who+"@corp.example", "password")
	v.prove(c.code(who+"@home.example", 0))
	if when == atThePress {
		way()
		pressed := make(chan int)
		go func() { pressed <- v.press() }()
		select {
		case <-pressed:
		case <-time.After(5 * time.Second):
			back()
			start = time.Now()
			<-pressed
		}
		back()
	} else {
		v.press()
	}
	v.insist(settledWithin, nil, func() {})
	if took := time.Since(start); took > backWithin {
		t.Errorf("somebody was back in after %v, want %v", took, backWithin)
	} else {
		t.Logf("back in after %v", took.Round(time.Millisecond))
	}
	if err := c.samba.Bind(t, who+"@corp.example", v.secret()); !said(err, "data 773") {
		t.Errorf("the temporary password: %v, want that it must be changed", err)
	}
	if n := c.seen.Requests(testenv.LDAPModify) - writes; n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
}

// absences are what can happen to a controller.
var absences = []struct {
	name string
	do   func(*road)
}{
	{"is down", func(r *road) { r.mode.Store(roadClosed); r.cut() }},
	{"answers nothing", func(r *road) { r.mode.Store(roadSilent); r.freeze() }},
	{"is slow", func(r *road) { r.slow.Store(int64(1500 * time.Millisecond)) }},
}

// open lets everything through again; what was frozen stays lost.
func (r *road) open() {
	r.mode.Store(roadOpen)
	r.slow.Store(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.trips {
		if p.frozen.Load() || p.to == nil {
			p.end()
		}
	}
}

// fresh starts the agent anew, so that it is connected to the first controller.
func (c *controllers) fresh(t *testing.T) {
	t.Helper()
	for _, r := range c.roads {
		r.open()
	}
	c.agent.stop()
	c.agent.start()
	poll(t, "the agent serves through the first controller", func() bool {
		var list struct{ Agents []agentRow }
		c.rest.do(http.MethodGet, "/api/directories/"+c.directory+"/agents", nil, &list)
		return len(list.Agents) == 1 && len(list.Agents[0].Nodes) > 0 && len(c.roads[0].all()) > 0
	})
}

// TestChaosControllers takes some of three domain controllers away, before somebody
// begins and when they press.
func TestChaosControllers(t *testing.T) {
	c := startControllers(t)
	c.reset(t, never, nil, nil)
	files := openFiles(t, c.agent.child)
	for _, some := range [][]int{{0}, {1}, {2}, {0, 1}} {
		for _, w := range absences {
			if len(some) > 1 && w.name == "is slow" { // each question waits twice: half a minute is not promised
				continue
			}
			t.Run(fmt.Sprintf("of three controllers %v %s", some, w.name), func(t *testing.T) {
				own, v := *c, *c.environment
				v.t, v.rest.t, own.environment = t, t, &v
				defer func() { c.next = own.next }()
				all := func(do func(*road)) func() {
					return func() {
						for _, i := range some {
							do(c.roads[i])
						}
					}
				}
				back := all((*road).open)
				for _, when := range []moment{atFirst, never, atThePress} {
					if own.reset(t, when, all(w.do), back); when != atFirst {
						own.fresh(t)
					}
					back()
				}
				own.allRecorded(t)
				poll(t, "what was opened is closed", func() bool { return openFiles(t, c.agent.child) <= files+spareFiles })
			})
		}
	}
}
