package admin

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// grown is a buffer that another goroutine writes to.
type grown struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (g *grown) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(p)
}

// String returns what was written.
func (g *grown) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.String()
}

// waitsFor waits until the text was written.
func (g *grown) waitsFor(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !strings.Contains(g.String(), text) {
		select {
		case <-deadline:
			t.Fatalf("never %q in\n%s", text, g.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

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
	var out grown
	root.SetOut(&out)
	var says grown
	root.SetErr(&says)
	between := newRelay(t, strings.TrimPrefix(st.server.URL, "http://"))
	root.SetArgs([]string{"audit", "tail", "--server", "http://" + between.Addr().String(), "--from", "0", "--kind", "directory_created", "--kind", "env_updated"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	want(t, "directory", "create", "--kind", "ad", "--name", "One")
	out.waitsFor(t, "directory_created")
	between.cut()
	want(t, "env", "domain", "add", "gap.example.test")
	out.waitsFor(t, "env_updated")
	if !strings.Contains(says.String(), "again in") {
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
