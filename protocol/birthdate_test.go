package protocol

import "testing"

func TestBirthDateHashIsStable(t *testing.T) {
	// Computed with: printf 'bd1|4f0c|1985-03-09' | openssl dgst -sha256 -hmac key -binary | base64
	const want = "$hmac-sha256$lowI7hEIFi0R4CzxlxaFzYAB6V4OIuUdLI8zXFjAT9A"
	if got := BirthDateHash([]byte("key"), "4f0c", "1985-03-09"); got != want || !IsBirthDateHash(got) {
		t.Errorf("got %s, want %s", got, want)
	}
	if BirthDateHash([]byte("other"), "4f0c", "1985-03-09") == want || BirthDateHash([]byte("key"), "4f0d", "1985-03-09") == want {
		t.Error("key or account do not matter")
	}
	for _, text := range []string{"", "$hmac-sha256$", "$hmac-sha256$AAAA", "$sha256$" + want[13:], "1985-03-09"} {
		if IsBirthDateHash(text) {
			t.Errorf("%q passes for a keyed hash", text)
		}
	}
}
