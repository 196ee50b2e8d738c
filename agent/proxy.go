package agent

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/postern-id/postern/agent/settings"
)

// proxyNone is the word of hub.proxy for no proxy, whatever the environment says.
const proxyNone = "none"

// useProxy decides whether the hub is reached through a proxy, and says what decided.
func (d *dialer) useProxy(cfg HubConfig) error {
	hub := &url.URL{Scheme: "https", Host: d.host}
	u, why, err := cfg.proxyFor(hub)
	d.why = why
	if err != nil || u == nil {
		return err
	}
	d.through, d.proxy = u, hostPort(u, "80")
	d.ws.Proxy = http.ProxyURL(u)
	return nil
}

// proxyFor is the proxy to an address, nil for none, and why in words for people.
func (h HubConfig) proxyFor(hub *url.URL) (u *url.URL, why string, err error) {
	switch h.Proxy {
	case proxyNone:
		return nil, `direct: hub.proxy is "none"`, nil
	case "":
		return proxyOfEnvironment(hub)
	}
	if u, err = url.Parse(h.Proxy); err != nil {
		return nil, "", err
	}
	why = "through the proxy " + hostPort(u, "80") + ", which hub.proxy names"
	if len(h.NoProxy) > 0 {
		rules := httpproxy.Config{HTTPSProxy: h.Proxy, NoProxy: strings.Join(h.NoProxy, ",")}
		if through, err := rules.ProxyFunc()(hub); err == nil && through == nil {
			return nil, "direct: hub.no_proxy names " + hub.Hostname(), nil
		}
	}
	if h.ProxyUser != "" {
		password, err := settings.ReadSecret(h.ProxyPasswordFile)
		if err != nil {
			return nil, "", fmt.Errorf("hub.proxy_password_file: %w", err)
		}
		u.User = url.UserPassword(h.ProxyUser, password.Reveal())
	}
	return u, why, nil
}

// proxyOfEnvironment reads HTTPS_PROXY and NO_PROXY, in either case of letters.
func proxyOfEnvironment(hub *url.URL) (*url.URL, string, error) {
	env := httpproxy.FromEnvironment()
	u, err := env.ProxyFunc()(hub)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("HTTPS_PROXY of the environment is no address of a proxy") // the cause may quote a password
	case u != nil && u.Scheme != "http":
		return nil, "", fmt.Errorf("HTTPS_PROXY of the environment is of the form %s://; want http://", u.Scheme)
	case u != nil:
		return u, "through the proxy " + hostPort(u, "80") + ", which HTTPS_PROXY of the environment names", nil
	case env.HTTPSProxy != "":
		return nil, "direct: NO_PROXY of the environment names " + hub.Hostname() + ", or it is this machine", nil
	}
	return nil, "direct: neither hub.proxy nor HTTPS_PROXY is set", nil
}
