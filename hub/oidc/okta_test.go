package oidc_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol/evidence"
)

// okta is the query of a request for a factor.
func okta(client, who string) url.Values {
	return url.Values{"client_id": {client}, "redirect_uri": {oktaBack}, "response_type": {"code"}, "scope": {"openid"}, "state": {"state of okta"}, "login_hint": {who}}
}

// claimsOf reads a token with the keys that the provider publishes.
func (r *rig) claimsOf(text, jwks, issuer, client string) jwt.MapClaims {
	r.t.Helper()
	r.tenant.ClientID, r.tenant.Discovery = client, ""
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(issuer), jwt.WithAudience(client), jwt.WithExpirationRequired()).
		ParseWithClaims(text, claims, func(t *jwt.Token) (any, error) { return r.tenant.KeyOf(r.origin+jwks, t) })
	if err != nil {
		r.t.Fatalf("token: %v", err)
	}
	return claims
}

func (r *rig) code(client, who string) string {
	r.t.Helper()
	back := r.get(r.browser, r.prove(r.ticket(r.get(r.browser, "/okta/eam/authorize?"+okta(client, who).Encode()))))
	if back.location == nil || !strings.HasPrefix(back.location.String(), oktaBack+"?") || back.location.Query().Get("state") != "state of okta" || back.location.Query().Get("iss") != r.origin+"/okta/eam" {
		r.t.Fatalf("back at %v: %d %s", back.location, back.status, back.body)
	}
	return back.location.Query().Get("code")
}

func redeeming(client, secret, code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "client_secret": {secret}, "code": {code}, "redirect_uri": {oktaBack}}
}

func TestOktaGetsACodeAndATokenThatNamesItsUser(t *testing.T) {
	r := newRig(t)
	client, secret := r.add(party.OktaEAM, nil)
	code := r.code(client, "bob@example.com")
	if r.employee.asked.Account != "2" {
		t.Fatalf("asked about %q", r.employee.asked.Account)
	}
	g := r.post(http.DefaultClient, "/okta/eam/token", redeeming(client, secret, code))
	var reply struct {
		IDToken string `json:"id_token"`
		Access  string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
	}
	isJSON(t, g.body, &reply)
	if g.status != 200 || g.header.Get("Cache-Control") != "no-store" || reply.Type != "Bearer" || reply.Expires <= 0 {
		t.Fatalf("%d %v %s", g.status, g.header, g.body)
	}
	claims := r.claimsOf(reply.IDToken, "/okta/eam/jwks", r.origin+"/okta/eam", client)
	if claims["preferred_username"] != "bob@example.com" || claims["sub"] == "" || claims["sub"] == "2" {
		t.Errorf("claims %v", claims)
	}
	info := func(token string) got {
		req, _ := http.NewRequest("GET", r.origin+"/okta/eam/userinfo", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		return r.do(http.DefaultClient, req)
	}
	var who map[string]string
	isJSON(t, info(reply.Access).body, &who)
	if who["sub"] != claims["sub"] || who["preferred_username"] != "bob@example.com" {
		t.Errorf("userinfo %v", who)
	}
	again := r.claimsAgain(client, secret)
	if again != claims["sub"] {
		t.Errorf("sub is %v, and %v the next time", claims["sub"], again)
	}
	if g := r.post(http.DefaultClient, "/okta/eam/token", redeeming(client, secret, code)); g.status != 400 || !strings.Contains(g.body, "invalid_grant") {
		t.Errorf("a second use: %d %s", g.status, g.body)
	}
	if g := info(reply.Access); g.status != 401 {
		t.Errorf("the second use of the code did not take the access token back: %d %s", g.status, g.body)
	}
	r.clean(code, secret, reply.IDToken, reply.Access)
	if len(r.leaves("okta_eam_authorize")) != 2 || len(r.leaves("okta_eam_finish")) != 2 || len(r.leaves("oauth2_token")) != 3 {
		t.Error("records are missing")
	}
}

func (r *rig) claimsAgain(client, secret string) any {
	var reply struct {
		IDToken string `json:"id_token"`
	}
	g := r.post(http.DefaultClient, "/okta/eam/token", redeeming(client, secret, r.code(client, "bob@example.com")))
	isJSON(r.t, g.body, &reply)
	return r.claimsOf(reply.IDToken, "/okta/eam/jwks", r.origin+"/okta/eam", client)["sub"]
}

func TestOktaRequestsThatAreRefused(t *testing.T) {
	r := newRig(t)
	client, _ := r.add(party.OktaEAM, nil)
	set := func(name string, values ...string) func(url.Values) {
		return func(q url.Values) { q[name] = values }
	}
	for name, c := range map[string]struct {
		change func(url.Values)
		want   string
	}{
		"a foreign address":    {set("redirect_uri", "https://evil.example/"), ""},
		"a longer address":     {set("redirect_uri", oktaBack+"/x"), ""},
		"an address twice":     {set("redirect_uri", oktaBack, oktaBack), ""},
		"another client":       {set("client_id", "nobody"), ""},
		"another type":         {set("response_type", "token"), "unsupported_response_type"},
		"another scope":        {set("scope", "openid email"), "invalid_scope"},
		"no openid":            {set("scope", "profile"), "invalid_scope"},
		"nobody":               {set("login_hint", " "), "invalid_request"},
		"without asking":       {set("prompt", "none"), "login_required"},
		"plain PKCE":           {func(q url.Values) { q["code_challenge"], q["code_challenge_method"] = []string{"x"}, []string{"plain"} }, "invalid_request"},
		"a request object":     {set("request", "e30.e30."), "request_not_supported"},
		"another mode":         {set("response_mode", "web_message"), "invalid_request"},
		"a class nobody meets": {set("acr_values", "inherence"), "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			q := okta(client, "bob@example.com")
			c.change(q)
			g := r.get(r.newBrowser(), "/okta/eam/authorize?"+q.Encode())
			if c.want == "" && (g.status != http.StatusBadRequest || g.location != nil) {
				t.Errorf("%d %v", g.status, g.location)
			}
			if c.want != "" && (g.location == nil || g.location.Query().Get("error") != c.want || g.location.Query().Get("state") != "state of okta") {
				t.Errorf("%d %v %s", g.status, g.location, g.body)
			}
		})
	}
}

