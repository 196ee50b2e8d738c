package oidc_test

import (
	"crypto/rand"
	"crypto/rsa"
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
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol/evidence"
)

const entraPath = "/entra/eam/authorize"

func TestEntraIsAnsweredByEveryRuleOfItsContract(t *testing.T) {
	for _, c := range []struct {
		name   string
		proven []policy.Method
		acr    []string
		amr    []string
		want   string
	}{
		{"an app", []policy.Method{policy.TOTP}, []string{"possessionorinherence"}, []string{"fido", "otp"}, "otp"},
		{"a passkey", []policy.Method{policy.Passkey}, []string{"knowledge", "possession"}, []string{"fido"}, "fido"},
		{"a wallet", []policy.Method{policy.DigitalCredential}, []string{"knowledgeorpossession"}, []string{"pop", "sms"}, "pop"},
		{"a text message after a mail", []policy.Method{policy.MailCode, policy.SMSCode}, []string{"knowledgeorpossessionorinherence"}, []string{"sms"}, "sms"},
		{"several, one is said", []policy.Method{policy.TOTP, policy.SMSCode}, []string{"possessionorinherence"}, []string{"sms", "otp"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.entra(nil)
			r.tenant.ACR, r.tenant.AMR, r.employee.proven = c.acr, c.amr, c.proven
			hint := r.tenant.Hint(nil)
			asked := r.post(r.browser, entraPath, r.tenant.Form(hint))
			back := r.get(r.browser, r.prove(r.ticket(asked)))
			if back.action != authority+"/common/federation/externalauthprovider" {
				t.Fatalf("the form goes to %q: %d %s", back.action, back.status, back.body)
			}
			claims, err := r.tenant.Judge(back.form)
			if err != nil {
				t.Fatalf("the tenant refuses: %v", err)
			}
			if amr := claims["amr"].([]any); c.want != "" && amr[0] != c.want {
				t.Errorf("amr %v, want %s", amr, c.want)
			}
			csp := back.header.Get("Content-Security-Policy")
			for _, host := range []string{"https://login.microsoftonline.com", "https://login.microsoftonline.us", "https://login.partner.microsoftonline.cn"} {
				if !strings.Contains(csp, host) {
					t.Errorf("the page may not send its form to %s: %s", host, csp)
				}
			}
			if _, rest, _ := strings.Cut(csp, "form-action "); len(strings.Fields(strings.Split(rest, ";")[0])) != 3 {
				t.Errorf("the page may send its form elsewhere: %s", csp)
			}
			if strings.Contains(asked.header.Get("Content-Security-Policy"), "microsoft") || back.header.Get("Referrer-Policy") != "no-referrer" || back.header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers: %v, %v", asked.header, back.header)
			}
			r.clean(hint, back.form.Get("id_token"), r.ticket(asked))
			for _, kind := range []string{"entra_eam_authorize", "entra_eam_finish"} {
				rows := r.leaves(kind)
				if len(rows) != 1 {
					t.Fatalf("%s: %v", kind, rows)
				}
			}
			var leaf struct {
				Detail recorded `json:"entra_eam_authorize"`
			}
			isJSON(t, r.leaves("entra_eam_authorize")[0], &leaf)
			leaf.Detail.has(t, []string{"claims", "client_id", "client_request_id", "id_token_hint", "nonce", "redirect_uri", "response_mode", "response_type", "scope", "state"},
				[]string{"oauth2_client_id", "oauth2_redirect_uri", "oauth2_server", "oauth2_template", "state"})
			if leaf.Detail.Directory != r.fixture.Directory.ID || leaf.Detail.Request["id_token_hint"] != "REDACTED" {
				t.Errorf("record %+v", leaf.Detail)
			}
		})
	}
}

// recorded is the detail of an authorization's record.
type recorded struct {
	Directory string
	Request   map[string]any
	Response  map[string]any
}

// has fails the test unless the record has the members.
func (d recorded) has(t *testing.T, request, response []string) {
	t.Helper()
	for _, name := range request {
		if _, ok := d.Request[name]; !ok {
			t.Errorf("the record lacks request.%s", name)
		}
	}
	for _, name := range response {
		if _, ok := d.Response[name]; !ok {
			t.Errorf("the record lacks response.%s", name)
		}
	}
}

