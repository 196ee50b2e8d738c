package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// An intruder has full access to Redis and nothing else: it hears every command and
// may send any.
type intruder struct {
	t      *testing.T
	redis  *testenv.Redis
	conn   net.Conn
	reader *bufio.Reader
	wg     sync.WaitGroup

	mu    sync.Mutex
	heard []publication
}

// A publication is one message that a node sent.
type publication struct{ command, channel, message string }

// intrude begins to listen.
func intrude(t *testing.T, r *testenv.Redis) *intruder {
	t.Helper()
	i := &intruder{t: t, redis: r}
	listen, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if i.conn, err = net.Dial("tcp", r.Addr); err != nil {
		t.Fatal(err)
	}
	i.reader = bufio.NewReader(i.conn)
	if _, err := listen.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(listen)
	if line, err := lines.ReadString('\n'); err != nil || line != "+OK\r\n" {
		t.Fatalf("MONITOR: %q %v", line, err)
	}
	i.wg.Go(func() { i.listen(lines) })
	t.Cleanup(func() {
		_ = listen.Close()
		_ = i.conn.Close()
		i.wg.Wait()
	})
	return i
}

// listen keeps what nodes publish to each other.
func (i *intruder) listen(lines *bufio.Reader) {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		words := quoted(line)
		if strings.Contains(line, " "+i.conn.LocalAddr().String()+"]") {
			continue // ours
		}
		if len(words) == 3 && strings.HasSuffix(strings.ToUpper(words[0]), "PUBLISH") && strings.Contains(words[1], ":node:") && len(words[2]) > 57 {
			i.mu.Lock()
			i.heard = append(i.heard, publication{strings.ToUpper(words[0]), words[1], words[2]})
			i.mu.Unlock()
		}
	}
}

// quoted returns the quoted words of a line of MONITOR.
func quoted(line string) (words []string) {
	for {
		start := strings.IndexByte(line, '"')
		if start < 0 {
			return words
		}
		text, err := strconv.QuotedPrefix(line[start:])
		if err != nil {
			return words
		}
		word, _ := strconv.Unquote(text)
		words, line = append(words, word), line[start+len(text):]
	}
}

func (i *intruder) captured() []publication {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.heard)
}

// send sends one command and skips its reply, which is a line.
func (i *intruder) send(args ...string) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := i.conn.Write([]byte(b.String())); err != nil {
		i.t.Fatal(err)
	}
	if _, err := i.reader.ReadString('\n'); err != nil {
		i.t.Fatal(err)
	}
}

// do is a command whose answer matters.
func (i *intruder) do(args ...string) string {
	i.t.Helper()
	reply, err := i.redis.Do(context.Background(), args...)
	if err != nil {
		i.t.Fatalf("%s: %v", args[0], err)
	}
	return reply
}

// attack sends everything that was heard again: as it was and in another order, to the
// other nodes with and without their name, back to its sender, with bits changed.
func (i *intruder) attack() (sent int) {
	all := i.captured()
	var channels []string
	for _, p := range all {
		if !slices.Contains(channels, p.channel) {
			channels = append(channels, p.channel)
		}
	}
	for _, n := range rand.Perm(len(all)) {
		p := all[n]
		for _, channel := range channels {
			i.send(p.command, channel, p.message)
			b := []byte(p.message)
			receiver, sender := slices.Clone(b[17:33]), slices.Clone(b[1:17])
			copy(b[17:33], unhex(channel))
			i.send(p.command, channel, string(b))
			copy(b[1:17], receiver)
			copy(b[17:33], sender)
			i.send(p.command, channel, string(b))
			sent += 3
		}
		for range 4 {
			b := []byte(p.message)
			bit := rand.IntN(len(b) * 8)
			b[bit/8] ^= 1 << (bit % 8)
			i.send(p.command, p.channel, string(b))
			sent++
		}
	}
	return sent
}

// unhex returns the node's id at the end of its channel's name.
func unhex(channel string) []byte {
	var id []byte
	_, _ = fmt.Sscanf(channel[strings.LastIndexByte(channel, ':')+1:], "%x", &id)
	return id
}

// meddle forges presence, claims and leases: values of one place in another, former
// values put back, nonsense.
func (i *intruder) meddle(former map[string]string) {
	keys := i.keys()
	for name, dump := range former {
		i.send("RESTORE", name, "0", dump, "REPLACE")
	}
	for _, from := range keys {
		for _, to := range keys {
			if from != to {
				i.send("COPY", from, to, "REPLACE")
			}
		}
	}
	for _, name := range keys {
		i.send("HSET", name, "0123456789abcdef0123456789abcdef", `{"id":"0123456789abcdef0123456789abcdef"}`)
	}
}

func (i *intruder) keys() []string {
	return strings.Split(i.do("EVAL", "return table.concat(redis.call('keys', '*'), '\\n')", "0"), "\n")
}

// clear takes everything away, forged or not.
func (i *intruder) clear() { i.send("FLUSHALL") }

// dump returns everything that Redis holds.
func (i *intruder) dump() map[string]string {
	all := map[string]string{}
	for _, name := range i.keys() {
		all[name] = i.do("DUMP", name)
	}
	return all
}

func TestT10_FullAccessToRedisWritesNothing(t *testing.T) {
	c, o := startCluster(t, 2), openOffice(t)
	near, far := c.nodes[0], c.nodes[1]
	c.front.lead(near)
	c.startAgent(o.agent())
	c.connected()
	c.at(far)
	i := intrude(t, c.redis)
	ready := func(n int) *visitor {
		v := c.visit()
		v.begin(o.colleague(n).email, "password")
		v.prove(c.code(o.colleague(n).personal, 0))
		return v
	}
	waiting := ready(0)
	former := i.dump()
	secret := c.visit().reset(o.colleague(1).email, func() string { return c.code(o.colleague(1).personal, 0) })
	o.wasReset(o.colleague(1), secret)
	if len(i.captured()) < 4 {
		t.Fatalf("only %d messages between the nodes were heard", len(i.captured()))
	}

	sent := 0
	for sent < 2000 {
		sent += i.attack()
		i.meddle(former)
	}
	i.clear() // the forgeries kept nodes from finding each other
	c.connected()
	held := ready(2) // in the middle of an operation
	came, release := o.holdModify()
	held.press()
	<-came
	sent += i.attack()
	i.meddle(former)
	release()
	o.wasReset(o.colleague(2), held.finish())
	for _, channel := range []string{"nodes", "probe"} { // what nodes wake each other by
		for range 200 {
			i.send("PUBLISH", "{postern}:"+channel, "x")
			i.send("SPUBLISH", "{postern}:"+channel, "x")
		}
	}
	sent += i.attack()
	t.Logf("%d messages injected, of %d heard", sent, len(i.captured()))

	o.wasReset(o.colleague(1), secret)
	o.unchanged(o.colleague(0))
	for n := 3; n < colleagues; n++ {
		o.unchanged(o.colleague(n))
	}
	i.clear()
	waiting.get("")
	waiting.want(http.StatusOK, "a page afterwards")
	o.wasReset(o.colleague(0), waiting.pressed())
}
