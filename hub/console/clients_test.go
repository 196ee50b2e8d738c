package console

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
)

// asks returns the one client of the environment.
func (g *rig) asks() (c store.OIDCClient, s party.Settings) {
	g.t.Helper()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.OIDCClients(ctx, g.Env.ID)
		if err != nil || len(all) != 1 {
			g.t.Fatal(all, err)
		}
		c, s = all[0], party.Settings{}
		return json.Unmarshal(c.Settings, &s)
	})
	return c, s
}

var secretShown = regexp.MustCompile(`never shown again\.</p><pre><code>([A-Za-z0-9_-]{40,})</code>`)

func TestAnApplicationIsMadeChangedGivenASecretAndEndedByItsName(t *testing.T) {
	g := newRig(t)
	list := "/console/settings/" + g.Env.ID + "/clients"
	a := g.signedIn().get("/console/settings").sees(200, list).get(list).sees(200, "Nobody asks here yet")
	a.get(list + "/new").sees(404).get(list + "/new-other").sees(404)
	a.get(list+"/new-openid").sees(200, "Let somebody ask", "An application, by OpenID Connect")
	form := url.Values{"do": {"save"}, "name": {"Time sheet"}, "redirect_uris": {"https://app.example.com/callback\r\nhttp://localhost:8080/back"}}
	a.fill(list+"/new-openid", "redirect_uris", form).sees(200, "Saved", "Time sheet", "It has no secret yet", g.url+"/oauth2/token")
	at := a.at.Path
	c, s := g.asks()
	if at != list+"/"+c.ID || len(s.Redirects) != 2 || len(c.Secrets) != 0 || s.Domain != "" {
		t.Errorf("%s %+v", at, s)
	}

	stale := a.form(at, `value="secret"`, url.Values{"do": {"secret"}})
	a.fill(at, `value="secret"`, url.Values{"do": {"secret"}}).sees(200, "This is the new secret")
	shown := secretShown.FindStringSubmatch(a.body)
	if c, _ = g.asks(); shown == nil || len(c.Secrets) != 1 || c.Secrets[0].Hash != store.HashToken(shown[1]) || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%v %+v", shown, c.Secrets)
	}
	a.do(http.MethodPost, at, stale).sees(422, "Somebody else changed these settings meanwhile") // the page loaded again
	if a.get(at); strings.Contains(a.body, shown[1]) {
		t.Error("the secret is shown twice")
	}
	a.fill(at, `value="secret"`, url.Values{"do": {"secret"}}).sees(200, "the former one")
	a.fill(at, `value="end"`, url.Values{"do": {"end"}}).sees(200, "Removed")
	if c, _ = g.asks(); len(c.Secrets) != 1 || c.Secrets[0].Hash == store.HashToken(shown[1]) {
		t.Errorf("%+v", c.Secrets)
	}

	a.fill(at, `value="rotate"`, url.Values{"do": {"rotate"}}).sees(200, "It signs in 48 hours", "signs from")
	if strings.Contains(a.body, `value="rotate"`) {
		t.Error("a third key can be published")
	}
	changed := url.Values{"do": {"save"}, "name": {"Times"}, "token_endpoint_auth_method": {"none"}, "allow_strict": {"on"}}
	a.fill(at, `value="save"`, changed).sees(200, "Saved", ">Times<")
	if _, s = g.asks(); s.Auth != "none" || !s.AllowStrict || len(s.Redirects) != 0 || strings.Contains(a.body, `value="secret"`) {
		t.Errorf("%+v", s)
	}
	a.fill(at, `value="remove"`, url.Values{"do": {"remove"}, "confirm": {"Time sheet"}}).sees(422, `href="#confirm"`, "exactly as it stands")
	a.fill(at, `value="remove"`, url.Values{"do": {"remove"}, "confirm": {"Times"}}).sees(200, "Removed", "Nobody asks here yet")
	a.get(at).sees(404)
	rows := g.records(audit.EnvUpdated)
	if len(rows) != 7 || strings.Contains(strings.Join(rows, ""), shown[1]) {
		t.Errorf("%d %v", len(rows), rows)
	}
}

