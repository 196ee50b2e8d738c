package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// A service is an organisation's receiver that behaves as the test says.
type service struct {
	url string

	mu      sync.Mutex
	answer  http.HandlerFunc // nil: 200
	heard   []heard          // in the order of arrival
	arrived chan struct{}    // closed by the first one
}

// heard is one delivery as it came.
type heard struct{ id, body string }

// serve starts a service on an address that the edge may reach; "": a free port.
func serve(t *testing.T, addr string, answer http.HandlerFunc) *service {
	t.Helper()
	if addr == "" {
		addr = webhookNetwork + ":0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{url: "http://" + l.Addr().String() + "/hook", answer: answer, arrived: make(chan struct{})}
	srv := &http.Server{Handler: s}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	if s.heard = append(s.heard, heard{r.Header.Get("X-Nametag-ID"), string(b)}); len(s.heard) == 1 {
		close(s.arrived)
	}
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
}

func (s *service) answers(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *service) got() []heard {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

// ids are the deliveries' ids by what each tells: "request event".
func (s *service) ids(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, h := range s.got() {
		var b struct {
			Event   string
			Request struct{ ID string }
		}
		if err := json.Unmarshal([]byte(h.body), &b); err != nil {
			t.Fatal(err)
		}
		what := b.Request.ID + " " + b.Event
		if !slices.Contains(all[what], h.id) {
			all[what] = append(all[what], h.id)
		}
	}
	return all
}

// events are what a request was said to have gone through, in the order of first arrival.
func (s *service) events(t *testing.T, request string) (names []string) {
	t.Helper()
	for _, h := range s.got() {
		var b struct{ Event string }
		if err := json.Unmarshal([]byte(h.body), &b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(h.body, request) && !slices.Contains(names, b.Event) {
			names = append(names, b.Event)
		}
	}
	return names
}

// hang answers nothing until the caller goes away.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// hooked adds a webhook and returns its id.
func (v *environment) hooked(url string, events ...string) string {
	v.t.Helper()
	v.do(http.MethodPatch, "/api/envs/"+v.id, map[string]any{"add_webhooks": []any{map[string]any{"url": url, "events": events}}}, nil)
	var env struct {
		Webhooks []struct{ ID, URL string }
	}
	v.do(http.MethodGet, "/api/envs/"+v.id, nil, &env)
	return env.Webhooks[len(env.Webhooks)-1].ID
}

// The hub is killed while one receiver is away, one hangs with deliveries under way, one
// answers errors, one redirects inside and one is inside: whoever is well in the end heard
// of everything that was committed, each under one id, and in order; nothing went inside.
func TestNoWebhookIsLostWhenTheHubIsKilledAndNoneGoesInside(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeConfig{Postern: webhookOption})
	v := e.environment(t, "hooks", "ldap")
	good, slow, wrong := serve(t, "", nil), serve(t, "", hang), serve(t, "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	inside := serve(t, "127.0.0.1:0", nil)
	leading := serve(t, "", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inside.url, http.StatusTemporaryRedirect)
	})
	away := fmt.Sprintf("%s:%d", webhookNetwork, testenv.FreePort(t))
	for _, url := range []string{good.url, slow.url, wrong.url, leading.url, inside.url, "http://" + away + "/hook"} {
		v.hooked(url, "request")
	}
	var requests []string
	ask := func() {
		id, _ := v.asks(map[string]any{"claims": []string{"name"}})
		requests = append(requests, id)
	}
	for range 6 { // more than a slow receiver gets at once
		ask()
	}
	v.do(http.MethodPatch, "/api/requests/"+requests[0], map[string]string{"label": "changed"}, nil)
	<-slow.arrived
	<-good.arrived
	ask()
	e.kill() // committed a moment ago
	slow.answers(nil)
	late := serve(t, away, nil)
	e.start(t)
	ask()

	want := map[string]bool{requests[0] + " request_label_changed": true}
	for _, id := range requests {
		want[id+" request_created"] = true
	}
	for name, s := range map[string]*service{"well": good, "slow": slow, "away": late} {
		poll(t, "everything at the receiver that was "+name, func() bool { return len(s.ids(t)) >= len(want) })
		for what, ids := range s.ids(t) {
			if !want[what] || len(ids) != 1 {
				t.Errorf("%s: %s under the ids %v", name, what, ids)
			}
		}
		if got := s.events(t, requests[0]); !slices.Equal(got, []string{"request_created", "request_label_changed"}) {
			t.Errorf("%s: in the order %v", name, got)
		}
	}
	if n := len(inside.got()); n > 0 {
		t.Errorf("%d deliveries went inside", n)
	}
	v.waitsFor(wrong, 500)
	v.waitsFor(leading, 307)
	v.waitsFor(inside, 0)
}

// A told is a delivery in the history.
type told struct {
	ID, URL  string
	Status   int
	Next     *time.Time `json:"next_try"`
	Attempts []struct {
		Status int
		Error  string
	}
}

// waitsFor checks that the history shows deliveries to a service with this status, which
// will be tried again.
func (v *environment) waitsFor(s *service, status int) {
	v.t.Helper()
	var history struct{ Webhooks []told }
	v.do(http.MethodGet, "/api/envs/"+v.id+"/webhooks?count=199", nil, &history)
	n := 0
	for _, d := range history.Webhooks {
		if d.URL == s.url && len(d.Attempts) > 0 {
			n++
			if d.Status != status || d.Next == nil || d.Attempts[0].Error == "" {
				v.t.Errorf("%s: %+v", s.url, d)
			}
		}
	}
	if n == 0 {
		v.t.Errorf("nothing was tried at %s: %d in the history", s.url, len(history.Webhooks))
	}
}

// What the organisation's own service does not allow is not done, whatever keeps it from
// saying so (P19), and the person reads the sentence of the public documents.
func TestP19_ARecoveryStopsWhateverKeepsTheWebhookFromAgreeing(t *testing.T) {
	t.Parallel()
	s := corp(t)
	e := startEdge(t, edgeConfig{Postern: webhookOption})
	v := e.environment(t, "asked", "ldap")
	people := map[string]person{}
	for _, name := range []string{"dead", "slow", "redirects", "inside", "broken", "yes"} {
		people[name] = hire(t, s, "veto-"+name, "")
	}
	v.startAgent(slapdAgent(s))
	inside := serve(t, "127.0.0.1:0", nil)
	away := fmt.Sprintf("http://%s:%d/hook", webhookNetwork, testenv.FreePort(t))
	hook := v.hooked(away, "recover")
	for _, c := range []struct{ name, url string }{
		{"dead", away},
		{"slow", serve(t, "", hang).url},
		{"redirects", serve(t, "", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inside.url, http.StatusTemporaryRedirect)
		}).url},
		{"inside", inside.url},
		{"broken", serve(t, "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }).url},
	} {
		who := people[c.name]
		v.do(http.MethodPatch, "/api/envs/"+v.id, map[string]any{"update_webhook": map[string]any{"id": hook, "url": c.url}}, nil)
		p := v.visit()
		p.begin(who.mail, "password")
		p.prove(v.code(who.private, 0))
		p.press()
		poll(t, "the sentence of the public documents", func() bool {
			p.get("")
			return strings.Contains(p.text(), "A custom integration failed")
		})
		if changes := who.writes(t, s); len(changes) > 0 || p.done() {
			t.Errorf("%s: changed %v", c.name, changes)
		}
	}
	if n := len(inside.got()); n > 0 {
		t.Errorf("%d questions went inside", n)
	}
	yes := serve(t, "", nil)
	v.do(http.MethodPatch, "/api/envs/"+v.id, map[string]any{"update_webhook": map[string]any{"id": hook, "url": yes.url}}, nil)
	who := people["yes"]
	if secret := v.visit().reset(who.mail, func() string { return v.code(who.private, 0) }); s.WhoAmI(who.dn, secret) != nil {
		t.Error("the temporary password does not sign in")
	}
	asked := yes.got()
	if len(asked) != 1 || !strings.Contains(asked[0].body, `"action":"password-reset"`) {
		t.Errorf("asked: %+v", asked)
	}
	var history struct{ Webhooks []told }
	v.do(http.MethodGet, "/api/envs/"+v.id+"/webhooks", nil, &history)
	if len(history.Webhooks) != 6 || history.Webhooks[0].Status != 200 || history.Webhooks[0].ID != asked[0].id || history.Webhooks[1].Attempts[0].Error == "" {
		t.Errorf("history: %+v", history.Webhooks)
	}
}
