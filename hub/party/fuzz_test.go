package party

import (
	"net/url"
	"slices"
	"testing"
)

func FuzzClientKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := ParseKeys(raw)
		if (err == nil) != (len(keys) > 0) || len(keys) > maxKeys {
			t.Errorf("%q: %d keys, %v", raw, len(keys), err)
		}
		for _, k := range keys {
			if k.Public == nil || !slices.Contains(Algorithms, k.Algorithm) {
				t.Errorf("%q gave %+v", raw, k)
			}
		}
	})
}

func FuzzCallback(f *testing.F) {
	f.Add("https://app.example/callback")
	f.Add("http://localhost:9000/callback")
	f.Add("https://user@app.example/#x")
	f.Fuzz(func(t *testing.T, address string) {
		if !IsCallback(address) {
			return
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
			t.Errorf("%q passes", address)
		}
	})
}
