package provider

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What an administrator is told of a provider names what is wrong with it.
func TestAProbeSaysWhatIsWrongWithAProvider(t *testing.T) {
	b := newBench(t)
	if got := b.Probe(t.Context(), b.op.URL); got.Fault != FaultNone || got.Keys != 1 || !got.Pushed || !got.Verified {
		t.Errorf("%+v", got)
	}
	says := func(change map[string]any) string {
		t.Helper()
		d := map[string]any{}
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/jwks" {
				_, _ = w.Write([]byte(`{"keys":[]}`))
				return
			}
			_ = json.NewEncoder(w).Encode(d)
		}))
		t.Cleanup(srv.Close)
		for _, name := range []string{"authorization_endpoint", "token_endpoint"} {
			d[name] = srv.URL + "/" + name
		}
		d["issuer"], d["jwks_uri"] = srv.URL, srv.URL+"/jwks"
		for name, v := range change {
			d[name] = v
		}
		return srv.URL
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	empty := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(empty.Close)
	for issuer, want := range map[string]Fault{
		gone.URL:                 FaultReach,
		empty.URL:                FaultDocument,
		"http://192.168.7.7:9":   FaultReach, // the hub goes to no private address
		"https://nobody.invalid": FaultName,
		says(map[string]any{"issuer": "https://other.example"}):                     FaultIssuer,
		says(map[string]any{"token_endpoint": "ftp://x.example"}):                   FaultEndpoint,
		says(map[string]any{"code_challenge_methods_supported": []string{"plain"}}): FaultChallenges,
		says(nil): FaultKeys,
	} {
		if got := b.Probe(t.Context(), issuer); got.Fault != want || len(got.Detail) > 210 || strings.ContainsAny(got.Detail, "\r\n") {
			t.Errorf("%s: %+v, want %s", issuer, got, want)
		}
	}
}
