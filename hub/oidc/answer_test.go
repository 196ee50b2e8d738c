package oidc

import (
	"slices"
	"testing"
)

// Hosts of addresses stand in the policy of the hub's own pages: none adds a directive.
func TestP24_ThePolicyOfAPageNamesOnlyHostsThatAreNothingElse(t *testing.T) {
	for _, address := range []string{
		"https://x;frame-ancestors/cb", "https://x;script-src-elem/", "https://x,y/", "https://*/", "https://x'/", "https://[::1;a]/", "https://x:y;z/",
	} {
		if list := hosts([]string{address, "https://evil.example/cb"}); !slices.Equal(list, []string{"https://evil.example"}) {
			t.Errorf("%q: the policy says %q", address, list)
		}
	}
	for _, address := range []string{"https://app.example/cb?x=1", "https://app.example:8443/cb", "http://127.0.0.1:9000/cb", "http://[::1]:9000/cb", "http://localhost/cb", "https://a_b.xn--bcher-kva.example/"} {
		if len(hosts([]string{address})) != 1 {
			t.Errorf("the policy names no host of %q", address)
		}
	}
}
