package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// follows opens a stream.
func (st *stack) follows(t *testing.T, key, query string) (*websocket.Conn, *http.Response) {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(st.server.URL, "http")+"/api/audit"+query, http.Header{"Authorization": {"Bearer " + key}})
	if err == nil {
		t.Cleanup(func() { _ = ws.Close() })
	}
	return ws, resp
}

// streamed is what a reader looks at of an event.
type streamed struct {
	Trace, Kind, Env string
	Index            int64 `json:"log_index"`
	Truncated        bool
}

func next(t *testing.T, ws *websocket.Conn) (e streamed, size int) {
	t.Helper()
	if err := ws.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	kind, b, err := ws.ReadMessage()
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil || kind != websocket.TextMessage {
		t.Fatalf("no event: %v %s", err, b)
	}
	return e, len(b)
}

// says appends one event and puts it into the log.
func (st *stack) says(t *testing.T, env, trace string, detail any) {
	t.Helper()
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return audit.Append(ctx, tx, audit.Event{Env: env, Kind: audit.RecoveryStarted, Trace: trace, Detail: detail})
	})
	if err := st.api.Audit.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAReaderOfTheStreamGetsEachEventOnceAndGoesOnWhereItStopped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		st.says(t, st.mine.Env.ID, "before", nil)
		ws, _ := st.follows(t, st.owner, "")
		if ws == nil {
			t.Fatal("no stream")
		}
		st.says(t, st.mine.Env.ID, "one", nil)
		st.says(t, st.foreign.Env.ID, "theirs", nil)
		st.says(t, st.other.Env.ID, "two", map[string]any{"long": strings.Repeat("<", 30_000)})
		one, _ := next(t, ws)
		two, size := next(t, ws)
		if one.Trace != "one" || two.Trace != "two" || !two.Truncated || size > 32768 {
			t.Errorf("%+v, %+v with %d bytes", one, two, size)
		}
		_ = ws.Close()
		st.says(t, st.mine.Env.ID, "three", nil)
		again, _ := st.follows(t, st.owner, fmt.Sprint("?from=", one.Index+1, "&kind=recovery_started&env=", st.mine.Env.ID))
		if e, _ := next(t, again); e.Trace != "three" {
			t.Errorf("going on: %+v", e)
		}
	})
}

func TestTheStreamEndsWithItsKeyAndIsForOwnersOnly(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	key := st.addKey(t, store.APIKey{Org: st.mine.Env.Org, Role: RoleOwner, Envs: []string{store.AllEnvs}})
	ws, _ := st.follows(t, key, "")
	if ws == nil {
		t.Fatal("no stream")
	}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		k, err := tx.APIKeyByHash(ctx, store.HashToken(key))
		if err != nil {
			return err
		}
		k.Enabled = false
		return tx.UpdateAPIKey(ctx, k.Org, k)
	})
	if err := ws.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var closed *websocket.CloseError
	if _, _, err := ws.ReadMessage(); !errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation {
		t.Errorf("after the key was switched off: %v", err)
	}
	for what, resp := range map[string]int{st.addKey(t, store.APIKey{Org: st.mine.Env.Org, Role: RoleAdmin, Envs: []string{store.AllEnvs}}): 403, "nothing": 401} {
		if _, got := st.follows(t, what, ""); got == nil || got.StatusCode != resp {
			t.Errorf("%d: %v", resp, got)
		}
	}
	if _, got := st.follows(t, st.owner, "?from=999999"); got == nil || got.StatusCode != 400 {
		t.Errorf("beyond the log: %v", got)
	}
	if _, got := st.follows(t, st.owner, "?env="+st.foreign.Env.ID); got == nil || got.StatusCode != 400 {
		t.Errorf("T25: another organisation's environment: %v", got)
	}
}

// A stream shows no more than its key may see, also what was taken from it meanwhile.
func TestT25_TheStreamLosesTheEnvironmentsThatItsKeyLost(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	key := st.addKey(t, store.APIKey{Org: st.mine.Env.Org, Role: RoleOwner, Envs: []string{store.AllEnvs}})
	all, _ := st.follows(t, key, "")
	named, _ := st.follows(t, key, "?env="+st.other.Env.ID)
	if all == nil || named == nil {
		t.Fatal("no stream")
	}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		k, err := tx.APIKeyByHash(ctx, store.HashToken(key))
		if err != nil {
			return err
		}
		k.Envs = []string{st.mine.Env.ID}
		return tx.UpdateAPIKey(ctx, k.Org, k)
	})
	if err := named.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var closed *websocket.CloseError
	if _, _, err := named.ReadMessage(); !errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation {
		t.Fatalf("the stream of an environment that the key lost: %v", err)
	}
	for until, n := time.Now().Add(20*time.Second), 0; ; n++ { // both streams look every few seconds
		st.says(t, st.other.Env.ID, "lost", nil)
		st.says(t, st.mine.Env.ID, fmt.Sprint("kept", n), nil)
		lost := false
		for e, _ := next(t, all); e.Trace != fmt.Sprint("kept", n); e, _ = next(t, all) {
			lost = lost || e.Trace == "lost"
		}
		if !lost {
			return
		}
		if time.Now().After(until) {
			t.Fatal("events of an environment that the key lost are still shown")
		}
	}
}

func TestStreamsEndWhenTheNodeStops(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	ws, _ := st.follows(t, st.owner, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- st.api.Run(ctx) }()
	cancel()
	_, _, err := ws.ReadMessage()
	if stopped := <-done; stopped != nil || !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("%v, %v", stopped, err)
	}
	if _, resp := st.follows(t, st.owner, ""); resp == nil || resp.StatusCode != 503 {
		t.Errorf("a stream on a node that stops: %v", resp)
	}
}
