package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/ballast"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/processors"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/tunnel"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
)

// hubName is in the Noise prologue; agents reach the hub by its address.
const hubName = "hub.bench.example"

// masterKey seals what lives for minutes.
var masterKey = bytes.Repeat([]byte{7}, store.MasterKeySize)

// A hub is the data path of one node: store, tunnels and synchronisation behind an HTTP
// server, without pages.
type hub struct {
	store       *store.Store
	tunnels     *tunnel.Tunnels
	directories *directory.Directories
	keys        protocol.Keys
	url, caFile string // caFile is empty without TLS
	env         string
	audit       *audit.Log
	ballast     ballast.Ballast // as that of the product's hub
	execute     tunnel.Executor // set before anything is executed
}

// calls joins the two packages' names for whom a call is for.
type calls struct{ *tunnel.Tunnels }

// Call implements directory.Calls.
func (c calls) Call(ctx context.Context, to directory.To, m protocol.Method, p protocol.Priority, req, resp any) error {
	return c.Tunnels.Call(ctx, tunnel.To(to), m, p, req, resp)
}

// quiet drops the log of a healthy run.
var quiet = slog.New(slog.DiscardHandler)

// startHub starts a hub on a store that the stage closes. secure adds TLS.
func startHub(s *stage, cfg store.Config, secure bool) *hub {
	keys, err := protocol.GenerateKeys()
	s.need(err)
	h := openHub(s, cfg, keys)
	h.listen(s, secure)
	h.seed(s)
	return h
}

// openHub runs a hub without a listener.
func openHub(s *stage, cfg store.Config, keys protocol.Keys) *hub {
	cfg.MasterKey, cfg.Log = masterKey, quiet
	if cfg.URL == "" {
		processors.Spare() // as the product's hub does
	}
	db, err := store.Open(s.ctx, cfg)
	s.need(err)
	s.Cleanup(func() { _ = db.Close() })
	local := coord.NewLocal()
	s.Cleanup(func() { _ = local.Close() })
	mesh, err := coord.NewMesh(coord.MeshConfig{Coord: local, MasterKey: masterKey, Name: "bench", Log: quiet})
	s.need(err)
	logKey := ed25519.NewKeyFromSeed(masterKey)
	h := &hub{store: db, keys: keys, ballast: ballast.Take(), audit: audit.NewLog(audit.LogConfig{Store: db, Key: logKey, Origin: auditlog.Origin(hubName), Log: quiet})}
	h.tunnels = tunnel.New(tunnel.Config{Store: db, Coord: local, Mesh: mesh, Keys: keys, HubName: hubName, Log: quiet, Audit: h.audit,
		Executor: func(ctx context.Context, to tunnel.To, recovery string, send tunnel.Send) error {
			return h.execute(ctx, to, recovery, send)
		}})
	h.directories = directory.New(directory.Config{Store: db, Calls: calls{h.tunnels}, Leases: local, Log: quiet})
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx))
	var wg sync.WaitGroup
	s.Cleanup(wg.Wait)
	s.Cleanup(cancel)
	wg.Go(func() { _ = mesh.Run(ctx) })
	wg.Go(func() { _ = h.tunnels.Run(ctx) })
	wg.Go(func() { _ = h.audit.Run(ctx) })
	s.running(h)
	return h
}

// running waits until the hub takes tunnels.
func (s *stage) running(h *hub) {
	for h.tunnels.Ready() != nil {
		s.wait(time.Millisecond)
	}
}

