package agent

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// asked is the answer to a question of this machine, 0 if nobody answers.
func asked(t *testing.T, addr, path, host string) (code int, body string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if q.Host = host; host == "" {
		q.Host = addr
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, ""
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

func TestHealthAndMetricsAnswerThisMachineAlone(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	addr := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	cfg.Health.Listen = addr
	p := startAgent(t, cfg)
	l := link(t, h.nodes[0])
	_, _, _ = begin(t, l, accountID(firstProtected))
	if err := l.Call(t.Context(), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, nil); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the agent is well", func() bool { code, _ := asked(t, addr, "/healthz", ""); return code == http.StatusOK })
	_, body := asked(t, addr, "/metrics", "")
	for _, want := range []string{"postern_agent_tunnels 1\n", `postern_agent_requests_total{method="describe",code=""} 1`, `postern_agent_info{version="test"} 1`} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %s:\n%s", want, body)
		}
	}
	if strings.Contains(body, accountID(firstProtected)) {
		t.Error("a metric names an account")
	}
	if code, _ := asked(t, addr, "/metrics", "evil.example"); code != http.StatusForbidden {
		t.Errorf("by another name: %d", code)
	}
	if code, _ := asked(t, addr, "/", ""); code != http.StatusNotFound {
		t.Errorf("elsewhere: %d", code)
	}
	h.nodes[0].stop()
	testenv.Eventually(t, "the agent says that it has no tunnel", func() bool {
		code, body := asked(t, addr, "/healthz", "")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "no tunnel")
	})
	p.stop(t)
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("somebody answers after the agent has ended")
	}
	for _, listen := range []string{"0.0.0.0:9464", ":9464", "192.0.2.1:9464", "9464"} {
		if (HealthConfig{listen}).check() == nil {
			t.Errorf("%s is taken for this machine alone", listen)
		}
	}
}
