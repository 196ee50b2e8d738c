package e2e

import (
	"net/http"
	"testing"

	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
)

// An employee in Active Directory recovers by a sign-in at an outside provider, in
// Chromium. When the provider says that somebody else signed in, they do not.
func TestAnEmployeeRecoversWithAnOutsideProvider(t *testing.T) {
	t.Parallel()
	s := testenv.SharedSamba(t)
	op := openid.New(t)
	op.Page = true
	v := startEdge(t, edgeConfig{Postern: "allow_private_webhooks 127.0.0.1/32"}).environment(t, "provider", "ad")
	v.permit()
	op.Redirects = []string{v.site + "/provider/return"}
	v.do(http.MethodPost, "/api/envs/"+v.id+"/identity-providers", map[string]any{
		"name": "Bank ID", "issuer": op.URL, "client_id": op.ClientID, "client_secret": op.Secret, "directories": []string{v.directory},
	}, nil)
	v.change(map[string]any{"methods": map[string]any{"default": [][]string{{"identity_provider"}}}})
	v.startAgent(sambaAgent(s))
	b := testenv.Chromium(t)
	j := v.on(b)
	const mail, upn = "fritz@corp.example", "fritz@corp.example"

	op.SignIn(map[string]any{"given_name": "Greta", "family_name": "Garbo", "birthdate": "1980-02-29"})
	b.Open(j.site + "/")
	b.Type("#email", mail)
	b.Click("main button")
	b.WaitText("What do you need?")
	b.Click("label:has([value=password])")
	b.Click("main form button")
	b.Wait(`document.querySelector('#method') && document.documentElement.dataset.ready && document.querySelector('[name=recipient]').value`)
	b.Click("label:has([value=identity_provider])")
	b.Click("main form button")
	b.WaitText("Sign in with Bank ID")
	if found := b.Axe(); len(found) > 0 {
		t.Errorf("axe on the page of a provider: %v", found)
	}
	away := func() {
		b.Click("main a.button")
		b.Wait(`document.querySelector('#signin')`)
		b.Click("#signin")
	}
	away()
	b.WaitText("This did not prove that it is you")
	op.SignIn(map[string]any{"given_name": "Fritz", "family_name": "Finance", "birthdate": "1980-02-29"})
	away()
	secret := j.reset()
	if err := s.Bind(t, upn, secret); !said(err, "data 773") {
		t.Errorf("the temporary password: %v, want that it must be changed", err)
	}
	j.acknowledge(secret)
}
