package oidc

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
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
			if err != nil || kid == "" || k.public.N.BitLen() < tenantKeyBits-8 || k.public.E < 3 {
				t.Errorf("%s: %v", kid, k)
			}
		}
	})
}

func FuzzApplicationRequest(f *testing.F) {
	f.Add("openid nt:name profile", "name account", `{"id_token":{"account":{"value":"photo"},"birthdate":null,"sub":{"value":"x"}}}`)
	f.Add("openid", "", `{"id_token":{"account":{"values":["name_and_birth_date"]},"acr":{"essential":true}}}`)
	f.Fuzz(func(t *testing.T, scope, claim, claims string) {
		c := party.Party{}
		c.Directory = "d"
		w, oauth := parsePlain(c, params{"scope": scope, "claim": claim, "claims": claims})
		if oauth != nil {
			return
		}
		if len(w.Claims) > maxNamed || !slices.Contains(w.Scopes, "openid") || !slices.Contains(strengthNames, string(w.Strength)) {
			t.Errorf("%q, %q, %q gave %+v", scope, claim, claims, w)
		}
		for _, n := range w.Claims {
			if len(request.Provable([]string{n})) == 0 && !request.Matched(n) {
				t.Errorf("asks for %q, which nobody answers", n)
			}
		}
		c.Directory = ""
		if w, oauth := parsePlain(c, params{"scope": scope, "claim": claim, "claims": claims}); oauth == nil && slices.ContainsFunc(w.Claims, request.Matched) {
			t.Errorf("a client of no directory asks for %v", w.Claims)
		}
	})
}

func FuzzAssertion(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIiwic3ViIjoiYSIsImF1ZCI6ImIiLCJqdGkiOiJjIiwiZXhwIjoxfQ.AA")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		alg, _, a, err := parseAssertion(text)
		if err == nil && (len(text) > maxAssertion || !slices.Contains(assertionAlgorithms, alg) || a.Subject == "") {
			t.Errorf("%q gave %s %+v", text, alg, a)
		}
	})
}

func FuzzSecret(f *testing.F) {
	f.Add(newSecret(store.NewSortedID(testTime)))
	f.Add(ticketOf("browser", store.NewSortedID(testTime), 1))
	f.Add(".")
	f.Fuzz(func(t *testing.T, secret string) {
		id, hash, err := parseSecret(secret)
		if err != nil {
			return
		}
		if len(secret) > maxSecret || !strings.HasPrefix(secret, id+".") || hash != store.HashToken(secret) {
			t.Errorf("%q gave %q and %q", secret, id, hash)
		}
	})
}
