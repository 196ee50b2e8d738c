package tunnel

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// A publicAgent is an agent of the public protocol with all its habits: it does one
// thing at a time and does not look at the socket meanwhile, answers in order, appends a
// line feed, closes on a frame above 32 KiB or on broken JSON, keeps dead sockets open,
// and may vanish in the middle of a call.
type publicAgent struct {
	t     *testing.T
	token string
	// answer returns the reply, or nil to vanish without one.
	answer func(request map[string]json.RawMessage) any
	asked  atomic.Int64
	serial atomic.Int64 // calls under way: never above 1
}

const publicLimit = 32768

// newToken gives the fixture's directory a token of the public protocol.
func (in *installation) newToken(t *testing.T) string {
	t.Helper()
	token := "tok+a/b=c" + rand.Text()
	must(t, in.store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.SetLegacyToken(t.Context(), in.Env.ID, in.Directory.ID, store.HashToken(token))
	}))
	return token
}

func (p *publicAgent) open(n *node) (*websocket.Conn, *http.Response, error) {
	address := "ws" + strings.TrimPrefix(n.server.URL, "http") + LegacyPath + "?auth=" + url.QueryEscape(p.token)
	return websocket.DefaultDialer.Dial(address, http.Header{"User-Agent": {"Go-http-client/1.1"}})
}

