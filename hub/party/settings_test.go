package party

import (
	"strings"
	"testing"
)

func TestSettingsThatAreRefused(t *testing.T) {
	const back = "https://example.okta.com/callback"
	tenant, app := "11111111-2222-4333-8444-555555555555", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	for name, c := range map[string]struct {
		contract Contract
		s        Settings
	}{
		"no name":              {EntraEAM, Settings{Tenants: []string{tenant}, AppID: app}},
		"no tenant":            {EntraEAM, Settings{Name: "x", AppID: app}},
		"any tenant":           {EntraEAM, Settings{Name: "x", Tenants: []string{"common"}, AppID: app}},
		"an upper-case tenant": {EntraEAM, Settings{Name: "x", Tenants: []string{strings.ToUpper(app)}, AppID: app}},
		"no application":       {EntraEAM, Settings{Name: "x", Tenants: []string{tenant}}},
		"another cloud":        {EntraEAM, Settings{Name: "x", Tenants: []string{tenant}, AppID: app, Cloud: "moon"}},
		"addresses of Entra":   {EntraEAM, Settings{Name: "x", Tenants: []string{tenant}, AppID: app, Redirects: []string{back}}},
		"no address":           {OktaEAM, Settings{Name: "x"}},
		"an address in clear":  {OktaEAM, Settings{Name: "x", Redirects: []string{"http://example.okta.com/"}}},
		"an address with a #":  {OktaEAM, Settings{Name: "x", Redirects: []string{"https://example.okta.com/#x"}}},
		"a wildcard":           {OktaEAM, Settings{Name: "x", Redirects: []string{"*"}}},
		"another account":      {OktaEAM, Settings{Name: "x", Redirects: []string{back}, Account: "mail"}},
		"strict about nobody":  {OktaIDV, Settings{Name: "x", Redirects: []string{back}, AllowStrict: true}},
	} {
		if c.s.Check(c.contract) == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
