package doctor

import "testing"

func TestAMisspeltNameIsTakenForTheOneThatItIsAlmost(t *testing.T) {
	units := []string{"OU=Staff,DC=corp,DC=example", "OU=Services,DC=corp,DC=example", "CN=Users,DC=corp,DC=example", "OU=Partners,DC=corp,DC=example"}
	for name, want := range map[string]string{
		"OU=Staf,DC=corp,DC=example": units[0], "ou=staff,dc=corp,dc=example": units[0], "CN=Staff,DC=corp,DC=example": units[0], "OU=Service,DC=corp,DC=example": units[1],
		"": "", "OU=Employees of the northern region,OU=Everybody,DC=corp,DC=example": "",
	} {
		if got := Alike(name, units); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := Alike("ou=a,dc=x", []string{"ou=b,dc=x", "ou=c,dc=x"}); got != "" {
		t.Errorf("of two that are as close, %q was taken", got)
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"kitten", "sitting", 3}, {"", "abc", 3}, {"abc", "", 3}, {"straße", "strasse", 2}, {"x", "x", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
