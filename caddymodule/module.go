// Package caddymodule is Postern inside Caddy: the app, the two handlers, the
// permission for on-demand certificates and their storage. It knows Caddy's life
// cycle and the hub's, and nothing of recoveries.
package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// init registers the modules, which is the only way to put them into a Caddy.
func init() {
	caddy.RegisterModule(App{})
	caddy.RegisterModule(Control{})
	caddy.RegisterModule(Site{})
	caddy.RegisterModule(Permission{})
	caddy.RegisterModule(Storage{})
	httpcaddyfile.RegisterGlobalOption(appName, parseApp)
	httpcaddyfile.RegisterHandlerDirective("postern", parseControl)
	httpcaddyfile.RegisterHandlerDirective("postern_site", parseSite)
	for _, d := range []string{"postern", "postern_site"} {
		httpcaddyfile.RegisterDirectiveOrder(d, httpcaddyfile.Before, "respond")
	}
}
