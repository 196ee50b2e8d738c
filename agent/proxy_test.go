package agent

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheProxyIsThatOfTheFileElseThatOfTheEnvironment(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("pr0xy\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg        HubConfig
		env, no    string
		want, says string
	}{
		"nothing is set":            {HubConfig{}, "", "", "", "neither hub.proxy nor HTTPS_PROXY"},
		"the file":                  {HubConfig{Proxy: "http://p.example:3128"}, "http://env.example:1", "", "http://p.example:3128", "which hub.proxy names"},
		"with a sign-in":            {HubConfig{Proxy: "http://p.example", ProxyUser: "agent", ProxyPasswordFile: password}, "", "", "http://agent:pr0xy@p.example", "p.example:80"},
		"the file's exception":      {HubConfig{Proxy: "http://p.example", NoProxy: []string{".example.com"}}, "", "", "", "hub.no_proxy names id.example.com"},
		"another exception":         {HubConfig{Proxy: "http://p.example", NoProxy: []string{"10.0.0.0/8", "other.example"}}, "", "", "http://p.example", "hub.proxy"},
		"none":                      {HubConfig{Proxy: "none"}, "http://env.example:1", "", "", `hub.proxy is "none"`},
		"the environment":           {HubConfig{}, "http://u:secret@env.example:1", "", "http://u:secret@env.example:1", "HTTPS_PROXY of the environment"},
		"its exception":             {HubConfig{}, "http://env.example:1", "id.example.com", "", "NO_PROXY of the environment names id.example.com"},
		"its kind is not supported": {HubConfig{}, "socks5://u:secret@env.example:1", "", "error", "socks5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HTTPS_PROXY", c.env)
			t.Setenv("https_proxy", "")
			t.Setenv("NO_PROXY", c.no)
			t.Setenv("no_proxy", "")
			u, why, err := c.cfg.proxyFor(&url.URL{Scheme: "https", Host: "id.example.com:443"})
			got := ""
			switch {
			case err != nil:
				got, why = "error", err.Error()
			case u != nil:
				got = u.String()
			}
			if got != c.want || !strings.Contains(why, c.says) || strings.Contains(why, "secret") {
				t.Errorf("proxy %q because %q", got, why)
			}
		})
	}
}

func TestAProxyIsNotUsedForWhatNoProxyNames(t *testing.T) {
	for _, c := range []struct {
		hub, entries string
		spared       bool
	}{
		{"id.example.com", "", false},
		{"id.example.com", "example.com", true},
		{"id.example.com", " Example.COM ", true},
		{"ID.example.com.", "id.example.com", true},
		{"example.com", "example.com", true},
		{"example.com", ".example.com", false},
		{"example.com", "*.example.com", false},
		{"id.example.com", ".example.com", true},
		{"id.example.com", "*.example.com", true},
		{"anexample.com", "example.com", false},
		{"id.example.com", "other.example,*", true},
		{"id.example.com:8443", "example.com:443", false},
		{"id.example.com:8443", "example.com:8443", true},
		{"id.example.com", "id.example.com:443", true},
		{"10.1.2.3", "10.0.0.0/8", true},
		{"10.1.2.3:8443", "10.1.2.3", true},
		{"11.1.2.3", "10.0.0.0/8", false},
		{"11.1.2.3", "1.2.3", false},
		{"id.example.com", "0.0.0.0/0", false},
		{"[2001:db8::7]", "2001:db8::/32", true},
		{"[2001:db8::7]", "2001:db8::7", true},
		{"[2001:db8::7]:8443", "[2001:db8::7]:8443", true},
		{"[2001:db8::7]", "[2001:db8::7]:8443", false},
		{"localhost:8080", "", true},
		{"127.0.0.5", "", true},
		{"[::1]", "", true},
	} {
		if got := spared(&url.URL{Scheme: "https", Host: c.hub}, strings.Split(c.entries, ",")); got != c.spared {
			t.Errorf("%s with %q: %v", c.hub, c.entries, got)
		}
	}
}
