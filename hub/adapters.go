package hub

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/tunnel"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/match"
)

// The packages below the hub know each other only by small interfaces of their own.
// These types stand between them and decide nothing.

// syncCalls lets directories ask agents.
type syncCalls struct{ *tunnel.Tunnels }

// Call implements directory.Calls.
func (c syncCalls) Call(ctx context.Context, to directory.To, m protocol.Method, p protocol.Priority, req, resp any) error {
	return c.Tunnels.Call(ctx, tunnel.To(to), m, p, req, resp)
}

// recoveryAgents lets operations ask agents.
type recoveryAgents struct{ *tunnel.Tunnels }

// Call implements operation.Agents.
func (a recoveryAgents) Call(ctx context.Context, to operation.To, m protocol.Method, p protocol.Priority, req, resp any) error {
	return a.Tunnels.Call(ctx, tunnel.To(to), m, p, req, resp)
}

// Execute implements operation.Agents.
func (a recoveryAgents) Execute(ctx context.Context, to operation.To, id string) error {
	return a.Tunnels.Execute(ctx, to.Agent, to.Env, id)
}

// Reachable implements operation.Agents.
func (a recoveryAgents) Reachable(ctx context.Context, env, dir string) bool {
	return a.Tunnels.Reachable(ctx, tunnel.To{Env: env, Directory: dir})
}

// buckets limits what one client may begin.
type buckets struct{ coord.Buckets }

// Take implements flow.Buckets.
func (b buckets) Take(ctx context.Context, key string, burst int, every time.Duration) (bool, error) {
	ok, _, err := b.Buckets.Take(ctx, key, coord.Rate{Burst: burst, Every: every})
	return ok, err
}

// counts say how often something was asked, and when again it may be.
type counts struct{ coord.Buckets }

// Take implements api.Buckets and oidc.Buckets.
func (b counts) Take(ctx context.Context, key string, burst int, every time.Duration) (bool, time.Duration, error) {
	return b.Buckets.Take(ctx, key, coord.Rate{Burst: burst, Every: every})
}

// names compares documents with accounts.
type names struct{ store *store.Store }

// Match implements flow.Matcher. A grade below match is for people, and nobody is asked
// here: it counts as no.
func (n names) Match(ctx context.Context, q flow.MatchRequest) (bool, string, error) {
	grade, reason, err := directory.Judge(ctx, n.store, q.Account, match.Strength(q.Strength), match.Document{Given: q.Claims.Given, Family: q.Claims.Family, BirthDate: q.Claims.BirthDate})
	return grade == match.Match && err == nil, string(reason), err
}

// settler tells recoveries what people decided.
type settler struct{ *flow.Recoveries }

// Settle implements verify.Settler.
func (s settler) Settle(ctx context.Context, env, verification, method string, v verify.Verdict) error {
	err := s.Recoveries.Settle(ctx, env, verification, method, v)
	if errors.Is(err, recovery.ErrStep) || errors.Is(err, recovery.ErrNotFound) {
		return verify.ErrNobody
	}
	return err
}

// syncFailed queues the webhook in the transaction that records the failure.
func (h *Hub) syncFailed(ctx context.Context, tx *store.Tx, f directory.Failure) error {
	return h.hooks.DirectoryFailed(ctx, tx, f.Env, webhook.DirectoryError{
		Directory: f.Directory, DirectoryKind: f.Kind, Action: webhook.SyncAction, Error: f.Message,
	})
}

func routeOf(s SMTP) notify.Route {
	return notify.Route{Host: s.Host, From: s.From, User: s.User, Password: s.Password, TLS: s.TLS}
}

// clientOf is the client's address, which the edge has put in the connection's place.
func clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
