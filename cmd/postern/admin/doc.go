// Package admin holds the commands of administrators beside Caddy's own: one works on
// the store of this machine (init), the others speak to a hub's REST API. It knows no
// more of the hub than that API.
package admin
