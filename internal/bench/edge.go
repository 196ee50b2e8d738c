package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	product "github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/internal/testenv"
)

const edgePackage = "github.com/postern-id/postern/cmd/postern"

// Hosts of the edge. Browsers and Caddy know *.localhost without a name server.
const (
	siteHost = "recover.bench.localhost"
	twinHost = "twin.bench.localhost"
)

// An edge is the product's postern in a process of its own.
type edge struct {
	dir, path     string
	address, port string
	child         *testenv.Child
	key           string // of the owner
	env           string
	directory     string // whose agent is connected
}

// edgeFile is the edge's Caddyfile; further sites follow.
const edgeFile = `{
	admin off
	persist_config off
	auto_https off
	default_bind 127.0.0.1
	storage file_system %[1]s/caddy
	postern {
		data_dir %[1]s/data
		public_url http://localhost:%[2]s
	}
}
http://localhost:%[2]s {
	postern
}
http://:%[2]s {
	postern_site
}
`

// startEdge starts an edge with a recovery domain and a directory whose agent is
// connected.
func startEdge(s *stage) *edge {
	e := &edge{dir: s.disk(), path: build(s, edgePackage), port: fmt.Sprint(testenv.FreePort(s))}
	e.address = "127.0.0.1:" + e.port
	s.need(os.Mkdir(filepath.Join(e.dir, "data"), 0o700))
	in, err := product.Install(s.ctx, product.Config{DataDir: filepath.Join(e.dir, "data"), PublicURL: "http://localhost:" + e.port, Log: quiet}, "Bench AG", "bench")
	s.need(err)
	e.key, e.env = in.Key.Reveal(), in.Environment
	e.run(s, "")
	var made struct{ ID, Ticket string }
	for _, c := range []struct {
		path string
		in   any
	}{
		{"/api/envs/" + in.Environment + "/domains", map[string]string{"name": siteHost}},
		{"/api/directories", map[string]string{"env": in.Environment, "kind": "demo"}},
	} {
		s.need(e.call(s.ctx, http.MethodPost, c.path, c.in, &made))
	}
	e.directory = made.ID
	s.need(e.call(s.ctx, http.MethodPost, "/api/directories/"+made.ID+"/agent-tickets", struct{}{}, &made))
	program{path: build(s, agentPackage)}.enrol(s, made.Ticket, "", `kind = "demo"`, e.connected)
	return e
}

// run starts the process, with further sites, and waits until it serves.
func (e *edge) run(s *stage, sites string) {
	file := filepath.Join(e.dir, "Caddyfile")
	s.need(os.WriteFile(file, []byte(fmt.Sprintf(edgeFile, e.dir, e.port)+sites), 0o600))
	e.child = testenv.Start(s, testenv.Command{Path: e.path, Args: []string{"run", "--config", file}, Dir: e.dir,
		Ready: func(ctx context.Context) error { return e.call(ctx, http.MethodGet, "/readyz", nil, nil) }})
}

// connected returns nil once the directory's agent is connected and has told of its
// accounts, so that the first page offers something.
func (e *edge) connected(ctx context.Context) error {
	var d struct{ Count int }
	var all struct{ Agents []struct{ Nodes []string } }
	err := errors.Join(e.call(ctx, http.MethodGet, "/api/directories/"+e.directory, nil, &d),
		e.call(ctx, http.MethodGet, "/api/directories/"+e.directory+"/agents", nil, &all))
	if err == nil && (d.Count == 0 || len(all.Agents) == 0 || len(all.Agents[0].Nodes) == 0) {
		return errors.New("bench: the agent is not connected")
	}
	return err
}

// call asks the REST API with the owner's key.
func (e *edge) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+e.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Host = "localhost:" + e.port
	req.Header.Set("Authorization", "Bearer "+e.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return errors.Join(err, fmt.Errorf("bench: %s %s: %s: %s", method, path, resp.Status, answer))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// await waits until the agent is back after a start of the edge.
func (e *edge) await(s *stage) {
	for e.connected(s.ctx) != nil {
		s.wait(askAgain)
	}
}

// askAgain is between two questions whether the agent is there.
const askAgain = 50 * time.Millisecond

// dial opens a connection; request is what a browser sends on it, in short.
func (e *edge) dial(s *stage) net.Conn {
	conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", e.address)
	s.need(err)
	return conn
}

func (e *edge) request(host, path, connection string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/142.0\r\n"+
		"Accept: text/html,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.7\r\nConnection: %s\r\n\r\n", path, host, e.port, connection)
}
