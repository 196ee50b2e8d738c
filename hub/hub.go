package hub

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/hub/api"
	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/ballast"
	"github.com/postern-id/postern/hub/console"
	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/domain"
	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/export"
	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/hub/site"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/storage"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/terminal"
	"github.com/postern-id/postern/hub/tunnel"
	"github.com/postern-id/postern/hub/verify/approval"
	"github.com/postern-id/postern/hub/verify/manual"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
)

// A Hub is one node. It serves as soon as it is open; what happens behind the answers
// needs Run.
type Hub struct {
	log     *slog.Logger
	store   *store.Store
	coord   coord.Coord
	mesh    *coord.Mesh
	domains *domain.Domains
	tunnels *tunnel.Tunnels

	directories *directory.Directories
	factors     *factor.Factors
	providers   *provider.Verifier
	operations  *operation.Operations
	recoveries  *flow.Recoveries
	requests    *request.Requests
	places      places
	oidc        *oidc.Provider
	signer      *signer.Agent
	trust       *wallet.Lists
	storage     *storage.Storage
	evaluations *evaluation.Runs
	approvals   *approval.Approvals
	manuals     *manual.Manuals
	members     *staff.Members
	notifier    *notify.Notifier
	hooks       *webhook.Hooks
	reviews     *review.Reviews
	site        *site.Site
	control     http.Handler
	rest        *api.API
	ballast     ballast.Ballast

	audit     *audit.Log
	exports   *export.Exports
	retention atomic.Int64 // of the audit log; a time.Duration, which an update may change

	mu     sync.Mutex
	public *url.URL // of public_url, which an update may change
}

// Open opens store and coordinator and wires everything over them. The caller runs
// Run, then calls Close.
func Open(ctx context.Context, cfg Config) (*Hub, error) {
	public, err := url.Parse(cfg.PublicURL)
	if err != nil || public.Host == "" {
		return nil, fmt.Errorf("hub: public_url %q: want https://host", cfg.PublicURL)
	}
	h := &Hub{log: cfg.Log, public: public, ballast: ballast.Take()}
	if h.log == nil {
		h.log = slog.Default()
	}
	s, key, err := openStoreAs(ctx, cfg, true)
	if err != nil {
		return nil, err
	}
	h.store = s
	if cfg.MasterKeyFile == "" {
		h.log.Warn(store.WeakDefault)
	}
	if err := errors.Join(h.openCoord(cfg, key), h.openRest(ctx, cfg)); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	h.register(cfg.Registry)
	return h, nil
}

// openCoord opens what nodes find each other by.
func (h *Hub) openCoord(cfg Config, key []byte) (err error) {
	if cfg.RedisURL == "" {
		h.coord = coord.NewLocal()
	} else if h.coord, err = coord.OpenRedis(coord.RedisConfig{URL: cfg.RedisURL, Log: h.log}); err != nil {
		return fmt.Errorf("hub: redis: %w", err)
	}
	h.mesh, err = coord.NewMesh(coord.MeshConfig{Coord: h.coord, MasterKey: key, Name: machine(), Log: h.log})
	return err
}

// machine is the name of this node, for people.
func machine() string {
	if name, err := os.Hostname(); err == nil {
		return name
	}
	return "unnamed"
}

// openRest wires the packages that work over store and coordinator.
func (h *Hub) openRest(ctx context.Context, cfg Config) (err error) {
	if h.mesh == nil {
		return nil // said already
	}
	if h.domains, err = domain.Open(ctx, h.store, h.domainSettings(cfg), h.log); err != nil {
		return err
	}
	noise, err := h.store.HubKey(ctx, store.HubKeyNoise, noiseKey)
	if err != nil {
		return err
	}
	logKey, err := h.store.HubKey(ctx, store.HubKeyLog, signKey)
	if err != nil {
		return err
	}
	h.audit = audit.NewLog(audit.LogConfig{
		Store: h.store, Key: ed25519.PrivateKey(logKey.Private), Origin: auditlog.Origin(h.public.Hostname()), Log: h.log,
		Retain: func() time.Duration { return time.Duration(h.retention.Load()) },
	})
	h.retention.Store(int64(cfg.AuditRetention))
	h.tunnels = tunnel.New(tunnel.Config{
		Store: h.store, Coord: h.coord, Mesh: h.mesh, HubName: h.public.Hostname(), Version: cfg.Version, Executor: h.execute, Log: h.log,
		Connected: func(to tunnel.To) { h.directories.Wake(to.Env, to.Directory) },
		Changed:   func(to tunnel.To) { h.directories.Changed(to.Env, to.Directory) },
		Keys:      protocol.Keys{Private: noise.Private, Public: noise.Public},
		Audit:     h.audit,
	})
	if err := h.openServices(cfg); err != nil {
		return err
	}
	fingerprint := auditlog.Fingerprint(logKey.Public)
	h.control = h.openControl(protocol.Ticket{Hub: cfg.PublicURL, HubName: h.public.Hostname(), HubKey: noise.Public, LogKey: fingerprint[:]})
	return nil
}

