package caddymodule

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/store"
)

// Hub is what this package asks of the hub.
type Hub interface {
	Handler() http.Handler
	Site() http.Handler
	Run(ctx context.Context) error
	Update(cfg hub.Config) error
	Close() error
	CertificateAllowed(ctx context.Context, name string) error
	Storage() *store.Certificates
	Ready(ctx context.Context) error
}

// openHub opens the hub; tests put their own in its place.
var openHub = func(ctx context.Context, cfg hub.Config) (Hub, error) { return hub.Open(ctx, cfg) }

// openTimeout bounds the opening of store and coordinator, migrations included.
const openTimeout = time.Minute

// installations holds one hub for each data folder and store, so that a reload
// keeps tunnels and their agents never notice.
var installations = caddy.NewUsagePool()

// installationKey tells installations apart. All other settings may change under a
// running hub.
type installationKey struct{ dataDir, store string }

// An installation is a hub and the configurations that share it.
type installation struct {
	key     installationKey
	log     *slog.Logger // goes to the newest configuration's logger
	sink    *sink
	metrics *prometheus.Registry

	mu      sync.Mutex
	hub     Hub
	cancel  context.CancelFunc // ends Run
	done    chan struct{}      // closed when Run has returned
	started []settings         // of apps that are started, newest last
}

// settings are what one started app asks for.
type settings struct {
	owner *App
	cfg   hub.Config
	log   *slog.Logger
}

// share returns the installation of key, with one more share in it.
func share(key installationKey) (*installation, error) {
	v, _, err := installations.LoadOrNew(key, func() (caddy.Destructor, error) {
		s := new(sink)
		return &installation{key: key, sink: s, log: slog.New(s.handler()), metrics: prometheus.NewRegistry()}, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*installation), nil
}

// release gives one share back.
func (in *installation) release() error {
	_, err := installations.Delete(in.key)
	return err
}

// opened returns the hub if it is open.
func (in *installation) opened() Hub {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.hub
}

// open returns the hub, opened with cfg if it is not open yet.
func (in *installation) open(cfg hub.Config, log *slog.Logger) (Hub, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.openLocked(cfg, log)
}

func (in *installation) openLocked(cfg hub.Config, log *slog.Logger) (Hub, error) {
	if in.hub != nil {
		return in.hub, nil
	}
	in.sink.use(log)
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	h, err := openHub(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the hub: %w", err)
	}
	in.hub = h
	in.run()
	return h, nil
}

// run starts the hub's own work.
func (in *installation) run() {
	ctx, cancel := context.WithCancel(context.Background())
	in.cancel, in.done = cancel, make(chan struct{})
	go func(h Hub, done chan struct{}) {
		defer close(done)
		if err := h.Run(ctx); err != nil {
			in.log.Error("hub ended", "error", err)
		}
	}(in.hub, in.done)
}

// start makes cfg the settings that hold: it opens the hub with them or updates it.
func (in *installation) start(owner *App, cfg hub.Config, log *slog.Logger) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	fresh := in.hub == nil
	h, err := in.openLocked(cfg, log)
	if err != nil {
		return err
	}
	if !fresh {
		if err := h.Update(cfg); err != nil {
			return fmt.Errorf("updating the hub: %w", err)
		}
	}
	in.sink.use(log)
	in.started = append(in.started, settings{owner, cfg, log})
	return nil
}

// stop takes the settings of owner back. Where they were the newest and others are
// left, as when Caddy rolls a failed reload back, those hold again.
func (in *installation) stop(owner *App) {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := slices.IndexFunc(in.started, func(s settings) bool { return s.owner == owner })
	if i < 0 {
		return
	}
	newest := i == len(in.started)-1
	in.started = slices.Delete(in.started, i, i+1)
	if !newest || len(in.started) == 0 {
		return
	}
	s := in.started[len(in.started)-1]
	in.sink.use(s.log)
	if err := in.hub.Update(s.cfg); err != nil {
		in.log.Error("former settings were not restored", "error", err)
	}
}

// Destruct implements caddy.Destructor: nobody shares the installation any more.
func (in *installation) Destruct() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.hub == nil {
		return nil
	}
	in.cancel()
	<-in.done
	err := in.hub.Close()
	in.hub = nil
	return err
}

var _ caddy.Destructor = (*installation)(nil)
