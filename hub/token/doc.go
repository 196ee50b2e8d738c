// Package token mints and verifies the presigned links that admit a person to an
// environment's recovery site. It knows neither who asks nor what is done afterwards:
// a link admits, it is never evidence.
package token