// connect opens a socket and serves it until it ends.
func (p *publicAgent) connect(n *node) (ws *websocket.Conn, ended chan error) {
	p.t.Helper()
	n.roster.mu.Lock()
	before := n.roster.next
	n.roster.mu.Unlock()
	ws, _, err := p.open(n)
	if err != nil {
		p.t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() { ended <- p.run(ws) }()
	p.t.Cleanup(func() { _ = ws.Close() })
	testenv.Eventually(p.t, "the hub is ready for the socket", func() bool {
		for _, c := range n.roster.all() {
			if c.legacy() && c.seq > before && c.attached() != nil && c.claimed.Load() != 0 {
				return true
			}
		}
		return false
	})
	return ws, ended
}

func (p *publicAgent) run(ws *websocket.Conn) error {
	for {
		_, msg, err := ws.ReadMessage() // the only time at which pings are answered
		if err != nil {
			return err
		}
		var request map[string]json.RawMessage
		switch {
		case len(msg) > publicLimit:
			return p.hangUp(ws, websocket.CloseMessageTooBig)
		case json.Unmarshal(msg, &request) != nil || len(request) != 1:
			return p.hangUp(ws, websocket.CloseInvalidFramePayloadData)
		}
		p.asked.Add(1)
		if p.serial.Add(1) > 1 {
			p.t.Error("two calls at once")
		}
		reply := p.answer(request)
		p.serial.Add(-1)
		if reply == nil {
			_ = ws.NetConn().Close() // the worker died, and the process with it
			return errors.New("vanished")
		}
		text, ok := reply.(string)
		if !ok {
			b, _ := json.Marshal(reply)
			text = string(b)
		}
		if err := ws.WriteMessage(websocket.TextMessage, []byte(text+"\n")); err != nil {
			return err
		}
	}
}

func (p *publicAgent) hangUp(ws *websocket.Conn, code int) error {
	_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
	_ = ws.Close()
	return fmt.Errorf("closed with %d", code)
}

// company answers like a worker with a few accounts.
func company(request map[string]json.RawMessage) any {
	for kind, body := range request {
		switch kind {
		case "configure":
			return `{"configure":{"immutable_id":"","traits":{"name":"people","can_get_temporary_password":true,"can_unlock":true,"can_update_accounts_list":true,"can_must_change":true}}}`
		case "list_accounts":
			var q legacyList
			_ = json.Unmarshal(body, &q)
			if q.Cursor == "" {
				return `{"list_accounts":{"accounts":[{"immutable_id":"e1","ids":["ada@example.com","ada"],"name":"Ada <b>","birth_date":"1990-01-02","updated_at":"2026-10-01T10:00:00+02:00"}],"next_cursor":"c1"}}`
			}
			return `{"list_accounts":{"accounts":[{"immutable_id":"e2","ids":null,"name":"Bob","groups":null,"updated_at":"0001-01-01T00:00:00Z","unknown":[]},{"immutable_id":"","ids":["x"]}]}}`
		case "get_account":
			var q legacyGet
			_ = json.Unmarshal(body, &q)
			switch q.Ref.ImmutableID {
			case "":
				return nil // the worker panics, and the agent exits as if all were well
			case "e1":
				return `{"get_account":{"accounts":[{"immutable_id":"e1","ids":["ada@example.com","ada"],"name":"Ada","groups":[{"immutable_id":"g","name":"staff","kind":""}]},{"immutable_id":"e9","ids":[],"name":"a pattern matched"}]}}`
			}
			return `{"get_account":{"accounts":null}}`
		case "list_groups":
			return `{"list_groups":{"groups":[{"immutable_id":"g","name":"staff","kind":""}],"next_cursor":"always"}}`
		case "perform_operation":
			return `{"perform_operation":{"temporary_password":"Tmp-canary-4711"}}`
		}
	}
	return `{}`
}

func (in *installation) allowUnsealed(t *testing.T) {
	t.Helper()
	must(t, in.store.Tx(t.Context(), func(tx *store.Tx) error {
		d, err := tx.Directory(t.Context(), in.Env.ID, in.Directory.ID)
		if err != nil {
			return err
		}
		d.Settings.AllowUnsealed = true
		return tx.UpdateDirectory(t.Context(), d)
	}))
}

func startLegacy(t *testing.T, answer func(map[string]json.RawMessage) any) (*installation, *node, *publicAgent) {
	t.Helper()
	in := install(t)
	n := in.start(t)
	p := &publicAgent{t: t, token: in.newToken(t), answer: answer}
	p.connect(n)
	return in, n, p
}

func TestALegacyDirectoryIsReadThroughTheSameCalls(t *testing.T) {
	in, n, _ := startLegacy(t, company)
	must(t, in.store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.SetBirthDateKey(t.Context(), in.Env.ID, in.Directory.ID, []byte("0123456789abcdef"))
	}))
	ctx := t.Context()
	var d protocol.Description
	must(t, n.Call(ctx, in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, &d))
	if d.Traits.Name != "people" || !d.Traits.CanUnlock || d.Traits.CanMustChange {
		t.Errorf("described as %+v", d)
	}
	var first, second protocol.ListPage
	must(t, n.Call(ctx, in.to(), protocol.MethodList, protocol.PrioritySync, protocol.ListRequest{}, &first))
	must(t, n.Call(ctx, in.to(), protocol.MethodList, protocol.PrioritySync, protocol.ListRequest{Pass: first.Pass}, &second))
	if first.Done || !first.Full || len(first.Accounts) != 1 || first.Accounts[0].ID != "e1" || first.Accounts[0].Name != "Ada <b>" {
		t.Errorf("first page %+v", first)
	}
	if b := first.Accounts[0].BirthDate; b != protocol.BirthDateHash([]byte("0123456789abcdef"), "e1", "1990-01-02") {
		t.Errorf("birth date %q", b)
	}
	if !second.Done || len(second.Accounts) != 1 || second.Accounts[0].ID != "e2" || second.Accounts[0].Identifiers == nil || second.State != "2026-10-01T08:00:00Z" {
		t.Errorf("second page %+v", second)
	}
	var list protocol.AccountList
	must(t, n.Call(ctx, in.to(), protocol.MethodGet, protocol.PriorityLookup, protocol.Ref{ID: "e1"}, &list))
	if len(list.Accounts) != 1 || list.Accounts[0].Groups[0].Name != "staff" {
		t.Errorf("account %+v", list)
	}
	must(t, n.Call(ctx, in.to(), protocol.MethodGet, protocol.PriorityLookup, protocol.Ref{ID: "nobody"}, &list))
	if len(list.Accounts) != 0 {
		t.Errorf("nobody is %+v", list)
	}
	wantCode(t, "by identifier", n.Call(ctx, in.to(), protocol.MethodGet, protocol.PriorityLookup, protocol.Ref{Identifier: "ada"}, &list), protocol.CodeUnsupported)
	var groups protocol.GroupList
	must(t, n.Call(ctx, in.to(), protocol.MethodListGroups, protocol.PriorityLookup, protocol.GroupsRequest{Prefix: "s"}, &groups))
	if len(groups.Groups) != 1 {
		t.Errorf("groups %+v", groups)
	}
	wantCode(t, "a code by the agent", n.Call(ctx, in.to(), protocol.MethodSendCode, protocol.PriorityRecovery, protocol.SendCodeRequest{}, nil), protocol.CodeUnsupported)
}

