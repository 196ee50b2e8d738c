package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/store"
)

// recorder is a hub that says what the edge gave it.
type recorder struct {
	mu      sync.Mutex
	configs []hub.Config // of open and each update
	sockets []*websocket.Conn
	ready   error
	closed  atomic.Bool
	ran     atomic.Bool
	refuse  error                     // what Update answers
	opening func(http.ResponseWriter) // before each tunnel, if set
}

// useRecorder makes the edge open a recorder, until the test ends.
func useRecorder(t *testing.T) *recorder {
	h := new(recorder)
	former := openHub
	openHub = func(_ context.Context, cfg hub.Config) (Hub, error) {
		h.closed.Store(false)
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "postern_recorder_total", Help: "x"})
		if err := cfg.Registry.Register(c); err != nil {
			return nil, err
		}
		return h, h.Update(cfg)
	}
	t.Cleanup(func() { openHub = former })
	return h
}

func (h *recorder) last() hub.Config {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.configs[len(h.configs)-1]
}

func (h *recorder) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/agent", h.tunnel)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if to := r.FormValue("redirect"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusSeeOther)
		}
		fmt.Fprintf(w, "control %s %s %v", r.RemoteAddr, r.URL.Path, r.Header)
	})
	return mux
}

func (h *recorder) Site() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "site %s %s", r.Host, r.RemoteAddr) })
}

// tunnel echoes, like a tunnel that outlives its handler.
func (h *recorder) tunnel(w http.ResponseWriter, r *http.Request) {
	if h.opening != nil {
		h.opening(w)
	}
	c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sockets = append(h.sockets, c)
	if h.closed.Load() { // the client may have its answer before this line
		goodbye(c)
		return
	}
	go func() {
		for {
			kind, b, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, b) != nil {
				return
			}
		}
	}()
}

func (h *recorder) Run(ctx context.Context) error {
	h.ran.Store(true)
	<-ctx.Done()
	h.ran.Store(false)
	return nil
}

func (h *recorder) Update(cfg hub.Config) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return h.refuse
	}
	h.configs = append(h.configs, cfg)
	cfg.Log.Info("settings", "cname_target", cfg.CNAMETarget)
	return nil
}

func (h *recorder) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.sockets {
		goodbye(c)
	}
	h.closed.Store(true)
	return nil
}

// goodbye closes a tunnel with a word.
func goodbye(c *websocket.Conn) {
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "come back"), time.Now().Add(time.Second))
	_ = c.Close()
}

func (h *recorder) CertificateAllowed(_ context.Context, name string) error {
	if name == "recover.localhost" {
		return nil
	}
	return errors.New("not proven")
}

func (h *recorder) Storage() *store.Certificates { return nil }
func (h *recorder) Ready(context.Context) error  { return h.ready }