func noiseKey() (store.HubKey, error) {
	k, err := protocol.GenerateKeys()
	return store.HubKey{Public: k.Public, Private: k.Private}, err
}

func signKey() (store.HubKey, error) {
	pub, priv, err := ed25519.GenerateKey(nil)
	return store.HubKey{Public: pub, Private: priv}, err
}

// openControl serves the host of public_url.
func (h *Hub) openControl(ticket protocol.Ticket) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(protocol.Path, h.tunnels.ServeAgent)
	mux.HandleFunc(tunnel.LegacyPath, h.tunnels.ServeLegacy)
	h.rest = api.New(api.Config{
		Faces: h.reviews,
		Store: h.store, Domains: h.domains, Sync: h.directories, Tunnels: h.tunnels, Examiner: h.tunnels, Recoveries: h.recoveries, Acts: h.operations, Checks: h.hooks, Requests: h.requests, Evaluations: h.evaluations, Members: h.members, Storage: h.storage, Signer: h.signer, Trust: h.trust, Audit: h.audit, Exports: h.exports, Mail: h.notifier, Buckets: counts{h.coord}, Console: h.publicOrigin, Ticket: ticket, Origin: h.origin, Log: h.log,
	})
	mux.Handle("/api/", h.rest)
	terminals := terminal.New(terminal.Config{Store: h.store, Buckets: buckets{h.coord}, Log: h.log})
	mux.Handle(terminal.Pattern, terminals)
	mux.Handle("/people/", h.rest)
	mux.Handle("GET "+api.PicturesPath+"{link}", api.Pictures(h.store, h.log))
	mux.Handle(api.LogosPath, api.Logos(h.store, h.log))
	pages := console.New(console.Config{
		Store: h.store, Agents: h.tunnels, Directories: h.directories, Recoveries: h.recoveries, Reviews: h.reviews, Manuals: h.manuals, Transcripts: h.reviews, Badges: h.reviews, Evaluations: h.evaluations, Members: h.members, Terminals: terminals, Acts: h.operations, Orders: h.operations, Providers: h.providers, Signer: h.signer, Trust: h.trust, Audit: h.audit, Exports: h.exports, Mail: h.notifier, SiteOrigin: h.origin, Origin: h.publicOrigin, Log: h.log,
	})
	for _, pattern := range oidc.Patterns() {
		mux.Handle(pattern, h.oidc)
	}
	mux.Handle("/console", pages)
	mux.Handle("/console/", pages)
	mux.Handle("/cli/login/", pages)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		page.Headers(w.Header())
		http.Redirect(w, r, "/console", http.StatusSeeOther)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.EscapedPath(); p != path.Clean(p) && p != path.Clean(p)+"/" {
			h.rest.ServeHTTP(w, r) // refuses it; the mux would lead on to the clean one
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// publicOrigin returns scheme and host of public_url.
func (h *Hub) publicOrigin() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.public.Scheme + "://" + h.public.Host
}

// execute is what a node does that holds an agent's tunnel: it asks the store.
func (h *Hub) execute(ctx context.Context, to tunnel.To, id string, send tunnel.Send) error {
	return h.operations.Execute(ctx, operation.To(to), id, operation.Send(send))
}

// Handler serves the host of public_url: REST, console, agents.
func (h *Hub) Handler() http.Handler { return h.control }

// origin returns scheme and host of a recovery domain's site. The port is that of
// public_url, since both stand behind one edge.
func (h *Hub) origin(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := url.URL{Scheme: h.public.Scheme, Host: name}
	if port := h.public.Port(); port != "" {
		u.Host += ":" + port
	}
	return u.String()
}

// Site serves recovery domains, and says nothing on any other host.
func (h *Hub) Site() http.Handler { return http.HandlerFunc(h.serveSite) }

