package hub

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestAPartThatEndsBeforeItsTimeIsLoggedEvenWithoutAnError(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		ends  error
		asked bool // the hub is being closed
		want  error
	}{
		{"asked to", nil, true, nil},
		{"asked to, with an error", broken, true, nil},
		{"without an error", nil, false, errEnded},
		{"with an error", broken, false, broken},
	} {
		var log bytes.Buffer
		h := &Hub{log: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, cancel := context.WithCancel(t.Context())
		err := h.part(ctx, "directories", func(context.Context) error {
			if c.asked {
				cancel()
			}
			return c.ends
		})
		cancel()
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) || strings.Contains(log.String(), "part=directories") != (c.want != nil) {
			t.Errorf("%s: %v, log %s", c.name, err, log.String())
		}
	}
}