func TestP09_OktasHintIsAClaimToBeProven(t *testing.T) {
	r := newRig(t)
	client, _ := r.add(party.OktaEAM, nil)
	for who, want := range map[string]string{"bob@example.com": "2", "BOB@example.com": "2", "both@example.com": "", "nobody@example.com": ""} {
		browser := r.newBrowser()
		back := r.get(browser, r.prove(r.ticket(r.get(browser, "/okta/eam/authorize?"+okta(client, who).Encode()))))
		if r.employee.asked.Account != want || (want == "") != (back.location.Query().Get("error") == "access_denied") {
			t.Errorf("%s is %q, answered %v", who, r.employee.asked.Account, back.location)
		}
	}
}

func TestClientsProveThemselvesInOneWay(t *testing.T) {
	r := newRig(t)
	client, secret := r.add(party.OktaEAM, nil)
	other, otherSecret := r.add(party.OktaEAM, nil)
	_, idvSecret := r.add(party.OktaIDV, nil)
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	}
	without := func(f url.Values) url.Values { f.Del("client_id"); f.Del("client_secret"); return f }
	for name, c := range map[string]struct {
		form   url.Values
		header []string
		status int
		want   string
	}{
		"by header":                {without(redeeming("", "", "CODE")), []string{"Authorization", basic(client, secret)}, 200, ""},
		"by form":                  {redeeming(client, secret, "CODE"), nil, 200, ""},
		"by both":                  {redeeming(client, secret, "CODE"), []string{"Authorization", basic(client, secret)}, 400, "invalid_request"},
		"with a wrong secret":      {redeeming(client, secret+"x", "CODE"), nil, 401, "invalid_client"},
		"with no secret":           {redeeming(client, "", "CODE"), nil, 401, "invalid_client"},
		"with another's secret":    {redeeming(client, otherSecret, "CODE"), nil, 401, "invalid_client"},
		"another contract's":       {redeeming(client, idvSecret, "CODE"), nil, 401, "invalid_client"},
		"somebody unknown":         {redeeming("nobody", secret, "CODE"), nil, 401, "invalid_client"},
		"as another client":        {redeeming(other, otherSecret, "CODE"), nil, 400, "invalid_grant"},
		"by an assertion":          {func() url.Values { f := redeeming(client, "", "CODE"); f.Set("client_assertion", "x"); return f }(), nil, 401, "invalid_client"},
		"header for another":       {redeeming(other, "", "CODE"), []string{"Authorization", basic(client, secret)}, 401, "invalid_client"},
		"header that is no base64": {without(redeeming("", "", "CODE")), []string{"Authorization", "Basic %%%"}, 401, "invalid_client"},
		"a parameter twice":        {func() url.Values { f := redeeming(client, secret, "CODE"); f.Add("code", "x"); return f }(), nil, 400, "invalid_request"},
		"another address": {func() url.Values {
			f := redeeming(client, secret, "CODE")
			f.Set("redirect_uri", "https://evil.example/")
			return f
		}(), nil, 400, "invalid_grant"},
		"another grant":          {func() url.Values { f := redeeming(client, secret, "CODE"); f.Set("grant_type", "password"); return f }(), nil, 400, "unsupported_grant_type"},
		"no grant":               {func() url.Values { f := redeeming(client, secret, "CODE"); f.Del("grant_type"); return f }(), nil, 400, "invalid_request"},
		"a verifier for nothing": {func() url.Values { f := redeeming(client, secret, "CODE"); f.Set("code_verifier", "x"); return f }(), nil, 400, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			c.form.Set("code", strings.ReplaceAll(c.form.Get("code"), "CODE", r.code(client, "bob@example.com")))
			if name == "a parameter twice" {
				c.form.Add("code", "x")
			}
			g := r.post(http.DefaultClient, "/okta/eam/token", c.form, c.header...)
			if g.status != c.status || !strings.Contains(g.body, c.want) || g.status == 401 && g.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%d %s, want %d %s", g.status, g.body, c.status, c.want)
			}
		})
	}
}

