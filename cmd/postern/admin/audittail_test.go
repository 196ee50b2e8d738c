package admin

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/internal/testenv"
)

// relay passes connections on to an address.
type relay struct {
	net.Listener
	mu  sync.Mutex
	all []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	t.Cleanup(func() { _ = l.Close(); r.cut() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			r.mu.Lock()
			r.all = append(r.all, in, out)
			r.mu.Unlock()
			go func() { _, _ = io.Copy(in, out) }()
			go func() { _, _ = io.Copy(out, in) }()
		}
	}()
	return r
}

// cut ends all connections that there are.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		_ = c.Close()
	}
	r.all = nil
}

func TestEventsAreFollowedOverAnInterruptionWithoutAGap(t *testing.T) {
	st := start(t)
	root := &cobra.Command{Use: "postern", SilenceUsage: true, SilenceErrors: true}
	for _, row := range Commands() {
		c := &cobra.Command{Use: row.Name}
		row.CobraFunc(c)
		root.AddCommand(c)
	}
	var out, says testenv.Buffer
	root.SetOut(&out)
	root.SetErr(&says)
	between := newRelay(t, strings.TrimPrefix(st.server.URL, "http://"))
	root.SetArgs([]string{"audit", "tail", "--server", "http://" + between.Addr().String(), "--from", "0", "--kind", "directory_created", "--kind", "env_updated"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	want(t, "directory", "create", "--kind", "ad", "--name", "One")
	testenv.Eventually(t, "directory_created", func() bool { return out.Has("directory_created") })
	between.cut()
	want(t, "env", "domain", "add", "gap.example.test")
	testenv.Eventually(t, "env_updated", func() bool { return out.Has("env_updated") })
	if !says.Has("again in") {
		t.Error("nothing was said of the interruption")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(out.String(), "directory_created"); n != 1 {
		t.Errorf("an event came %d times", n)
	}
	t.Setenv(keyVariable, "postern_wrong")
	if _, _, err := run(t, "", "audit", "tail"); err == nil || !strings.Contains(err.Error(), "API key") {
		t.Errorf("with a wrong key: %v", err)
	}
}