func TestADeltaPassIsAskedInUTCWithAnOverlap(t *testing.T) {
	asked := make(chan legacyList, 1)
	in, n, _ := startLegacy(t, func(r map[string]json.RawMessage) any {
		if body, ok := r["list_accounts"]; ok {
			var q legacyList
			_ = json.Unmarshal(body, &q)
			asked <- q
			return `{"list_accounts":{"accounts":null}}`
		}
		return company(r)
	})
	var page protocol.ListPage
	must(t, n.Call(t.Context(), in.to(), protocol.MethodList, protocol.PrioritySync, protocol.ListRequest{Since: "2026-10-01T10:00:00+02:00"}, &page))
	if q := <-asked; q.UpdatedAfter != "2026-10-01T07:59:59Z" {
		t.Errorf("asked for %q", q.UpdatedAfter)
	}
	if page.Full || !page.Done || page.State != "2026-10-01T08:00:00Z" {
		t.Errorf("page %+v", page)
	}
}

// recoveryOf begins a recovery at a legacy directory and returns its operation.
func recoveryOf(t *testing.T, in *installation, n *node, operation string, recipient []byte) (protocol.Begun, protocol.PerformRequest) {
	t.Helper()
	hubPart := make([]byte, protocol.RandomPart)
	_, _ = rand.Read(hubPart)
	var b protocol.Begun
	must(t, n.Call(t.Context(), in.to(), protocol.MethodBegin, protocol.PriorityRecovery, protocol.BeginRequest{Recovery: hubPart, Account: "e1", Operation: operation}, &b))
	m := protocol.Members{Recovery: protocol.RecoveryID(hubPart, b.Recovery), Directory: in.Directory.ID, Account: b.Account, Operation: operation, Recipient: recipient, NotAfter: b.NotAfter}
	return b, protocol.PerformRequest{ID: "op", Members: m, Context: m.Context()}
}

// executeLegacy runs one operation as flow does, and returns its outcome.
func executeLegacy(t *testing.T, in *installation, n *node, req protocol.PerformRequest) (out protocol.Outcome, err error) {
	t.Helper()
	n.cfg.Executor = func(ctx context.Context, _ To, _ string, send Send) (err error) {
		out, err = send(ctx, "", req)
		return err
	}
	err = n.Execute(t.Context(), protocol.LegacyAgent(in.Directory.ID), in.Env.ID, "r")
	return out, err
}

