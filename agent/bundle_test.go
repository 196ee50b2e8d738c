package agent

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/settings"
)

// unzipped reads a bundle.
func unzipped(t *testing.T, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name] = string(text)
	}
	return all
}

func TestBundleHasNoSecretAndNamesNobody(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg, c := h.enrolled(t, "http"), newCompany(t)
	dir := t.TempDir()
	for name, secret := range map[string]string{"bind": `canary-"bind"`, "proxy": "canary-proxy", "sms": "canary-sms", "smtp": "canary-smtp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg.File = settings.File{Name: filepath.Join(dir, "agent.toml"), Text: []byte(`state_dir = "` + cfg.StateDir + `"
[hub]
proxy_password_file = "proxy"
[directory]
kind = "test"
bind_dn = "svc-canary@corp.example"
bind_password_file = "bind"
password = "canary-by-mistake"
filter = "(owner=canary.person@corp.example)"
[smtp]
from = "canary.sender@corp.example"
password_file = 'smtp'
[sms]
secret_file = "sms"
url = "https://user:canary-url@sms.example/"
`)}
	l, err := openEvents(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	id := "canary-login"
	for _, e := range []event{{Method: "get", Account: id, Message: "canary-proxy was refused"}, {Method: "perform", Account: accountID(3), Message: "CN=Canary Person,OU=Staff,DC=corp,DC=example is locked"}} {
		if err := l.write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	r := examined(t, cfg, c, "user3@corp.example")
	r.Found("directory", "x", doctor.DirectoryUnusable, `the server said: canary-"bind" is wrong, user3@corp.example, `+accountID(3))
	r.Found("directory", "y", doctor.SignInWrong, "look at bind_dn, in the form name@domain, and at bind_password_file")
	var out bytes.Buffer
	if err := Bundle(&out, cfg, r); err != nil {
		t.Fatal(err)
	}
	all := unzipped(t, out.Bytes())
	for name, text := range all {
		for _, canary := range []string{"canary", "Canary", "user3", accountID(3)} {
			if strings.Contains(text, canary) {
				t.Errorf("%s has %q:\n%s", name, canary, text)
			}
		}
	}
	keys, err := os.ReadFile(filepath.Join(cfg.StateDir, keysFile))
	if err != nil {
		t.Fatal(err)
	}
	if secret := strings.Split(string(keys), `"`)[3]; strings.Contains(out.String(), secret) || len(secret) < 40 {
		t.Errorf("the bundle has the agent's keys (%d)", len(secret))
	}
	// What it is for is there all the same, and an account has one number throughout.
	for name, want := range map[string]string{
		"report.txt": "in the form name@domain, and", "report.json": `"number": 320`, "agent.toml": `bind_password_file = "bind"`, "events.jsonl": `"method":"perform"`,
	} {
		if !strings.Contains(all[name], want) {
			t.Errorf("%s lacks %s:\n%s", name, want, all[name])
		}
	}
	number := strings.SplitN(strings.SplitN(all["report.txt"], "\n  ok       account", 2)[1], "[account ", 2)[1][:1]
	if !strings.Contains(strings.Split(all["events.jsonl"], "\n")[1], "[account "+number+"]") {
		t.Errorf("account %s has another number in the event log:\n%s", number, all["events.jsonl"])
	}
}
