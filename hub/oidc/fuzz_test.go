package oidc

import (
	"encoding/json"
	"testing"
	"time"
)

// testTime is a moment.
var testTime = time.Unix(1_800_000_000, 0)

func FuzzHint(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJ0aWQiOiJ0Iiwib2lkIjoibyIsInN1YiI6InMiLCJpYXQiOjF9.AA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		kid, h, err := parseHint(text)
		if err == nil && (kid == "" || h.once == "" || len(text) > maxHint) {
			t.Errorf("%q gave %+v", text, h)
		}
	})
}

func FuzzClaimsParameter(f *testing.F) {
	f.Add(`{"id_token":{"acr":{"values":["possession"]},"amr":{"values":["otp"]}}}`)
	f.Add(`{"id_token":{"verified_claims":[{"verification":{"trust_framework":{"value":"IDV_DELEGATED"}},"claims":{"given_name":{"value":"A","fuzzy":true},"family_name":{"value":"B"}}}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseClaims(text)
		if err != nil {
			return
		}
		if len(c.IDToken.ACR.all()) > maxAsked || len(c.IDToken.AMR.all()) > maxAsked {
			t.Error("too many values")
		}
		w, err := parseWanted(c)
		if err != nil {
			return
		}
		if w.Claims["given_name"] == "" || w.Claims["family_name"] == "" || len(w.Claims) > len(comparable) {
			t.Errorf("%q gave %+v", text, w)
		}
		if _, err := json.Marshal(w.result(true, testTime, "x")); err != nil {
			t.Error(err)
		}
	})
}

func FuzzAuthorizeForm(f *testing.F) {
	f.Add("client_id=a&redirect_uri=b&redirect_url=c&state=d")
	f.Add("a=1&a=2")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseParams(raw)
		if err != nil {
			return
		}
		if uri, err := q.redirect(); err == nil && q["redirect_uri"] != "" && q["redirect_url"] != "" {
			t.Errorf("both spellings gave %q", uri)
		}
		for name, v := range q {
			if v == "" || len(v) > maxHint {
				t.Errorf("%s = %d bytes", name, len(v))
			}
		}
	})
}

func FuzzClientCredentials(f *testing.F) {
	f.Add("Basic YTpi", "", "")
	f.Add("", "a", "b")
	f.Fuzz(func(t *testing.T, header, id, secret string) {
		c, err := parseCredentials(header, params{"client_id": id, "client_secret": secret})
		if err == nil && header != "" && (secret != "" || id != "" && id != c.id) {
			t.Errorf("%q with %q, %q gave %+v", header, id, secret, c)
		}
	})
}

func FuzzTenantKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := parseTenantKeys(raw)
		for kid, k := range keys {
			if err != nil || kid == "" || k.public.N.BitLen() < rsaBits-8 || k.public.E < 3 {
				t.Errorf("%s: %v", kid, k)
			}
		}
	})
}
