package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/internal/testenv"
)

// A legacyAgent is a client of the public agent protocol with its habits: one call in
// flight and nothing read meanwhile, replies paired by order, frames of at most 32 KiB
// taken, newlines behind its frames, no ping answered while it works.
type legacyAgent struct {
	t     *testing.T
	ws    *websocket.Conn
	ended chan struct{}

	mu        sync.Mutex
	asked     []string // kinds of requests, in order
	performed []string // operations that were no dry runs
	largest   int
}

// The one directory that a legacy agent has.
const (
	legacyAccount  = "7d1f44a2-0000-4000-8000-000000000001"
	legacyEmail    = "pat@legacy.example"
	legacyPassword = "Canary<&>Legacy-4711"
)

// dialLegacy connects, or returns the status of the refusal.
func dialLegacy(t *testing.T, hub, token string) (*legacyAgent, int) {
	t.Helper()
	header := http.Header{"User-Agent": {"Go-http-client/1.1"}}
	ws, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(hub, "http")+"/api/diragent?auth="+url.QueryEscape(token), header)
	if err != nil {
		if resp == nil {
			t.Fatal(err)
		}
		return nil, resp.StatusCode
	}
	a := &legacyAgent{t: t, ws: ws, ended: make(chan struct{})}
	go a.work()
	t.Cleanup(func() { _ = ws.Close(); <-a.ended })
	return a, http.StatusSwitchingProtocols
}

// work answers one request after another until the socket ends.
func (a *legacyAgent) work() {
	defer close(a.ended)
	a.ws.SetReadLimit(32768)
	for {
		_, msg, err := a.ws.ReadMessage()
		if err != nil {
			return
		}
		var request map[string]json.RawMessage
		if err := json.Unmarshal(msg, &request); err != nil || len(request) != 1 {
			a.t.Errorf("the hub sent %s", msg)
			return
		}
		a.mu.Lock()
		a.largest = max(a.largest, len(msg))
		var reply any
		for kind, body := range request {
			a.asked = append(a.asked, kind)
			reply = a.answer(kind, body)
		}
		a.mu.Unlock()
		<-time.After(20 * time.Millisecond) // the worker works, and the agent does not read
		text, _ := json.Marshal(reply)
		if err := a.ws.WriteMessage(websocket.TextMessage, append(text, '\n')); err != nil {
			return
		}
	}
}

// answer is what a provider script says. It knows no field for what we call contacts.
func (a *legacyAgent) answer(kind string, body json.RawMessage) any {
	person := map[string]any{"immutable_id": legacyAccount, "ids": []string{legacyEmail, "pat@home.example"}, "name": "Pat O'Hara", "groups": nil, "updated_at": "0001-01-01T00:00:00Z"}
	switch kind {
	case "configure":
		return map[string]any{"configure": map[string]any{"immutable_id": "dir-1", "traits": map[string]any{"name": "Legacy", "can_get_temporary_password": true, "can_unlock": true}}}
	case "list_accounts":
		return map[string]any{"list_accounts": map[string]any{"accounts": []any{person}, "next_cursor": nil}}
	case "get_account":
		return map[string]any{"get_account": map[string]any{"accounts": []any{person}}}
	case "list_groups":
		return map[string]any{"list_groups": map[string]any{"groups": []any{}}}
	case "perform_operation":
		var q struct {
			Operation string
			Account   string `json:"account_immutable_id"`
			DryRun    bool   `json:"dry_run"`
		}
		if err := json.Unmarshal(body, &q); err != nil || q.Account != legacyAccount {
			return map[string]any{"error": map[string]string{"code": "account_not_found", "message": "nobody"}}
		}
		result := map[string]any{}
		if !q.DryRun {
			a.performed = append(a.performed, q.Operation)
			if q.Operation == "get_temporary_password" {
				result["temporary_password"] = legacyPassword
			}
		}
		return map[string]any{"perform_operation": result}
	}
	return map[string]any{"error": map[string]string{"code": "internal_error", "message": "unknown operation"}}
}

// has reports whether a kind of request came.
func (a *legacyAgent) has(kind string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.asked, kind)
}

func (a *legacyAgent) done() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.performed...)
}

func TestT24_LegacyAgentsServeUntilANativeOneIsEnrolled(t *testing.T) {
	e := sharedEdge(t)
	v := e.environment(t, "legacy", "custom")
	var token struct {
		Token string `json:"agent_token"`
	}
	v.do(http.MethodGet, "/api/directories/"+v.directory+"/regenerate-directory-agent-token", nil, &token)
	if _, status := dialLegacy(t, e.url, token.Token+"x"); status != http.StatusUnauthorized && status != http.StatusForbidden {
		t.Fatalf("a wrong token: %d", status)
	}
	if _, status := dialLegacy(t, e.url, v.key); status == http.StatusSwitchingProtocols {
		t.Fatal("an API key was taken for an agent's token")
	}
	since := time.Now()
	a, _ := dialLegacy(t, e.url, token.Token)
	if a == nil {
		t.Fatal("the token was refused")
	}
	v.waitSynced(since)

	who := newVisitor(t, v.site, e.port)
	offers := func(action string) bool {
		t.Helper()
		who.path = ""
		who.get("/")
		who.post("start", "email", legacyEmail)
		who.want(http.StatusOK, "the address")
		return strings.Contains(who.page, `value="`+action+`"`)
	}
	if offers("password") || !offers("unlock") {
		t.Errorf("without allow_unsealed: %s", who.text())
	}
	v.change(map[string]any{"allow_unsealed": true})
	if !offers("password") {
		t.Errorf("with allow_unsealed: %s", who.text())
	}
	who.post("choose", "op", "password")
	who.want(http.StatusOK, "the choice")
	poll(t, "the agent is asked for a dry run", func() bool { return a.has("perform_operation") })
	if got := a.done(); len(got) > 0 {
		t.Errorf("operations before the proof: %v", got)
	}
	if n := v.codes(legacyEmail) + v.codes("pat@home.example"); n > 0 { // both are identifiers of what is recovered
		t.Errorf("%d codes were sent to addresses of the account itself", n)
	}

	native := &agent{t: t, dir: testenv.Dir(t)}
	native.write(agentConfig{Directory: "kind = \"demo\""})
	native.enrol(v.ticket())
	select {
	case <-a.ended:
	case <-time.After(within):
		t.Error("the legacy agent is connected beside an enrolled one")
	}
	if _, status := dialLegacy(t, e.url, token.Token); status != http.StatusUnauthorized {
		t.Errorf("a legacy agent beside an enrolled one: %d", status)
	}
	if status, _, _ := v.try(http.MethodGet, "/api/directories/"+v.directory+"/regenerate-directory-agent-token", nil); status != http.StatusBadRequest {
		t.Errorf("a token for a directory with an enrolled agent: %d", status)
	}
	for name, text := range e.logs(t) {
		for _, secret := range []string{token.Token, url.QueryEscape(token.Token), legacyPassword} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds a secret of the legacy agent", name)
			}
		}
	}
	if a.largest > 32768 {
		t.Errorf("the hub sent %d bytes at once", a.largest)
	}
}
