package protocol

import "testing"

func TestBirthDateHashIsStable(t *testing.T) {
	// Computed with: printf 1985-03-09 | openssl dgst -sha256 -hmac key -binary | base64
	const want = "$hmac-sha256$8ggXcE25Cy7/joDXzjiOQIuSYvlVaVdI73bsJrjAzsU"
	if got := BirthDateHash([]byte("key"), "1985-03-09"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if BirthDateHash([]byte("other"), "1985-03-09") == want {
		t.Error("the key does not matter")
	}
}
