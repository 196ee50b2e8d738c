// Package api is the REST API: one row per endpoint, from which authentication, role,
// environment, body limit, rate, audit record and answer follow. It knows HTTP and the
// store, and nothing of how a recovery goes.
package api
