// Package httpforwarded stands in for a module of that name, of which zitadel/oidc uses
// this function where its issuer depends on the request. That of the peer does not.
package httpforwarded

import "errors"

// ParseParameter is there so that the peer can be built.
func ParseParameter(string, []string) ([]string, error) {
	return nil, errors.New("httpforwarded: the peer has one issuer")
}
