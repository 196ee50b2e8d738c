package wallet_test

import (
	"testing"

	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// Where somebody lives is said only to those who ask for it, and by documents that say
// it; others are presented all the same.
func TestAWalletSaysWhereItsHolderLivesWhereThatIsAskedFor(t *testing.T) {
	for what, c := range map[string]struct {
		home []string
		want string
	}{
		"all of it": {[]string{"Hauptstraße 1", "10115", "Berlin", "BE", "DE"}, "Hauptstraße 1, 10115, Berlin, BE, DE"},
		"a part":    {[]string{"Hauptstraße 1"}, "Hauptstraße 1"},
		"nothing":   {nil, ""},
	} {
		st := newStage(t).trust()
		person := evidencetest.Person{Family: "Müller", Given: "Jürgen", BirthDate: "1980-02-29", Document: "D1234567", Expires: "2099-01-01", Home: c.home}
		var err error
		if st.wallet, err = st.authority.NewWallet(person, st.now); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"mdl", "pid"} {
			for _, asks := range []bool{true, false} {
				s := st.subject(1)
				s.Home = asks
				a := st.open(s)
				v := st.check(s, a.challenge, st.browser(a, 0, origin, id))
				want := ""
				if asks {
					want = c.want
				}
				if !v.Right || v.Claims.Address != want || v.Claims.Family != "Müller" {
					t.Errorf("%s, %s, asked %v: %+v", what, id, asks, v)
				}
			}
		}
	}
}