// Programs that read the log are written for the reference: what it says is always there
// is there, however little was asked.
func TestARecordHasWhatTheReferenceSaysIsAlwaysThere(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	form := r.tenant.Form(r.tenant.Hint(nil))
	form.Del("client-request-id")
	r.post(r.browser, entraPath, form)
	client, secret := r.add(party.OktaIDV, nil)
	r.employee.claims = &evidence.Claims{Given: "Ann", Family: "Lee"}
	names := map[string]any{"given_name": said("Ann"), "family_name": said("Lee")}
	r.get(r.browser, r.prove(r.ticket(r.get(r.browser, r.push(pushed(client, secret, person("IDV-DELEGATED", names)))))))
	okta, _ := r.add(party.OktaEAM, nil)
	r.code(okta, "bob@example.com")
	for kind, want := range map[string]struct{ request, response []string }{
		"entra_eam_authorize": {[]string{"claims", "client_id", "client_request_id", "id_token_hint", "nonce", "redirect_uri", "response_mode", "response_type", "scope", "state"},
			[]string{"oauth2_client_id", "oauth2_redirect_uri", "oauth2_server", "oauth2_template", "state"}},
		"okta_eam_authorize": {[]string{"claims", "client_id", "login_hint", "redirect_uri", "response_type", "scope", "state"},
			[]string{"oauth2_client_id", "oauth2_redirect_uri", "oauth2_server", "oauth2_template", "state"}},
		"okta_eam_finish":     {[]string{"state"}, nil},
		"oauth2_v2_authorize": {[]string{"request_uri"}, []string{"return"}},
	} {
		rows := r.leaves(kind)
		if len(rows) == 0 {
			t.Errorf("no %s", kind)
		}
		for _, row := range rows {
			var leaf map[string]json.RawMessage
			isJSON(t, row, &leaf)
			var d recorded
			isJSON(t, string(leaf[kind]), &d)
			d.has(t, want.request, want.response)
		}
	}
}

func TestEntraRequestsThatAreRefused(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	foreign := func() string {
		k := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"iss": authority + "/" + r.tenant.ID + "/v2.0", "aud": r.tenant.AppID, "tid": r.tenant.ID,
			"oid": r.tenant.Object, "sub": "subject of " + r.tenant.Object, "iat": time.Now().Unix()})
		k.Header["kid"] = "tenant-key"
		text, _ := k.SignedString(other)
		return text
	}
	hint := func(over map[string]any) func(f url.Values) {
		return func(f url.Values) { f.Set("id_token_hint", r.tenant.Hint(over)) }
	}
	set := func(name string, values ...string) func(f url.Values) {
		return func(f url.Values) { f[name] = values }
	}
	const page = "" // nobody vouches for where the answer would go: the person reads it
	for name, c := range map[string]struct {
		change func(f url.Values)
		want   string
	}{
		"a foreign address":               {set("redirect_uri", "https://evil.example/common/federation/externalauthprovider"), page},
		"an address that only begins so":  {set("redirect_uri", authority+"/common/federation/externalauthprovider/x"), page},
		"another path":                    {set("redirect_uri", authority+"/other"), page},
		"an upper-case address":           {set("redirect_uri", strings.ToUpper(authority)+"/common/federation/externalauthprovider"), page},
		"no address":                      {func(f url.Values) { f.Del("redirect_uri") }, page},
		"both spellings of the address":   {set("redirect_url", authority+"/common/federation/externalauthprovider"), page},
		"two addresses":                   {set("redirect_uri", authority+"/common/federation/externalauthprovider", "https://evil.example"), page},
		"another client":                  {set("client_id", "00000000-0000-4000-8000-000000000000"), page},
		"a parameter twice":               {set("nonce", "a", "b"), page},
		"a long parameter":                {set("state", strings.Repeat("x", 5000)), page},
		"another response type":           {set("response_type", "code"), "unsupported_response_type"},
		"another response mode":           {set("response_mode", "query"), "invalid_request"},
		"another scope":                   {set("scope", "openid profile"), "invalid_scope"},
		"no nonce":                        {func(f url.Values) { f.Del("nonce") }, "invalid_request"},
		"no hint":                         {func(f url.Values) { f.Del("id_token_hint") }, "invalid_request"},
		"claims that are not JSON":        {set("claims", "{"), "invalid_request"},
		"a class that nothing here meets": {set("claims", `{"id_token":{"acr":{"values":["inherence"]},"amr":{"values":["otp"]}}}`), "access_denied"},
		"only methods that nobody has":    {set("claims", `{"id_token":{"acr":{"values":["possession"]},"amr":{"values":["face","iris"]}}}`), "access_denied"},
		"an old hint":                     {hint(map[string]any{"iat": time.Now().Add(-11 * time.Minute).Unix()}), "access_denied"},
		"a hint of the future":            {hint(map[string]any{"iat": time.Now().Add(5 * time.Minute).Unix()}), "access_denied"},
		"a hint without a time":           {hint(map[string]any{"iat": nil}), "access_denied"},
		"a hint for another application":  {hint(map[string]any{"aud": "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee"}), "access_denied"},
		"a hint for two applications":     {hint(map[string]any{"aud": []string{r.tenant.AppID, "other"}}), "access_denied"},
		"a hint of another tenant":        {hint(map[string]any{"tid": "99999999-2222-4333-8444-555555555555", "iss": authority + "/99999999-2222-4333-8444-555555555555/v2.0"}), "access_denied"},
		"iss of another tenant":           {hint(map[string]any{"iss": authority + "/99999999-2222-4333-8444-555555555555/v2.0"}), "access_denied"},
		"iss of another cloud":            {hint(map[string]any{"iss": "https://login.microsoftonline.us/" + r.tenant.ID + "/v2.0"}), "access_denied"},
		"a hint without oid":              {hint(map[string]any{"oid": nil}), "access_denied"},
		"a hint without sub":              {hint(map[string]any{"sub": nil}), "access_denied"},
		"a hint by another key":           {func(f url.Values) { f.Set("id_token_hint", foreign()) }, "access_denied"},
		"a hint without a signature": {func(f url.Values) {
			parts := strings.Split(r.tenant.Hint(nil), ".")
			f.Set("id_token_hint", "eyJhbGciOiJub25lIiwia2lkIjoidGVuYW50LWtleSJ9."+parts[1]+".")
		}, "access_denied"},
		"a hint signed with the public key": {func(f url.Values) {
			f.Set("id_token_hint", r.tenant.Sign(jwt.SigningMethodHS256, jwt.MapClaims{"iss": authority + "/" + r.tenant.ID + "/v2.0", "aud": r.tenant.AppID, "tid": r.tenant.ID,
				"oid": r.tenant.Object, "sub": "x", "iat": time.Now().Unix()}))
		}, "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			form := r.tenant.Form(r.tenant.Hint(nil))
			c.change(form)
			g := r.post(r.newBrowser(), entraPath, form)
			switch {
			case c.want == page && (g.status != http.StatusBadRequest || g.action != "" || g.location != nil):
				t.Errorf("%d, form to %q, location %v", g.status, g.action, g.location)
			case c.want != page && (g.form.Get("error") != c.want || g.form.Get("state") != form.Get("state") || g.form.Has("id_token")):
				t.Errorf("%d %s, want %s", g.status, g.body, c.want)
			}
		})
	}
	if n := len(r.leaves("entra_eam_authorize")); n != 0 {
		t.Errorf("%d requests that were refused stand in the log as taken", n)
	}
	if rows := r.leaves("entra_eam_finish"); len(rows) == 0 || !strings.Contains(rows[0], `"error":`) {
		t.Errorf("refusals: %v", rows)
	}
	for _, method := range []string{"GET", "PUT"} {
		req, _ := http.NewRequest(method, r.origin+entraPath+"?"+r.tenant.Form(r.tenant.Hint(nil)).Encode(), nil)
		if g := r.do(r.browser, req); g.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, g.status)
		}
	}
}

