package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/postern-id/postern/internal/testenv"
)

// A worker uses the API through nodes that it picks at random, and asks again where a
// node does not answer.
type worker struct {
	c       *cluster
	nodes   *atomic.Pointer[[]*edge]
	retried *atomic.Int64
	stop    time.Time

	template string
}

// do sends one request until a node answers, and returns status and body.
func (w *worker) do(method, path string, in any) (status int, body []byte) {
	deadline := time.Now().Add(within)
	for {
		nodes := *w.nodes.Load()
		client := nodes[rand.IntN(len(nodes))].rest(w.c.t)
		client.key = w.c.key
		status, body, err := client.try(method, path, in)
		if err == nil && status < 500 && status != http.StatusTooManyRequests {
			return status, body
		}
		if time.Now().After(deadline) {
			w.c.t.Errorf("%s %s: still %d %v %s", method, path, status, err, body)
			return status, body
		}
		w.retried.Add(1)
		<-time.After(100 * time.Millisecond)
	}
}

// want is do for what must have one of these statuses.
func (w *worker) want(out any, method, path string, in any, statuses ...int) {
	status, body := w.do(method, path, in)
	for _, s := range statuses {
		if s == status {
			if out != nil && json.Unmarshal(body, out) != nil {
				w.c.t.Errorf("%s %s: %s", method, path, body)
			}
			return
		}
	}
	w.c.t.Errorf("%s %s: %d, want %v: %s", method, path, status, statuses, body)
}

// life is everything that happens to a few things of an environment.
func (w *worker) life(n int) {
	env := "/api/envs/" + w.c.id
	var asked, key struct{ ID, Link string }
	w.want(&asked, "POST", "/api/requests", map[string]any{"env": w.c.id, "claims": []string{"name"}, "label": fmt.Sprint("label ", n)}, 201)
	w.want(nil, "PATCH", "/api/requests/"+asked.ID, map[string]any{"label": "changed"}, 204)
	var seen struct{ Label, Status string }
	w.want(&seen, "GET", "/api/requests/"+asked.ID, nil, 200)
	if seen.Label != "changed" {
		w.c.t.Errorf("another node reads %q", seen.Label)
	}
	w.want(nil, "DELETE", "/api/requests/"+asked.ID, nil, 204, 409) // 409: the first try's answer was lost
	w.want(nil, "PATCH", env+"/templates/"+w.template, map[string]any{"qr_headline": fmt.Sprint("Round ", n)}, 204)
	w.want(&key, "POST", "/api/apikeys", map[string]any{"name": "k", "role": "limited"}, 201)
	w.want(nil, "DELETE", "/api/apikeys/"+key.ID, nil, 204, 404)
	w.want(nil, "POST", env+"/recovery_microsite/presign", map[string]any{"email": "ada@example.com", "ttl": "1h", "flow": ""}, 200)
	w.want(nil, "GET", "/api/accounts?count=5", nil, 200)
	w.want(nil, "GET", "/api/audit?kind=request_created&count=5", nil, 200)
	w.want(nil, "GET", "/api/audit/checkpoints", nil, 200)
	w.want(nil, "GET", "/api/directories/"+w.c.directory, nil, 200)
}

// Requests go to nodes at random while one of two is killed: whoever asks again gets
// everything done, the other node knows all of it, and the audit log is one.
func TestP25_TheAPIOutlivesANodeThatIsKilledInMidRun(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	var nodes atomic.Pointer[[]*edge]
	both := []*edge{c.nodes[0], c.nodes[1]}
	nodes.Store(&both)
	w := &worker{c: c, nodes: &nodes, retried: new(atomic.Int64), stop: time.Now().Add(12 * time.Second)}
	var template struct{ ID string }
	w.want(&template, "POST", "/api/envs/"+c.id+"/templates", map[string]any{"name": "Rounds"}, 200)
	w.template = template.ID
	var wg sync.WaitGroup
	var rounds atomic.Int64
	for i := range 4 {
		wg.Go(func() {
			for n := 0; n < 200 && time.Now().Before(w.stop) && !t.Failed(); n++ {
				w.life(1000*i + n)
				rounds.Add(1)
			}
		})
	}
	poll(t, "some rounds on both nodes", func() bool { return rounds.Load() > 8 || t.Failed() })
	c.kill(c.nodes[0])
	before := rounds.Load()
	poll(t, "rounds after the kill", func() bool { return rounds.Load() > before+4 || t.Failed() })
	one := []*edge{c.nodes[1]}
	nodes.Store(&one) // as a balancer that noticed
	wg.Wait()
	if w.retried.Load() == 0 {
		t.Error("nobody asked the node that was killed")
	}
	t.Logf("%d rounds, %d requests were repeated", rounds.Load(), w.retried.Load())
	c.verified(t)
	var list struct{ Events []struct{ Kind string } }
	w.want(&list, "GET", "/api/audit?kind=request_created&count=1000", nil, 200)
	if got := int64(len(list.Events)); got < rounds.Load() {
		t.Errorf("%d requests were made and the log tells of %d", rounds.Load(), got)
	}
}