func (h *Hub) serveSite(w http.ResponseWriter, r *http.Request) {
	d, err := h.domains.Find(r.Host)
	if err != nil {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	req := site.Request{Env: d.Env, Origin: h.origin(d.Name), Client: clientOf(r)}
	h.site.ServeHTTP(w, r.WithContext(site.WithRequest(r.Context(), req)))
}

// Run does what happens behind the answers until ctx ends, and returns when all of it
// has ended: first what uses other nodes, then the mesh between them.
func (h *Hub) Run(ctx context.Context) error {
	below, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var mesh, upper sync.WaitGroup
	failures := make(chan error, 32) // more than there are parts
	start := func(wg *sync.WaitGroup, ctx context.Context, name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := h.part(ctx, name, run); err != nil {
				failures <- err
			}
		})
	}
	start(&mesh, below, "mesh", h.mesh.Run)
	start(&upper, ctx, "store", h.store.Run)
	start(&upper, ctx, "audit log", h.audit.Run)
	start(&upper, ctx, "audit streams", h.rest.Run)
	start(&upper, ctx, "audit export", h.exports.Run)
	start(&upper, ctx, "page bundle", h.recordBundles)
	start(&upper, ctx, "tunnels", h.tunnels.Run)
	start(&upper, ctx, "domains", h.domains.Run)
	start(&upper, ctx, "recoveries", h.recoveries.Run)
	start(&upper, ctx, "requests", h.requests.Run)
	start(&upper, ctx, "relying parties", h.oidc.Run)
	start(&upper, ctx, "evaluations", h.evaluations.Run)
	start(&upper, ctx, "approvals", h.approvals.Run)
	start(&upper, ctx, "staff", h.members.Run)
	start(&upper, ctx, "manual verifications", h.manuals.Run)
	start(&upper, ctx, "directories", h.directories.Run)
	start(&upper, ctx, "notices", h.notifier.Run)
	start(&upper, ctx, "webhooks", h.hooks.Run)
	start(&upper, ctx, "reviews", h.reviews.Run)
	start(&upper, ctx, "storage", h.storage.Run)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failures:
		<-ctx.Done()
	}
	upper.Wait()
	h.site.Wait(context.WithoutCancel(ctx))
	cancel()
	mesh.Wait()
	return err
}

// errEnded says that a part of the hub returned, without an error, before its time.
var errEnded = errors.New("ended while the hub runs")

// part runs a part of the hub until ctx ends. One that ends earlier, even without an
// error, does its work no more: that is an error, and stands in the log at once.
func (h *Hub) part(ctx context.Context, name string, run func(context.Context) error) error {
	err := run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = errEnded
	}
	h.log.ErrorContext(ctx, "a part of the hub ended", "part", name, "error", err)
	return fmt.Errorf("hub: %s: %w", name, err)
}

// Update puts changed settings into force without ending tunnels. Store, data folder
// and Redis are those that the hub was opened with.
func (h *Hub) Update(cfg Config) error {
	public, err := url.Parse(cfg.PublicURL)
	if err != nil || public.Hostname() != h.publicHost() {
		return fmt.Errorf("hub: public_url %q: the host is part of every agent's keys; restart to change it", cfg.PublicURL)
	}
	h.mu.Lock()
	h.public = public
	h.mu.Unlock()
	h.retention.Store(int64(cfg.AuditRetention))
	h.domains.Update(h.domainSettings(cfg))
	return errors.Join(h.signer.Move(cfg.Signer), h.places.open(cfg.Places), h.notifier.SetRoute(routeOf(cfg.SMTP)))
}

func (h *Hub) publicHost() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.public.Hostname()
}

func (h *Hub) domainSettings(cfg Config) domain.Settings {
	return domain.Settings{CNAMETarget: cfg.CNAMETarget, Resolvers: cfg.Resolvers, Control: h.publicHost()}
}

// Close gives store and coordinator back, after Run has returned.
func (h *Hub) Close() error {
	var errs []error
	if h.coord != nil {
		errs = append(errs, h.coord.Close())
	}
	if h.signer != nil {
		errs = append(errs, h.signer.Close())
	}
	if h.store != nil {
		errs = append(errs, h.store.Close())
	}
	return errors.Join(errs...)
}

// CertificateAllowed returns nil if a certificate may be obtained for name: it is a
// proven recovery domain. It answers from memory.
func (h *Hub) CertificateAllowed(_ context.Context, name string) error {
	_, err := h.domains.Find(name)
	return err
}

// Storage is where all nodes keep certificates.
func (h *Hub) Storage() *store.Certificates { return h.store.Certificates() }

// Ready returns nil if recoveries can be served: store and coordinator answer.
func (h *Hub) Ready(ctx context.Context) error {
	return errors.Join(h.store.Ping(ctx), h.coord.Healthy(ctx), h.tunnels.Ready())
}

// readyLife bounds the questions of metrics.
const readyLife = time.Second
