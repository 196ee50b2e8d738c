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
	all := regexp.MustCompile(`(?m)^# ([a-z_]+ = |\[\[)`).ReplaceAllString(SampleConfig, "$1")
	cfg, err = parse(all)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.SMTP.PasswordFile != "/etc/postern/secrets/smtp-password" || cfg.Hub.CAFile != "/etc/postern/hub-ca.pem" {
		t.Errorf("paths are not relative to the file: %+v", cfg)
	}
	for _, key := range []string{
		"state_dir", "name", "addresses", "ca_file", "proxy", "proxy_user", "proxy_password_file", "base_dns", "operations",
		"refused_groups", "sensitive_groups", "per_account_per_hour", "per_hour", "per_day", "no_notice",
		"host", "from", "tls", "user", "password_file", "kind",
		"origins", "trust", "doc_types", "vcts", "wait_at_start", "veto_url", "veto_ca_file", "veto_token_file", "file", "root", "issuer", "client_id", "keys_file", "acr", "amr",
		"group", "require_agent_verifiable", "methods", "confirm", "delay", "approvals",
		"status", "status_hosts", "status_ca_file", "new_accounts", "verified_claims", "names", "url", "body", "headers", "secret_file", "prefixes", "prefer",
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

		"evidence key":      {base + kind + "[[evidence.group]]\ngroup='x'\nrequire_agent_verifable=true", `agent.toml:7: unknown key "evidence.group.require_agent_verifable"; did you mean "require_agent_verifiable"?`},
		"group key":         {base + kind + "[evidence]\norigin=[]", `agent.toml:6: unknown key "evidence.origin"; did you mean "origins"?`},
		"no origin":         {base + kind + "[[evidence.group]]\ngroup='x'\nrequire_agent_verifiable=true\nmethods=[['passkey']]", "evidence.origins"},
		"bad origin":        {base + kind + "[evidence]\norigins=['https://x.example/path']", "evidence.origins"},
		"http origin":       {base + kind + "[evidence]\norigins=['http://x.example']", "evidence.origins"},
		"hub's method":      {base + kind + "[[evidence.group]]\ngroup='x'\nrequire_agent_verifiable=true\nmethods=[['mail_code']]", "mail_code"},
		"no mail":           {base + kind + "[[evidence.group]]\ngroup='x'\nconfirm='agent'", "[smtp]"},
		"confirm whom":      {base + kind + "[[evidence.group]]\ngroup='x'\nconfirm='hub'", "confirm"},
		"methods alone":     {base + kind + "[[evidence.group]]\ngroup='x'\nmethods=[['approval']]", "require_agent_verifiable"},
		"nothing proves":    {base + kind + "[[evidence.group]]\ngroup='x'\nrequire_agent_verifiable=true\nmethods=[[]]", "empty combination"},
		"long delay":        {base + kind + "[[evidence.group]]\ngroup='x'\ndelay='25h'", "delay"},
		"after everybody":   {base + kind + "[[evidence.group]]\ngroup='*'\n[[evidence.group]]\ngroup='x'", "never apply"},
		"no trust":          {base + kind + "[evidence]\norigins=['https://x.example']\n[[evidence.group]]\ngroup='x'\nrequire_agent_verifiable=true\nmethods=[['digital_credential']]", "evidence.trust"},
		"veto in clear":     {base + kind + "[evidence]\nveto_url='http://x.example'", "veto_url"},
		"unheard owner":     {base + kind + "[[evidence.group]]\ngroup='x'\nno_notice='perhaps'", "no_notice"},
		"approvals unasked": {base + kind + "[evidence]\norigins=['https://x.example']\n[[evidence.group]]\ngroup='x'\nrequire_agent_verifiable=true\napprovals=2\nmethods=[['passkey']]", "approvals"},
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
