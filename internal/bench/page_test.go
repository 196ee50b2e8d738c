package main

import (
	"net/http"
	"testing"
)

func TestAPageAndItsTwinMustBeTheSameBytes(t *testing.T) {
	of := func(name, token, body string, size int) fetched {
		return fetched{http.Header{"X-Frame-Options": {name}, "Set-Cookie": {token}, "Date": {token}}, []byte(body), size}
	}
	page := of("DENY", "a", "<html>1", 9)
	for want, twin := range map[bool]fetched{true: of("DENY", "b", "<html>2", 9), false: of("ALLOW", "b", "<html>2", 9)} {
		if err := page.sameAs(twin); (err == nil) != want {
			t.Errorf("%v: %v", twin, err)
		}
	}
	if page.sameAs(of("DENY", "a", "<html>1", 10)) == nil || page.sameAs(of("DENY", "a", "<html>12", 9)) == nil {
		t.Error("a longer twin passed")
	}
}
