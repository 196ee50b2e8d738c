package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// A cluster is several nodes as processes, over one PostgreSQL, one Redis and one mail
// server of its own, with a balancer before them that knows no sessions.
type cluster struct {
	t     *testing.T
	pg    *testenv.Postgres
	redis *testenv.Redis
	front *balancer
	nodes []*edge
	*environment
}

// startCluster starts so many nodes, and makes an environment with a recovery domain
// and a directory without an agent.
func startCluster(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{t: t, front: startBalancer(t), pg: testenv.StartPostgres(t), redis: testenv.StartRedis(t)}
	key := filepath.Join(testenv.Dir(t), "master.key")
	if err := os.WriteFile(key, bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := edgeConfig{
		PublicURL: c.front.url("localhost"), Store: c.pg.Database(t), Redis: c.redis.URL(), MasterKey: key,
		Global: "servers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t}",
	}
	c.nodes = append(c.nodes, startEdge(t, conf))
	c.join(conf, nodes-1)
	c.front.serve(c.nodes...)
	c.environment = c.nodes[0].environment(t, "cluster", "custom")
	c.site = c.front.url(c.host)
	t.Cleanup(c.showLogs)
	for _, n := range c.nodes {
		poll(t, "every node serves the recovery domain", func() bool { return n.status("/", c.host) == http.StatusOK })
	}
	return c
}

// join adds nodes to the installation.
func (c *cluster) join(conf edgeConfig, nodes int) {
	c.t.Helper()
	first := c.nodes[0]
	conf.Join = first
	more, errs := make([]*edge, nodes), make([]error, nodes)
	var wg sync.WaitGroup
	for i := range nodes {
		conf := conf
		conf.Port = testenv.FreePort(c.t)
		wg.Go(func() { more[i], errs[i] = newEdge(c.t, conf) })
	}
	wg.Wait()
	for i, n := range more {
		if n != nil {
			c.t.Cleanup(n.remove)
		}
		if errs[i] != nil {
			c.t.Fatal(errs[i])
		}
	}
	c.nodes = append(c.nodes, more...)
}

func (c *cluster) showLogs() {
	if !c.t.Failed() {
		return
	}
	for i, n := range c.nodes {
		text := n.logs(c.t)["edge.log"]
		c.t.Logf("node %d: …%s", i, text[max(0, len(text)-8000):])
	}
}

// kill ends a node as a power cut would; the balancer notices at once.
func (c *cluster) kill(n *edge) {
	n.kill()
	c.front.serve(c.living()...)
}

// living are the nodes that run.
func (c *cluster) living() []*edge {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *edge) bool {
		select {
		case <-n.child.Done():
			return true
		default:
			return false
		}
	})
}

// status asks the node itself for a page and returns the status, 0 without an answer.
func (e *edge) status(path, host string) int {
	req, err := http.NewRequest(http.MethodGet, e.address(host)+path, nil)
	if err != nil {
		return 0
	}
	resp, err := e.client().Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// An agentRow is an agent as the REST API shows it.
type agentRow struct {
	ID, Name, State, Fingerprint string
	Conflict                     string `json:"conflict_since"`
	Nodes                        []string
}

// agents are the directory's agents as one node sees them.
func (c *cluster) agents(n *edge) []agentRow {
	c.t.Helper()
	var list struct{ Agents []agentRow }
	n.rest(c.t).do(http.MethodGet, "/api/directories/"+c.directory+"/agents", nil, &list)
	return list.Agents
}

// connected waits until every node knows a tunnel of the first agent.
func (c *cluster) connected() {
	c.t.Helper()
	for _, n := range c.living() {
		poll(c.t, "every node knows where the agent is", func() bool {
			a := c.agents(n)
			return len(a) > 0 && len(a[0].Nodes) > 0
		})
	}
}

// visit returns a visitor of the recovery domain.
func (c *cluster) visit() *visitor {
	c.t.Helper()
	return newVisitor(c.t, c.site, c.front.port)
}