// listen serves agents until the stage ends.
func (h *hub) listen(s *stage, secure bool) {
	ln, err := listen(s.ctx, "127.0.0.1:0")
	s.need(err)
	mux := http.NewServeMux()
	mux.HandleFunc(protocol.Path, h.tunnels.ServeAgent)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	var wg sync.WaitGroup
	s.Cleanup(wg.Wait)
	s.Cleanup(func() { _ = srv.Close() })
	if !secure {
		h.url = "http://" + ln.Addr().String()
		wg.Go(func() { _ = srv.Serve(ln) })
		return
	}
	h.url = "https://" + ln.Addr().String()
	dir := testenv.Dir(s)
	h.caFile, err = testenv.WriteCertificate(dir, "127.0.0.1")
	s.need(err)
	wg.Go(func() { _ = srv.ServeTLS(ln, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")) })
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

// seed writes the organisation and the environment.
func (h *hub) seed(s *stage) {
	env, err := store.Change(s.ctx, h.store, func(tx *store.Tx) (store.Environment, error) {
		org, err := tx.CreateOrganisation(s.ctx, store.Organisation{Name: "Bench"})
		if err != nil {
			return store.Environment{}, err
		}
		return tx.CreateEnvironment(s.ctx, store.Environment{Org: org.ID, Name: "bench", PublicName: "Bench"})
	})
	s.need(err)
	h.env = env.ID
}

// register makes a directory with a ticket for its first agent.
func (h *hub) register(s *stage, kind string) protocol.Ticket {
	secret := rand.Text()
	d, err := store.Change(s.ctx, h.store, func(tx *store.Tx) (store.Directory, error) {
		d, err := tx.CreateDirectory(s.ctx, store.Directory{Env: h.env, Kind: kind, Name: kind})
		if err != nil {
			return d, err
		}
		_, err = tx.CreateTicket(s.ctx, h.env, d.ID, store.HashToken(secret), store.MaxTicketLife)
		return d, err
	})
	s.need(err)
	logKey := auditlog.Fingerprint(h.audit.Public())
	return protocol.Ticket{Hub: h.url, HubName: hubName, HubKey: h.keys.Public, LogKey: logKey[:], Directory: d.ID, Secret: secret,
		Expires: time.Now().Add(store.MaxTicketLife)}
}

// An enrolled agent has nothing but its keys.
type enrolled struct {
	keys      protocol.Keys
	directory string
}

// enrolBatch is how many agents are written in one transaction.
const enrolBatch = 200

// enrolKeys writes agents of new directories, one each, without asking them.
func (h *hub) enrolKeys(s *stage, n int) (all []enrolled) {
	for len(all) < n {
		var batch []enrolled
		err := h.store.Tx(s.ctx, func(tx *store.Tx) (err error) {
			batch = nil
			for range min(enrolBatch, n-len(all)) {
				e, err := h.enrolOne(s.ctx, tx)
				if err != nil {
					return err
				}
				batch = append(batch, e)
			}
			return nil
		})
		s.need(err)
		all = append(all, batch...)
	}
	return all
}

func (h *hub) enrolOne(ctx context.Context, tx *store.Tx) (e enrolled, err error) {
	d, err := tx.CreateDirectory(ctx, store.Directory{Env: h.env, Kind: "custom", Name: "bench"})
	if err != nil {
		return e, err
	}
	if e.keys, err = protocol.GenerateKeys(); err != nil {
		return e, err
	}
	ticket := rand.Text()
	if _, err := tx.CreateTicket(ctx, h.env, d.ID, ticket, store.MaxTicketLife); err != nil {
		return e, err
	}
	e.directory = d.ID
	_, err = tx.EnrolAgent(ctx, ticket, store.Agent{Name: "bench", NoiseKey: e.keys.Public, SignKey: make([]byte, ed25519.PublicKeySize)})
	return e, err
}

// to addresses the only agent of a directory.
func (h *hub) to(id string) tunnel.To { return tunnel.To{Env: h.env, Directory: id} }

// connected returns nil once the directory's agent serves.
func (h *hub) connected(ctx context.Context, id string) error {
	var d protocol.Description
	return h.tunnels.Call(ctx, h.to(id), protocol.MethodDescribe, protocol.PriorityLookup, protocol.Empty{}, &d)
}