func TestEntraSpellsItsParametersInTwoWays(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	form := r.tenant.Form(r.tenant.Hint(nil))
	form["redirect_url"], form["response_type"] = form["redirect_uri"], []string{"id_token"}
	form.Del("redirect_uri")
	r.ticket(r.post(r.browser, entraPath, form))
}

func TestP13_AHintIsTakenOnce(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	hint := r.tenant.Hint(nil)
	r.ticket(r.post(r.browser, entraPath, r.tenant.Form(hint)))
	if g := r.post(r.newBrowser(), entraPath, r.tenant.Form(hint)); g.form.Get("error") != "access_denied" {
		t.Errorf("taken again: %d %s", g.status, g.body)
	}
}

func TestP09_NobodyLearnsWhetherThereIsAnAccount(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	known := r.post(r.newBrowser(), entraPath, r.tenant.Form(r.tenant.Hint(nil)))
	unknown := r.post(r.newBrowser(), entraPath, r.tenant.Form(r.tenant.Hint(map[string]any{"oid": "99999999-89ab-4cde-8f01-23456789abcd"})))
	if known.status != unknown.status || known.body != unknown.body || known.location.Path != unknown.location.Path || len(known.location.Fragment) != len(unknown.location.Fragment) {
		t.Errorf("%d %v, %d %v", known.status, known.location, unknown.status, unknown.location)
	}
	r.prove(r.ticket(known))
	if r.employee.asked.Account != r.tenant.Object {
		t.Errorf("the account of the hint is %q", r.employee.asked.Account)
	}
	browser := r.newBrowser()
	g := r.post(browser, entraPath, r.tenant.Form(r.tenant.Hint(map[string]any{"oid": "99999999-89ab-4cde-8f01-23456789abcd"})))
	back := r.get(browser, r.prove(r.ticket(g)))
	if back.form.Get("error") != "access_denied" || r.employee.asked.Account != "" {
		t.Errorf("somebody who is not there: %s", back.body)
	}
}

