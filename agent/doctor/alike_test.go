package doctor

import "testing"

func TestOnlyASlipOfTheKeysIsMended(t *testing.T) {
	const domain = "DC=corp,DC=example"
	in := func(names ...string) (all []string) {
		for _, name := range names {
			all = append(all, name+","+domain)
		}
		return all
	}
	company := in("OU=Staff", "OU=Services", "CN=Users", "CN=Computers", "OU=Domain Controllers", "OU=Region 1")
	contexts := []string{domain, "CN=Configuration," + domain, "CN=Schema,CN=Configuration," + domain, "DC=DomainDnsZones," + domain}
	for dn, c := range map[string]struct {
		near  string
		below []string
		want  string
	}{
		"OU=Staf,DC=corp,DC=example":               {domain, company, "OU=Staff,DC=corp,DC=example"},
		"ou=staf,dc=corp, dc=example":              {domain, company, "OU=Staff,dc=corp,dc=example"},
		"CN=Staff,DC=corp,DC=example":              {domain, company, "OU=Staff,DC=corp,DC=example"},
		"OU=Users,DC=corp,DC=example":              {domain, company, "CN=Users,DC=corp,DC=example"},
		"OU=Berlin,OU=Serivces,DC=corp,DC=example": {domain, company, "OU=Berlin,OU=Services,DC=corp,DC=example"},
		"OU=Employees,DC=corp,DC=example":          {domain, company, ""},
		"OU=Berlin,DC=corp,DC=example":             {domain, company, ""},
		"OU=Contractors,DC=corp,DC=example":        {domain, company, ""},
		"OU=Human,DC=corp,DC=example":              {domain, company, ""},
		"OU=Accounting,DC=corp,DC=example":         {domain, company, ""},
		"OU=Region 2,DC=corp,DC=example":           {domain, company, ""},
		"DC=Staff,DC=corp,DC=example":              {domain, company, ""},
		"OU=IT,DC=corp,DC=example":                 {domain, in("OU=HR"), ""},
		"OU=Salez,DC=corp,DC=example":              {domain, in("OU=Sales", "OU=Saley"), ""},
		`OU=Staf\, all,DC=corp,DC=example`:         {domain, in(`OU=Staff\, all`), `OU=Staff\, all,DC=corp,DC=example`},
		"OU=Staff,DC=corp,DC=exmaple":              {"", contexts, "OU=Staff,DC=corp,DC=example"},
		"DC=crop,DC=example":                       {"", []string{"DC=corps,DC=example"}, ""},
		"OU=Staff,DC=other,DC=example":             {"", contexts, ""},
		"OU=Staff":                                 {"", contexts, ""},
		"":                                         {"", contexts, ""},
	} {
		if got := Mended(dn, c.near, c.below); got != c.want {
			t.Errorf("%q: %q, want %q", dn, got, c.want)
		}
	}
}

func TestWhatStandsBelowABranchIsKnownByItsSpelling(t *testing.T) {
	for dn, want := range map[string]bool{"OU=Staff, DC=corp,dc=EXAMPLE": true, "dc=corp,dc=example": true, "dc=example": false, "ou=x,dc=acorp,dc=example": false, `ou=x\,dc=corp,dc=example`: false} {
		if Under(dn, "DC=corp,DC=example") != want {
			t.Errorf("%q: %v", dn, !want)
		}
	}
}

func TestLettersThatDifferAreCounted(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"kitten", "sitting", 3}, {"", "abc", 3}, {"abc", "", 3}, {"straße", "strasse", 2}, {"x", "x", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
