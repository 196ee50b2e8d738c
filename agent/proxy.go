package agent

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

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
		if spared(hub, h.NoProxy) {
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
	proxy := ofEnvironment("HTTPS_PROXY")
	if proxy == "" {
		return nil, "direct: neither hub.proxy nor HTTPS_PROXY is set", nil
	}
	if !strings.Contains(proxy, "://") { // as programs take it
		proxy = "http://" + proxy
	}
	u, err := url.Parse(proxy)
	switch {
	case spared(hub, strings.Split(ofEnvironment("NO_PROXY"), ",")):
		return nil, "direct: NO_PROXY of the environment names " + hub.Hostname() + ", or it is this machine", nil
	case err != nil || u.Host == "":
		return nil, "", fmt.Errorf("HTTPS_PROXY of the environment is no address of a proxy") // the cause may quote a password
	case u.Scheme != "http":
		return nil, "", fmt.Errorf("HTTPS_PROXY of the environment is of the form %s://; want http://", u.Scheme)
	}
	return u, "through the proxy " + hostPort(u, "80") + ", which HTTPS_PROXY of the environment names", nil
}

// ofEnvironment reads a variable in capitals, else in small letters.
func ofEnvironment(name string) string {
	return cmp.Or(os.Getenv(name), os.Getenv(strings.ToLower(name)))
}

// spared reports whether a hub is reached without a proxy: it is this machine, or an entry
// names it. An entry is * for every host; a host, which stands for those below it too, or
// .example.com or *.example.com for those alone; an address; or a network as 10.0.0.0/8.
// All but networks may end with the one port that is meant.
func spared(hub *url.URL, entries []string) bool {
	host, port := strings.ToLower(strings.TrimSuffix(hub.Hostname(), ".")), cmp.Or(hub.Port(), "443")
	ip, _ := netip.ParseAddr(host) // else it is a name, which is in no network
	if ip = ip.Unmap(); host == "localhost" || ip.IsLoopback() {
		return true
	}
	return slices.ContainsFunc(entries, func(entry string) bool {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if network, err := netip.ParsePrefix(entry); err == nil {
			return network.Contains(ip)
		}
		if name, only, err := net.SplitHostPort(entry); err == nil {
			if only != port {
				return false
			}
			entry = name
		}
		if named, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
			return named.Unmap() == ip
		}
		above := strings.TrimPrefix(entry, "*")
		return entry == "*" || entry != "" && !ip.IsValid() && (host == entry || strings.HasSuffix(host, "."+strings.TrimPrefix(above, ".")))
	})
}
