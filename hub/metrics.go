package hub

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
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
