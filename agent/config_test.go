package agent

import (
	"regexp"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/settings"
)

func parse(text string) (Config, error) {
	return ParseConfig(settings.File{Name: "/etc/postern/agent.toml", Text: []byte(text)})
}

func TestSampleConfigIsReadAndShowsEveryKey(t *testing.T) {
	cfg, err := parse(SampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.StateDir != "/var/lib/postern-agent" || cfg.Kind() != "ad" {
		t.Errorf("got %q, %q", cfg.StateDir, cfg.Kind())
	}
	// Every line that is commented out is a key of its table.
	all := regexp.MustCompile(`(?m)^# ([a-z_]+ = )`).ReplaceAllString(SampleConfig, "$1")
	cfg, err = parse(all)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.SMTP.PasswordFile != "/etc/postern/smtp-password" || cfg.Hub.CAFile != "/etc/postern/hub-ca.pem" {
		t.Errorf("paths are not relative to the file: %+v", cfg)
	}
	for _, key := range []string{
		"state_dir", "name", "addresses", "ca_file", "proxy", "proxy_user", "proxy_password_file", "base_dns", "operations",
		"refused_groups", "sensitive_groups", "per_account_per_hour", "per_hour", "per_day", "no_notice",
		"host", "from", "tls", "user", "password_file", "kind",
	} {
		if !regexp.MustCompile(`(?m)^` + key + ` = `).MatchString(all) {
			t.Errorf("the sample lacks %s", key)
		}
	}
}

func TestConfigThatMakesNoSenseIsRefusedWithTheKey(t *testing.T) {
	const base = "state_dir='/s'\n"
	const kind = "\n[directory]\nkind='demo'\n"
	for name, c := range map[string]struct{ text, want string }{
		"no state":        {kind, "state_dir"},
		"no kind":         {base, "directory.kind"},
		"unknown key":     {base + kind + "[guard]\nbase_dn=[]", `agent.toml:6: unknown key "guard.base_dn"; did you mean "base_dns"?`},
		"bad base":        {base + kind + "[guard]\nbase_dns=['people']", "guard.base_dns"},
		"bad operation":   {base + kind + "[guard]\noperations=['explode']", "guard.operations"},
		"bad notice":      {base + kind + "[guard]\nno_notice='hm'", "guard.no_notice"},
		"bad proxy":       {base + kind + "[hub]\nproxy='proxy:3128'", "hub.proxy"},
		"secret in proxy": {base + kind + "[hub]\nproxy='http://u:p@proxy:3128'", "hub.proxy_password_file"},
		"bad address":     {base + kind + "[hub]\naddresses=['https://x/']", "hub.addresses"},
		"smtp in clear":   {base + kind + "[smtp]\nhost='smtp.example.com:25'\nfrom='a@b.c'\ntls='off'", "smtp.tls"},
		"smtp port":       {base + kind + "[smtp]\nhost='smtp.example.com'\nfrom='a@b.c'", "smtp.host"},
		"smtp from":       {base + kind + "[smtp]\nhost='smtp.example.com:25'", "smtp.from"},
		"smtp no host":    {base + kind + "[smtp]\nfrom='a@b.c'", "smtp.host"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := parse(base + kind + "[smtp]\nhost='127.0.0.1:25'\nfrom='a@b.c'\ntls='off'"); err != nil {
		t.Errorf("a mail server on this machine is refused: %v", err)
	}
}