func TestEntraAccountsMayBeFoundByAnIdentifier(t *testing.T) {
	r := newRig(t)
	r.entra(func(s *party.Settings) { s.Account = party.ByIdentifier })
	for hint, want := range map[string]string{r.tenant.Object: "", "01234567-0000-4cde-8f01-23456789abcd": ""} {
		r.prove(r.ticket(r.post(r.newBrowser(), entraPath, r.tenant.Form(r.tenant.Hint(map[string]any{"oid": hint})))))
		if r.employee.asked.Account != want {
			t.Errorf("%s is %q", hint, r.employee.asked.Account)
		}
	}
}

func TestP07_OnlyTheBrowserThatBeganTakesTheAnswer(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	to := r.prove(r.ticket(r.post(r.browser, entraPath, r.tenant.Form(r.tenant.Hint(nil)))))
	if g := r.get(r.newBrowser(), to); g.status != http.StatusBadRequest || g.action != "" {
		t.Errorf("T13: another browser got %d %s", g.status, g.body)
	}
	var given atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			res, err := r.browser.Get(to)
			if err != nil {
				return
			}
			defer func() { _ = res.Body.Close() }()
			if res.StatusCode == http.StatusOK {
				given.Add(1)
			}
		})
	}
	wg.Wait()
	if given.Load() != 1 {
		t.Errorf("the answer was given %d times", given.Load())
	}
}

func TestT25_ATicketOpensInItsOwnEnvironmentOnce(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	ticket := r.ticket(r.post(r.browser, entraPath, r.tenant.Form(r.tenant.Hint(nil))))
	open := func(env string) error {
		_, err := r.provider.Open(t.Context(), env, ticket, "en", recovery.Client{})
		return err
	}
	for _, env := range []string{"", "another", r.fixture.Org.ID} {
		if err := open(env); !errors.Is(err, oidc.ErrTicket) {
			t.Errorf("environment %q: %v", env, err)
		}
	}
	if err := open(r.fixture.Env.ID); err != nil {
		t.Fatal(err)
	}
	if err := open(r.fixture.Env.ID); !errors.Is(err, oidc.ErrTicket) {
		t.Errorf("a ticket opened twice: %v", err)
	}
	late := r.ticket(r.post(r.browser, entraPath, r.tenant.Form(r.tenant.Hint(nil))))
	r.ahead.Store(int64(16 * time.Minute))
	if _, err := r.provider.Open(t.Context(), r.fixture.Env.ID, late, "en", recovery.Client{}); !errors.Is(err, oidc.ErrTicket) {
		t.Errorf("an old ticket: %v", err)
	}
}

func TestT11_StrictAccountsAreRefusedUnlessAnAdministratorAllowsIt(t *testing.T) {
	for _, allow := range []bool{false, true} {
		r := newRig(t)
		r.entra(func(s *party.Settings) { s.AllowStrict = allow })
		r.employee.strict = true
		back := r.get(r.browser, r.prove(r.ticket(r.post(r.browser, entraPath, r.tenant.Form(r.tenant.Hint(nil))))))
		_, err := r.tenant.Judge(back.form)
		if allow != (err == nil) || !allow && err.Error() != "access_denied" {
			t.Errorf("allowed %v: %v", allow, err)
		}
		if rows := r.leaves("entra_eam_finish"); len(rows) != 1 || !strings.Contains(rows[0], `"strict_account":true`) {
			t.Errorf("the log does not say that the account is strict: %v", rows)
		}
	}
}

func TestAProofOfSomebodyElseIsNotTheAnswer(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	r.employee.who = "2"
	back := r.get(r.browser, r.prove(r.ticket(r.post(r.browser, entraPath, r.tenant.Form(r.tenant.Hint(nil))))))
	if back.form.Get("error") != "access_denied" {
		t.Errorf("%s", back.body)
	}
}

func TestWhenNothingCanBeProvenNowTheTenantIsTold(t *testing.T) {
	r := newRig(t)
	r.entra(nil)
	r.employee.down = true
	back := r.get(r.browser, r.prove(r.ticket(r.post(r.browser, entraPath, r.tenant.Form(r.tenant.Hint(nil))))))
	if back.form.Get("error") != "temporarily_unavailable" {
		t.Errorf("%s", back.body)
	}
	r.tenant.Server.Close()
	r.ahead.Store(int64(60 * time.Hour)) // what was known of the keys is too old
	form := r.tenant.Form(r.tenant.Hint(map[string]any{"iat": time.Now().Add(60 * time.Hour).Unix()}))
	if g := r.post(r.browser, entraPath, form); g.form.Get("error") != "temporarily_unavailable" {
		t.Errorf("without the keys of the tenant: %d %s", g.status, g.body)
	}
}
