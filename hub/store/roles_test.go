package store

import "testing"

func TestARoleReachesWhatLesserOnesReach(t *testing.T) {
	all := append(append([]string{}, Roles...), RoleNone)
	for i, role := range all {
		for j, least := range all {
			if AtLeast(role, least) != (i <= j) {
				t.Errorf("%q at least %q: %v", role, least, AtLeast(role, least))
			}
		}
		if AtLeast("reader", role) || AtLeast(role, "reader") || AtLeast("Owner", role) {
			t.Errorf("an unknown role and %q", role)
		}
	}
}