func TestT24_UnsealedSecretsNeedPermissionAndAreMarked(t *testing.T) {
	var dry, wet atomic.Int64
	in, n, _ := startLegacy(t, func(r map[string]json.RawMessage) any {
		if body, ok := r["perform_operation"]; ok {
			var q legacyPerform
			_ = json.Unmarshal(body, &q)
			if q.DryRun {
				dry.Add(1)
			} else {
				wet.Add(1)
			}
		}
		return company(r)
	})
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	recipient, err := seal.Encode(key.PublicKey())
	must(t, err)
	const reset = "get_temporary_password"
	b, req := recoveryOf(t, in, n, reset, recipient)
	if b.Finding == nil || b.Finding.Code != protocol.CodePermissionDenied || dry.Load() != 0 {
		t.Errorf("begun without permission: %+v, %d dry runs", b, dry.Load())
	}
	if out, err := executeLegacy(t, in, n, req); err != nil || out.State != protocol.Failed || wet.Load() != 0 {
		t.Errorf("performed without permission: %+v, %v", out, err)
	}
	in.allowUnsealed(t)
	b, req = recoveryOf(t, in, n, reset+",unlock", recipient)
	if b.Finding != nil || b.Agent != protocol.LegacyAgent(in.Directory.ID) || len(b.Recovery) != protocol.RandomPart || time.Until(time.Unix(b.NotAfter, 0)) > legacyNotAfter || dry.Load() != 2 {
		t.Errorf("begun: %+v, %d dry runs", b, dry.Load())
	}
	out, err := executeLegacy(t, in, n, req)
	if err != nil || out.State != protocol.Done || !out.Unsealed || wet.Load() != 2 {
		t.Errorf("performed: %+v, %v, %d operations", out, err, wet.Load())
	}
	secret, err := seal.Open(key, req.Context, out.Sealed)
	if err != nil || secret.Reveal() != "Tmp-canary-4711" {
		t.Errorf("opened: %v", err)
	}
	text, err := json.Marshal(out)
	must(t, err)
	if strings.Contains(string(text), "canary") || n.log.Has("canary") || strings.Contains(fmt.Sprintf("%+v", out), "canary") {
		t.Error("the secret is in the clear")
	}
	var contacts protocol.Contacts
	must(t, n.Call(t.Context(), in.to(), protocol.MethodContacts, protocol.PriorityRecovery, protocol.RecoveryRef{Recovery: req.Members.Recovery}, &contacts))
	if len(contacts.Mail) != 0 || len(contacts.Primary) != 1 || contacts.Primary[0] != "ada@example.com" {
		t.Errorf("contacts %+v", contacts)
	}
	_, req = recoveryOf(t, in, n, reset, recipient)
	req.Members.Account = "e2"
	if _, err := executeLegacy(t, in, n, req); protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Errorf("members that are not the context's: %v", err)
	}
}

func TestLegacyOutcomesSayWhatIsKnown(t *testing.T) {
	var answer atomic.Value
	in, n, p := startLegacy(t, func(r map[string]json.RawMessage) any {
		if body, ok := r["perform_operation"]; ok && strings.Contains(string(body), `"dry_run"`) == false {
			if a := answer.Load().(string); a != "" {
				return a
			}
			return nil
		}
		return company(r)
	})
	for _, c := range []struct {
		answer string
		want   protocol.State
	}{
		{`{"perform_operation":{}}`, protocol.Done},
		{`{"error":{"code":"unsupported_account_state","message":"not locked"}}`, protocol.Failed},
		{`{"error":{"code":"permission_denied","message":""}}`, protocol.Failed},
		{`{"error":{"code":"account_not_found","message":""}}`, protocol.Failed},
		{`{"error":{"code":"service_authentication_failed","message":""}}`, protocol.Unchanged},
		{`{"error":{"code":"internal_error","message":"Set-ADAccountPassword -NewPassword Canary-1"}}`, protocol.Unknown},
		{`{"error":{"code":"made_up","message":""}}`, protocol.Unknown},
		{`{"list_accounts":{}}`, protocol.Unknown}, // the wrong reply
		{`Password: Canary-1`, protocol.Unknown},   // polluted output
		{``, protocol.Unknown},                     // exits in the middle of the call
	} {
		answer.Store(c.answer)
		if len(n.roster.all()) == 0 {
			p.connect(n)
		}
		_, req := recoveryOf(t, in, n, "unlock", nil)
		out, err := executeLegacy(t, in, n, req)
		if err != nil || out.State != c.want || !out.Unsealed {
			t.Errorf("%q: %s, %v; want %s", c.answer, out.State, err, c.want)
		}
		if c.answer == "" || !strings.HasPrefix(c.answer, "{") {
			testenv.Eventually(t, "the socket is gone", func() bool { return len(n.roster.all()) == 0 })
		}
	}
	if n.log.Has("Canary") {
		t.Error("an agent's message is in the log")
	}
	var out protocol.Outcome
	p.connect(n)
	must(t, n.Call(t.Context(), in.to(), protocol.MethodOutcome, protocol.PriorityRecovery, protocol.OutcomeRequest{}, &out))
	if out.State != protocol.Unknown {
		t.Errorf("a lost outcome is %s", out.State)
	}
}

