package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// Test implements Exports: a collector named "away" is not there.
func (st *stack) Test(_ context.Context, d store.Destination) error {
	if strings.Contains(string(d.Settings), "away") {
		return errors.New("connection refused")
	}
	return nil
}

func TestACollectorsSecretsAreNeverShown(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	const path = "/api/audit/destinations"
	body := `{"name":"away","url":"https://c.example.com/in?token=canary","format":"jsonl","authorization":"Splunk postern_canary","env":["` + st.mine.Env.ID + `"],"kind":["env_updated"]}`
	var made destinationOut
	if err := json.Unmarshal([]byte(st.want(t, 201, "POST", path, body).body), &made); err != nil || made.ID == "" || made.Auth == "Splunk postern_canary" {
		t.Fatal(made, err)
	}
	if list := st.want(t, 200, "GET", path, "").body; strings.Contains(list, "postern_canary") || !strings.Contains(list, `"dropped":0`) {
		t.Error(list)
	}
	if got := st.want(t, 200, "POST", path+"/"+made.ID+"/test", "").body; !strings.Contains(got, `"taken":false`) || !strings.Contains(got, "connection refused") {
		t.Error(got)
	}
	if got := st.want(t, 200, "POST", path+"/"+st.mine.destination+"/test", "").body; !strings.Contains(got, `"taken":true`) {
		t.Error(got)
	}
	rows, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT leaf FROM audit_events")
	})
	if err != nil || strings.Contains(strings.Join(rows, ""), "postern_canary") || strings.Contains(strings.Join(rows, ""), "token=canary") {
		t.Error(rows, err)
	}
}

func TestWrongDestinationsAreNamed(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	for body, member := range map[string]string{
		`{"url":"tls://c.test","format":"cef"}`:                                                "name",
		`{"name":"n","url":"tls://c.test","format":"xml"}`:                                     "format",
		`{"name":"n","url":"udp://c.test:514","format":"cef"}`:                                 "url",
		`{"name":"n","url":"tls://c.test/x","format":"cef"}`:                                   "url",
		`{"name":"n","url":"https://a:b@c.test/","format":"jsonl"}`:                            "url",
		`{"name":"n","url":"https://c.test/","format":"cef"}`:                                  "format",
		`{"name":"n","url":"https://c.test/","format":"jsonl","ca":"x"}`:                       "url",
		`{"name":"n","url":"https://c.test/","format":"jsonl","authorization":"a\r\nb"}`:       "authorization",
		`{"name":"n","url":"tls://c.test","format":"cef","ca":"x"}`:                            "ca",
		`{"name":"n","url":"tls://c.test","format":"cef","client_key":"x"}`:                    "client_certificate",
		`{"name":"n","url":"tls://c.test","format":"cef","kind":["nothing"]}`:                  "kind",
		`{"name":"n","url":"tls://c.test","format":"cef","max_bytes":9}`:                       "max_bytes",
		`{"name":"n","url":"tls://c.test","format":"cef","env":["` + st.foreign.Env.ID + `"]}`: "env",
	} {
		got := st.do(t, st.owner, "POST", "/api/audit/destinations", body)
		if got.status != 400 || !strings.Contains(got.body, member+":") {
			t.Errorf("%s = %d %s; want %s", body, got.status, got.body, member)
		}
	}
}

func TestAKeyForOneEnvironmentReachesNoCollector(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	key := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleOwner, Envs: []string{st.mine.Env.ID}})
	if got := st.do(t, key, "GET", "/api/audit/destinations", ""); got.body != "[]\n" && got.body != "[]" {
		t.Error(got)
	}
	if got := st.do(t, key, "POST", "/api/audit/destinations", `{"name":"n","url":"tls://c.test","format":"cef"}`); got.status != 403 {
		t.Error(got)
	}
	if got := st.do(t, key, "DELETE", "/api/audit/destinations/"+st.mine.destination, ""); got.status != 404 {
		t.Error(got)
	}
}

// A collector of an environment that was removed can be changed: it still gets what the log
// holds of it, and its list never becomes one of everything. Nobody can name it anew.
func TestACollectorOfARemovedEnvironmentCanBeChanged(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	var env, made struct{ ID string }
	decode := func(a reply, into any) {
		t.Helper()
		if err := json.Unmarshal([]byte(a.body), into); err != nil {
			t.Fatal(a, err)
		}
	}
	const path = "/api/audit/destinations"
	decode(st.want(t, 201, "POST", "/api/envs", `{"name":"gone"}`), &env)
	body := func(name string) string {
		return `{"name":"` + name + `","url":"https://c.example.com/in","format":"jsonl","env":["` + env.ID + `"]}`
	}
	decode(st.want(t, 201, "POST", path, body("before")), &made)
	st.want(t, 204, "DELETE", "/api/envs/"+env.ID, "")
	st.want(t, 204, "PATCH", path+"/"+made.ID, body("after"))
	if list := st.want(t, 200, "GET", path, "").body; !strings.Contains(list, `"after"`) || !strings.Contains(list, `"env":["`+env.ID+`"]`) {
		t.Error(list)
	}
	if got := st.do(t, st.owner, "POST", path, body("new")); got.status != 400 || !strings.Contains(got.body, env.ID) {
		t.Error(got)
	}
}