// verified exports the audit log and checks it as an auditor would.
func (c *cluster) verified(t *testing.T) {
	t.Helper()
	file := filepath.Join(testenv.Dir(t), "log.jsonl")
	run := func(args ...string) {
		cmd := exec.CommandContext(soon(t), programs.postern, append(args, "--server", c.living()[0].address("localhost"))...)
		cmd.Env = append(os.Environ(), "POSTERN_KEY="+c.key)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	run("audit", "leaves", "--out", file)
	run("audit", "verify", file)
}

// Somebody proves who they are to an application while each request goes to another node, and
// while those die that know what came last.
func TestP25_ASignInSwitchesNodesWithEveryRequest(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2)
	a := c.application(t)
	a.signsIn(t, func() {}, func() {})
	for _, n := range c.nodes {
		if c.front.count(n) == 0 {
			t.Error("a node was never asked")
		}
	}
	first, second := c.nodes[0], c.nodes[1]
	c.front.serve(first)
	a.signsIn(t, func() { c.kill(first) }, func() {
		first.start(t)
		c.kill(second)
	})
}

// An application asks a cluster, through its balancer, who somebody is.
type application struct {
	*relying
	cluster  *cluster
	ctx      context.Context
	provider *oidc.Provider
	conf     oauth2.Config
}

func (c *cluster) application(t *testing.T) *application {
	t.Helper()
	front := *c.nodes[1]
	front.port = c.front.port
	env := *c.environment
	env.edge = &front
	v := &relying{&env, walletOf(t, env.trusting(), "ERIKA", "MUSTERMANN")}
	const callback = "https://app.example.com/callback"
	id, secret := v.relying(map[string]any{"name": "App", "redirect_uris": []string{callback}})
	ctx := oidc.ClientContext(t.Context(), loopback(nil, nil))
	provider, err := oidc.NewProvider(ctx, c.front.url("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	return &application{v, c, ctx, provider, oauth2.Config{ClientID: id, ClientSecret: secret, Endpoint: provider.Endpoint(), RedirectURL: callback, Scopes: []string{oidc.ScopeOpenID, "profile"}}}
}

// signsIn signs somebody in, with something that happens once the request was pushed, and once
// there is a code.
func (a *application) signsIn(t *testing.T, pushed, coded func()) {
	t.Helper()
	proof, nonce, callback := oauth2.GenerateVerifier(), "n-1", a.conf.RedirectURL
	asks := a.cluster.push(t, a.conf, url.Values{"response_type": {"code"}, "scope": {"openid profile"}, "redirect_uri": {callback}, "state": {"s-1"}, "nonce": {nonce},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(proof)}, "code_challenge_method": {"S256"}})
	pushed()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	person := newVisitor(t, a.cluster.site, a.edge.port)
	person.client = loopback(nil, jar)
	p := &prover{visitor: person, edge: a.edge, wallet: a.wallet}
	q := p.proves(a.conf.Endpoint.AuthURL+"?"+url.Values{"client_id": {a.conf.ClientID}, "request_uri": {asks}}.Encode(), callback).values(t)
	coded()
	token, err := a.conf.Exchange(a.ctx, q.Get("code"), oauth2.VerifierOption(proof))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	said, err := a.provider.VerifierContext(a.ctx, &oidc.Config{ClientID: a.conf.ClientID}).Verify(a.ctx, raw)
	if err != nil || said.Nonce != nonce || q.Get("state") != "s-1" {
		t.Errorf("%v, %+v", err, said)
	}
}

// push registers an authorization request and returns its request_uri.
func (c *cluster) push(t *testing.T, conf oauth2.Config, form url.Values) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, c.front.url("localhost")+"/oauth2/par", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(conf.ClientID)+":"+url.QueryEscape(conf.ClientSecret))))
	resp, err := loopback(nil, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	var out struct {
		URI string `json:"request_uri"`
	}
	if err := json.Unmarshal(b, &out); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	return out.URI
}
