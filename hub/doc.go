// Package hub wires the packages below it into one server and owns their life:
// open, handle, run, update, close. It knows no Caddy.
package hub
