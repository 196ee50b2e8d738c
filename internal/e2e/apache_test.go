package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// apacheModules are those of Debian that the relying party needs.
var apacheModules = []string{"mpm_event", "authn_core", "authz_core", "authz_user", "socache_shmcb", "ssl", "dir", "auth_openidc"}

const apacheFolder = "/usr/lib/apache2/modules"

// An apache is Debian's web server with mod_auth_openidc before its one page.
type apache struct {
	url    string
	caFile string
	child  *testenv.Child
}

// apacheName is a name that Chromium and clients of loopback find on this machine.
const apacheName = "app.localhost"

// newApache prepares a server on a free port: its address is needed to register it.
func newApache(t *testing.T) (a *apache, start func(directives string)) {
	t.Helper()
	program := testenv.Need(t, "apache2")
	if _, err := os.Stat(filepath.Join(apacheFolder, "mod_auth_openidc.so")); err != nil {
		testenv.Missing(t, "libapache2-mod-auth-openidc")
	}
	dir, port := testenv.Dir(t), testenv.FreePort(t)
	a = &apache{url: fmt.Sprintf("https://%s:%d", apacheName, port)}
	var err error
	if a.caFile, err = testenv.WriteCertificate(dir, apacheName); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"htdocs/private/index.html": "<h1>for members</h1>", "htdocs/bye.html": "<h1>bye</h1>"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { // as root the server reads as another user
		t.Fatal(err)
	}
	return a, func(directives string) {
		t.Helper()
		conf := filepath.Join(dir, "apache2.conf")
		if err := os.WriteFile(conf, []byte(apacheConf(dir, port)+directives), 0o644); err != nil {
			t.Fatal(err)
		}
		a.child = testenv.Start(t, testenv.Command{Path: program, Args: []string{"-d", dir, "-f", conf, "-DFOREGROUND"}, Dir: dir, Ready: func(ctx context.Context) error {
			return a.answers(ctx, t)
		}})
	}
}

func (a *apache) answers(ctx context.Context, t *testing.T) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/bye.html", nil)
	if err != nil {
		return err
	}
	resp, err := loopback(rootsOf(t, a.caFile), nil).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

func apacheConf(dir string, port int) string {
	var b strings.Builder
	for _, m := range apacheModules {
		fmt.Fprintf(&b, "LoadModule %s_module %s/mod_%s.so\n", m, apacheFolder, m)
	}
	fmt.Fprintf(&b, `ServerName %[3]s:%[2]d
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/apache.pid
Mutex file:%[1]s
ErrorLog %[1]s/error.log
LogLevel warn
Listen 127.0.0.1:%[2]d https
User www-data
Group www-data
DocumentRoot %[1]s/htdocs
DirectoryIndex index.html
SSLEngine on
SSLCertificateFile %[1]s/cert.pem
SSLCertificateKeyFile %[1]s/key.pem
`, dir, port, apacheName)
	return b.String()
}

// openidc are the directives by which the server signs people in here.
func (a *apache) openidc(v *relying, id, secret, auth, mode, algorithm string) string {
	ca := filepath.Join(filepath.Dir(a.caFile), "postern.pem")
	pem, err := os.ReadFile(v.edge.caFile())
	if err == nil {
		err = os.WriteFile(ca, pem, 0o644)
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return fmt.Sprintf(`OIDCProviderMetadataURL %[1]s/.well-known/openid-configuration
OIDCCABundlePath %[2]s
OIDCClientID "%[3]s"
OIDCClientSecret "%[4]s"
OIDCProviderTokenEndpointAuth %[5]s
OIDCResponseMode %[6]s
OIDCIDTokenSignedResponseAlg %[7]s
OIDCPKCEMethod S256
OIDCScope "openid profile"
OIDCRedirectURI %[8]s/callback
OIDCDefaultLoggedOutURL %[8]s/bye.html
OIDCCryptoPassphrase "a passphrase of this test alone"
OIDCInfoHook userinfo id_token
<Location /private>
	AuthType openid-connect
	Require valid-user
</Location>
<Location /callback>
	AuthType openid-connect
	Require valid-user
</Location>
`, v.edge.url, ca, id, secret, auth, mode, algorithm, a.url)
}

// Debian's mod_auth_openidc before a page of Apache: it asks without a pushed request, with
// PKCE, reads the user info, and ends the sign-in here when people sign out there.
func TestModAuthOpenidcSignsPeopleIn(t *testing.T) {
	t.Parallel()
	v := relied(t, "apache")
	for _, c := range []struct{ auth, mode, algorithm string }{{"client_secret_basic", "form_post", "ES256"}, {"client_secret_post", "query", "RS256"}} {
		t.Run(c.auth+" "+c.mode+" "+c.algorithm, func(t *testing.T) {
			a, start := newApache(t)
			id, secret := v.relying(map[string]any{"name": "Apache", "redirect_uris": []string{a.url + "/callback"}, "post_logout_redirect_uris": []string{a.url + "/bye.html"},
				"token_endpoint_auth_method": c.auth, "id_token_signed_response_alg": c.algorithm})
			start(a.openidc(v, id, secret, c.auth, c.mode, c.algorithm))
			t.Cleanup(func() {
				if t.Failed() {
					b, _ := os.ReadFile(filepath.Join(filepath.Dir(a.caFile), "error.log"))
					t.Logf("apache says: %s", b[max(0, len(b)-6000):])
				}
			})
			p := v.prover(a.caFile)
			p.t = t
			back := p.proves(a.url+"/private/", a.url+"/callback")
			if back.mode() != c.mode {
				t.Fatal(back)
			}
			p.hands(back)
			if p.status != http.StatusOK || !strings.Contains(p.page, "for members") {
				t.Fatalf("after the sign-in: %d %s", p.status, p.text())
			}
			p.opens(a.url+"/callback?info=json", "")
			var said struct {
				Token struct{ Sub, Iss string }  `json:"id_token"`
				Info  struct{ Sub, Name string } `json:"userinfo"`
			}
			if err := json.Unmarshal([]byte(p.page), &said); err != nil || said.Token.Sub == "" || said.Token.Iss != v.edge.url || said.Info.Sub != said.Token.Sub || said.Info.Name == "" {
				t.Errorf("the module knows %s: %v", p.page, err)
			}
			p.opens(a.url+"/callback?logout="+a.url+"/bye.html", "")
			if p.status != http.StatusOK || !strings.Contains(p.page, "bye") {
				t.Errorf("after signing out: %d at %s: %s", p.status, p.path, p.text())
			}
			if left := p.opens(a.url+"/private/", v.edge.url); left == "" {
				t.Errorf("signed out, and still let in: %d", p.status)
			}
		})
	}
}
