package main

import (
	"fmt"
	"net/http"
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
	keySetGoal    = 0.9
)

// What the rows of sign-ins say of themselves.
const (
	signInNote = "over loopback HTTP, client_secret_basic, S256, ES256. Ours: five requests (pushed, authorize, the site's step, return, token), each step a " +
		"compare-and-set on SQLite that is durable before it is answered, four audit rows, and the log's tree beside it; the person's proof is an already proven one from " +
		"memory, without the rows of a request, and buckets are counted but let all through. fosite 0.49.0: three requests, memory, bcrypt cost 4, no audit, no person."
	floorNote = "the same caller and the same five requests, of handlers that keep nothing: two hashes of the client's secret and one ES256 signature. No provider that is " +
		"asked these five requests by this caller can be faster on this machine. CPU is that of the provider and of whoever calls it, together."
	zitadelMissing = "the Go module proxy serves no version of github.com/zitadel/oidc (403)"
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
	ours, floor, peer := startProvider(s), startBare(s), startFosite(s)
	var got, least, base signInSeries
	for range rounds {
		if peer != nil {
			base = base.signedIn(s, peer)
		}
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
		{name: name + ", zitadel/oidc", missing: zitadelMissing},
	}
}

// startFosite builds the peer, which is a module of its own beside this file, and starts it.
// It returns nil, and says so, where this tree does not hold that module.
func startFosite(s *stage) *relyingParty {
	_, here, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(here), "peers")
	if _, err := os.Stat(source); err != nil {
		s.Logf("no fosite to compare with: %v", err)
		return nil
	}
	dir := s.disk()
	path := filepath.Join(dir, "peer")
	cmd := exec.CommandContext(s.ctx, "go", "build", "-o", path, ".")
	cmd.Dir, cmd.Env = source, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("the peer cannot be built: %v: %s", err, out)
	}
	address := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(s))
	r := newRelyingParty(endpoints{par: "http://" + address + "/par", authorize: "http://" + address + "/authorize", token: "http://" + address + "/token"}, "bench", strings.Repeat("s", 43))
	r.process = testenv.Start(s, testenv.Command{Path: path, Args: []string{"-listen", address, "-client", r.client, "-secret", r.secret, "-back", signInBack}, Dir: dir,
		Ready: r.signIn}).PID()
	return r
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
