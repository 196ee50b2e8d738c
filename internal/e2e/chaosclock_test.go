//go:build chaos

package e2e

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// clockVariable names the file that says by how much a program's clock is wrong.
const clockVariable = "POSTERN_CHAOS_CLOCK"

// A clock is that of one machine. Programs of buildClocked follow it at once; what they
// measure by the monotonic clock goes on, as on a machine whose clock is set.
type clock struct{ path string }

func newClock(t *testing.T) *clock {
	t.Helper()
	k := &clock{filepath.Join(testenv.Dir(t), "clock")}
	if err := os.WriteFile(k.path, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// environment is how a program learns of it.
func (k *clock) environment() []string {
	if k == nil {
		return nil
	}
	return []string{clockVariable + "=" + k.path}
}

// set makes the clock wrong by so much.
func (k *clock) set(t *testing.T, wrong time.Duration) {
	t.Helper()
	f, err := os.OpenFile(k.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := binary.NativeEndian.AppendUint64(nil, uint64(wrong/time.Second))
	if _, err := f.WriteAt(b, 0); err != nil { // one page, shared with the programs
		t.Fatal(err)
	}
}

// clockedNow is what buildClocked puts into package time of the programs.
const clockedNow = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var wrong = wrongClock()

func wrongClock() *int64 {
	path, ok := syscall.Getenv("` + clockVariable + `")
	if !ok {
		return new(int64)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("clock: " + err.Error())
	}
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("clock: " + err.Error())
	}
	_ = syscall.Close(fd)
	return (*int64)(unsafe.Pointer(&b[0]))
}

func wrongBy() int64 { return atomic.LoadInt64(wrong) }
`

// buildClocked builds the programs with a time.Now that can be set, and nothing else
// changed, for the length of the test.
func buildClocked(t *testing.T) {
	t.Helper()
	dir := testenv.Dir(t)
	source := filepath.Join(runtime.GOROOT(), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		testenv.Missing(t, "Go's own source: "+err.Error())
	}
	const before, after = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {", "\tsec, nsec, mono := runtimeNow()\n\tsec += wrongBy()\n\tif mono == 0 {"
	if strings.Count(string(text), before) != 1 {
		t.Fatalf("%s has another form: this test must learn it", source)
	}
	replace := map[string]string{}
	for name, content := range map[string]string{"time.go": strings.Replace(string(text), before, after, 1), "wrong.go": clockedNow} {
		replace[filepath.Join(source, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"),
		"-o", dir+string(filepath.Separator), "../../cmd/postern", "../../cmd/postern-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the programs: %v\n%s", err, out)
	}
	own := programs
	t.Cleanup(func() { programs = own })
	programs.postern, programs.agent = filepath.Join(dir, "postern"), filepath.Join(dir, "postern-agent")
}

// wrongClocks are jumps of an hour, each with the way back, which is a jump as well.
func (c *chaos) wrongClocks() (list []disturbance) {
	for _, by := range []struct {
		name  string
		wrong time.Duration
	}{{"an hour ahead", time.Hour}, {"an hour back", -time.Hour}} {
		agent, hub := c.clocks.agent, c.clocks.hub
		var mayAgent, mayHub []string
		if by.wrong > 0 { // an agent keeps a sealed password for a quarter of an hour, a hub what was begun
			mayAgent, mayHub = []string{mustLook}, []string{lapsed}
		}
		list = append(list, jumps("the agent's clock jumps "+by.name, by.wrong, mayAgent, agent)...)
		list = append(list, jumps("the hub's clock jumps "+by.name, by.wrong, mayHub, hub)...)
		list = append(list, jumps("both clocks jump "+by.name, by.wrong, append(mayAgent, mayHub...), agent, hub)...)
		list = append(list, disturbance{name: "the agent's clock was " + by.name + " when the line became half open", do: func(c *chaos, t *testing.T, press func()) {
			set(t, by.wrong, agent)
			c.hears(t)
			c.hub.freeze()
			set(t, 0, agent)
			press()
		}})
	}
	return list
}

func set(t *testing.T, wrong time.Duration, all ...*clock) {
	for _, k := range all {
		k.set(t, wrong)
	}
}

// jumps are those of some clocks: at rest, in the middle of a change, and across a crash.
func jumps(name string, wrong time.Duration, may []string, which ...*clock) []disturbance {
	return []disturbance{
		{name: name + " and is put right at rest", do: func(c *chaos, t *testing.T, press func()) {
			set(t, wrong, which...)
			c.hears(t)
			set(t, 0, which...)
			press()
		}, may: may},
		{name: name + " while a change is under way", do: func(c *chaos, t *testing.T, press func()) {
			came, release := c.office.holdModify()
			press()
			<-came
			set(t, wrong, which...)
			release()
			poll(t, "the directory has the change", func() bool { return c.office.changes(c.office.colleague(c.next)) == 1 })
			set(t, 0, which...)
		}, may: may},
		{name: name + " while the agent is down in the middle of a change", do: func(c *chaos, t *testing.T, press func()) {
			came, release := c.office.holdModify()
			press()
			<-came
			c.agent.kill()
			release()
			set(t, wrong, which...)
			before := c.logged(c.agent, `"msg":"tunnel `)
			c.agent.start()
			poll(t, "the agent has tried", func() bool { return c.logged(c.agent, `"msg":"tunnel `) > before })
			set(t, 0, which...)
		}, may: may},
	}
}

// hears lets somebody look for the way back in while a clock is wrong: whether or not
// that works, the agent hears its hub.
func (c *chaos) hears(t *testing.T) {
	before := c.logged(c.agent, `"msg":"request"`)
	v := c.visit()
	v.t = t
	v.begin(c.colleague().email, "password")
	poll(t, "the agent is asked", func() bool { return c.logged(c.agent, `"msg":"request"`) > before })
}

func TestChaosClocks(t *testing.T) {
	buildClocked(t)
	c := startChaos(t, clocks{newClock(t), newClock(t)})
	c.disturb(c.wrongClocks())
	t.Run("no goroutine is left", func(t *testing.T) { c.at(t).countWork(t) })
}