func TestOneLegacyRequestAtATimeAndRecoveriesFirst(t *testing.T) {
	release, order := make(chan struct{}), make(chan string, 64)
	in, n, _ := startLegacy(t, func(r map[string]json.RawMessage) any {
		for kind := range r {
			order <- kind
		}
		<-release
		return company(r)
	})
	var wg sync.WaitGroup
	call := func(m protocol.Method, p protocol.Priority, req any) {
		wg.Go(func() {
			if err := n.Call(t.Context(), in.to(), m, p, req, nil); err != nil {
				t.Error(err)
			}
		})
	}
	call(protocol.MethodGet, protocol.PrioritySync, protocol.Ref{ID: "e1"})
	<-order // it is under way
	s := n.roster.all()[0].peer.(*legacyAgent).socket
	queued := func(p protocol.Priority, want int) {
		testenv.Eventually(t, "the call waits", func() bool {
			s.turn.mu.Lock()
			defer s.turn.mu.Unlock()
			return len(s.turn.waiting[p]) == want
		})
	}
	for i := range 3 {
		call(protocol.MethodListGroups, protocol.PrioritySync, protocol.GroupsRequest{Max: 1})
		queued(protocol.PrioritySync, i+1)
	}
	call(protocol.MethodDescribe, protocol.PriorityRecovery, protocol.Empty{})
	queued(protocol.PriorityRecovery, 1)
	impatient, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		err := n.Call(impatient, in.to(), protocol.MethodDescribe, protocol.PriorityRecovery, protocol.Empty{}, nil)
		wantCode(t, "gave up waiting", err, protocol.CodeUnavailable)
	})
	queued(protocol.PriorityRecovery, 2)
	cancel()
	queued(protocol.PriorityRecovery, 1)
	close(release)
	if next := <-order; next != "configure" {
		t.Errorf("after the call under way came %s", next)
	}
	wg.Wait()
}

func TestACallerThatLeavesDoesNotShiftTheReplies(t *testing.T) {
	release := make(chan struct{})
	in, n, _ := startLegacy(t, func(r map[string]json.RawMessage) any {
		if _, slow := r["list_groups"]; slow {
			<-release
		}
		return company(r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- n.Call(ctx, in.to(), protocol.MethodListGroups, protocol.PriorityLookup, protocol.GroupsRequest{}, nil)
	}()
	s := n.roster.all()[0].peer.(*legacyAgent).socket
	testenv.Eventually(t, "it is under way", s.working.Load)
	cancel()
	wantCode(t, "cancelled", <-done, protocol.CodeInternal)
	go func() { close(release) }()
	var d protocol.Description
	must(t, n.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, &d))
	if d.Traits.Name != "people" {
		t.Errorf("got the answer to another call: %+v", d)
	}
}

func TestAMissedDeadlineClosesTheLegacySocket(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	in, n, p := startLegacy(t, func(map[string]json.RawMessage) any { <-block; return `{}` })
	_ = in
	s := n.roster.all()[0].peer.(*legacyAgent).socket
	began := time.Now()
	if _, err := s.exchange(t.Context(), protocol.PriorityRecovery, 100*time.Millisecond, legacyRequestBody{Configure: &struct{}{}}); !errors.Is(err, errNoWord) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(began); d > within {
		t.Errorf("after %v", d)
	}
	testenv.Eventually(t, "the socket is closed", func() bool { return len(n.roster.all()) == 0 })
	if _, err := s.exchange(t.Context(), protocol.PriorityRecovery, time.Second, legacyRequestBody{Configure: &struct{}{}}); !errors.Is(err, errUnsent) {
		t.Errorf("on a closed socket: %v", err)
	}
	if p.asked.Load() != 1 {
		t.Errorf("%d requests arrived", p.asked.Load())
	}
}

func TestABusyLegacyAgentIsNotTakenForDead(t *testing.T) {
	block, entered := make(chan struct{}), make(chan struct{})
	in, n, _ := startLegacy(t, func(r map[string]json.RawMessage) any {
		close(entered)
		<-block
		return company(r)
	})
	done := make(chan error)
	go func() {
		done <- n.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil)
	}()
	<-entered
	c := n.roster.all()[0]
	if dead, quiet := n.wheel.due(c.slot, time.Now().Add(pingAfter-time.Second)); len(dead)+len(quiet) != 0 {
		t.Errorf("%d dead, %d to be pinged", len(dead), len(quiet))
	}
	close(block)
	must(t, <-done)
	if dead, quiet := n.wheel.due(c.slot, time.Now().Add(pingAfter+time.Second)); len(dead) != 0 || len(quiet) != 1 {
		t.Errorf("idle: %d dead, %d to be pinged", len(dead), len(quiet))
	}
	if !n.answers(t.Context(), c.peer) {
		t.Error("an idle agent does not answer a ping")
	}
}

