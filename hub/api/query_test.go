package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// Package net/url drops what it cannot read of a query. What is left of this one would admit
// to more than was meant, or show more.
func TestAQueryThatCannotBeReadIsRefusedAsAWhole(t *testing.T) {
	st := lite(t)
	link := "/api/env/" + st.mine.Env.ID + "/recovery/presign?email=alice@example.com&ttl=1h"
	st.want(t, 200, "POST", link, "")
	for _, c := range []struct{ method, path string }{
		{"POST", link + "&operation=unlock;&flow=recover"},
		{"POST", link + "&directory=%zz"},
		{"GET", "/api/accounts?env=%zz"},
		{"GET", "/api/accounts?count=1;env=" + st.mine.Env.ID},
		{"GET", "/api/audit?start=2026%"},
		{"DELETE", "/api/envs/" + st.mine.Env.ID + "/logo?kind=qr;"},
		{"GET", "/api/envs?%"},
	} {
		if got := st.want(t, 400, c.method, c.path, ""); !strings.Contains(got.body, "the query cannot be read") {
			t.Errorf("%s %s: %s", c.method, c.path, got.body)
		}
	}
	if got := st.do(t, "", "GET", "/people/me/properties/name?token=x&token=%zz", ""); got.status != 400 {
		t.Errorf("of a person: %d %s", got.status, got.body)
	}
}

// Python writes True and False, and its libraries send them so.
func TestTruthIsReadInEitherSpelling(t *testing.T) {
	st := lite(t)
	for value, listed := range map[string]bool{"True": false, "TRUE": false, "False": true, "": true} {
		got := st.want(t, 200, "GET", "/api/accounts?verified="+value, "") // nobody is bound
		if strings.Contains(got.body, st.mine.account.ID) != listed {
			t.Errorf("verified=%s: %s", value, got.body)
		}
	}
	if got := st.want(t, 200, "GET", "/api/audit?reverse=True&start=1970-01-01", ""); !strings.Contains(got.body, `"events"`) {
		t.Errorf("reverse=True: %s", got.body)
	}
}

// A variable of a script that is not set names nothing: that is said, and is neither an empty
// list, which looks as if nothing had happened, nor a list of everything.
func TestAListOfParametersNamesNothingByAnEmptyValue(t *testing.T) {
	st := lite(t)
	for _, c := range []struct{ method, path, name string }{
		{"GET", "/api/audit?kind=", "kind"},
		{"GET", "/api/audit?env=", "env"},
		{"GET", "/api/accounts?directory=", "directory"},
		{"GET", "/api/directories?env=", "env"},
		{"POST", "/api/env/" + st.mine.Env.ID + "/recovery/presign?email=alice@example.com&operation=", "operation"},
	} {
		if got := st.want(t, 400, c.method, c.path, ""); !strings.Contains(got.body, c.name+": an empty value names nothing") {
			t.Errorf("%s %s: %s", c.method, c.path, got.body)
		}
	}
}

// A time before all of the log means all of it, however early it is.
func TestADateOfLongAgoIsADate(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	st.told(t, 1) // and one of the organisation, two days ago
	for _, start := range []string{"0001-01-01", "0001-01-01T00:00:00Z", "1900-01-01", "1970-01-01"} {
		if traces, _ := st.events(t, st.owner, "kind=org_updated&start="+start); !slices.Equal(traces, []string{"org"}) {
			t.Errorf("since %s: %v", start, traces)
		}
		if traces, _ := st.events(t, st.owner, "start=1970-01-01&end="+start); len(traces) > 0 {
			t.Errorf("before %s: %v", start, traces)
		}
	}
	if traces, _ := st.events(t, st.owner, "kind=org_updated&start="); len(traces) > 0 {
		t.Errorf("in the last 24 hours: %v", traces)
	}
}

// Where keys are kept these two times stand for no end.
func TestAKeyThatEndedLongAgoIsNotForEver(t *testing.T) {
	st := lite(t)
	for _, at := range []string{"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00"} {
		st.want(t, 400, "POST", "/api/apikeys", `{"role":"user","expires_at":"`+at+`"}`)
		st.want(t, 400, "PATCH", "/api/apikeys/"+st.mine.apikey.ID, `{"expires_at":"`+at+`"}`)
	}
	for _, at := range []string{"1969-12-31T23:59:59Z", "1970-01-01T00:00:01Z"} {
		made := st.want(t, 201, "POST", "/api/apikeys", `{"role":"user","expires_at":"`+at+`"}`)
		if got := st.do(t, made.member(t, "key").(string), "GET", "/api/org", ""); got.status != 401 {
			t.Errorf("a key that ended in %s: %d", at, got.status)
		}
	}
}

// Who looks for keys that nobody needs, or that somebody else has, must see those too whose
// every request is refused.
func TestAKeyIsUsedWhateverComesOfIt(t *testing.T) {
	st := lite(t)
	for what, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"forbidden":   {"GET", "/api/apikeys", "", 403},
		"not found":   {"GET", "/api/requests/none", "", 404},
		"a bad body":  {"POST", "/api/requests", "[]", 400},
		"a bad query": {"GET", "/api/envs?x=y", "", 400},
	} {
		text := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleLimited, Envs: []string{store.AllEnvs}})
		if got := st.do(t, text, c.method, c.path, c.body); got.status != c.status {
			t.Fatalf("%s: %d %s", what, got.status, got.body)
		}
		k, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.APIKey, error) { return tx.APIKeyByHash(t.Context(), store.HashToken(text)) })
		if err != nil || k.LastUsed.IsZero() {
			t.Errorf("%s: last used %s, %v", what, k.LastUsed, err)
		}
	}
}

func TestALifeOfWhatIsSharedThatWouldOverflowIsRefused(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID + "/templates"
	for _, seconds := range []string{"9223372037", "18446744074", "9223372036854775807", "-1"} {
		for _, member := range []string{"claims_expire_in", "scopes_expire_in"} {
			st.want(t, 400, "POST", path, `{"name":"x","claim_definitions":[{"claim":"name"}],"`+member+`":`+seconds+`}`)
		}
	}
	st.want(t, 200, "POST", path, `{"name":"x","claim_definitions":[{"claim":"name"}],"claims_expire_in":1892160000}`)
}
