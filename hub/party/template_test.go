package party

import (
	"testing"
	"time"
)

// Templates were stored before there was a bound: what they say of a life may be more than
// a Duration holds.
func TestALifeThatOverflowsIsTheLongestThereIs(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"enabled":true,"claims_expire_in":10000000000}`:                       maxLife * time.Second,
		`{"enabled":true,"scopes_expire_in":9223372036854775807}`:               maxLife * time.Second,
		`{"enabled":true,"scopes_expire_in":3600}`:                              time.Hour,
		`{"enabled":true,"claims_expire_in":60,"scopes_expire_in":10000000000}`: time.Minute,
		`{"enabled":true}`: 0,
	} {
		if got, ok := ParseTemplate("a", []byte(body)); !ok || got.Life != want {
			t.Errorf("%s: %v, want %v", body, got.Life, want)
		}
	}
}
