package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
)

// stockProxy is a Caddy that knows nothing of Postern but where it is.
const stockProxy = `{
	admin off
	persist_config off
	auto_https off
	default_bind 127.0.0.1
	storage file_system %[1]s
}
http://:%[2]d {
	reverse_proxy 127.0.0.1:%[3]d
}
`

// startStockProxy runs one before a port.
func startStockProxy(t *testing.T, port, upstream int) {
	t.Helper()
	dir := testenv.Dir(t)
	if err := os.WriteFile(dir+"/Caddyfile", fmt.Appendf(nil, stockProxy, dir, port, upstream), 0o600); err != nil {
		t.Fatal(err)
	}
	testenv.Start(t, testenv.Command{Path: programs.postern, Args: []string{"run", "--config", dir + "/Caddyfile"}, Dir: dir,
		Ready: func(ctx context.Context) error {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				err = c.Close()
			}
			return err
		}})
}

func TestAReloadKeepsTunnelsAndAppliesSettingsBehindAStockReverseProxy(t *testing.T) {
	front, o := testenv.FreePort(t), openOffice(t)
	e := startEdge(t, edgeConfig{
		PublicURL: fmt.Sprintf("http://localhost:%d", front), Global: "servers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t}",
	})
	startStockProxy(t, front, e.port)
	v := e.environment(t, "proxied", "ldap")
	v.site = fmt.Sprintf("http://%s:%d", v.host, front)
	a := v.startAgent(o.agent()) // through the proxy: the ticket knows no other address
	first, second := o.colleague(0), o.colleague(1)
	secret := newVisitor(t, v.site, front).reset(first.email, func() string { return v.code(first.personal, 0) })
	o.wasReset(first, secret)
	opened := strings.Count(e.logs(t)["edge.log"], `"msg":"tunnel open"`)

	middle := newVisitor(t, v.site, front)
	middle.get("/")
	middle.post("start", "email", second.email)
	other := testenv.StartSMTP(t, mailbox.Config{})
	changed := strings.Replace(e.caddyfile(), e.mail.Addr(), other.Addr(), 1)
	if err := os.WriteFile(e.file("Caddyfile"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.child.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	poll(t, "the configuration was reloaded", func() bool {
		return strings.Contains(e.logs(t)["edge.log"], "successfully reloaded config from file")
	})
	middle.post("choose", "op", "password")
	middle.want(http.StatusOK, "the choice after the reload")
	e.mail = other
	middle.prove(v.code(second.personal, 0))
	middle.press()
	o.wasReset(second, middle.finish())
	if n := strings.Count(e.logs(t)["edge.log"], `"msg":"tunnel open"`); n != opened {
		t.Errorf("%d tunnels were opened anew", n-opened)
	}
	if text := a.child.Tail(); strings.Contains(text, "tunnel lost") {
		t.Errorf("the agent lost a tunnel: %s", text)
	}
}
