package party

import "testing"

// Hosts of addresses stand in the policy of the hub's own pages: none may add a directive.
func TestP24_NoAddressOfAClientAddsToThePolicyOfAPage(t *testing.T) {
	for _, address := range []string{
		"https://x;frame-ancestors/cb", "https://x;script-src-elem/", "https://x,y/", "https://*/", "https://x'/", "https://[::1;a]/", "https://x:y;z/",
	} {
		if IsCallback(address) {
			t.Errorf("%q is taken", address)
		}
		if s := (Settings{Name: "x", Redirects: []string{address}}); s.Check(OktaEAM) == nil {
			t.Errorf("%q is taken of Okta", address)
		}
	}
	for _, address := range []string{"https://app.example/cb?x=1", "https://app.example:8443/cb", "http://127.0.0.1:9000/cb", "http://[::1]:9000/cb", "http://localhost/cb", "https://a_b.xn--bcher-kva.example/"} {
		if !IsCallback(address) {
			t.Errorf("%q is refused", address)
		}
	}
}
