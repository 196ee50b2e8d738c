package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// stockMain is a Caddy as others build it: Caddy's own command and one import.
const stockMain = `package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/postern-id/postern/caddymodule"
)

func main() { caddycmd.Main() }
`

// buildStock builds stockMain in a module of its own that requires this one.
func buildStock(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	const own = "github.com/postern-id/postern"
	text := strings.Replace(string(mod), "module "+own, "module edge.example", 1) + "\nrequire " + own + " v0.0.0\nreplace " + own + " => " + root + "\n"
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"go.mod": []byte(text), "go.sum": sum, "main.go": []byte(stockMain)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", "edge", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "edge")
}

const stockEdge = `{
	admin off
	persist_config off
	auto_https off
	default_bind 127.0.0.1
	storage postern
	postern {
		data_dir DIR/data
		public_url http://localhost:PORT
	}
}
http://localhost:PORT {
	postern
}
http://:PORT {
	postern_site
}
`

func TestAStockCaddyWithTheModuleServesAndEndsItsTunnels(t *testing.T) {
	edge, dir, port := buildStock(t), testenv.Dir(t), testenv.FreePort(t)
	file := filepath.Join(dir, "Caddyfile")
	text := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(port)).Replace(stockEdge)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("http://localhost:%d", port)
	child := testenv.Start(t, testenv.Command{Path: edge, Args: []string{"run", "--config", file, "--adapter", "caddyfile"}, Dir: dir,
		Ready: func(ctx context.Context) error { return answers(ctx, base+"/readyz", http.StatusOK) }})
	for address, want := range map[string]int{
		base + "/api/envs": http.StatusUnauthorized, base + "/nothing": http.StatusNotFound, fmt.Sprintf("http://127.0.0.1:%d/", port): http.StatusNotFound,
	} {
		if err := answers(t.Context(), address, want); err != nil {
			t.Error(err)
		}
	}
	d := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol}, HandshakeTimeout: 10 * time.Second}
	ws, _, err := d.DialContext(t.Context(), fmt.Sprintf("ws://localhost:%d%s", port, protocol.Path), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	began := time.Now()
	if err := child.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); err == nil {
		t.Error("a tunnel that said nothing was told something")
	}
	<-child.Done()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if _, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after its end: %v", err)
	}
}

// answers asks an address and returns an error unless the status is as expected.
func answers(ctx context.Context, address string, want int) error {
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("%s = %s; want %d", address, resp.Status, want)
	}
	return nil
}
