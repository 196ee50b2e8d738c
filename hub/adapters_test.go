package hub

import (
	"testing"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

func TestADocumentIsHeldAgainstTheDirectorysNameOfThePerson(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	f.Accounts(t, s, protocol.Account{ID: "1", Name: "Ada Lovelace", Identifiers: []string{"ada@example.com"}})
	found, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.Account, error) {
		return tx.FindAccounts(t.Context(), f.Env.ID, "ada@example.com")
	})
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	for _, c := range []struct {
		given, family string
		strength      policy.Strength
		want          bool
	}{
		{"Ada", "Lovelace", policy.NameMatch, true}, {"Ada", "Lovelace", policy.WeakNameMatch, true}, {"Ada", "Byron", policy.WeakNameMatch, false},
		{"Ada", "Lovelace", policy.NameAndBirthDate, false}, {"Ada", "Lovelace", policy.None, false}, {"", "", policy.WeakNameMatch, false},
	} {
		ok, reason, err := names{s}.Match(t.Context(), flow.MatchRequest{Env: f.Env.ID, Account: found[0], Strength: c.strength, Claims: evidence.Claims{Given: c.given, Family: c.family}})
		if err != nil || ok != c.want || !ok && reason == "" {
			t.Errorf("%+v: %v %q %v", c, ok, reason, err)
		}
	}
}
