package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/internal/testenv"
)

func TestAServiceManagerHearsReadyOnceAndSignsOfLifeWhileNoHubAnswers(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	h.nodes[0].stop()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ready, alive atomic.Int32
	done := make(chan error, 1)
	open := func(context.Context, string, settings.File, *slog.Logger) (directory.Directory, error) {
		return newCompany(t), nil
	}
	go func() {
		done <- Run(ctx, Options{Config: cfg, Open: open, Ready: func() { ready.Add(1) }, Alive: func() { alive.Add(1) }})
	}()
	testenv.Eventually(t, "two signs of life", func() bool { return alive.Load() > 1 })
	cancel()
	if err := <-done; err != nil || ready.Load() != 1 {
		t.Errorf("%v, ready %d times", err, ready.Load())
	}
}

func TestWhatCannotWorkIsNeverReady(t *testing.T) {
	cfg := newTestHub(t, 1, nil).enrolled(t, "http")
	broken := errors.New("no such kind")
	open := func(context.Context, string, settings.File, *slog.Logger) (directory.Directory, error) {
		return nil, broken
	}
	ready := false
	if err := Run(t.Context(), Options{Config: cfg, Open: open, Ready: func() { ready = true }}); !errors.Is(err, broken) || ready {
		t.Errorf("%v, ready %t", err, ready)
	}
}
