package ldap

import (
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/internal/testenv"
)

// TestAServerThatGivesSmallPagesIsReadWhole holds for a server that refuses a page for
// its size, and for one whose pages are the largest that are asked for.
func TestAServerThatGivesSmallPagesIsReadWhole(t *testing.T) {
	const people = 1200
	for _, most := range []int{smallPage, 0} {
		s := testenv.StartSlapd(t, testenv.SlapdOptions{People: people, Pages: most})
		d := openAt(t, configFor(t, s.Addr(), s.CAFile))
		ids := map[string]int{}
		_, err := d.List(t.Context(), "", 400, func(p directory.Page) error {
			if len(p.Accounts) > 400 || !p.Full {
				t.Errorf("a page of %d, full %v", len(p.Accounts), p.Full)
			}
			for _, a := range p.Accounts {
				if ids[a.ID]++; ids[a.ID] > 1 {
					t.Errorf("%s comes twice", a.ID)
				}
			}
			return nil
		})
		if err != nil || len(ids) < people {
			t.Errorf("with pages of at most %d: %d accounts, %v", most, len(ids), err)
		}
	}
}