func TestP07_OfManyRedemptionsOneSucceeds(t *testing.T) {
	r := newRig(t)
	client, secret := r.add(party.OktaEAM, nil)
	code := r.code(client, "bob@example.com")
	var given atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			res, err := http.PostForm(r.origin+"/okta/eam/token", redeeming(client, secret, code))
			if err != nil {
				return
			}
			defer func() { _ = res.Body.Close() }()
			if res.StatusCode == 200 {
				given.Add(1)
			}
		})
	}
	wg.Wait()
	if given.Load() != 1 {
		t.Errorf("%d redemptions succeeded", given.Load())
	}
	late := r.code(client, "bob@example.com")
	r.ahead.Store(int64(61 * time.Second))
	if g := r.post(http.DefaultClient, "/okta/eam/token", redeeming(client, secret, late)); g.status != 400 {
		t.Errorf("a code of 61 seconds: %d", g.status)
	}
}

const verifier = "a-verifier-of-at-least-forty-three-characters"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// pushed is what Okta pushes for a person.
func pushed(client, secret string, claims any) url.Values {
	b, _ := json.Marshal(map[string]any{"id_token": map[string]any{"verified_claims": claims}})
	return url.Values{"client_id": {client}, "client_secret": {secret}, "redirect_uri": {idvBack}, "response_type": {"code"}, "state": {"state of okta"}, "nonce": {"nonce of okta"},
		"scope": {"openid profile identity_assurance idv_flow_1"}, "login_hint": {"00uokta"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"}, "claims": {string(b)}}
}

func person(framework string, claims map[string]any) []any {
	return []any{map[string]any{"verification": map[string]any{"trust_framework": map[string]string{"value": framework}, "assurance_level": map[string]string{"value": "VERIFIED"}}, "claims": claims}}
}

func said(v string) map[string]any { return map[string]any{"value": v, "fuzzy": true} }

// push sends a request and returns the query that the browser brings.
func (r *rig) push(form url.Values) string {
	r.t.Helper()
	g := r.post(http.DefaultClient, "/oauth2/par", form)
	var reply struct {
		URI     string `json:"request_uri"`
		Expires int    `json:"expires_in"`
	}
	isJSON(r.t, g.body, &reply)
	if g.status != http.StatusCreated || reply.Expires != 60 || !strings.HasPrefix(reply.URI, "urn:ietf:params:oauth:request_uri:") {
		r.t.Fatalf("%d %s", g.status, g.body)
	}
	return "/oauth2/authorize?" + url.Values{"request_uri": {reply.URI}}.Encode()
}

func TestOktaComparesANameWithAProof(t *testing.T) {
	for name, c := range map[string]struct {
		framework string
		asked     map[string]any
		proven    *evidence.Claims
		level     string
	}{
		"the same": {"IDV-DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}, &evidence.Claims{Given: "ANN", Family: "LEE"}, "VERIFIED"},
		"the same birth date": {"IDV_DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee"), "bithdate": said("1990-02-03")},
			&evidence.Claims{Given: "Ann", Family: "Lee", BirthDate: "1990-02-03"}, "VERIFIED"},
		"another birth date": {"IDV-DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee"), "birthdate": said("1990-02-03")},
			&evidence.Claims{Given: "Ann", Family: "Lee", BirthDate: "1990-02-04"}, "FAILED"},
		"no birth date":  {"IDV-DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee"), "birthdate": said("1990-02-03")}, &evidence.Claims{Given: "Ann", Family: "Lee"}, "FAILED"},
		"another person": {"IDV-DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}, &evidence.Claims{Given: "Bob", Family: "Roe"}, "FAILED"},
		"nearly":         {"IDV-DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}, &evidence.Claims{Given: "Ann", Family: "Leo"}, "FAILED"},
		"nothing":        {"IDV-DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}, &evidence.Claims{}, "FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			client, secret := r.add(party.OktaIDV, nil)
			r.employee.claims = c.proven
			back := r.get(r.browser, r.prove(r.ticket(r.get(r.browser, r.push(pushed(client, secret, person(c.framework, c.asked)))))))
			if back.location == nil || back.location.Query().Get("iss") != r.origin {
				t.Fatalf("back at %v: %s", back.location, back.body)
			}
			code := back.location.Query().Get("code")
			form := redeeming(client, secret, code)
			form.Set("redirect_uri", idvBack)
			if g := r.post(http.DefaultClient, "/oauth2/token", form); g.status != 400 {
				t.Errorf("without the verifier: %d %s", g.status, g.body)
			}
			form.Set("code_verifier", verifier)
			g := r.post(http.DefaultClient, "/oauth2/token", form)
			var reply struct {
				IDToken string `json:"id_token"`
			}
			isJSON(t, g.body, &reply)
			claims := r.claimsOf(reply.IDToken, "/oauth2/jwks", r.origin, client)
			set, _ := claims["verified_claims"].([]any)
			if len(set) != 1 || claims["nonce"] != "nonce of okta" || claims["sub"] != "00uokta" {
				t.Fatalf("claims %v", claims)
			}
			one := set[0].(map[string]any)
			verification := one["verification"].(map[string]any)
			if verification["assurance_level"] != c.level || verification["trust_framework"] != "IDV-DELEGATED" || verification["verification_process"] == "" {
				t.Errorf("verification %v, want %s", verification, c.level)
			}
			if _, err := time.Parse(time.RFC3339, verification["time"].(string)); err != nil {
				t.Error(err)
			}
			answered := one["claims"].(map[string]any)
			if c.level == "FAILED" && len(answered) != 0 || c.level == "VERIFIED" && len(answered) != len(c.asked) {
				t.Errorf("claims %v of %v", answered, c.asked)
			}
			for n, v := range answered {
				if _, wanted := c.asked[n]; !wanted || v.(map[string]any)["value"] != "MATCHED" {
					t.Errorf("%s: %v", n, v)
				}
			}
			r.clean(secret, code, reply.IDToken, "1990-02-03", `"Lee"`)
		})
	}
}

