package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// canaries are secrets by name, and places are where none of them may stand.
type (
	canaries map[string]string
	places   map[string][]byte
)

// search fails the test for every canary that stands somewhere.
func search(t *testing.T, in places, secrets canaries) {
	t.Helper()
	for name, secret := range secrets {
		if len(secret) < 8 {
			t.Errorf("%s: %q is too short to be looked for", name, secret)
		}
		for _, where := range standing(in, secret) {
			t.Errorf("%s stands in %s", name, where)
		}
	}
}

// standing says where a secret stands, in any of the forms that a program would give it.
func standing(in places, secret string) (where []string) {
	for form, text := range forms(secret) {
		for place, b := range in {
			if at := find(b, text); at >= 0 {
				where = append(where, fmt.Sprintf("%s, %s: …%q…", place, form, b[max(0, at-120):min(len(b), at+len(text)+20)]))
			}
		}
	}
	return where
}

func TestTheSearchFindsASecretInEveryForm(t *testing.T) {
	const secret = `pa"ss+w/ord-ü1`
	for _, text := range []string{
		"x " + secret + " y", hex.EncodeToString([]byte("ab" + secret)), "/?a=" + url.QueryEscape(secret), `{"a":"pa\"ss+w/ord-ü1"}`,
		base64.StdEncoding.EncodeToString([]byte(secret + "tail")), base64.RawURLEncoding.EncodeToString([]byte("1" + secret)),
		base64.StdEncoding.EncodeToString([]byte("12" + secret + "tail")), base64.RawStdEncoding.EncodeToString([]byte("123" + secret)),
		string(forms(secret)["UTF-16"]),
	} {
		if standing(places{"here": []byte(text)}, secret) == nil {
			t.Errorf("%q was not found in %q", secret, text)
		}
	}
	for text, stands := range map[string]bool{"code 12345678.": true, "at 1712345678000": false, "id 912345678": false, "912345678 12345678": true} {
		if got := standing(places{"here": []byte(text)}, "12345678") != nil; got != stands {
			t.Errorf("digits in %q: %v", text, got)
		}
	}
}

var onlyDigits = regexp.MustCompile(`^\d+$`)

// find returns where text stands, -1 if nowhere. Digits count only by themselves: eight
// of them in a row occur in any longer number.
func find(b, text []byte) int {
	if !onlyDigits.Match(text) {
		return bytes.Index(b, text)
	}
	digit := func(i int) bool { return i >= 0 && i < len(b) && b[i] >= '0' && b[i] <= '9' }
	for from := 0; ; {
		i := bytes.Index(b[from:], text)
		if i < 0 {
			return -1
		}
		if i += from; !digit(i-1) && !digit(i+len(text)) {
			return i
		}
		from = i + 1
	}
}

// forms are the spellings of a secret: as it is, in base64 wherever it begins in a
// longer text, in hex, in an address, in JSON, and in the directory's two-byte letters.
func forms(secret string) map[string][]byte {
	all := map[string][]byte{
		"as it is": []byte(secret), "hex": []byte(hex.EncodeToString([]byte(secret))), "in an address": []byte(url.QueryEscape(secret)),
	}
	js, _ := json.Marshal(secret)
	all["JSON"] = bytes.Trim(js, `"`)
	var wide []byte
	for _, u := range utf16.Encode([]rune(secret)) {
		wide = binary.LittleEndian.AppendUint16(wide, u)
	}
	all["UTF-16"] = wide
	for shift := range 3 { // what is certain of it when other bytes stand before and behind
		text := base64.StdEncoding.EncodeToString(append(bytes.Repeat([]byte{0}, shift), secret...))
		head := []int{0, 2, 3}[shift]
		sure := (shift+len(secret))*8/6 - 1
		all[fmt.Sprintf("base64, %d", shift)] = []byte(text[head:sure])
		all[fmt.Sprintf("base64url, %d", shift)] = []byte(strings.NewReplacer("+", "-", "/", "_").Replace(text)[head:sure])
	}
	return all
}

// files reads every file below a directory, except those whose names the owner of the
// machine keeps secret anyway.
func files(t *testing.T, in places, root, what string, except ...string) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		for _, x := range except {
			if d.Name() == x {
				return nil
			}
		}
		b, err := os.ReadFile(p)
		in[what+", "+strings.TrimPrefix(p, root+"/")] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A receiver takes webhooks.
type receiver struct {
	url string

	mu  sync.Mutex
	got []byte
}

// receive starts a receiver on an address that the edge is allowed to reach.
func receive(t *testing.T) *receiver {
	t.Helper()
	r := new(receiver)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, b...)
		r.got = fmt.Appendf(r.got, "\n%s %v\n", q.URL, q.Header)
	}))
	l, err := net.Listen("tcp", webhookNetwork+":0")
	if err != nil {
		t.Fatal(err)
	}
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	r.url = srv.URL
	return r
}

// webhookNetwork is the only inside address that the edges of these tests may call.
const webhookNetwork = "127.0.0.11"

func (r *receiver) heard() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.got)
}

