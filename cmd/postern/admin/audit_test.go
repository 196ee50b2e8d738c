package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/protocol/auditlog"
)

// Who did what is listed, proven and verified on this machine, without believing the hub.
func TestT09_TheLogIsListedProvenAndVerified(t *testing.T) {
	st := start(t)
	want(t, "apikey", "create", "--name", "reports", "--role", "user", "--out", filepath.Join(st.dir, "key"))
	out := want(t, "audit", "list", "--kind", "apikey_created", "--prove")
	if !strings.Contains(out, "entry ") || !strings.Contains(out, "apikey_created") || !strings.Contains(out, "proven against the checkpoint of") {
		t.Fatalf("list printed %s", out)
	}
	event := strings.Fields(strings.Split(out, "\n")[1])[5]
	var proof auditlog.Proof
	if err := json.Unmarshal([]byte(want(t, "audit", "proof", event, "--json")), &proof); err != nil || !strings.Contains(string(proof.Leaf), "reports") {
		t.Fatal(err, proof)
	}
	file, seen := filepath.Join(st.dir, "log.json"), filepath.Join(st.dir, "checkpoints.jsonl")
	line, err := json.Marshal(map[string]string{"checkpoint": proof.Checkpoint})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("a former file"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, "audit", "leaves", "--out", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read what was written over a former file: %v, %v", info, err)
	}
	if err := os.WriteFile(seen, line, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := want(t, "audit", "verify", file, "--checkpoints", seen); !strings.HasSuffix(out, "whole\n") || !strings.Contains(out, "1 checkpoints of agents agree") {
		t.Errorf("verify printed %s", out)
	}
	if out := want(t, "audit", "verify", file, "--json"); !strings.Contains(out, `"problems":[]`) { // as every list of the API
		t.Errorf("verify printed %s", out)
	}
	for _, args := range [][]string{{"audit", "verify", file}, {"audit", "proof", event}, {"audit", "list", "--prove"}} {
		if _, _, err := run(t, "", append(args, "--log-key", strings.Repeat("ab", 32))...); err == nil {
			t.Errorf("%s believes another key", args)
		}
	}
	log, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(log), "reports", "retorps", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, err := run(t, "", "audit", "verify", file); err == nil || !strings.Contains(out, "TAMPERED") {
		t.Errorf("a changed leaf: %v, %s", err, out)
	}
}

// between is a hub that says something else than it logged, in its list of events.
func (st *stack) between(t *testing.T, said, instead string) {
	t.Helper()
	to, err := url.Parse(st.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Header.Del("Accept-Encoding") }, ModifyResponse: func(r *http.Response) error {
		b, err := io.ReadAll(r.Body)
		if r.Request.URL.Path == "/api/audit" {
			b = bytes.ReplaceAll(b, []byte(said), []byte(instead))
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		r.Header.Del("Content-Length")
		return err
	}}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	t.Setenv(serverVariable, server.URL)
}

func TestT09_AnEventIsProvenAsItIsListed(t *testing.T) {
	st := start(t)
	want(t, "apikey", "create", "--name", "reports", "--role", "user", "--out", filepath.Join(st.dir, "key"))
	list := []string{"audit", "list", "--kind", "apikey_created", "--kind", "recovery_console_signout", "--prove"}
	if out := want(t, list...); !strings.Contains(out, "proven against") {
		t.Fatal(out)
	}
	for said, instead := range map[string]string{
		`"kind":"apikey_created"`: `"kind":"recovery_console_signout"`, `"time":"2`: `"time":"3`, `"name":"reports"`: `"name":"nothing"`, `"principal":{`: `"account":"5f0c","principal":{`,
		`"principal":{"role":"owner","`: `"principal":{"role":"owner","subject":"x","`, `"remote_addr":"1`: `"remote_addr":"9`, `"org":"`: `"ACCOUNT":"5f0c","org":"`,
	} {
		t.Run(said, func(t *testing.T) {
			st.between(t, said, instead)
			if out := want(t, list[:len(list)-1]...); out == "" {
				t.Fatal("nothing was listed")
			}
			if out, _, err := run(t, "", list...); err == nil || !strings.Contains(err.Error(), "otherwise") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestNoEventOfAHubSteersATerminal(t *testing.T) {
	st := start(t)
	want(t, "apikey", "create", "--name", "reports", "--role", "user", "--out", filepath.Join(st.dir, "key"))
	st.between(t, `"kind":"apikey_created"`, `"kind":"\u001b[2J"`)
	if out := want(t, "audit", "list"); strings.Contains(out, "\x1b") || !strings.Contains(out, "?[2J") {
		t.Errorf("%q", out)
	}
	var b bytes.Buffer
	f := new(flags)
	if err := f.showEvent(&b, []byte(`{"kind":"\u001b[2J"}`)); err != nil || !strings.Contains(b.String(), "?[2J") {
		t.Errorf("%q, %v", b.String(), err)
	}
}
