package proof

import (
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/protocol/evidence"
)

// A pinned provider's sign-in is matched as a document is, by what the file says about
// the provider: which claims bear the name, and whether they must have been verified.
func TestT02_T15_ASignInCountsOnlyAsTheFileSaysAndForItsOwner(t *testing.T) {
	terms := strict(0, []string{MethodIdentityProvider, MethodAgentCode})
	verified := func(claims map[string]any) jwt.MapClaims {
		return jwt.MapClaims{"given_name": "Somebody", "family_name": "Else", "birthdate": "1970-01-01",
			"verified_claims": map[string]any{"verification": map[string]any{"trust_framework": "eidas"}, "claims": claims}}
	}
	kims := map[string]any{"given_name": "Kim", "family_name": "Hatano", "birthdate": "1988-02-29"}
	other := func(name, value string) map[string]any {
		m := map[string]any{}
		for k, v := range kims {
			m[k] = v
		}
		m[name] = value
		return m
	}
	plain := Provider{Issuer: issuer, ClientID: client}
	assured, renamed := plain, plain
	assured.VerifiedClaims, renamed.Names = true, map[string]string{"birthdate": "date_of_birth"}
	for name, c := range map[string]struct {
		provider Provider
		claims   jwt.MapClaims
		counts   bool
	}{
		"name and birth date":              {plain, jwt.MapClaims{}, true},
		"azp of this client":               {plain, jwt.MapClaims{"azp": client}, true},
		"wrong azp":                        {plain, jwt.MapClaims{"azp": "another"}, false},
		"wrong name":                       {plain, jwt.MapClaims{"family_name": "Hatana"}, false},
		"wrong birth date":                 {plain, jwt.MapClaims{"birthdate": "1988-02-28"}, false},
		"no birth date":                    {plain, jwt.MapClaims{"birthdate": nil}, false},
		"a year alone":                     {plain, jwt.MapClaims{"birthdate": "1988"}, false},
		"verified":                         {assured, verified(kims), true},
		"verified for somebody else":       {assured, verified(other("given_name", "Lee")), false},
		"verified without a birth date":    {assured, verified(other("birthdate", "")), false},
		"only said, and not verified":      {assured, jwt.MapClaims{}, false},
		"an empty verified_claims":         {assured, jwt.MapClaims{"verified_claims": map[string]any{}}, false},
		"verified_claims that is no table": {assured, jwt.MapClaims{"verified_claims": "yes"}, false},
		"said by others, though verified":  {plain, verified(kims), false},
		"another name for the birth date":  {renamed, jwt.MapClaims{"birthdate": nil, "date_of_birth": "1988-02-29"}, true},
		"the usual name beside it":         {renamed, jwt.MapClaims{"date_of_birth": "1970-01-01"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.provider.KeysFile = w.settings.Providers[0].KeysFile
			s := w.settings
			s.Providers = []Provider{c.provider}
			if err := s.Check(true); err != nil {
				t.Fatal(err)
			}
			checker, err := Open(s)
			if err != nil {
				t.Fatal(err)
			}
			now := newContext()
			k := w.kimsCase(now, terms, w.signIn(now, c.claims))
			k.AgentCode = true
			v, err := checker.Check(k)
			if counts := err == nil && slices.Contains(v.Proven, MethodIdentityProvider); counts != c.counts {
				t.Errorf("counts: %v (%v, %v)", counts, err, v.Refused)
			}
			for _, why := range v.Refused {
				if strings.Contains(why, "Hatan") || strings.Contains(why, "1988") {
					t.Errorf("T35: the reason holds personal data: %s", why)
				}
			}
			if c.counts && (len(v.New) != 1 || v.New[0].Type != evidence.TypeIDToken) {
				t.Errorf("it is not remembered: %+v", v.New)
			}
		})
	}
	for _, bad := range []map[string]string{{"sub": "x"}, {"birthdate": ""}} {
		p := plain
		p.KeysFile, p.Names = "k", bad
		if err := (Settings{Providers: []Provider{p}}).Check(true); err == nil {
			t.Errorf("names %v are accepted", bad)
		}
	}
}
