package installer

import (
	"bytes"
	"context"
	"log/slog"
	"sync"

	"golang.org/x/sys/windows/svc/eventlog"
)

// Ids of the agent's events, which stay what they are: filters and alarms rest on them.
// 1 is a checkpoint of the hub's audit log (package agent/witness). All are within what
// EventCreate.exe has texts for.
const (
	eventInfo    = 2
	eventWarning = 3
	eventError   = 4
)

// EventHandler returns a handler that writes records of at least level to the machine's
// application log, source Name, a line of text each.
func EventHandler(level slog.Leveler) (slog.Handler, error) {
	log, err := eventlog.Open(Name)
	if err != nil {
		return nil, err
	}
	out := &eventOutput{log: log}
	return eventHandler{slog.NewTextHandler(&out.line, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTime}), out}, nil
}

// withoutTime drops what each event has anyway.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

// eventOutput is where all handlers of one log write.
type eventOutput struct {
	mu   sync.Mutex
	line bytes.Buffer
	log  *eventlog.Log
}

// eventHandler formats as text and reports by level.
type eventHandler struct {
	text slog.Handler
	out  *eventOutput
}

// Enabled implements slog.Handler.
func (h eventHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.text.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h eventHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.line.Reset()
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	text := string(bytes.TrimSpace(h.out.line.Bytes()))
	switch {
	case r.Level >= slog.LevelError:
		return h.out.log.Error(eventError, text)
	case r.Level >= slog.LevelWarn:
		return h.out.log.Warning(eventWarning, text)
	}
	return h.out.log.Info(eventInfo, text)
}

// WithAttrs implements slog.Handler.
func (h eventHandler) WithAttrs(as []slog.Attr) slog.Handler {
	return eventHandler{h.text.WithAttrs(as), h.out}
}

// WithGroup implements slog.Handler.
func (h eventHandler) WithGroup(name string) slog.Handler {
	return eventHandler{h.text.WithGroup(name), h.out}
}