func TestOktaPushesThatAreRefused(t *testing.T) {
	r := newRig(t)
	client, secret := r.add(party.OktaIDV, nil)
	names := map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}
	with := func(more map[string]any) map[string]any {
		out := map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	good := func() url.Values { return pushed(client, secret, person("IDV-DELEGATED", names)) }
	set := func(f url.Values, name string, values ...string) url.Values { f[name] = values; return f }
	for name, form := range map[string]url.Values{
		"a claim that cannot be compared": pushed(client, secret, person("IDV-DELEGATED", with(map[string]any{"email": said("a@b.example")}))),
		"no family name":                  pushed(client, secret, person("IDV-DELEGATED", map[string]any{"given_name": said("Ann")})),
		"a birth date alone":              pushed(client, secret, person("IDV-DELEGATED", map[string]any{"birthdate": said("1990-02-03")})),
		"one claim in two spellings":      pushed(client, secret, person("IDV-DELEGATED", with(map[string]any{"birthdate": said("1990-02-03"), "bithdate": said("1990-02-03")}))),
		"an empty value":                  pushed(client, secret, person("IDV-DELEGATED", map[string]any{"given_name": said(" "), "family_name": said("Lee")})),
		"a birth date of another form":    pushed(client, secret, person("IDV-DELEGATED", with(map[string]any{"birthdate": said("03.02.1990")}))),
		"another framework":               pushed(client, secret, person("eidas", names)),
		"two sets":                        pushed(client, secret, append(person("IDV-DELEGATED", names), person("IDV-DELEGATED", names)...)),
		"no set":                          pushed(client, secret, nil),
		"no PKCE":                         set(good(), "code_challenge"),
		"plain PKCE":                      set(good(), "code_challenge_method", "plain"),
		"no nonce":                        set(good(), "nonce"),
		"no state":                        set(good(), "state"),
		"a foreign address":               set(good(), "redirect_uri", "https://evil.example/"),
		"nobody":                          set(good(), "login_hint"),
		"another scope":                   set(good(), "scope", "openid phone"),
		"a request object":                set(good(), "request", "x"),
		"a parameter twice":               set(good(), "state", "a", "b"),
		"a wrong secret":                  set(good(), "client_secret", "x"),
	} {
		if g := r.post(http.DefaultClient, "/oauth2/par", form); g.status != 400 && g.status != 401 || strings.Contains(g.body, "request_uri\":") {
			t.Errorf("%s: %d %s", name, g.status, g.body)
		}
	}
}

