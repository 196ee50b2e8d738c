package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// What is compared of the OpenID provider, and what is to be reached.
const (
	signInCallers = 16
	fositeGoal    = 4
	zitadelGoal   = 2.5
	keySetGoal    = 0.9
)

// What the rows of sign-ins say of themselves.
const (
	signInNote = "over loopback HTTP, client_secret_basic, S256, ES256. Ours: five requests (pushed, authorize, the site's step, return, token), each a " +
		"compare-and-set; the token is durable on SQLite before it is answered, with whatever of its sign-in was written behind (decision 15): the single use, four audit rows, and the " +
		"log's tree beside it. The person's proof is an already proven one from memory: in the product its end is a transaction of its own, with the rows of a proof, which no peer " +
		"has. Buckets are counted but let all through. The hub has its ballast and its processor more (decision 17), as the edge does; the peers are as Go has it. fosite 0.49.0: three requests, memory, bcrypt cost 4, no audit, no person."
	floorNote = "the same caller and the same five requests, of handlers that keep nothing: two hashes of the client's secret and one ES256 signature. No provider that is " +
		"asked these five requests by this caller can be faster on this machine. CPU is that of the provider and of whoever calls it, together."
	zitadelNote = "the example provider of zitadel/oidc 3.51.17: four requests (authorize, its login form, callback, token), memory, RS256 as it is, no pushed request, no audit, its " +
		"log thrown away. Of its modules no proxy serves three: gorilla/schema stands in for zitadel/schema, its fork, and a function or two of a map and a list for the others."
)

// measureOIDC compares whole sign-ins with those at a peer, and then the key set.
func measureOIDC(s *stage, rounds int) (rows []row) {
	s.act(func(s *stage) { rows = signInRows(s, rounds) })
	s.act(func(s *stage) { rows = append(rows, keySetRows(s, rounds)...) })
	return rows
}

// A signInSeries is what rounds found at one provider.
type signInSeries struct {
	pageSeries
	cpu series // µs of the processors for each sign-in, of the provider and its callers
}

// signedIn adds a round.
func (p signInSeries) signedIn(s *stage, r *relyingParty) signInSeries {
	var processes []int
	if r.process != 0 {
		processes = []int{r.process}
	}
	before := processorTime(s, processes...)
	rate, waits := drive(s, signInCallers, r.signIn)
	used := processorTime(s, processes...) - before
	return signInSeries{p.with(rate, waits), append(p.cpu, float64(used/time.Microsecond)/float64(len(waits)))}
}

func signInRows(s *stage, rounds int) []row {
	ours, floor, peer, example := startProvider(s), startBare(s), startFosite(s), startZitadel(s)
	var got, least, base, other signInSeries
	for range rounds {
		base = base.signedIn(s, peer)
		other = other.signedIn(s, example)
		least = least.signedIn(s, floor)
		got = got.signedIn(s, ours)
	}
	name := fmt.Sprintf("oidc: sign-ins, c=%d", signInCallers)
	return []row{
		{name: name, unit: "/s", anchor: "fosite", base: base.rate, ours: got.rate, goal: atLeast(fositeGoal), note: signInNote},
		{name: name + ", p50", unit: "µs", anchor: "fosite", base: base.half, ours: got.half},
		{name: name + ", p99", unit: "µs", anchor: "fosite", base: base.most, ours: got.most},
		{name: name + ", CPU of each", unit: "µs", anchor: "fosite", base: base.cpu, ours: got.cpu},
		{name: name + ", HTTP and one signature alone", unit: "/s", anchor: "fosite", base: base.rate, ours: least.rate, note: floorNote},
		{name: name + ", HTTP and one signature alone, CPU of each", unit: "µs", anchor: "fosite", base: base.cpu, ours: least.cpu},
		{name: name, unit: "/s", anchor: "zitadel", base: other.rate, ours: got.rate, goal: atLeast(zitadelGoal), note: zitadelNote},
		{name: name + ", p50", unit: "µs", anchor: "zitadel", base: other.half, ours: got.half},
		{name: name + ", CPU of each", unit: "µs", anchor: "zitadel", base: other.cpu, ours: got.cpu},
	}
}

