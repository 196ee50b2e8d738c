package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

func TestP17_OnlyPublicAddressesUnlessAllowed(t *testing.T) {
	g := &guard{private: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")}}
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "1.1.1.1": true, "2606:4700:4700::1111": true, "10.1.2.3": true, "fd12::1": true, "::ffff:10.1.2.3": true, "::ffff:1.1.1.1": true,
		"10.2.0.1": false, "127.0.0.1": false, "127.8.8.8": false, "0.0.0.0": false, "0.1.2.3": false, "192.168.1.1": false, "172.16.0.1": false, "172.31.255.255": false,
		"169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false, "192.0.0.192": false, "198.18.0.1": false, "224.0.0.1": false, "239.1.1.1": false,
		"240.0.0.1": false, "255.255.255.255": false, "192.0.2.1": false, "192.88.99.1": false, "203.0.113.7": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::a00:1": false,
		"2002:7f00:1::": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false, "2001:10::1": false, "2001:db8::1": false, "3fff::1": false, "fe80::1": false, "fe80::1%lo": false,
		"fec0::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false, "100::1": false, "5f00::1": false, "2606:4700::1%eth0": false,
	} {
		if got := g.allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: allowed %v, want %v", addr, got, want)
		}
	}
}

// rebinding answers like a name server whose next answer is another one.
type rebinding struct {
	*net.Resolver
	after func()
}

func (r rebinding) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	found, err := r.Resolver.LookupNetIP(ctx, network, host)
	r.after()
	return found, err
}

func TestP17_ARebindingNameServerGainsNothing(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	name := testenv.StartDNS(t)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, name.Addr)
	}}
	inside := b.listen(t, "127.0.0.1:0", "hook.test")
	_, port, _ := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(inside.url, "https://"), "/hook"))
	outside := b.listen(t, allowed+":"+port, "hook.test")
	b.subscribe(t, "https://hook.test:"+port+"/hook", Recover)
	h := b.hooks(t, func(c *Config) {
		c.Resolver = rebinding{resolver, func() { name.Set(t, "hook.test", "A 127.0.0.1") }}
	})
	name.Set(t, "hook.test", "A "+allowed)
	if v, err := h.Ask(t.Context(), b.env, question); err != nil || !v.Allows(b.clock()) || len(outside.requests()) != 1 {
		t.Errorf("the address that was checked: %+v, %v, %d requests", v, err, len(outside.requests()))
	}
	if v, err := h.Ask(t.Context(), b.env, question); err != nil || v.Allows(b.clock()) {
		t.Errorf("after the rebinding: %+v, %v", v, err)
	}
	name.Set(t, "hook.test", "A "+allowed, "A 127.0.0.1")
	if v, err := h.Ask(t.Context(), b.env, question); err != nil || v.Allows(b.clock()) {
		t.Errorf("one of two addresses is inside: %+v, %v", v, err)
	}
	if n := len(inside.requests()); n != 0 {
		t.Errorf("%d requests reached the inside", n)
	}
}

func TestP17_NeitherRedirectNorProxyLeadsInside(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	inside := b.listen(t, "127.0.0.1:0")
	for _, v := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(v, strings.TrimSuffix(inside.url, "/hook"))
	}
	r := b.listen(t, allowed+":0")
	r.answers(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, inside.url, http.StatusTemporaryRedirect)
	})
	b.subscribe(t, r.url, Recover)
	if v, err := b.hooks(t).Ask(t.Context(), b.env, question); err != nil || v.Allows(b.clock()) {
		t.Errorf("Ask = %+v, %v", v, err)
	}
	if len(r.requests()) != 1 || len(inside.requests()) != 0 {
		t.Errorf("%d requests outside, %d inside", len(r.requests()), len(inside.requests()))
	}
}

func TestP17_PlainHTTPIsForTheOperatorsNetworksOnly(t *testing.T) {
	s := newSender(Config{Resolver: net.DefaultResolver, Private: []netip.Prefix{netip.MustParsePrefix(allowed + "/32")}})
	l, err := net.Listen("tcp", allowed+":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	if a, err := s.send(t.Context(), post{url: "http://" + l.Addr().String() + "/"}, testNow); err != nil || a.status != 200 {
		t.Errorf("an allowed network: %+v, %v", a, err)
	}
	for _, url := range []string{"http://93.184.216.34/", "http://127.0.0.1:1/", "ftp://" + allowed + "/"} {
		if _, err := s.send(t.Context(), post{url: url}, testNow); !errors.Is(err, errPlain) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAddressesOfWebhooksAreChecked(t *testing.T) {
	for _, bad := range []string{
		"", "example.com", "https://", "https:///hook", "file:///etc/passwd", "gopher://x/", "https://user:pw@example.com/", "https://example.com/#f",
		"https:example.com", "https://exa mple.com/", "https://" + strings.Repeat("a", maxURL), "https://example.com\r\nHost: x/",
	} {
		if _, err := CheckURL(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if _, err := CheckURL("https://example.com:8443/a/b?token=1"); err != nil {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"deny_user_message":"no"}`))
	f.Add([]byte(`{"deny_user_message":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		denied, message, err := readAnswer(answer{status: 200, json: true, body: body})
		if denied && message == "" || err != nil && denied || len([]rune(message)) > maxMessage+1 {
			t.Errorf("%q: denied %v, message %q, %v", body, denied, message, err)
		}
	})
}

func FuzzP17_URL(f *testing.F) {
	f.Add("https://example.com/hook")
	f.Add("https://[::ffff:127.0.0.1]/")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := CheckURL(text)
		if err == nil && (u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https") {
			t.Errorf("%q is accepted as %v", text, u)
		}
	})
}