// What the settings hold that the page does not ask for stays as it is.
func TestWhatIsWrongWithAClientStandsBesideItsFieldAndWhatWasTypedStays(t *testing.T) {
	g := newRig(t)
	list := "/console/settings/" + g.Env.ID + "/clients"
	const id = "00000000-0000-0000-0000-00000000000a"
	good := map[string]url.Values{
		"openid":    {"name": {"App"}, "redirect_uris": {"https://app.test/back"}},
		"entra_eam": {"name": {"Entra"}, "directory": {g.Directory.ID}, "tenants": {id}, "app_id": {id}},
		"okta_eam":  {"name": {"Okta"}, "directory": {g.Directory.ID}, "redirect_uris": {"https://o.test/b"}},
		"okta_idv":  {"name": {"Okta"}, "redirect_uris": {"https://o.test/b"}},
	}
	if names := slices.Sorted(maps.Keys(good)); !slices.Equal(names, slices.Sorted(slices.Values(party.Contracts()))) {
		t.Fatalf("contracts are now %v", party.Contracts())
	}
	a := g.signedIn()
	try := func(contract string, change url.Values) *admin {
		t.Helper()
		form := maps.Clone(good[contract])
		form.Set("do", "save")
		maps.Copy(form, change)
		return a.get(list+"/new-"+contract).fill(list+"/new-"+contract, `value="save"`, form)
	}
	for _, x := range []struct{ contract, field, value, at string }{
		{"openid", "name", "", "name"}, {"openid", "redirect_uris", "http://app.test/x", "redirect_uris"}, {"openid", "post_logout_redirect_uris", "x", "post_logout_redirect_uris"},
		{"openid", "token_endpoint_auth_method", "magic", "token_endpoint_auth_method"}, {"openid", "token_endpoint_auth_method", "private_key_jwt", "jwks"}, {"openid", "jwks", "no json <b>", "jwks"},
		{"openid", "id_token_signed_response_alg", "HS256", "id_token_signed_response_alg"}, {"openid", "pkce", "never", "pkce"}, {"openid", "domain", "not.proven.test", "domain"},
		{"openid", "client_id", g.Directory.ID, "client_id"}, {"openid", "directory", "other", "directory"},
		{"entra_eam", "tenants", "x", "tenants"}, {"entra_eam", "app_id", "x", "app_id"}, {"entra_eam", "cloud", "mars", "cloud"}, {"entra_eam", "directory", "", "directory"}, {"entra_eam", "account", "magic", "account"},
		{"okta_eam", "redirect_uris", "", "redirect_uris"}, {"okta_idv", "redirect_uris", "https://o.test/b?x=1", "redirect_uris"},
	} {
		try(x.contract, url.Values{x.field: {x.value}}).sees(422, "Nothing was changed yet", `href="#`+x.at+`"`, `id="`+x.at+`-error"`)
		if strings.Contains(a.body, "set.wrong") {
			t.Errorf("%+v has no words", x)
		}
	}
	a.get(list).sees(200, "Nobody asks here yet")
	try("openid", url.Values{"jwks": {"no json <b>"}}).sees(422, "no json &lt;b&gt;")
	for contract := range good {
		try(contract, nil).sees(200, "Saved")
		if bad := regexp.MustCompile(`client\.[a-z_.]+`).FindString(a.body); bad != "" {
			t.Errorf("%s: no words for %s", contract, bad)
		}
	}
	try("openid", url.Values{"client_id": {g.Directory.ID}, "directory": {g.Directory.ID}}).sees(200, "Saved")
	if a.at.Path != list+"/"+g.Directory.ID {
		t.Error(a.at)
	}
	a.fill(a.at.Path, `value="save"`, url.Values{"do": {"save"}, "name": {"Dir"}, "directory": {g.Directory.ID}}).sees(200, "Saved", ">Dir<")
	try("openid", url.Values{"client_id": {g.Directory.ID}, "directory": {g.Directory.ID}}).sees(422, "or one of this client_id")
	a.fill(list+"/new-openid", `value="save"`, url.Values{"do": {"other"}}).sees(404)
}

func TestT25_ApplicationsAreTheirOrganisationsAndItsAdministratorsAlone(t *testing.T) {
	g := newRig(t)
	var other store.Environment
	var theirs store.OIDCClient
	key, err := party.NewKey(party.OpenID, party.Settings{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.CreateOrganisation(ctx, store.Organisation{Name: "Other"})
		if err != nil {
			return err
		}
		if other, err = tx.CreateEnvironment(ctx, store.Environment{Org: o.ID, Name: "theirs"}); err != nil {
			return err
		}
		theirs, err = party.Add(ctx, tx, other.ID, "", party.OpenID, "", party.Settings{Name: "theirs"}, key)
		return err
	})
	a := g.signedIn()
	token := hidden.FindStringSubmatch(a.body)[2]
	mine := "/console/settings/" + g.Env.ID + "/clients"
	for _, base := range []string{mine, "/console/settings/" + other.ID + "/clients"} {
		at := base + "/" + theirs.ID
		a.get(at).sees(404)
		for _, do := range []string{"save", "secret", "end", "rotate", "remove"} {
			a.do(http.MethodPost, at, url.Values{"form": {token}, "as": {"1"}, "do": {do}, "name": {"x"}, "confirm": {"theirs"}}).sees(404)
		}
	}
	a.get("/console/settings/" + other.ID + "/clients").sees(404)
	a.do(http.MethodPost, "/console/settings/"+other.ID+"/clients/new-openid", url.Values{"form": {token}, "do": {"save"}, "name": {"x"}}).sees(404)
	bob := g.as(a, staff.User)
	token = hidden.FindStringSubmatch(bob.body)[2]
	bob.get(mine).sees(403, "Your role does not reach this")
	bob.do(http.MethodPost, mine+"/new-openid", url.Values{"form": {token}, "do": {"save"}, "name": {"x"}}).sees(403)
	left, err := store.Get(t.Context(), g.store, func(tx *store.Tx) (store.OIDCClient, error) { return tx.OIDCClient(t.Context(), other.ID, theirs.ID) })
	if err != nil || left.Version != theirs.Version {
		t.Errorf("%+v, %v", left, err)
	}
	ann := g.as(a, staff.Admin)
	ann.get(mine+"/new-okta_idv").fill(mine+"/new-okta_idv", `value="save"`, url.Values{"do": {"save"}, "name": {"Okta"}, "redirect_uris": {"https://o.test/b"}}).sees(200, "Saved")
}