// agentKeys are an agent's private keys, from its state folder.
func (a *agent) keys() canaries {
	a.t.Helper()
	b, err := os.ReadFile(filepath.Join(a.dir, "state", "keys.json"))
	if err != nil {
		a.t.Fatal(err)
	}
	var k struct {
		Noise []byte `json:"noise_private"`
		Sign  []byte `json:"sign_seed"`
	}
	if err := json.Unmarshal(b, &k); err != nil || len(k.Noise) != 32 || len(k.Sign) != 32 {
		a.t.Fatalf("keys.json: %v", err)
	}
	return canaries{"the agent's tunnel key": string(k.Noise), "the agent's signing key": string(k.Sign)}
}

// secretsOf collects what a journey with a presigned link hands out.
func (v *environment) secretsOf(link, ticket string) canaries {
	v.t.Helper()
	parsed, err := protocol.ParseTicket(ticket)
	if err != nil {
		v.t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		v.t.Fatal(err)
	}
	console, err := url.Parse(v.edge.console)
	if err != nil {
		v.t.Fatal(err)
	}
	return canaries{
		"the ticket": ticket, "the ticket's secret": parsed.Secret, "the presigned token": u.Query().Get("id_token"),
		"the API key": v.key, "the console link": filepath.Base(console.Path), "the webhook's password": "Bearer hook-canary-5f1c",
	}
}

// hook adds a webhook for everything, with a password.
func (v *environment) hook(r *receiver) {
	v.t.Helper()
	v.do(http.MethodPatch, "/api/envs/"+v.id, map[string]any{"add_webhooks": []any{map[string]any{
		"url": r.url + "/hook", "events": []string{"recover", "directory_provider_err"}, "authorization_header": "Bearer hook-canary-5f1c",
	}}}, nil)
}

// notMe is the token of the newest notice to an address.
func (v *environment) notMe(address string) string {
	v.t.Helper()
	var token string
	poll(v.t, "the owner's notice", func() bool {
		for _, m := range v.mails(address) {
			if t := regexp.MustCompile(`/not-me\?token=([A-Za-z0-9_%-]+)`).FindStringSubmatch(m.Text); t != nil {
				token = t[1]
				return true
			}
		}
		return false
	})
	return token
}

const webhookOption = "allow_private_webhooks " + webhookNetwork + "/32"

// TestP06_P15_T35_NoSecretStandsAnywhere is one journey on one node with everything at
// its loudest, and a proxy that reads inside the agent's TLS.
func TestP06_P15_T35_NoSecretStandsAnywhere(t *testing.T) {
	t.Parallel()
	s := corp(t)
	kai := hire(t, s, "kai", "")
	e := startEdge(t, edgeConfig{TLS: true, Postern: webhookOption})
	v := e.environment(t, "canary", "ldap")
	hooks, proxy := receive(t), intercept(t, e)
	v.hook(hooks)
	a := &agent{t: t, dir: testenv.Dir(t)}
	file := slapdAgent(s)
	file.Hub = fmt.Sprintf("ca_file = %q\nproxy = %q", proxy.caFile, "http://"+proxy.addr)
	a.write(file)
	ticket := v.ticket()
	a.enrol(ticket)
	a.start()
	v.waitSynced(a.began)

	link := v.presign(map[string]any{"email": kai.mail, "ttl": "10m", "operations": []string{"password"}})
	b := testenv.ChromiumTrusting(t, e.caFile())
	b.Open(link)
	if at := b.Eval("location.href"); at != v.site+"/" {
		t.Errorf("after the first hit the browser is at %s", at)
	}
	j := v.on(b)
	j.goOn("password")
	code := v.code(kai.private, 0)
	wrong := "00000000"
	b.Type("#code", wrong)
	b.Click("main form button")
	b.Wait(`document.querySelector('#code-error')`)
	j.prove(code)
	password := j.reset()
	if err := s.WhoAmI(kai.dn, password); err != nil {
		t.Fatal(err)
	}
	secrets := v.secretsOf(link, ticket)
	secrets["the temporary password"], secrets["the code"], secrets["the objection's token"] = password, code, v.notMe(kai.mail)
	for name, key := range a.keys() {
		secrets[name] = key
	}
	search(t, places{"the edge's memory": memory(t, e.child.PID())}, canaries{"the temporary password": password})
	j.acknowledge(password)
	a.stop()

	where := places{"webhooks": hooks.heard()}
	for place, said := range proxy.heard() {
		where[place] = said
	}
	files(t, where, e.dir, "edge", "master.key")
	seen(t, where, map[string]string{
		"webhooks": v.directory, "edge, access.log": "/choose", "edge, edge.log": v.directory, "tunnel, agent to hub": "GET /api/agent", "tunnel, hub to agent": "postern.agent.v1",
	})
	seen(t, where, map[string]string{"edge, access.log": "id_token="})
	if n := len(where["tunnel, agent to hub, unmasked"]); n < 4<<10 {
		t.Errorf("the proxy read only %d bytes of the tunnel", n)
	}
	if b := bytes.Join([][]byte{where["edge, data/postern.db"], where["edge, data/postern.db-wal"]}, nil); !bytes.Contains(b, []byte("recovery_verified")) {
		t.Error("the audit log is not where this test looks for it")
	}
	delete(where, "edge, Caddyfile")
	// Not to be found: neither a secret, nor an address that was read live.
	secrets["the private address"] = kai.private
	delete(secrets, "the webhook's password") // is sent to the webhook, of course
	search(t, where, secrets)

	theirs := places{}
	files(t, theirs, a.dir, "agent", "keys.json", "ldap-password")
	seen(t, theirs, map[string]string{"agent, state/events.jsonl": "perform", "agent, agent.log": "operation ended", "agent, state/journal": "get_temporary_password"})
	search(t, theirs, secrets)
	delete(where, "webhooks")
	search(t, where, canaries{"the webhook's password": "Bearer hook-canary-5f1c"})
}