func parsed(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A browser that loads its request again goes on where it was; nobody else does, and
// not after the answer.
func TestP07_AReloadOfARequestURIIsServedToItsBrowserAlone(t *testing.T) {
	r := newRig(t)
	client, secret := r.add(party.OktaIDV, nil)
	r.employee.claims = &evidence.Claims{Given: "Ann", Family: "Lee"}
	asks := pushed(client, secret, person("IDV-DELEGATED", map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}))
	address, other := r.push(asks), r.push(asks)
	r.ticket(r.get(r.browser, other))
	before := r.ticket(r.get(r.browser, address))
	strange := func(when string) {
		t.Helper()
		stranger := r.newBrowser()
		r.get(stranger, r.push(asks)) // who has a cookie, of a request of their own
		forger, at := r.newBrowser(), parsed(t, r.origin)
		for _, c := range r.browser.Jar.Cookies(at) { // who knows everything but the secret
			forger.Jar.SetCookies(at, []*http.Cookie{{Name: c.Name, Value: r.fixture.Env.ID + ".x", Path: "/"}})
		}
		if len(forger.Jar.Cookies(at)) == 0 {
			t.Error("nothing was forged")
		}
		for _, b := range []*http.Client{r.newBrowser(), stranger, forger} {
			if g := r.get(b, address); g.status != 400 || g.location != nil {
				t.Errorf("%s, another browser: %d %v", when, g.status, g.location)
			}
		}
	}
	strange("asked")
	r.ahead.Store(int64(2 * time.Minute)) // a minute is what a request_uri has until it is first used
	ticket := r.ticket(r.get(r.browser, address))
	by := recovery.Client{Address: "192.0.2.7", Origin: "https://" + site}
	if _, err := r.provider.Open(t.Context(), r.fixture.Env.ID, before, "en", by); !errors.Is(err, oidc.ErrTicket) {
		t.Errorf("the ticket before: %v", err)
	}
	opened, err := r.provider.Open(t.Context(), r.fixture.Env.ID, ticket, "en", by)
	if err != nil {
		t.Fatal(err)
	}
	if g := r.get(r.browser, address); g.status != 303 || g.location.String() != "https://"+site+oidc.UsePath+opened.Use {
		t.Errorf("proving: %d %v", g.status, g.location)
	}
	strange("proving")
	to, err := r.provider.FinishPerson(t.Context(), r.fixture.Env.ID, opened.Use, opened.Session, true)
	if err != nil {
		t.Fatal(err)
	}
	if g := r.get(r.browser, address); g.status != 400 {
		t.Errorf("answered: %d %v", g.status, g.location)
	}
	if back := r.get(r.browser, to); back.location == nil || back.location.Query().Get("code") == "" {
		t.Errorf("%d %v", back.status, back.location)
	}
}

func TestP07_ARequestURIIsGoodOnceAndForAMinute(t *testing.T) {
	r := newRig(t)
	client, secret := r.add(party.OktaIDV, nil)
	names := map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}
	address := r.push(pushed(client, secret, person("IDV-DELEGATED", names)))
	if g := r.get(r.newBrowser(), address+"&client_id=another"); g.status != 400 {
		t.Errorf("as another client: %d", g.status)
	}
	r.ticket(r.get(r.browser, address))
	if g := r.get(r.newBrowser(), address); g.status != 400 || g.location != nil {
		t.Errorf("used twice: %d %v", g.status, g.location)
	}
	late := r.push(pushed(client, secret, person("IDV-DELEGATED", names)))
	r.ahead.Store(int64(61 * time.Second))
	if g := r.get(r.newBrowser(), late); g.status != 400 {
		t.Errorf("after a minute: %d", g.status)
	}
	for _, q := range []string{"", "?client_id=" + client, "?request_uri=urn:ietf:params:oauth:request_uri:x", "?request_uri=https://evil.example/"} {
		if g := r.get(r.newBrowser(), "/oauth2/authorize"+q); g.status != 400 {
			t.Errorf("%q: %d", q, g.status)
		}
	}
}
