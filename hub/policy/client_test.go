package policy

import "testing"

func TestClientsAreCountedByAddressOrNetwork(t *testing.T) {
	for client, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "192.0.2.7:443": "192.0.2.7", "[2001:db8:1:2:3::4]:443": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64", "x": "unknown", "": "unknown",
	} {
		if got := Client(client); got != want {
			t.Errorf("%q: %q, want %q", client, got, want)
		}
	}
}