func TestEveryContractHasWordsInTheConsole(t *testing.T) {
	for _, l := range locale.Languages() {
		for _, c := range party.Contracts() {
			if !l.Has("client.contract." + c) {
				t.Errorf("%s lacks %s", l.Code(), c)
			}
		}
		for _, state := range []string{party.KeyNext, party.KeyActive, party.KeyRetired} {
			if !l.Has("client.key." + state) {
				t.Errorf("%s lacks %s", l.Code(), state)
			}
		}
	}
}

func TestApplicationsInABrowser(t *testing.T) {
	g := newRig(t)
	list := g.url + "/console/settings/" + g.Env.ID + "/clients"
	if err := g.signer.Move("unix//nowhere/hub.sock"); err != nil {
		t.Fatal(err)
	}
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	b.WaitText("The signer outside of the hub does not answer")
	looked(t, b, "signer-away")
	b.Open(list)
	looked(t, b, "clients-empty")
	b.Click(`a[href$="/new-openid"]`)
	b.WaitText("An application, by OpenID Connect")
	b.Type("#name", "Time sheet")
	b.Type("#redirect_uris", "app.example.com")
	b.Click(`[value=save]`)
	b.WaitText("Nothing was changed yet")
	looked(t, b, "client-wrong")
	b.Eval(`document.querySelector('#redirect_uris').value = 'https://app.example.com/back'`)
	b.Click(`[value=save]`)
	b.WaitText("It has no secret yet")
	b.Click(`[value=secret]`)
	b.WaitText("This is the new secret")
	looked(t, b, "client-secret")
	b.Type("#external", "SHA256:none")
	b.Click(`[value=rotate]`)
	b.WaitText("the signer does not answer")
	looked(t, b, "client-external")
	b.Open(list + "/new-entra_eam?lang=de")
	b.WaitText("Microsoft Entra ID")
	looked(t, b, "client-entra")
	b.Open(list + "?lang=de")
	looked(t, b, "clients")
}

func TestT11_AKeyOutsideOfTheHubIsNamedByItsFingerprintAndTheStatusPageSaysThatItsSignerIsAway(t *testing.T) {
	g := newRig(t)
	list := "/console/settings/" + g.Env.ID + "/clients"
	a := g.signedIn().get(list + "/new-openid")
	a.fill(list+"/new-openid", "redirect_uris", url.Values{"do": {"save"}, "name": {"App"}}).sees(200, "Saved")
	at := a.at.Path
	if strings.Contains(a.body, `name="external"`) {
		t.Error("a hub without a signer asks for its keys")
	}
	agent := testenv.StartSSHAgent(t, nil)
	if err := g.signer.Move("unix/" + agent.Socket); err != nil {
		t.Fatal(err)
	}
	fingerprint, _ := agent.Make(t, testenv.SSHP256)
	rotating := func(fingerprint string) url.Values { return url.Values{"do": {"rotate"}, "external": {fingerprint}} }
	a.get(at).fill(at, `value="rotate"`, rotating("SHA256:none")).sees(422, `href="#external"`, `id="external-error"`, "the signer does not hold this key")
	a.fill(at, `value="rotate"`, rotating(fingerprint)).sees(200, "It signs in 48 hours", "outside of the hub: <code>"+strings.ReplaceAll(fingerprint, "+", "&#43;"))
	if records := g.audited(audit.EnvUpdated); !strings.Contains(store.JSON(records), `"external":"`+fingerprint) {
		t.Error("the log does not say where the key lies")
	}
	a.get(list+"/new-openid").fill(list+"/new-openid", "redirect_uris", url.Values{"do": {"save"}, "name": {"Other"}}).sees(200, "Saved")
	at = a.at.Path
	a.fill(at, `value="rotate"`, rotating(fingerprint)).sees(422, "each has its own")
	if a.get("/console"); strings.Contains(a.body, "does not answer") {
		t.Error("it is said to be away")
	}
	agent.Stop()
	a.get("/console").sees(200, "The signer outside of the hub does not answer")
	a.get(at).fill(at, `value="rotate"`, rotating(fingerprint)).sees(422, "the signer does not answer")
}