// startFosite starts a provider of fosite, which answers whoever comes at once.
func startFosite(s *stage) *relyingParty {
	address := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(s))
	r := newRelyingParty(endpoints{par: "http://" + address + "/par", authorize: "http://" + address + "/authorize", token: "http://" + address + "/token"}, "bench", strings.Repeat("s", 43))
	r.startPeer(s, "fosite", address)
	return r
}

// startZitadel starts the example provider of zitadel/oidc, whose people sign in by a form.
func startZitadel(s *stage) *relyingParty {
	address := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(s))
	r := newRelyingParty(endpoints{authorize: "http://" + address + "/auth", token: "http://" + address + "/oauth/token"}, "bench", strings.Repeat("s", 43))
	r.algorithm, r.prove = "RS256", r.login
	r.startPeer(s, "zitadel", address)
	return r
}

// login fills in the form of the example, as its one user who has a plain name.
func (r *relyingParty) login(ctx context.Context, to *url.URL) (string, error) {
	form := url.Values{"id": {to.Query().Get("authRequestID")}, "username": {"test-user2"}, "password": {"verysecure"}}
	back, _, err := r.follow(ctx, http.MethodPost, to.String(), formField, form.Encode())
	if err != nil {
		return "", err
	}
	return back.String(), nil
}

// startPeer builds a peer, which is a module of its own beside this file, and starts it for
// the client.
func (r *relyingParty) startPeer(s *stage, name, address string) {
	_, here, _, _ := runtime.Caller(0)
	dir := s.disk()
	path := filepath.Join(dir, name)
	cmd := exec.CommandContext(s.ctx, "go", "build", "-o", path, ".")
	cmd.Dir, cmd.Env = filepath.Join(filepath.Dir(here), "peers", name), append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("the peer %s cannot be built: %v: %s", name, err, out)
	}
	r.process = testenv.Start(s, testenv.Command{Path: path, Args: []string{"-listen", address, "-client", r.client, "-secret", r.secret, "-back", signInBack}, Dir: dir,
		Ready: r.signIn}).PID()
}

// keySetPath is the key set of applications, on the host of public_url.
const keySetPath = "/oauth2/jwks"

// keySetRows asks an edge for the key set of a client, and for as many bytes with the same
// header of a site whose respond has them.
func keySetRows(s *stage, rounds int) (rows []row) {
	e := startEdge(s)
	s.need(e.call(s.ctx, http.MethodPost, "/api/envs/"+e.env+"/oidc-clients",
		map[string]any{"contract": "openid", "name": "Bench", "redirect_uris": []string{signInBack}}, nil))
	var set fetched
	for set = e.fetch(s, "localhost", keySetPath); !strings.Contains(string(set.body), "ES256"); set = e.fetch(s, "localhost", keySetPath) {
		s.wait(askAgain)
	}
	e.child.Stop()
	e.run(s, fetched{set.header, []byte(strings.NewReplacer("{", "(", "}", ")").Replace(string(set.body))), set.size}.respond(s, e.port))
	twin := e.fetch(s, twinHost, keySetPath)
	s.need(e.fetch(s, "localhost", keySetPath).sameAs(twin))
	ours, anchor := e.visitors(s, "localhost", keySetPath, set), e.visitors(s, twinHost, keySetPath, twin)
	var got, base pageSeries
	for range rounds {
		base = base.with(drive(s, signInCallers, anchor))
		got = got.with(drive(s, signInCallers, ours))
	}
	name := fmt.Sprintf("oidc: key set, c=%d", signInCallers)
	return []row{
		{name: name, unit: "/s", anchor: "Caddy's respond", base: base.rate, ours: got.rate, goal: atLeast(keySetGoal),
			note: "plain HTTP/1.1 on connections that stay, both from one process of the edge; respond has as many bytes and the same header"},
		{name: name + ", p99", unit: "µs", anchor: "Caddy's respond", base: base.most, ours: got.most},
	}
}
