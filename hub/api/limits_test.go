package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

func TestLimitsHoldOverAllNodesAndWithoutTheCoordinator(t *testing.T) {
	redis := testenv.StartRedis(t)
	open := func() Buckets {
		c, err := coord.OpenRedis(coord.RedisConfig{URL: redis.URL(), Prefix: "limits", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return buckets{c}
	}
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	st.api.Buckets = open()
	config := st.api.Config
	config.Buckets = open()
	other := httptest.NewServer(New(config))
	t.Cleanup(other.Close)
	nodes := []string{st.server.URL, other.URL}
	path := "/api/envs/" + st.mine.Env.ID + "/refresh-webhook-secret"
	ask := func(node int, key string) reply {
		st.server.URL = nodes[node]
		return st.do(t, key, "POST", path, "")
	}
	begun := time.Now()
	var last reply
	for i := range writing.perMinute {
		if last = ask(i%2, st.owner); last.status != 200 {
			t.Fatalf("request %d: %d, %v", i, last.status, last.header)
		}
	}
	slack := int(time.Since(begun)/writing.every()) + 1 // what came back meanwhile
	if left, err := strconv.Atoi(last.header.Get("X-RateLimit-Remaining")); err != nil || left > slack {
		t.Errorf("%v left after %d requests", last.header, writing.perMinute)
	}
	tooMany := func() bool {
		for i := range slack + 2 {
			got := ask(i%2, st.owner)
			if got.status == http.StatusTooManyRequests {
				st.checkTooMany(t, got)
				return true
			}
		}
		return false
	}
	if !tooMany() {
		t.Errorf("%d more, half of them at each node, are not too many", slack+2)
	}
	if got := ask(1, st.mine.key); got.status != 200 {
		t.Errorf("another key: %d", got.status)
	}

	redis.Stop()
	for i := range writing.perMinute {
		if got := ask(0, st.owner); got.status != 200 {
			t.Fatalf("request %d without a coordinator: %d %s", i, got.status, got.body)
		}
	}
	got := ask(0, st.owner)
	if got.status != http.StatusTooManyRequests {
		t.Errorf("one too many without a coordinator: %d", got.status)
	}
	st.checkTooMany(t, got)
}

// checkTooMany wants what says when to come back.
func (st *stack) checkTooMany(t *testing.T, got reply) {
	t.Helper()
	after, err := strconv.Atoi(got.header.Get("Retry-After"))
	if err != nil || after < 1 || after > 61 || got.header.Get("X-RateLimit-Remaining") != "0" || got.header.Get("X-RateLimit-Limit") == "" {
		t.Errorf("%v", got.header)
	}
	if _, err := time.Parse(time.RFC3339, got.header.Get("X-RateLimit-Reset")); err != nil {
		t.Error(err)
	}
}

func TestWhoeverHasNoKeyIsCountedByAddressAndShutsNobodyOut(t *testing.T) {
	st := lite(t)
	st.api.strangers = class{"unknown", 5}
	for range 5 {
		if got := st.do(t, "wrong", "GET", "/api/envs", ""); got.status != http.StatusUnauthorized || got.header.Get("X-RateLimit-Limit") != "5" {
			t.Fatalf("%d %v", got.status, got.header)
		}
	}
	for _, path := range []string{"/api/envs", "/api/nothing", "/api//envs"} {
		got := st.do(t, "wrong", "GET", path, "")
		if got.status != http.StatusTooManyRequests {
			t.Errorf("%s: %d", path, got.status)
		}
		st.checkTooMany(t, got)
	}
	if got := st.do(t, st.owner, "GET", "/api/envs", ""); got.status != 200 {
		t.Errorf("a good key from the same address: %d", got.status)
	}
}

func TestT35_AnOrganisationIsReachedOnlyFromItsAddresses(t *testing.T) {
	st := lite(t)
	allow := func(org string, list ...netip.Prefix) {
		t.Helper()
		if err := st.store.Tx(t.Context(), func(tx *store.Tx) error {
			o, err := tx.Organisation(t.Context(), org)
			if err != nil {
				return err
			}
			o.Allowed = list
			return tx.UpdateOrganisation(t.Context(), o)
		}); err != nil {
			t.Fatal(err)
		}
	}
	allow(st.mine.Org.ID, netip.MustParsePrefix("192.0.2.0/24"))
	forged := func(r *http.Request) {
		for _, h := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP"} {
			r.Header.Set(h, "192.0.2.7")
		}
	}
	st.api.strangers.perMinute = 2 * len(routes())
	for _, r := range routes() {
		got := st.do(t, st.owner, r.method(), st.mine.path(r.pattern), st.mine.body(r.pattern), forged)
		if got.status != http.StatusForbidden {
			t.Errorf("%s from another address: %d %s", r.pattern, got.status, got.body)
		}
	}
	if got := st.do(t, st.foreign.key, "GET", "/api/envs", ""); got.status != 200 {
		t.Errorf("another organisation: %d", got.status)
	}
	allow(st.mine.Org.ID, netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("127.0.0.0/8"))
	if got := st.do(t, st.owner, "GET", "/api/envs", ""); got.status != 200 {
		t.Errorf("from an address of the list: %d %s", got.status, got.body)
	} else if left := got.header.Get("X-RateLimit-Remaining"); left != strconv.Itoa(reading.perMinute-1) {
		t.Errorf("what came from elsewhere was counted as the key's: %s are left", left)
	}
	st.api.strangers.perMinute = 1
	allow(st.mine.Org.ID, netip.MustParsePrefix("192.0.2.0/24"))
	if got := st.do(t, st.owner, "GET", "/api/envs", ""); got.status != http.StatusTooManyRequests {
		t.Errorf("from elsewhere, as often as anybody likes: %d", got.status)
	}
}