// seen makes sure that the search looks where things are written.
func seen(t *testing.T, where places, want map[string]string) {
	t.Helper()
	for place, text := range want {
		if !bytes.Contains(where[place], []byte(text)) {
			t.Errorf("%s (%d bytes) does not hold %q: the search proves nothing there", place, len(where[place]), text)
		}
	}
}

// memory is what a process holds in its writable memory (proc_pid_maps(5)).
func memory(t *testing.T, pid int) []byte {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		testenv.Missing(t, "/proc of Linux")
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var all []byte
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		b := make([]byte, to-from)
		n, _ := mem.ReadAt(b, int64(from)) // some pages cannot be read
		all = append(all, b[:n]...)
	}
	if len(all) < 1<<20 {
		t.Fatalf("only %d bytes of the process could be read", len(all))
	}
	return all
}

// TestP06_P15_T10_NoSecretStandsInPostgreSQLOrRedis is the same with the servers of an
// installation of several nodes.
func TestP06_P15_T10_NoSecretStandsInPostgreSQLOrRedis(t *testing.T) {
	t.Parallel()
	dump := testenv.Need(t, "pg_dump")
	s := corp(t)
	luca := hire(t, s, "luca", "")
	redis := testenv.StartRedis(t)
	traffic := monitor(t, redis.Addr)
	store := testenv.SharedPostgres(t).Database(t)
	key := filepath.Join(testenv.Dir(t), "master.key")
	if err := os.WriteFile(key, bytes.Repeat([]byte{0xa5, 0x3c}, 16), 0o600); err != nil {
		t.Fatal(err)
	}
	e := startEdge(t, edgeConfig{Store: store, Redis: redis.URL(), MasterKey: key, Postern: webhookOption})
	v := e.environment(t, "canary2", "ldap")
	hooks := receive(t)
	v.hook(hooks)
	a := &agent{t: t, dir: testenv.Dir(t)}
	a.write(slapdAgent(s))
	ticket := v.ticket()
	a.enrol(ticket)
	a.start()
	v.waitSynced(a.began)

	link := v.presign(map[string]any{"email": luca.mail, "ttl": "10m"})
	p := v.visit()
	p.get(strings.TrimPrefix(link, v.site))
	p.post("start", "email", luca.mail)
	p.want(http.StatusOK, "the address")
	p.post("choose", "op", "password")
	code := v.code(luca.private, 0)
	p.prove(code)
	p.press()
	password := p.finish()
	if err := s.WhoAmI(luca.dn, password); err != nil {
		t.Fatal(err)
	}
	secrets := v.secretsOf(link, ticket)
	secrets["the temporary password"], secrets["the code"], secrets["the private address"] = password, code, luca.private
	secrets["the objection's token"] = v.notMe(luca.mail)
	secrets["the master key"] = string(bytes.Repeat([]byte{0xa5, 0x3c}, 16))
	for name, key := range a.keys() {
		secrets[name] = key
	}
	sql, err := exec.CommandContext(soon(t), dump, "--no-owner", store).Output()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := redis.Do(soon(t), "EVAL", `local r = {} for _, k in ipairs(redis.call('KEYS', '*')) do r[#r+1] = k .. '\n' .. redis.call('DUMP', k) end return table.concat(r, '\n')`, "0")
	if err != nil {
		t.Fatal(err)
	}
	where := places{"PostgreSQL": sql, "Redis": []byte(kept), "what was said to Redis": traffic()}
	files(t, where, e.dir, "edge", "master.key", "Caddyfile")
	seen(t, where, map[string]string{"PostgreSQL": "recovery_verified", "Redis": "postern", "what was said to Redis": "postern", "edge, access.log": "/choose"})
	search(t, where, secrets)
}

// monitor writes down every command that a Redis server is given.
func monitor(t *testing.T, addr string) func() []byte {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []byte
	var wg sync.WaitGroup
	if _, err := io.WriteString(c, "MONITOR\r\n"); err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		b := make([]byte, 64<<10)
		for {
			n, err := c.Read(b)
			mu.Lock()
			all = append(all, b[:n]...)
			mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { _ = c.Close(); wg.Wait() })
	return func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(all)
	}
}
