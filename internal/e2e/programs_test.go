package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

// programs are the paths of the built programs, made once by TestMain.
var programs struct{ postern, agent string }

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "postern-e2e-")
	if err != nil {
		panic(err)
	}
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../../cmd/postern", "../../cmd/postern-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		os.Exit(1)
	}
	programs.postern, programs.agent = filepath.Join(dir, "postern"), filepath.Join(dir, "postern-agent")
	code := testenv.Run(m)
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// within is how long a test waits for what must come; the machine may be busy.
const within = 60 * time.Second

// poll asks until ok says yes.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, within)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// A rest is a client of the REST API.
type rest struct {
	t         *testing.T
	base, key string
	client    *http.Client
	header    http.Header // sent besides; a Host replaces the hub's
}

// try sends one request and returns status and body.
func (c rest) try(method, path string, in any) (int, []byte, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		return 0, nil, err
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	req.Host = c.header.Get("Host") // "": that of the address
	req.Header.Set("Authorization", "Bearer "+c.key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// do sends one request that must succeed and decodes its answer into out.
func (c rest) do(method, path string, in, out any) {
	c.t.Helper()
	status, b, err := c.try(method, path, in)
	if err != nil || status >= 300 {
		c.t.Fatalf("%s %s: %d %s %v", method, path, status, b, err)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

// firstLine starts a command and returns it with the first line of its output. The
// command ends with the test, by an interrupt.
func firstLine(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "already") {
			t.Logf("%s: %v\n%s", cmd.Path, err, stderr.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s printed no line: %v\n%s", cmd.Path, err, stderr.String())
	}
	return line
}
