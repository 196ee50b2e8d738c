package console

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/internal/testenv"
)

func TestAReasonIsSaidInTheLanguageOfThePage(t *testing.T) {
	g := newRig(t)
	if err := g.signer.Move("unix/" + testenv.StartSSHAgent(t, nil).Socket); err != nil {
		t.Fatal(err)
	}
	a := g.signedIn()
	env := "/console/settings/" + g.Env.ID
	german := func(path, holds string, fields url.Values, want string) {
		t.Helper()
		form := a.get(path).form(path, holds, fields)
		a.do(http.MethodPost, path+"?lang=de", form).sees(422, want)
	}
	collector := func(field, value string) url.Values {
		form := url.Values{"do": {"save"}, "name": {"SIEM"}, "url": {"https://c.example/in"}, "format": {"jsonl"}}
		form.Set(field, value)
		return form
	}
	for field, c := range map[string][2]string{"url": {"tls://c.example:0", "(ein Port geht von 1 bis 65535)"}, "ca": {"x", "gibt es nur bei tls://)"}, "kind": {"nothing", "(„nothing“ ist keine)"}} {
		german("/console/collectors/new", `value="save"`, collector(field, c[0]), c[1])
	}
	client := url.Values{"do": {"save"}, "name": {"App"}, "redirect_uris": {"https://app.test/back"}}
	german(env+"/clients/new-openid", `value="save"`, with(client, "token_endpoint_auth_method", "private_key_jwt"), "(Schlüssel und Adresse fehlen, oder beides ist da)")
	german(env+"/clients/new-openid", `value="save"`, with(with(client, "token_endpoint_auth_method", "private_key_jwt"), "jwks", `{"keys":[]}`), "RSA mit mindestens 2048 Bit)")
	a.get(env+"/clients/new-openid").fill(env+"/clients/new-openid", `value="save"`, client).sees(200, "Saved")
	german(a.at.Path, `value="rotate"`, url.Values{"do": {"rotate"}, "external": {"SHA256:none"}}, "(der Signierdienst hat diesen Schlüssel nicht")
	german(env+"/providers/new", "client_secret", url.Values{"do": {"save"}, "name": {"Acme ID"}, "issuer": {"https://op.example"}, "client_id": {"recovery"}, "client_secret": {"s"}}, "(nichts ist angekreuzt)")
	rule := env + "/directories/" + g.Directory.ID + "/rules/new"
	german(rule, "way0", url.Values{"do": {"save"}, "action": {"mfa"}, "way0": {"sms_confirm"}}, "die Bestätigung per SMS folgt auf einen Code per SMS")
	a.get(env+"/trust?lang=de").upload(env+"/trust?lang=de", a.form(env+"/trust?lang=de", `value="add"`, url.Values{"name": {"Demo"}, "kind": {"pem"}}), []byte("no PEM")).
		sees(422, "(nicht in der Form ihres Standards: nur PEM-Zertifikate dürfen darin stehen)")
}

func with(form url.Values, field, value string) url.Values {
	out := url.Values{field: {value}}
	for name, values := range form {
		if name != field {
			out[name] = values
		}
	}
	return out
}

func TestTheWordsOfALibraryStayBehindOurs(t *testing.T) {
	languages := locale.Languages()
	v := &visit{words: page.Words{Language: languages[1]}}
	for reason, want := range map[string]string{
		"not in the form of its standard: certificate: x509: malformed tbs": "nicht in der Form ihres Standards: certificate: x509: malformed tbs",
		"x509: malformed tbs": "x509: malformed tbs",
		"":                    "",
	} {
		if got := v.why(reason); got != want {
			t.Errorf("%q is said as %q, want %q", reason, got, want)
		}
	}
}

// The catalogue says again what other packages say: a sentence that one of them changes
// would be shown in English.
func TestEveryReasonOfTheCatalogueIsOneThatIsGiven(t *testing.T) {
	var source strings.Builder
	for _, dir := range []string{"../export", "../party", "../policy", "../verify/provider", "../verify/wallet", "../../protocol/evidence"} {
		files, err := filepath.Glob(dir + "/*.go")
		for _, f := range files {
			b, readErr := os.ReadFile(f)
			if err != nil || readErr != nil {
				t.Fatal(err, readErr)
			}
			if !strings.HasSuffix(f, "_test.go") {
				source.Write(b)
			}
		}
	}
	table, err := os.ReadFile("../locale/en_why.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`"why\.([^"]+)":`).FindAllSubmatch(table, -1)
	if len(rows) < 40 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		said := regexp.MustCompile(`\\\{[ab]\\\}|sms_co[a-z]+`).ReplaceAllString(regexp.QuoteMeta(string(row[1])), `(%[.0-9]*[qds]|[0-9]+)`)
		if !regexp.MustCompile(`[ "]` + said + `"`).MatchString(source.String()) {
			t.Errorf("nobody says %q", row[1])
		}
	}
}
