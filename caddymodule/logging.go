package caddymodule

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// A sink is where the hub's log goes. The hub outlives the configuration whose
// logger it was opened with, so the target can be exchanged.
type sink struct{ target atomic.Pointer[slog.Logger] }

// use makes log the target.
func (s *sink) use(log *slog.Logger) { s.target.Store(log) }

// handler returns a handler that follows the target.
func (s *sink) handler() slog.Handler { return &following{sink: s} }

// following is a handler that applies its attributes and groups to whatever the
// target is at the time of a record.
type following struct {
	sink  *sink
	steps []func(slog.Handler) slog.Handler
}

// current returns the target's handler with attributes and groups applied.
func (f *following) current() slog.Handler {
	log := f.sink.target.Load()
	if log == nil {
		return slog.DiscardHandler
	}
	h := log.Handler()
	for _, step := range f.steps {
		h = step(h)
	}
	return h
}

// Enabled implements slog.Handler.
func (f *following) Enabled(ctx context.Context, level slog.Level) bool {
	log := f.sink.target.Load()
	return log != nil && log.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (f *following) Handle(ctx context.Context, r slog.Record) error {
	return f.current().Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (f *following) WithAttrs(attrs []slog.Attr) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (f *following) WithGroup(name string) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (f *following) with(step func(slog.Handler) slog.Handler) slog.Handler {
	steps := append(append([]func(slog.Handler) slog.Handler(nil), f.steps...), step)
	return &following{f.sink, steps}
}
