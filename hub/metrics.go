package hub

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-id/postern/hub/signer"
)

// register offers what operators watch, unless there is no registry.
func (h *Hub) register(r prometheus.Registerer) {
	if r == nil {
		return
	}
	up := func(name, help string, check func(context.Context) error) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: name, Help: help}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), readyLife)
			defer cancel()
			if check(ctx) != nil {
				return 0
			}
			return 1
		})
	}
	for _, c := range []prometheus.Collector{
		up("store_up", "1 if the store answers.", h.store.Ping),
		up("signer_up", "1 if the signer outside of the hub answers, or none is named.", h.signerUp),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: "signer_keys_old", Help: "Clients whose signing key outside of the hub is older than 180 days."},
			func() float64 { return float64(h.oidc.OldKeys()) }),
		up("coordinator_up", "1 if the coordinator answers.", h.coord.Healthy),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: "nodes", Help: "Live nodes, as this one sees them."},
			func() float64 { return float64(len(h.mesh.Nodes())) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "postern", Name: "mesh_refused_total", Help: "Messages between nodes that were forged, replayed or late."},
			func() float64 { return float64(h.mesh.Refused()) }),
	} {
		if err := r.Register(c); err != nil {
			h.log.Warn("a metric is not registered", "error", err)
		}
	}
}

// signerUp returns nil if the signer answers, or there is none. A hub is ready without it:
// recoveries need no signature of its keys.
func (h *Hub) signerUp(ctx context.Context) error {
	err := h.signer.Ping(ctx)
	if errors.Is(err, signer.ErrNone) {
		return nil
	}
	return err
}
