package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ad"
	"github.com/postern-id/postern/agent/settings"
)

// kinds are the directory kinds of this program.
var kinds = map[string]func(f settings.File) (directory.Directory, error){
	ad.Kind: func(f settings.File) (directory.Directory, error) {
		var cfg ad.Config
		if err := f.Decode("directory", &cfg, "kind"); err != nil {
			return nil, err
		}
		cfg.Locate(f)
		return ad.Open(cfg)
	},
}

// open implements agent.Opener by the table.
func open(_ context.Context, kind string, f settings.File, _ *slog.Logger) (directory.Directory, error) {
	k, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("%s: directory.kind: %q; want one of %s", f.Name, kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	return k(f)
}