func TestTheNewestLegacyConnectionWins(t *testing.T) {
	in := install(t)
	a, b := in.start(t), in.start(t)
	meet(t, a, b)
	p := &publicAgent{t: t, token: in.newToken(t), answer: company}
	for round := range 4 { // it leaks the sockets before
		n := []*node{a, b}[round/2%2]
		_, ended := p.connect(n)
		testenv.Eventually(t, "one socket is left", func() bool { return len(a.roster.all())+len(b.roster.all()) == 1 })
		if len(n.roster.all()) != 1 {
			t.Errorf("round %d: an older one is left", round)
		}
		select {
		case err := <-ended:
			t.Errorf("round %d: the newest was closed: %v", round, err)
		default:
		}
		for _, caller := range []*node{a, b} {
			must(t, caller.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil))
		}
	}
}

func TestT24_ALegacySocketEndsWhenANativeAgentEnrols(t *testing.T) {
	in := install(t)
	a, b := in.start(t), in.start(t)
	meet(t, a, b)
	p := &publicAgent{t: t, token: in.newToken(t), answer: company}
	_, ended := p.connect(b)
	native := newProcess(t)
	native.ticket = in.newTicket(t)
	if l := native.dial(a); l.welcome.State != protocol.AgentActive {
		t.Errorf("the first native agent is %s", l.welcome.State)
	}
	select {
	case <-ended:
	case <-time.After(sweepEvery / 2):
		t.Error("the legacy socket was left open")
	}
	_, resp, err := p.open(b)
	if err == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the legacy agent came back: %v", err)
	}
	must(t, b.echo(t, in.to()))
	if err := in.store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.SetLegacyToken(t.Context(), in.Env.ID, in.Directory.ID, "h")
	}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a native directory was given a token: %v", err)
	}
}

