package installer

import "testing"

// The well-known example: NT SERVICE\TrustedInstaller has this SID on every Windows.
func TestServiceSIDIsTheOneThatWindowsGives(t *testing.T) {
	const want = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
	if got := serviceSID("TrustedInstaller"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
