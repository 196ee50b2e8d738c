package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// Sizes of the experiment: one agent for each of 10,000 directories, and a few before,
// so that what the first ones cost is not theirs.
const (
	idleTunnels = 10_000
	idleWarm    = 100
	pingRound   = 35 * time.Second // the hub pings whoever was silent for 20 s, all within 30 s
	idleTLS     = 2                // rounds through TLS
)

// measureIdle counts the memory of a hub's process that holds 10,000 tunnels of agents
// that have nothing to do, without TLS and through that of Caddy's server, after a garbage
// collection; beside it websockets held in the way of gorilla's examples, which have said
// nothing.
func measureIdle(s *stage, rounds int) []row {
	keys, agents, seeded := seedIdle(s)
	var raw, ours, opened, fresh, pinged, rawTLS, oursTLS series
	for round := range rounds {
		raw = append(raw, s.idleRound(idleSetup{Raw: true}, agents, nil).each)
		got := s.idleRound(idleSetup{Dir: seeded, Keys: keys}, agents, func(s *stage, m *meter) {
			if round == rounds-1 {
				s.wait(pingRound)
				pinged = append(pinged, m.each(s, true))
			}
		})
		ours, opened, fresh = append(ours, got.each), append(opened, got.took), append(fresh, got.uncollected)
		if round < idleTLS {
			rawTLS = append(rawTLS, s.idleRound(idleSetup{Raw: true, TLS: true}, agents, nil).each)
			oursTLS = append(oursTLS, s.idleRound(idleSetup{Dir: seeded, Keys: keys, TLS: true}, agents, nil).each)
		}
	}
	limit := valueAtMost(6)
	return []row{
		{name: "idle: hub memory of a tunnel, plain, after a forced GC", unit: "KB", anchor: "gorilla's example", base: raw, ours: ours, goal: limit},
		{name: "idle: the same before it", unit: "KB", ours: fresh},
		{name: "idle: hub memory of a tunnel, through Caddy's TLS, after a forced GC", unit: "KB", anchor: "gorilla's example, TLS", base: rawTLS, ours: oursTLS, goal: valueAtMost(20)},
		{name: "idle: the same after pings and a forced GC (once)", unit: "KB", ours: pinged, goal: limit},
		{name: fmt.Sprintf("idle: %d agents come back within", idleTunnels), unit: "s", ours: opened},
	}
}

// seedIdle makes a store in which the agents are enrolled, to be copied for each round.
func seedIdle(s *stage) (hubKeys protocol.Keys, agents []protocol.Keys, dir string) {
	dir = s.disk()
	s.act(func(s *stage) {
		h := startHub(s, store.Config{Dir: dir}, false)
		hubKeys = h.keys
		for _, e := range h.enrolKeys(s, idleWarm+idleTunnels) {
			agents = append(agents, e.keys)
		}
	})
	return hubKeys, agents, dir
}

// What a round found out.
type idleResult struct {
	each, uncollected float64 // KB of each tunnel
	took              float64 // seconds until all were open
}

// idleRound starts a hub, opens a few tunnels, measures, opens the others and measures
// again. more, if not nil, is called while they are open.
func (s *stage) idleRound(setup idleSetup, agents []protocol.Keys, more func(*stage, *meter)) (r idleResult) {
	s.act(func(s *stage) {
		setup.Port = testenv.FreePort(s)
		if setup.Dir != "" {
			setup.Dir = copyStore(s, setup.Dir)
		}
		m, caFile := &meter{url: fmt.Sprintf("http://127.0.0.1:%d", setup.Port), client: http.DefaultClient}, ""
		if setup.TLS {
			var err error
			setup.CertDir = s.disk()
			caFile, err = testenv.WriteCertificate(setup.CertDir, "127.0.0.1")
			s.need(err)
			m.url, m.client = strings.Replace(m.url, "http", "https", 1), trusting(s, caFile)
		}
		startSelf(s, "hub", setup)
		open := agentsSetup{URL: m.url, CAFile: caFile, HubKey: setup.Keys.Public, Raw: setup.Raw, Keys: agents[:idleWarm]}
		startSelf(s, "agents", open)
		m.base = m.resident(s, true)
		open.Keys = agents[idleWarm:]
		began := time.Now()
		startSelf(s, "agents", open)
		r.took = time.Since(began).Seconds()
		r.uncollected, r.each = m.each(s, false), m.each(s, true)
		if more != nil {
			more(s, m)
		}
	})
	return r
}

// trusting is a client that trusts an authority.
func trusting(s *stage, caFile string) *http.Client {
	pem, err := os.ReadFile(caFile)
	s.need(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

func copyStore(s *stage, from string) string {
	to := s.disk()
	text, err := os.ReadFile(filepath.Join(from, store.FileName))
	s.need(err)
	s.need(os.WriteFile(filepath.Join(to, store.FileName), text, 0o600))
	return to
}

// A meter asks the hub's process how much memory it has.
type meter struct {
	url    string
	client *http.Client
	base   float64
}

// each is what one of the tunnels costs, in KB.
func (m *meter) each(s *stage, collected bool) float64 {
	return (m.resident(s, collected) - m.base) / idleTunnels / 1024
}

func (m *meter) resident(s *stage, collect bool) float64 {
	url := m.url + meterPath
	if collect {
		url += "?collect"
	}
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, url, nil)
	s.need(err)
	resp, err := m.client.Do(req)
	s.need(err)
	defer func() { _ = resp.Body.Close() }()
	var got reading
	s.need(json.NewDecoder(resp.Body).Decode(&got))
	return got.Resident
}

// meterPath is where the hub's process tells.
const meterPath = "/meter"

type reading struct {
	Resident   float64
	Goroutines int
}

// An idleSetup says what a hub's process holds. Raw ones are websockets, read within
// their handlers; others need the folder of a seeded store.
type idleSetup struct {
	Port int
	Dir  string
	Keys protocol.Keys
	Raw  bool
	TLS  bool // Caddy's where tunnels are held

	CertDir string // of TLS
}

func hubChild(ctx context.Context, args []string) error {
	var setup idleSetup
	ready, err := load(args, &setup)
	if err != nil {
		return err
	}
	s := &stage{ctx: ctx, out: os.Stderr}
	s.scene(func(s *stage) { // its cleanups end what the hub started
		mux := http.NewServeMux()
		mux.HandleFunc(meterPath, tell)
		if setup.Raw {
			mux.HandleFunc(protocol.Path, echo)
		} else {
			mux.HandleFunc(protocol.Path, openHub(s, store.Config{Dir: setup.Dir}, setup.Keys).tunnels.ServeAgent)
		}
		if setup.TLS && !setup.Raw {
			s.need(serveByCaddy(ctx, setup.Port, mux, setup.CertDir, ready))
			return
		}
		srv := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", setup.Port), Handler: mux, ReadHeaderTimeout: time.Minute}
		if err := serveUntil(ctx, srv, setup.CertDir, ready); ctx.Err() == nil {
			s.need(err)
		}
	})
	if s.failed != "" {
		return errors.New(s.failed)
	}
	return nil
}

// tell answers with the memory of this process.
func tell(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		debug.FreeOSMemory()
	}
	resident, err := residentOf(os.Getpid())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(reading{resident, runtime.NumGoroutine()}) // the meter notices
}