func TestP06_TheLegacyTokenIsRefusedBeforeTheUpgradeAndNeverShown(t *testing.T) {
	in := install(t)
	n := in.start(t)
	token := in.newToken(t)
	get := func(query string, header http.Header) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.server.URL+LegacyPath+query, nil)
		must(t, err)
		req.Header = upgradeHeader("")
		for k, v := range header {
			req.Header[k] = v
		}
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		defer func() { _ = resp.Body.Close() }()
		var b strings.Builder
		_ = resp.Write(&b)
		return resp.StatusCode, b.String()
	}
	canary := "canary-" + token
	for query, want := range map[string]int{
		"":                                       http.StatusUnauthorized,
		"?auth=":                                 http.StatusUnauthorized,
		"?auth=" + canary:                        http.StatusUnauthorized,
		"?auth=x&auth=" + canary:                 http.StatusUnauthorized, // not the first of several
		"?AUTH=" + canary:                        http.StatusUnauthorized,
		"?auth=" + strings.Repeat("canary", 200): http.StatusUnauthorized,
	} {
		status, text := get(query, nil)
		if status != want || strings.Contains(text, "canary") {
			t.Errorf("%.40s: %d\n%s", query, status, text)
		}
	}
	escaped := "?auth=" + url.QueryEscape(token)
	if status, _ := get(escaped, http.Header{"Origin": {"https://evil.example"}}); status != http.StatusForbidden {
		t.Errorf("with Origin: %d", status)
	}
	if status, _ := get(escaped+"&auth="+url.QueryEscape(token), nil); status != http.StatusUnauthorized {
		t.Errorf("twice the token: %d", status)
	}
	p := &publicAgent{t: t, token: token, answer: company}
	p.connect(n)
	must(t, n.Call(t.Context(), in.to(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil))
	for _, secret := range []string{token, url.QueryEscape(token), "canary"} {
		if n.log.Has(secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestP12_ALegacyAgentThatSpeaksUnaskedIsCutOff(t *testing.T) {
	in := install(t)
	n := in.start(t)
	p := &publicAgent{t: t, token: in.newToken(t), answer: company}
	ws, ended := p.connect(n)
	must(t, ws.WriteMessage(websocket.TextMessage, []byte("{}")))
	<-ended
	testenv.Eventually(t, "it is gone", func() bool { return len(n.roster.all()) == 0 })
}

func TestLegacyRequestsStayBelowTheLimitAndLargeRepliesAreTaken(t *testing.T) {
	large := strings.Repeat("n", 200)
	var accounts []string
	for i := range 20000 { // about 5 MB in one frame
		accounts = append(accounts, fmt.Sprintf(`{"immutable_id":"%d","ids":["a%d@example.com"],"name":"%s"}`, i, i, large))
	}
	page := `{"list_accounts":{"accounts":[` + strings.Join(accounts, ",") + `]}}`
	in, n, p := startLegacy(t, func(r map[string]json.RawMessage) any {
		if _, ok := r["list_accounts"]; ok {
			return page
		}
		return company(r)
	})
	var got protocol.ListPage
	must(t, n.Call(t.Context(), in.to(), protocol.MethodList, protocol.PrioritySync, protocol.ListRequest{}, &got))
	if len(got.Accounts) != 20000 {
		t.Errorf("%d accounts", len(got.Accounts))
	}
	before := p.asked.Load()
	wantCode(t, "a request above the limit", n.Call(t.Context(), in.to(), protocol.MethodListGroups, protocol.PriorityLookup, protocol.GroupsRequest{Prefix: strings.Repeat("x", publicLimit)}, nil), protocol.CodeBadRequest)
	if p.asked.Load() != before {
		t.Error("it was sent")
	}
	must(t, n.Call(t.Context(), in.to(), protocol.MethodListGroups, protocol.PriorityLookup, protocol.GroupsRequest{Prefix: strings.Repeat("<", publicLimit-100)}, nil))
}

// FuzzLegacyReply feeds what a legacy agent can send.
func FuzzLegacyReply(f *testing.F) {
	for _, s := range []string{`{"error":{"code":"internal_error"}}`, `{"list_accounts":{"accounts":null,"next_cursor":null}}`,
		`{"get_account":{"accounts":[{"immutable_id":"x","ids":null,"updated_at":"0001-01-01T00:00:00Z","birth_date":"1990-01-02","groups":[{}]}]}}`,
		`{"configure":{"immutable_id":"","traits":null}}`, `{"perform_operation":{"temporary_password":null}}`, `{}`, `null`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeReply(b)
		if err != nil {
			if strings.Contains(err.Error(), string(b)) && len(b) > 40 {
				t.Errorf("the error quotes the reply: %v", err)
			}
			return
		}
		for _, list := range []*legacyAccounts{r.ListAccounts, r.GetAccount} {
			if list == nil {
				continue
			}
			for _, a := range list.Accounts {
				own, ok := a.account([]byte("k"))
				if ok && (own.ID == "" || len(own.ID) > maxLegacyID || own.Identifiers == nil || len(own.Name) > maxLegacyID || !own.UpdatedAt.IsZero() && own.UpdatedAt.Year() <= 1) {
					t.Errorf("account %+v", own)
				}
			}
		}
	})
}

// FuzzRemote feeds the decoders of what other nodes send.
func FuzzRemote(f *testing.F) {
	packed, _ := packCall(remoteCall{To{"e", "d", "a"}, protocol.MethodGet, protocol.PriorityLookup}, []byte(`{"x":1}`))
	f.Add(packed)
	f.Add(encodeAnswer(nil, errNoAgent))
	f.Add(encodeAnswer([]byte("{}"), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, body, ok := unpackCall(b); ok {
			again, err := packCall(c, body)
			if c2, body2, ok := unpackCall(again); err != nil || !ok || c2 != c || string(body2) != string(body) {
				t.Errorf("%+v %q is not what was packed", c2, body2)
			}
		}
		_, _ = decodeAnswer(b)
	})
}
