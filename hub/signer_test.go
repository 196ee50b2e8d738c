package hub

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-id/postern/internal/testenv"
)

func TestASignerIsNamedByAReloadAndAHubIsReadyWithoutIt(t *testing.T) {
	registry := prometheus.NewRegistry()
	cfg := Config{DataDir: t.TempDir(), PublicURL: "http://localhost:8080", Log: slog.New(slog.DiscardHandler), Registry: registry}
	if _, err := Install(t.Context(), cfg, "Example", "production"); err != nil {
		t.Fatal(err)
	}
	h, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	for within := time.Now().Add(time.Minute); h.Ready(ctx) != nil; {
		if time.Now().After(within) {
			t.Fatal(h.Ready(ctx))
		}
	}
	up := func() float64 {
		t.Helper()
		all, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.GetName() == "postern_signer_up" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("there is no postern_signer_up")
		return 0
	}
	if up() != 1 || h.signer.Named() {
		t.Error("a hub without a signer misses it")
	}
	agent := testenv.StartSSHAgent(t, nil)
	fingerprint, _ := agent.Make(t, testenv.SSHP256)
	cfg.Signer = "unix/" + agent.Socket
	if err := h.Update(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := h.signer.Key(t.Context(), fingerprint); err != nil || up() != 1 {
		t.Errorf("after the reload: %v", err)
	}
	agent.Stop()
	if err := h.Ready(t.Context()); err != nil || up() != 0 {
		t.Errorf("without the agent: ready %v, up %v", err, up())
	}
	cfg.Signer = "/run/agent.sock"
	if err := h.Update(cfg); err == nil {
		t.Error("no address of a signer was taken for one")
	}
}
