// Package kinds lists the directory kinds that an agent can serve: one row each. It
// knows their names and how to open them from the agent's file, and nothing else.
package kinds

import (
	"context"
	"log/slog"
	"strings"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ad"
	"github.com/postern-id/postern/agent/directory/command"
	"github.com/postern-id/postern/agent/directory/demo"
	"github.com/postern-id/postern/agent/directory/ldap"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// A Kind is one row of the table.
type Kind struct {
	Name  string // what directory.kind in the agent's file says
	About string // one line for people
	open  func(ctx context.Context, f settings.File, log *slog.Logger) (directory.Directory, error)
}

// All is the table, in the order in which people read it.
var All = []Kind{
	{"ad", "Active Directory and Samba AD, over LDAPS or StartTLS", openAD},
	{"ldap", "OpenLDAP, 389 Directory Server, and other LDAP servers by a mapping of their schema", openLDAP},
	{"command", "a worker: a program of yours that is asked in JSON over its standard input", openCommand},
	{"demo", "a small company in the agent's own memory, for trying things out", openDemo},
}

// Open opens the directory that the table [directory] of the agent's file describes.
// Whether the servers answer shows at the first use. Errors are CodeConfiguration.
func Open(ctx context.Context, kind string, f settings.File, log *slog.Logger) (directory.Directory, error) {
	var names []string
	for _, k := range All {
		if k.Name == kind {
			return k.open(ctx, f, log)
		}
		names = append(names, k.Name)
	}
	return nil, protocol.Err(protocol.CodeConfiguration, f.Name+`: directory.kind is one of `+strings.Join(names, ", ")+`, not "`+kind+`"`)
}

func openAD(_ context.Context, f settings.File, log *slog.Logger) (directory.Directory, error) {
	var cfg ad.Config
	if err := f.Decode("directory", &cfg, "kind"); err != nil {
		return nil, protocol.Err(protocol.CodeConfiguration, err.Error())
	}
	cfg.Locate(f)
	cfg.Log = log
	return opened(ad.OpenAll(cfg))
}

func openLDAP(_ context.Context, f settings.File, log *slog.Logger) (directory.Directory, error) {
	cfg, err := ldap.Decode(f)
	if err != nil {
		return nil, err
	}
	cfg.Log = log
	return opened(ldap.Open(cfg))
}

func openCommand(_ context.Context, f settings.File, log *slog.Logger) (directory.Directory, error) {
	cfg, err := command.Decode(f)
	if err != nil {
		return nil, err
	}
	cfg.Log = log
	return opened(command.Open(cfg))
}

func openDemo(ctx context.Context, f settings.File, log *slog.Logger) (directory.Directory, error) {
	cfg, err := demo.Decode(f)
	if err != nil {
		return nil, err
	}
	cfg.Log = log
	return opened(demo.Open(ctx, cfg))
}

// opened keeps a nil pointer from becoming a directory that is not nil.
func opened[D directory.Directory](d D, err error) (directory.Directory, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}
